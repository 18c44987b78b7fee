"""The verdicts on tags: one ref in the form of git's notes, which remotes share.

A note stands on a tag's commit and holds one verdict a line. Two histories of the ref are
joined line by line, so nobody's verdict is lost, and none is counted twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.command import run_git
from flexlock_hydra.ports.git.make_objects import commit_tree, edit_tree
from flexlock_hydra.ports.git.remote import fetch_refs, push_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.verdict import Verdict, parse_verdict

_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LARGEST = 16 << 20  # bytes of a note above which it is not read
_TRIES = 20

_Notes = Mapping[str, str]  # commit -> id of the blob with its note


def history(repo: GitRepo, tag: str) -> tuple[Verdict, ...]:
    """The verdicts on the reproductions of a tag that are here, the oldest first."""
    ours = repo.rev_parse(layout.VERDICTS)
    commit = repo.rev_parse(f"refs/tags/{tag}^{{commit}}") if ours else None
    note = _notes(repo, ours).get(commit or "")
    found = filter(None, map(parse_verdict, _lines_of(repo, [note])[note])) if note else ()
    return tuple(sorted((each for each in found if each.tag == tag), key=lambda each: each.when))


def keep(repo: GitRepo, verdict: Verdict) -> None:
    """Add a verdict to those on its tag.

    Raises:
        GitError: the repository has no such tag, or cannot be written to.
    """
    commit = repo.git("rev-parse", "--verify", f"refs/tags/{verdict.tag}^{{commit}}")

    def added(ours: str | None) -> str:
        note = _notes(repo, ours).get(commit)
        lines = {*(_lines_of(repo, [note])[note] if note else ()), verdict.dumps()}
        return _commit(repo, ours, {commit: lines}, [ours] if ours else [])

    _move(repo, added)


def fetch(repo: GitRepo, url: str) -> None:
    """Bring the verdicts of a remote, if it has any, beside those that are here.

    Raises:
        GitError: the remote cannot be reached.
    """
    theirs = remote_refs(repo.root, url, layout.VERDICTS).get(layout.VERDICTS)
    if theirs is not None:
        merge_theirs(repo, url, theirs)


def merge_theirs(repo: GitRepo, url: str, theirs: str) -> None:
    """Join the verdicts of a remote, whose commit is ``theirs``, with those that are here.

    Raises:
        GitError: the remote cannot be reached, or sent what is not safe.
    """
    if not repo.has_object(theirs):
        fetch_refs(repo.root, url, [layout.VERDICTS])
    _move(repo, lambda ours: _joined(repo, ours, theirs))


def send_verdicts(repo: GitRepo, url: str) -> None:
    """Send the verdicts to a remote; those that others sent meanwhile stay.

    Raises:
        GitError: the remote refused, or cannot be reached.
    """
    for attempt in range(_TRIES):
        fetch(repo, url)
        ours = repo.git("rev-parse", "--verify", layout.VERDICTS)
        try:
            push_refs(repo.root, url, {layout.VERDICTS: ours})
            return
        except GitError:
            there = remote_refs(repo.root, url, layout.VERDICTS).get(layout.VERDICTS)
            if attempt == _TRIES - 1 or there is None or repo.has_object(there):
                raise  # nobody was faster: the remote refuses
        time.sleep(0.02 * attempt)


def _notes(repo: GitRepo, treeish: str | None) -> _Notes:
    """The notes of a commit; git spreads them over folders where there are many."""
    tree = repo.ls_tree(treeish) if treeish else {}
    found = {path.replace("/", ""): entry for path, entry in tree.items()}
    return {
        commit: entry.oid
        for commit, entry in found.items()
        if _OID.fullmatch(commit) and entry.mode == "100644"
    }


def _lines_of(repo: GitRepo, blobs: Iterable[str]) -> dict[str, list[str]]:
    """The lines of some notes, those that are too large left out."""
    found: dict[str, list[str]] = {oid: [] for oid in blobs}
    for oid, content in repo.read_blobs([*found], largest=_LARGEST):
        found[oid] = content.decode("utf-8", "replace").splitlines()
    return found


def _joined(repo: GitRepo, ours: str | None, theirs: str) -> str:
    if ours is None or _is_ancestor(repo, ours, theirs):
        return theirs
    if _is_ancestor(repo, theirs, ours):
        return ours
    mine, other = _notes(repo, ours), _notes(repo, theirs)
    changed = other.items() - mine.items()
    pairs = {commit: [oid, *filter(None, [mine.get(commit)])] for commit, oid in changed}
    lines = _lines_of(repo, [oid for pair in pairs.values() for oid in pair])
    put = {commit: {line for oid in pair for line in lines[oid]} for commit, pair in pairs.items()}
    return _commit(repo, ours, put, [ours, theirs])


def _commit(
    repo: GitRepo, base: str | None, put: Mapping[str, Iterable[str]], parents: Iterable[str]
) -> str:
    tree = repo.git("rev-parse", f"{base}^{{tree}}") if base else repo.git("mktree", stdin=b"")
    there = repo.ls_tree(tree) if base else {}
    spread = [path for path in there if "/" in path and path.replace("/", "") in put]
    files = {name: "".join(f"{line}\n" for line in sorted(lines)) for name, lines in put.items()}
    new = edit_tree(repo, tree, {name: text.encode() for name, text in files.items()}, spread)
    return commit_tree(repo, new, parents, "Verdicts\n", f"{int(time.time())} +0000")


def _is_ancestor(repo: GitRepo, one: str, other: str) -> bool:
    return run_git(repo.root, "merge-base", "--is-ancestor", one, other).returncode == 0


def _move(repo: GitRepo, commit_after: Callable[[str | None], str]) -> None:
    """Point the ref at the commit that follows it; again, where somebody moved it meanwhile."""
    for attempt in range(_TRIES):
        ours = repo.rev_parse(layout.VERDICTS)
        new = commit_after(ours)
        with suppress(GitError):
            if ours != new:
                repo.git("update-ref", layout.VERDICTS, new, ours or "0" * len(new))
            return
        time.sleep(0.02 * attempt)  # another process was faster
    raise GitError(
        f"{layout.VERDICTS} in {repo.root} cannot be written",
        hint=f"See why: git -C {repo.root} update-ref {layout.VERDICTS} HEAD",
    )
