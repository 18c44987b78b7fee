"""Load all that a push sends: the plan, the locks, the objects, the commits."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass

from flexlock_hydra.archive.runs.places import load_predecessors
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, extra_repos, store_of
from flexlock_hydra.archive.tag.collect import CommitTrees, DataCollector
from flexlock_hydra.archive.tag.plan import Out, Plan, make_plan
from flexlock_hydra.archive.tag.subject import Subject, lock_path
from flexlock_hydra.capture.data.digest import FileDigest, digest_bytes, tree_object
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
from flexlock_hydra.errors import CodeError, GitError
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.ports.git.worktrees import fetch_snapshot
from flexlock_hydra.ports.store.object_source import ObjectSource, Sendable
from flexlock_hydra.record.relative_path import is_under, join_path, with_parents


@dataclass(frozen=True)
class Payload:
    """A run or a sweep, checked, with everything that must be reachable from its tag.

    The data remote must hold the objects in ``sizes``, object id -> bytes. Most are files
    that lie here; the bytes of the others are ``contents``: folders' listings, files that
    only git has, locks.
    """

    subject: Subject
    runs: tuple[RecordedRun, ...]
    """The subject's own, then their predecessors."""
    plan: Plan
    locks: Mapping[str, bytes]
    commits: tuple[str, ...]
    tree: Mapping[str, TreeEntry]
    """The code that the tag shows: path -> entry."""
    sizes: Mapping[str, int]
    contents: Mapping[str, bytes]
    left: tuple[str, ...] = ()
    """Repositories whose commits do not travel, in words."""

    def sendables(self, wanted: Container[str]) -> Iterator[Sendable]:
        """The wanted objects with their bytes: files first, listings last."""
        seen: set[str] = set()
        for out in self.plan.outs:
            for rel, file in out.digest.files.items():
                oid = file.md5
                if oid in wanted and oid not in self.contents and oid not in seen:
                    seen.add(oid)
                    source = out.source_of(rel)
                    assert source is not None
                    yield oid, ObjectSource(str(source), file.size, file.mtime_ns)
        for oid in sorted(self.contents, key=lambda oid: (oid.endswith(".dir"), oid)):
            if oid in wanted:
                yield oid, self.contents[oid]


def load_payload(subject: Subject, *, outputs: bool) -> Payload:
    """Find, hash and compare whatever the runs and their predecessors recorded.

    Raises:
        DataError, RunNotFoundError, CodeError, PushError: see :mod:`collect`.
    """
    repo, root = subject.repo, subject.root
    own = {run.lock.run.id: run for run in subject.runs}
    before = {prev.lock.run.id: prev for run in own.values() for prev in load_predecessors(run)}
    runs = (*own.values(), *(before[key] for key in sorted(before, reverse=True) if key not in own))
    trees = CommitTrees()
    with HashIndex.open(index_path()) as index:
        collector = DataCollector(root, trees, index, outputs)
        pieces = [
            piece
            for run in runs
            for piece in collector.pieces(run, inherited=run.lock.run.id not in own)
        ]
    locks = {lock_path(run.path, root): run.content for run in runs}
    locks[lock_path(subject.path, root)] = subject.content
    commits = _commits(repo, runs)
    more, left = _extra_commits(repo, runs)
    tree = trees.of(repo, commits[0])
    roots = {piece.path for piece in pieces}
    tracked = trees.files(
        repo, commits[0], lambda path: any(up in roots for up in with_parents(path))
    )
    tracked |= {path: digest_bytes(content) for path, content in locks.items()}
    plan = make_plan(pieces, tracked, tree)
    contents = _contents(repo, plan, locks, commits[0])
    sizes = {file.md5: file.size for out in plan.outs for file in out.digest.files.values()}
    sizes |= {oid: len(content) for oid, content in contents.items()}
    every = tuple(dict.fromkeys((*commits, *more)))
    return Payload(subject, runs, plan, locks, every, tree, sizes, contents, tuple(left))


def _commits(repo: GitRepo, runs: Iterable[RecordedRun]) -> list[str]:
    """The snapshot commits of all runs, each once, all of them in this repository."""
    by_commit = {run.lock.code.commit: run for run in runs if run.lock.code}
    here = repo.having_trees(by_commit)
    for commit, run in by_commit.items():
        if commit in here:
            continue
        if run.repo is None or run.repo == repo or not run.repo.has_object(commit):
            raise CodeError(
                f"the code of run {run.lock.run.id}, commit {commit}, is not in {repo.root}",
                hint="Fetch it: git fetch --all --tags; or push from where the run was made.",
            )
        fetch_snapshot(repo, run.repo, commit)
    return list(by_commit)


def _extra_commits(repo: GitRepo, runs: Iterable[RecordedRun]) -> tuple[list[str], list[str]]:
    """The snapshot commits of all runs' other repositories, brought into this one.

    Also, in words, those that cannot be: their repository is gone, shallow, or of another
    object format.
    """
    commits: dict[str, None] = {}
    left = []
    for run in runs:
        for each in extra_repos(run.lock):
            if each.state.commit in commits:
                continue
            store, why = store_of(run, each), f"commit {each.state.commit} is not here any more"
            try:
                if store is not None:
                    fetch_snapshot(repo, store, each.state.commit)
                    commits[each.state.commit] = None
                    continue
            except GitError as error:
                why = str(error)
            left.append(f"repository {each.name} of {run.lock.run.id} does not travel: {why}")
    return list(commits), left


def _contents(
    repo: GitRepo, plan: Plan, locks: Mapping[str, bytes], commit: str
) -> dict[str, bytes]:
    """The objects that lie in no file here, or not for sure in the recorded form."""
    contents: dict[str, bytes] = {}
    for out in plan.outs:
        for rel, file in _not_in_files(out, locks):
            path = join_path(out.path, rel)
            content = locks.get(path)
            if content is None or digest_bytes(content) != file:
                content = repo.read_file(commit, path) or b""
            contents[file.md5] = content
        if out.digest.is_folder and out.digest.md5 not in contents:
            contents[out.digest.md5] = tree_object(out.digest.files)
    for piece in plan.pieces:
        inside = any(is_under(piece.path, out.path) for out in plan.outs)
        if piece.digest.is_folder and inside and piece.digest.md5 not in contents:
            contents[piece.digest.md5] = tree_object(piece.digest.files)
    return contents


def _not_in_files(out: Out, locks: Mapping[str, bytes]) -> Iterator[tuple[str, FileDigest]]:
    """The files of an out that are locks, or that no piece has: git has them."""
    if len(out.pieces) == 1 and out.pieces[0].digest is out.digest:
        below = (path[len(out.path) + 1:] for path in locks if is_under(path, out.path))
        names: Iterable[str] = [name for name in below if name in out.digest.files]
    else:
        names = out.digest.files
    for rel in names:
        if join_path(out.path, rel) in locks or out.source_of(rel) is None:
            yield rel, out.digest.files[rel]
