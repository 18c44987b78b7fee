"""The exact working tree as a commit, without touching the user's checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from flexlock_hydra.capture.code.scope import DEFAULT_SIZE_LIMIT, Scope, is_bytecode, pick
from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.ask import WorkingTreeRequest, ask_working_tree
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.make_objects import OwnIndex, commit_tree, hash_raw, own_index
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.ports.git.status import STATUS_PATIENCE, GitIndex, WorkingTree
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT, MAIN, PARTIAL, CodeState

# Of a commit without a parent: with the present time, equal trees had different commits
_FIRST_DATE = "0 +0000"
_UNSEEN = "untracked files not looked for: git status in {} took longer than {:.0f} s"
_MOST_NAMED = 10  # Files of one kind that are named one by one


@dataclass(frozen=True)
class Snapshot:
    """A working tree as it was taken, and what a later look at it must know."""

    repo: GitRepo
    state: CodeState
    scope: Scope
    taken_at: int
    """Nanoseconds since the epoch, before git looked."""
    index: GitIndex
    head_tree: str | None
    again: tuple[str, ...] = ()
    """Paths that git does not name by itself: untracked, overlooked, with odd line ends."""
    gone: tuple[str, ...] = ()
    """Paths that differ from HEAD by not being there."""
    left_out: frozenset[str] = frozenset()
    """Untracked files that are no code for where they lie: outputs, inputs."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Submodules: path -> snapshot commit."""
    converts: bool = False
    untracked_seen: bool = True
    inner: Mapping[str, Snapshot] = field(default_factory=dict)
    """Repositories inside this one, submodules or not: path -> snapshot."""

    def keep(self) -> None:
        """Keep the commit alive by a ref.

        Raises:
            GitError: the ref cannot be written.
        """
        self.repo.update_ref(layout.shadow_ref(self.state.commit), self.state.commit)


def find_repo(*candidates: Path) -> GitRepo | None:
    """The repository of the first candidate folder that lies in one."""
    found = (GitRepo.find(folder) for folder in candidates if folder.is_dir())
    return next(filter(None, found), None)


def capture_code(repo: GitRepo, cwd: Path, scope: Scope = Scope()) -> CodeState:
    """The state of one repository; see :func:`take_snapshot`."""
    return take_snapshot(repo, cwd, scope).state


def take_snapshot(repo: GitRepo, cwd: Path, scope: Scope = Scope()) -> Snapshot:
    """Snapshot the working tree: tracked, edited, deleted, untracked and not ignored.

    The commit is HEAD where nothing differs from it, else one that is a function of
    the tree and HEAD alone. A ref under ``refs/flexlock/`` keeps it alive. Repositories
    inside this one have snapshots of their own; a submodule's is what the tree links to.

    Raises:
        GitError: git refused.
    """
    with ask_working_tree(repo.root) as asked:
        taken = _take_one(repo, asked, cwd, scope)
    for each in named_snapshots(MAIN, taken).values():
        each.keep()
    return taken


def take_all(
    repos: Mapping[str, GitRepo], cwd: Path, scope: Scope, begun: Mapping[Path, WorkingTreeRequest]
) -> tuple[dict[str, Snapshot], dict[str, Exception]]:
    """Snapshots of several repositories, at which git looks side by side; failures apart.

    Args:
        begun: looks that were asked for already, by the repositories' roots.
    """
    taken: dict[str, Snapshot] = {}
    failed: dict[str, Exception] = {}
    with ExitStack() as asking:
        asked = {
            name: begun.get(repo.root) or asking.enter_context(ask_working_tree(repo.root))
            for name, repo in repos.items()
        }
        for name, repo in repos.items():
            try:
                taken[name] = _take_one(repo, asked[name], cwd, scope)
            except (GitError, OSError) as error:
                failed[name] = error
    return taken, failed


def named_snapshots(name: str, snapshot: Snapshot) -> dict[str, Snapshot]:
    """A snapshot by its name and those of the repositories inside by name and path.

    Those inside ``main`` are named by their path alone.
    """
    found = {name: replace(snapshot, inner={})}
    for path, inner in snapshot.inner.items():
        place = f"./{path}" if path == MAIN else path
        found |= named_snapshots(place if name == MAIN else f"{name}/{path}", inner)
    return found


