"""Whether code is still what its snapshot holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from flexlock_hydra.capture.code.scope import is_bytecode
from flexlock_hydra.capture.code.snapshot import Snapshot, keep_bytes, name_each, write_tree
from flexlock_hydra.ports.git.ask import ask_status
from flexlock_hydra.ports.git.command import Started
from flexlock_hydra.ports.git.make_objects import own_index
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.status import Status
from flexlock_hydra.record.model import MAIN

CLOCK_SLACK = 20_000_000
"""Nanoseconds by which a file's times may lag behind the clock."""
# Bytes of git's index, some 40,000 files, from which a look at untracked files is left out
_LARGE_INDEX = 4_000_000
# Logs, and tables of results
_APPENDED_TO = (".log", ".out", ".err", ".csv", ".tsv", ".jsonl", ".ndjson")

Drift = dict[str, list[str]]
"""Name of a repository -> what changed in it, in words."""


@contextmanager
def ask(snapshots: Mapping[str, Snapshot]) -> Iterator[dict[str, Started]]:
    """Have git look at every file of the repositories, beside the caller.

    In the main one at what it does not track, too: a job may have written there.

    Raises:
        GitError: git cannot be started.
    """
    with ExitStack() as begun:
        yield {
            name: begun.enter_context(
                _ask_one(kept.repo, whole=name == MAIN and kept.untracked_seen)
            )
            for name, kept in snapshots.items()
        }


def _ask_one(repo: GitRepo, *, whole: bool) -> Started:
    """``whole``: also at what git does not track, unless so many folders are read long."""
    with suppress(OSError):
        whole = whole and os.stat(repo.git_dir / "index").st_size < _LARGE_INDEX
    return ask_status(repo.root, untracked=whole, ignored=whole, folded=True)


def compare(
    snapshots: Mapping[str, Snapshot], seen: Mapping[str, Status], read: Iterable[str]
) -> Drift:
    """What changed since the snapshots were taken, of all that git sees.

    Args:
        seen: what git sees now, by repository.
        read: absolute paths of files that the job reads as code; of the others, those
            that are new do not count: a job may write where it likes.

    Raises:
        GitError: git refused.
    """
    files = by_repo(snapshots, read)
    found = {}
    for name, kept in snapshots.items():
        status = seen[name]
        paths = [*status.changed, *kept.again, *touched(kept, files[name])]
        found[name] = [*_changes_in_words(kept, _tree_now(kept, status, paths), files[name])]
    return {name: changes for name, changes in found.items() if changes}


def _tree_now(kept: Snapshot, status: Status, paths: list[str]) -> str:
    if status.head == kept.state.head and not (paths or status.differs or kept.index.links):
        return kept.head_tree or kept.state.tree
    paths = [path for path in paths if not is_bytecode(path)]
    head = kept.state.head
    tree, _ = write_tree(
        kept.repo, kept.index, paths, kept.links, converts=kept.converts, head=head
    )
    return tree


def glance(snapshots: Mapping[str, Snapshot], read: Iterable[str]) -> Drift:
    """What changed of the files that differed from HEAD and of those ``read``, a cheap look.

    No process is started unless the times of one of them are newer than the snapshot.

    Raises:
        GitError: git refused.
    """
    files = by_repo(snapshots, read)
    found = {}
    for name, kept in snapshots.items():
        again = touched(kept, {*kept.state.dirty, *files[name]})
        tree = _retake(kept, again) if again else kept.state.tree
        found[name] = [*_changes_in_words(kept, tree, files[name])]
    return {name: changes for name, changes in found.items() if changes}


def by_repo(snapshots: Mapping[str, Snapshot], files: Iterable[str]) -> dict[str, set[str]]:
    """Absolute paths by the innermost repository that they lie in, relative to its root."""
    roots = {f"{kept.repo.root}{os.sep}": name for name, kept in snapshots.items()}
    found: dict[str, set[str]] = {name: set() for name in snapshots}
    for file in files:
        root = max((root for root in roots if file.startswith(root)), key=len, default=None)
        if root is not None:
            found[roots[root]].add(file.removeprefix(root).replace(os.sep, "/"))
    return found


def touched(kept: Snapshot, paths: Iterable[str], since: int | None = None) -> list[str]:
    """Those of the paths that may not be as they were: by their times, or not there.

    Args:
        since: nanoseconds since the epoch; by default when the snapshot was taken.
    """
    oldest = kept.taken_at - CLOCK_SLACK if since is None else since
    return [path for path in sorted(paths) if _is_touched(path, kept, oldest)]


def _is_touched(path: str, kept: Snapshot, oldest: int) -> bool:
    if path in kept.links:
        return False
    try:
        stat = os.lstat(kept.repo.root / path)
    except OSError:
        return path not in kept.gone
    return path in kept.gone or max(stat.st_mtime_ns, stat.st_ctime_ns) >= oldest


def _retake(kept: Snapshot, paths: list[str]) -> str:
    """The snapshot's tree with some paths as they are now."""
    with own_index(kept.repo, copy=False) as index:  # all of it comes from the tree
        index.git("read-tree", kept.state.tree)
        index.stage(paths)
        if kept.converts:
            keep_bytes(index, paths, kept.state.head)
        return index.git("write-tree")


def _changes_in_words(kept: Snapshot, tree: str, read: set[str]) -> Iterator[str]:
    if tree == kept.state.tree:
        return
    found, is_written = kept.repo.diff(kept.state.tree, tree), kept.scope.writes(kept.repo.root)
    new = [path for path in found.added if path in read]
    ignored = set(kept.repo.ignored(new))
    changed = [path for path in found.changed if path in read or not _only_grew(kept, path)]
    for paths, what in (
        (changed, "changed"),
        (found.removed, "was removed"),
        ([path for path in new if path not in ignored], "appeared"),
    ):
        code_paths = [path for path in paths if not is_written(path)]
        yield from name_each(code_paths, f"{what} while the job ran")


def _only_grew(kept: Snapshot, path: str) -> bool:
    """Whether a file is a log or a table that something appended to, as ``tee`` or a job does."""
    return path.endswith(_APPENDED_TO) and kept.repo.has_grown(kept.state.tree, path)
