"""The exact working tree as a commit, without touching the user's checkout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from flexlock_hydra.ports.gitcmd import redact_url
from flexlock_hydra.ports.gitrepo import GITLINK, GitRepo, Status, blob_id
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT, PARTIAL, CodeState

DEFAULT_SIZE_LIMIT = 50 * 1024**2
"""Bytes. An untracked file above it is taken for data, left out and named."""

_HYDRA_FOLDERS = ("outputs", "multirun")
_RUN_MARKS = (layout.LOCK, "multirun.yaml")
_FIRST_DATE = "0 +0000"


@dataclass(frozen=True)
class Scope:
    """What is not code although git does not ignore it.

    ``folders`` and ``data`` are absolute paths: Hydra's output folders, and the inputs
    that the config names. ``ignore`` are globs on paths relative to the root.
    """

    folders: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    ignore: tuple[str, ...] = ()
    size_limit: int = DEFAULT_SIZE_LIMIT


def find_repo(*candidates: Path) -> GitRepo | None:
    """The repository of the first candidate folder that lies in one."""
    for folder in candidates:
        if folder.is_dir() and (repo := GitRepo.find(folder)) is not None:
            return repo
    return None


def capture(repo: GitRepo, cwd: Path, scope: Scope = Scope()) -> CodeState:
    """Snapshot the working tree: tracked, edited, deleted, untracked and not ignored.

    The commit is HEAD where nothing differs from it, else one that is a function of
    the tree and HEAD alone. A ref under ``refs/flexlock/`` keeps it alive.

    Raises:
        GitError: git refused.
    """
    status = repo.status()
    picked, reasons = _pick_untracked(repo.root, status, scope)
    overlooked = repo.overlooked()
    taken = [path for path in (*status.changed, *overlooked, *picked) if not _is_bytecode(path)]
    tree = _write_tree(repo, status, taken, overlooked)
    reasons += _filtered(repo, tree, taken)
    commit = _commit(repo, status.head, tree)
    repo.update_ref(layout.shadow_ref(commit), commit)
    reasons += _submodules(repo, tree, status)
    remote = repo.default_remote(status.branch)
    url = repo.remote_url(remote) if remote else None
    return CodeState(
        path=relative_to(repo.root, cwd),
        remote=redact_url(url) if url else None,
        branch=status.branch,
        head=status.head,
        commit=commit,
        tree=tree,
        dirty=_dirty(repo, status.head, commit),
        completeness=PARTIAL if reasons else EXACT,
        reasons=tuple(reasons),
    )


def relative_to(path: Path, start: Path) -> str:
    """``path`` seen from ``start``, POSIX style; absolute where they share no drive."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        return path.as_posix()


def _pick_untracked(root: Path, status: Status, scope: Scope) -> tuple[list[str], list[str]]:
    """The untracked files that are code, and why others that might be are left out."""
    folders = _output_folders(root, status.untracked, scope.folders)
    data = _inside(root, scope.data)
    picked, reasons = [], []
    for path in status.untracked:
        place = path.rstrip("/")  # of a repository inside this one
        if _is_bytecode(path) or _is_under(place, folders) or _is_under(place, data):
            continue
        if _is_hydras(path):
            continue
        if any(_matches(path, glob) for glob in scope.ignore):
            continue
        if reason := _left_out(root, path, scope.size_limit):
            reasons.append(reason)
        else:
            picked.append(path)
    return picked, reasons


def _left_out(root: Path, path: str, size_limit: int) -> str | None:
    if path.endswith("/"):
        return f"repository {path.rstrip('/')} inside this one left out"
    try:
        stat = os.lstat(root / path)
    except OSError as error:
        return f"untracked {path} left out: {error.strerror}"
    if stat.st_size > size_limit:
        return f"untracked {path} ({stat.st_size / 1e6:.0f} MB) left out"
    if not os.access(root / path, os.R_OK, follow_symlinks=False):
        return f"untracked {path} left out: permission denied"
    return None


def _output_folders(
    root: Path, untracked: Iterable[str], configured: Sequence[Path]
) -> frozenset[str]:
    """Folders, relative to the root, in which no untracked file is code."""
    folders = {*_HYDRA_FOLDERS, *_inside(root, configured)}
    files = [PurePosixPath(path) for path in untracked]
    folders |= {str(file.parent) for file in files if file.name == layout.LOCK}
    folders |= {str(file.parent.parent) for file in files if file.parent.name == ".hydra"}
    with_jobs = {str(up.parent) for file in files for up in file.parents if up.name.isdigit()}
    with_jobs |= {str(PurePosixPath(folder).parent) for folder in folders}
    sweeps = {str(file.parent) for file in files if file.name == "multirun.yaml"}
    folders |= sweeps & with_jobs  # a config may be named so as well
    return frozenset(folders - {"."})


