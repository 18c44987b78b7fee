"""Which files of a working tree are code."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.record import layout

DEFAULT_SIZE_LIMIT = 50 * 1024**2
"""Bytes. An untracked file above it is taken for data, left out and named."""

_HYDRA_FOLDERS = ("outputs", "multirun")
_MAY_BE_READ = (".py", ".so", ".pyd", ".yaml", ".yml")  # Files that Python or Hydra reads as code
_RUN_MARKS = (layout.LOCK, "multirun.yaml")


@dataclass(frozen=True)
class Scope:
    """Rules for what is not code although git does not ignore it.

    ``folders`` and ``data`` are absolute paths: Hydra's output folders, and the inputs
    that the config names, patterns too. ``ignore`` are globs on paths relative to the root.
    """

    folders: tuple[Path, ...] = ()
    data: tuple[Path, ...] = ()
    ignore: tuple[str, ...] = ()
    size_limit: int = DEFAULT_SIZE_LIMIT

    def writes(self, root: Path) -> Callable[[str], bool]:
        """Tells of a path below the root whether a job may write it: an output, its data."""
        folders = frozenset(_HYDRA_FOLDERS) | _paths_inside(root, self.folders)
        is_data = self.is_data(root)
        return lambda path: (
            _is_under(path, folders) or is_data(path) or is_hydras(path) or is_bytecode(path)
        )

    def is_data(self, root: Path) -> Callable[[str], bool]:
        """Tells of a path below the root whether it is an input or lies in one."""
        paths = _paths_inside(root, self.data)
        patterns = [pattern for path in self.data if (pattern := Pattern.parse(path))]
        return lambda path: (
            _is_under(path, paths) or any(pattern.matches(root / path) for pattern in patterns)
        )


@dataclass(frozen=True)
class Picked:
    """The untracked part of a snapshot."""

    files: tuple[str, ...]
    repos: tuple[str, ...]
    """Repositories inside this one that are no submodules."""
    reasons: tuple[str, ...]
    """Why others that might be code are left out."""
    left_out: frozenset[str]
    """Files left out for where they lie, and that the job may yet read as code."""


def pick(root: Path, untracked: Sequence[str], scope: Scope) -> Picked:
    """The untracked files that are code, of all that git does not ignore."""
    folders = _output_folders(root, untracked, scope.folders)
    is_data, streams = scope.is_data(root), redirected()
    files, repos, reasons, left_out = [], [], [], set()
    for path in untracked:
        place = path.rstrip("/")  # of a repository inside this one
        if is_bytecode(path):
            continue
        is_written = _is_under(place, folders) or is_data(place) or is_hydras(path)
        if is_written or any(matches(path, glob) for glob in scope.ignore):
            if path.endswith(_MAY_BE_READ):
                left_out.add(path)
        elif place != path:
            repos.append(place)
        elif is_stream(root / path, streams):
            continue
        elif reason := _left_out(root, path, scope.size_limit):
            reasons.append(reason)
        else:
            files.append(path)
    return Picked(tuple(files), tuple(repos), tuple(reasons), frozenset(left_out))


def redirected() -> list[os.stat_result]:
    """The files that this process's output goes to: ``> train.log`` is no code."""
    found = []
    for fd in (1, 2):
        with suppress(OSError):  # closed
            found.append(os.fstat(fd))
    return [each for each in found if stat.S_ISREG(each.st_mode)]


def is_stream(path: Path, streams: Sequence[os.stat_result]) -> bool:
    """Whether a path is one of the files that this process's output goes to."""
    if streams:
        with suppress(OSError):
            own = os.lstat(path)
            return any(os.path.samestat(own, each) for each in streams)
    return False


def _left_out(root: Path, path: str, size_limit: int) -> str | None:
    """Why an untracked file is no part of a snapshot; None where it is one."""
    try:
        size = os.lstat(root / path).st_size
    except OSError as error:
        return f"untracked {path} left out: {error.strerror}"
    if size > size_limit:
        return f"untracked {path} ({size / 1e6:.0f} MB) left out"
    if not os.access(root / path, os.R_OK, follow_symlinks=False):
        return f"untracked {path} left out: permission denied"
    return None


def _output_folders(
    root: Path, untracked: Iterable[str], configured: Sequence[Path]
) -> frozenset[str]:
    """Folders, relative to the root, in which no untracked file is code."""
    folders = {*_HYDRA_FOLDERS, *_paths_inside(root, configured)}
    files = [PurePosixPath(path) for path in untracked]
    folders |= {str(file.parent) for file in files if file.name == layout.LOCK}
    folders |= {str(file.parent.parent) for file in files if file.parent.name == ".hydra"}
    with_jobs = {str(up.parent) for file in files for up in file.parents if up.name.isdigit()}
    with_jobs |= {str(PurePosixPath(folder).parent) for folder in folders}
    sweeps = {str(file.parent) for file in files if file.name == "multirun.yaml"}
    folders |= sweeps & with_jobs  # a config may be named so as well
    return frozenset(folders - {"."})


def _paths_inside(root: Path, paths: Iterable[Path]) -> frozenset[str]:
    """Those of the paths that lie below the root, relative to it."""
    places = (Path(os.path.relpath(path, root)).as_posix() for path in paths)
    return frozenset(place for place in places if place != "." and not place.startswith("../"))


def _is_under(path: str, folders: frozenset[str]) -> bool:
    return path in folders or any(str(up) in folders for up in PurePosixPath(path).parents)


def is_hydras(path: str) -> bool:
    """Whether Hydra or this package wrote a file, wherever it stands."""
    pure = PurePosixPath(path)
    return pure.name in _RUN_MARKS or layout.is_own_file(pure.name) or pure.parent.name == ".hydra"


def is_bytecode(path: str) -> bool:
    """Whether Python compiled a file, which comes and goes with every import."""
    return path.endswith((".pyc", ".pyo")) or "__pycache__/" in path


def matches(path: str, glob: str) -> bool:
    """gitignore's everyday rules: a bare name matches at any depth, a folder all in it."""
    glob = glob.rstrip("/")
    pure = PurePosixPath(path)
    whole = [str(pure), *map(str, pure.parents)]
    if "/" in glob:
        return any(fnmatch(place, glob.lstrip("/")) for place in whole)
    return any(fnmatch(part, glob) for part in pure.parts)
