"""Which files of a working tree are code."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
# Untracked files in all, and how many times the size limit, beyond which they are left out
_MOST_FILES, _MOST_LARGE = 5_000, 20
_MOST_REASONS = 50  # files that are left out one by one and named
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
    repos, reasons, left_out = [], [], set()
    sizes: dict[str, int] = {}
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
        elif is_stream(f"{root}{os.sep}{path}", streams):
            continue
        elif isinstance(found := _size_of(root, path, scope.size_limit), str):
            reasons.append(found)
        else:
            sizes[path] = found
    if (more := len(reasons) - _MOST_REASONS) > 0:
        reasons[_MOST_REASONS:] = [f"{more:,} more untracked files left out"]
    for folder, paths in [*_beyond(sizes, _MOST_FILES, _MOST_LARGE * scope.size_limit)]:
        size = sum(map(sizes.pop, paths))
        left_out.update(path for path in paths if path.endswith(_MAY_BE_READ))
        reasons.append(
            f"untracked {folder}: {len(paths):,} files ({size / 1e6:,.0f} MB) left out, too many "
            "to be code: list them in .gitignore"
        )
    return Picked(tuple(sizes), tuple(repos), tuple(reasons), frozenset(left_out))


def _beyond(
    sizes: Mapping[str, int], most: int, most_bytes: int
) -> Iterator[tuple[str, list[str]]]:
    """The files, by their first folders, that go beyond a number or beyond bytes in all.

    Those of the fullest folder first; those that Python or Hydra reads as code come last.
    """
    count, size = len(sizes), sum(sizes.values())
    groups: dict[tuple[bool, str], list[str]] = {}
    for path in sizes if count > most or size > most_bytes else ():
        top, slash, _ = path.partition("/")
        key = path.endswith(_MAY_BE_READ), f"{top}/" if slash else "at the root"
        groups.setdefault(key, []).append(path)
    heavy = {key: sum(map(sizes.__getitem__, paths)) for key, paths in groups.items()}
    while count > most or size > most_bytes:
        weights = {key: len(groups[key]) if count > most else heavy[key] for key in groups}
        key = min(groups, key=lambda key: (key[0], -weights[key]))
        paths = groups.pop(key)
        count, size = count - len(paths), size - heavy[key]
        yield key[1], paths


def redirected() -> list[os.stat_result]:
    """The files that this process's output goes to: ``> train.log`` is no code."""
    found = []
    for fd in (1, 2):
        with suppress(OSError):  # closed
            found.append(os.fstat(fd))
    return [each for each in found if stat.S_ISREG(each.st_mode)]


def is_stream(path: str, streams: Sequence[os.stat_result]) -> bool:
    """Whether a path is one of the files that this process's output goes to."""
    if streams:
        with suppress(OSError):
            own = os.lstat(path)
            return any(os.path.samestat(own, each) for each in streams)
    return False


def _size_of(root: Path, path: str, size_limit: int) -> int | str:
    """The bytes of an untracked file; in words, why it is no part of a snapshot."""
    place = f"{root}{os.sep}{path}"
    try:
        size = os.lstat(place).st_size
    except OSError as error:
        return f"untracked {path} left out: {error.strerror}"
    if size > size_limit:
        return f"untracked {path} ({size / 1e6:.0f} MB) left out"
    if not os.access(place, os.R_OK, follow_symlinks=False):
        return f"untracked {path} left out: permission denied"
    return size


def _output_folders(
    root: Path, untracked: Iterable[str], configured: Sequence[Path]
) -> frozenset[str]:
    """Folders, relative to the root, in which no untracked file is code."""
    folders = {*_HYDRA_FOLDERS, *_paths_inside(root, configured)}
    # Folders are few, where files may be many thousand.
    parts = [path.rstrip("/").rpartition("/") for path in untracked]
    above = [PurePosixPath(folder) for folder in {folder for folder, _, _ in parts}]
    own = (layout.LOCK, layout.SWEEP_LOCK)
    folders |= {folder or "." for folder, _, name in parts if name in own}
    folders |= {str(folder.parent) for folder in above if folder.name == ".hydra"}
    with_jobs = {
        str(up.parent) for folder in above for up in (folder, *folder.parents) if up.name.isdigit()
    }
    with_jobs |= {str(PurePosixPath(folder).parent) for folder in folders}
    sweeps = {folder or "." for folder, _, name in parts if name == "multirun.yaml"}
    folders |= sweeps & with_jobs  # a config may be named so as well
    return frozenset(folders - {"."})


def _paths_inside(root: Path, paths: Iterable[Path]) -> frozenset[str]:
    """Those of the paths that lie below the root, relative to it."""
    places = (Path(os.path.relpath(path, root)).as_posix() for path in paths)
    return frozenset(place for place in places if place != "." and not place.startswith("../"))


def _is_under(path: str, folders: frozenset[str]) -> bool:
    while path not in folders:  # by hand: there may be many thousand paths
        path, slash, _ = path.rpartition("/")
        if not slash:
            return False
    return True


def is_hydras(path: str) -> bool:
    """Whether Hydra or this package wrote a file, wherever it stands."""
    folder, _, name = path.rpartition("/")
    above = folder.rpartition("/")[2]
    return name in _RUN_MARKS or layout.is_own_file(name) or above == ".hydra"


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