def _inside(root: Path, paths: Iterable[Path]) -> frozenset[str]:
    """Those of the paths that lie below the root, relative to it."""
    places = (Path(os.path.relpath(path, root)).as_posix() for path in paths)
    return frozenset(place for place in places if place != "." and not place.startswith("../"))


def _is_under(path: str, folders: frozenset[str]) -> bool:
    return path in folders or any(str(up) in folders for up in PurePosixPath(path).parents)


def _is_hydras(path: str) -> bool:
    """Whether Hydra or this package wrote a file, wherever it stands."""
    pure = PurePosixPath(path)
    return pure.name in _RUN_MARKS or layout.is_own_file(pure.name) or pure.parent.name == ".hydra"


def _is_bytecode(path: str) -> bool:
    return path.endswith((".pyc", ".pyo")) or "__pycache__/" in path


def _matches(path: str, glob: str) -> bool:
    """gitignore's everyday rules: a bare name matches at any depth, a folder all in it."""
    glob = glob.rstrip("/")
    pure = PurePosixPath(path)
    whole = [str(pure), *map(str, pure.parents)]
    if "/" in glob:
        return any(fnmatch(place, glob.lstrip("/")) for place in whole)
    return any(fnmatch(part, glob) for part in pure.parts)


def _submodules(repo: GitRepo, tree: str, status: Status) -> list[str]:
    """Submodules: their commits are recorded, their files are not."""
    if not (repo.root / ".gitmodules").exists():
        return []
    paths = [path for path, entry in repo.ls_tree(tree).items() if entry.mode == GITLINK]
    return [
        f"submodule {path} is dirty"
        if path in status.dirty_submodules
        else f"submodule {path} is recorded by its commit alone"
        for path in paths
    ]


def ignored(root: Path, files: Iterable[str]) -> list[str]:
    """Those of the files, relative to the root, that git ignores.

    Raises:
        GitError: git refused.
    """
    repo = GitRepo.find(root)
    return repo.ignored(list(files)) if repo else []


def _filtered(repo: GitRepo, tree: str, paths: list[str]) -> list[str]:
    """Which of the files git stored with other bytes: line ends changed, a filter run."""
    entries = repo.ls_tree(tree) if paths else {}
    return [
        f"{path} is stored with line ends or a filter of git's, not byte for byte"
        for path in dict.fromkeys(paths)
        if (entry := entries.get(path)) is not None
        and entry.mode.startswith("100")
        and not _has_content(repo.root / path, entry.oid)
    ]


def _has_content(path: Path, oid: str) -> bool:
    """Whether a file's bytes are those of a blob; one that is gone by now counts as such."""
    try:
        return blob_id(path.read_bytes(), len(oid)) == oid
    except OSError:
        return True


def _is_gone(root: Path, path: str) -> bool:
    """Whether a tracked file is no more: deleted, or a folder above it is a link now."""
    place = root / path
    ups = [root / up for up in PurePosixPath(path).parents]
    return not os.path.lexists(place) or any(up.is_symlink() for up in ups[:-1])


def _write_tree(
    repo: GitRepo, status: Status, paths: list[str], overlooked: tuple[str, ...]
) -> str:
    if status.head and not paths and not status.differs:
        return repo.git("rev-parse", f"{status.head}^{{tree}}")
    gone = [path for path in paths if _is_gone(repo.root, path)]
    there = sorted(set(paths) - set(gone))
    names, dropped, hidden = (
        b"".join(os.fsencode(path) + b"\0" for path in group)
        for group in (there, gone, overlooked)
    )
    with repo.temporary_index() as env:
        for flag in ("--no-assume-unchanged", "--no-skip-worktree") if hidden else ():
            repo.git("update-index", "-z", flag, "--stdin", stdin=hidden, env=env)
        if dropped:
            repo.git("update-index", "-z", "--force-remove", "--stdin", stdin=dropped, env=env)
        repo.git("update-index", "-z", "--add", "--remove", "--stdin", stdin=names, env=env)
        return repo.git("write-tree", env=env)


def _commit(repo: GitRepo, head: str | None, tree: str) -> str:
    if head is None:
        return repo.commit_tree(tree, [], "flexlock snapshot before any commit\n", _FIRST_DATE)
    if repo.git("rev-parse", f"{head}^{{tree}}") == tree:
        return head
    return repo.commit_tree(
        tree, [head], f"flexlock snapshot of {head}\n", repo.commit_date(head)
    )


def _dirty(repo: GitRepo, head: str | None, commit: str) -> tuple[str, ...]:
    if head is None:
        return tuple(sorted(repo.ls_tree(commit)))
    if head == commit:
        return ()
    diff = repo.diff(head, commit)
    return tuple(sorted((*diff.added, *diff.removed, *diff.changed)))