def relative_to(path: Path, start: Path) -> str:
    """``path`` seen from ``start``, POSIX style; absolute where they share no drive."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        return path.as_posix()


def ignored(root: Path, files: Iterable[str]) -> list[str]:
    """Those of the files, relative to the root, that git ignores.

    Raises:
        GitError: git refused.
    """
    repo = GitRepo.find(root)
    return repo.ignored(list(files)) if repo else []


def write_tree(
    repo: GitRepo,
    index: GitIndex,
    paths: Sequence[str],
    links: Mapping[str, str],
    *,
    converts: bool,
    head: str | None,
) -> tuple[str, list[str]]:
    """The tree of the index with paths as they are in the working tree.

    Also the files that a checkout gives other bytes.
    """
    with own_index(repo) as own:
        own.unhide(index.overlooked)
        own.stage(paths)
        own.put_links(links)
        lost = keep_bytes(own, paths, head) if converts else []
        return own.git("write-tree"), lost


def keep_bytes(index: OwnIndex, paths: Iterable[str], head: str | None) -> list[str]:
    """Store files raw where git's form of them would come back with other bytes, or not at all.

    Git changes line ends and runs filters both ways; where neither form comes back as
    the file is, git's stays. Those files are returned. What git LFS would keep beside the
    repository, on this machine alone, is stored in it, unless it is large or HEAD has it.
    """
    paths = list(paths)
    unlike = index.not_checked_out_alike(paths)
    unlike += sorted(set(_new_to_lfs(index, paths, head)) - set(unlike))
    if not unlike:
        return []
    stored = index.repo.ls_tree(index.git("write-tree"))
    raw = [path for path in unlike if "\n" not in path]  # hash-object takes a path a line
    blobs = zip(raw, hash_raw(index.repo, raw), strict=True)
    index.put({path: TreeEntry(stored[path].mode, oid) for path, oid in blobs})
    lost = index.not_checked_out_alike(unlike)
    index.put({path: stored[path] for path in lost})
    return lost


def _new_to_lfs(index: OwnIndex, paths: Iterable[str], head: str | None) -> list[str]:
    """Files that git LFS keeps, small enough for git, that differ from the commit ``head``."""
    kept = index.kept_by_lfs(paths, DEFAULT_SIZE_LIMIT)
    if not kept:
        return []
    before = index.repo.ls_tree(head) if head else {}
    now = index.repo.ls_tree(index.git("write-tree"))
    return [path for path in kept if path in now and before.get(path) != now[path]]


def _take_one(repo: GitRepo, asked: WorkingTreeRequest, cwd: Path, scope: Scope) -> Snapshot:
    look = repo.look(asked)
    status, index = look.status, look.index
    picked = pick(repo.root, status.untracked, scope)
    inner, unread = _take_inner(repo, [*index.links, *picked.repos], cwd, scope)
    links = {path: inner[path].state.commit for path in index.links if path in inner}
    odd = repo.other_line_ends(look.config) if look.converts else []
    again = (*index.overlooked, *picked.files, *odd)
    paths = [path for path in (*status.changed, *again) if not is_bytecode(path)]
    tree, lost = look.head_tree, list[str]()
    if tree is None or paths or status.differs or index.links:
        tree, lost = write_tree(repo, index, paths, links, converts=look.converts, head=status.head)
    commit = _snapshot_commit(repo, look, tree)
    unseen = [] if look.untracked_seen else [_UNSEEN.format(repo.root, STATUS_PATIENCE)]
    unlike = name_each(lost, "would be checked out with other bytes")
    reasons = [*unseen, *picked.reasons, *unread, *unlike]
    if look.head_tree is None:  # before the first commit all of them
        dirty = tuple(sorted(repo.ls_tree(tree)))
    else:
        dirty = repo.diff(look.head_tree, tree).paths if look.head_tree != tree else ()
    return Snapshot(
        repo=repo,
        state=CodeState(
            path=relative_to(repo.root, cwd),
            remote=_remote_url(look.config, status.branch),
            branch=status.branch,
            head=status.head,
            commit=commit,
            tree=tree,
            dirty=dirty,
            completeness=PARTIAL if reasons else EXACT,
            reasons=tuple(reasons),
        ),
        scope=scope,
        left_out=picked.left_out,
        taken_at=look.at,
        index=index,
        head_tree=look.head_tree,
        again=again,
        gone=tuple(path for path in dirty if not os.path.lexists(repo.root / path)),
        links=links,
        converts=look.converts,
        untracked_seen=look.untracked_seen,
        inner=inner,
    )


def _take_inner(
    repo: GitRepo, paths: Iterable[str], cwd: Path, scope: Scope
) -> tuple[dict[str, Snapshot], list[str]]:
    """The repositories inside, by path; why one that is there could not be recorded.

    A submodule that is not initialised has no files: there is nothing to record.
    """
    inner, reasons = {}, []
    for path in paths:
        place = repo.root / path
        if not os.path.lexists(place / ".git"):
            continue
        try:
            found = GitRepo.find(place)
            if found is None or not os.path.samefile(found.root, place):
                raise GitError("its .git leads nowhere")
            with ask_working_tree(found.root) as asked:
                inner[path] = _take_one(found, asked, cwd, scope)
        except (GitError, OSError) as error:
            reasons.append(f"repository {path} left out: {error}")
    return inner, reasons


def name_each(paths: Sequence[str], what: str) -> list[str]:
    """A sentence for each path; one for all that go beyond a few."""
    named = [f"{path} {what}" for path in paths[:_MOST_NAMED]]
    more = len(paths) - _MOST_NAMED
    return [*named, f"{more} more files {what}"] if more > 0 else named


def _snapshot_commit(repo: GitRepo, look: WorkingTree, tree: str) -> str:
    """HEAD where the tree is its, else a commit on top of it, made of tree and HEAD alone."""
    head = look.status.head
    if head is None:
        return commit_tree(repo, tree, [], "flexlock snapshot before any commit\n", _FIRST_DATE)
    if look.head_tree == tree:
        return head
    return commit_tree(repo, tree, [head], f"flexlock snapshot of {head}\n", look.head_date)


def _remote_url(config: Mapping[str, str], branch: str | None) -> str | None:
    """The URL, without credentials, of the remote that the branch follows, else of
    ``origin``, else of the only one."""
    urls = {
        key.removeprefix("remote.").removesuffix(".url"): url
        for key, url in config.items()
        if key.startswith("remote.") and key.endswith(".url")
    }
    followed = config.get(f"branch.{branch}.remote", ".")
    only = next(iter(urls)) if len(urls) == 1 else ""
    name = next((name for name in (followed, "origin", only) if name in urls), None)
    return redact_url(urls[name]) if name is not None else None
