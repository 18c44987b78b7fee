"""Files that a job read -> its inputs: each alone, or together those of one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flexlock_hydra.capture.data.digest import walk_files
from flexlock_hydra.capture.data.entry import WHOLE, FolderPart
from flexlock_hydra.capture.data.names import names_in
from flexlock_hydra.capture.reads.c_readers import suffixes_read_in_c
from flexlock_hydra.capture.reads.select import ReadFolder, Surroundings

_APART = 20
"""Files below one folder, that no key of the config names, that have an entry each."""
_MOST_LISTINGS = 1000
"""Folders in an input whose names are recorded."""
_MOST_LISTED = 10_000
"""Files of a folder that a lock names one by one; of more, the whole folder is the input."""
_MOST_WALKED = 200_000
"""Files of a folder that are looked at for what libraries read in C."""


@dataclass(frozen=True)
class ReadInput:
    """An input that nobody marked: a file, a folder, or some files of one; ``size`` in bytes."""

    key: str
    path: str
    config_key: str | None
    size: int
    nfiles: int = 1
    part: FolderPart = WHOLE


def as_inputs(folders: Iterable[ReadFolder], around: Surroundings) -> list[ReadInput]:
    """The inputs that files make: by the paths that the config names, the others by their own.

    Of more than some files below one folder, that no key names, the folder is the input.
    """
    by_name: dict[str, list[ReadFolder]] = {}
    by_top: dict[str, list[ReadFolder]] = {}
    found = []
    for each in folders:
        for path, size in each.files() if _names_files(each, around) else ():
            if path in around.named:
                found.append(ReadInput(around.named[path], path, around.named[path], size))
        others = each.only(lambda name, _: each.path(name) not in around.named)  # noqa: B023
        if (name := around.name_of(each.folder)) is not None:
            by_name.setdefault(name, []).append(others)
        else:
            by_top.setdefault(around.written(each.folder).partition("/")[0], []).append(others)
    for name, some in by_name.items():
        key = around.named[name]
        found += [_together(name, key, key, some, around)] if any(e.names for e in some) else []
    for some in by_top.values():
        found += _unnamed(some, around)
    return found


def _names_files(each: ReadFolder, around: Surroundings) -> bool:
    """Whether the config may name single files of a folder: nearly all folders have none."""
    inside = f"{each.folder.rstrip(os.sep)}{os.sep}"
    return any(path.startswith(inside) for path in around.named)


def _unnamed(folders: list[ReadFolder], around: Surroundings) -> Iterator[ReadInput]:
    """The inputs that no key names: many below one folder together, few each by its path."""
    top = os.path.commonpath([each.folder for each in folders])
    if sum(len(each.names) for each in folders) > _APART and top != around.root:
        yield _together(top, around.written(top), None, folders, around)
        return
    for each in folders:
        for path, size in each.files():
            yield ReadInput(around.written(path), path, None, size)


def files_read_in_c(folders: Iterable[str], files: Iterable[str]) -> Iterator[str]:
    """Which files a loaded library reads unseen: of some, and of those below some folders."""
    suffixes = suffixes_read_in_c()
    if suffixes:
        yield from (path for path in files if path.lower().endswith(suffixes))
    for folder in folders if suffixes else ():
        for name in islice(_names_in(folder), _MOST_WALKED):
            if name.lower().endswith(suffixes):
                yield os.path.join(folder, name)


def unread_folders(
    folders: Iterable[str],
    read: Iterable[ReadFolder],
    around: Surroundings,
) -> Iterator[ReadInput]:
    """Folders that the config names and in which nobody saw anything read: taken whole.

    What a library reads in C or another process reads is in none of the files that were seen.
    What the job put there itself is no input of it.
    """
    seen = {around.name_of(each.folder) for each in read}
    for folder in folders:
        if folder in seen or any(other.startswith(f"{folder}{os.sep}") for other in around.named):
            continue
        if around.is_apart(folder) or around.excludes(folder) or around.knows_of(folder):
            continue
        names = [*islice(_names_in(folder), _MOST_WALKED)]
        sizes = {
            name: info.st_size
            for name, path in ((name, os.path.join(folder, name)) for name in names)
            if path not in around.made and (info := _stat(path)) and info.st_mtime_ns < around.since
        }
        if sizes and not _is_code(folder, [*sizes][:_APART], around):
            is_whole = len(sizes) == len(names) or len(sizes) > _MOST_LISTED
            part = WHOLE if is_whole else FolderPart(tuple(sorted(map(_posix, sizes))))
            key = around.named[folder]
            yield ReadInput(key, folder, key, sum(sizes.values()), len(sizes), part)


def _is_code(folder: str, names: list[str], around: Surroundings) -> bool:
    """Whether the first files of a folder are all held by a snapshot."""
    asked: dict[str, list[str]] = {}
    for name in names:
        above, _, last = os.path.join(folder, name).rpartition(os.sep)
        asked.setdefault(above, []).append(last)
    return sum(map(len, around.in_code(asked).values())) == len(names)


def _together(
    path: str, key: str, config_key: str | None, folders: list[ReadFolder], around: Surroundings
) -> ReadInput:
    count = sum(len(each.names) for each in folders)
    size = sum(sum(each.sizes) for each in folders)
    is_whole = sum(1 for _ in islice(_names_in(path), count + 1)) == count
    names: tuple[str, ...] = ()
    if not is_whole and count <= _MOST_LISTED:
        start = len(path) + 1
        found = (each.path(name)[start:] for each in folders for name in each.names)
        names = tuple(sorted(name.replace(os.sep, "/") for name in found))
    return ReadInput(
        key, path, config_key, size, count, FolderPart(names, _listed_below(path, around))
    )


def _listed_below(path: str, around: Surroundings) -> dict[str, str]:
    """The names in a folder and those below it, as far as the job listed them."""
    inside = f"{path}{os.sep}"
    folders = sorted(each for each in around.listed if each == path or each.startswith(inside))
    names = (
        (each[len(inside):].replace(os.sep, "/") or ".", names_in(each, around.made))
        for each in folders
    )
    return {folder: md5 for folder, md5 in islice(names, _MOST_LISTINGS) if md5 is not None}


def _names_in(folder: str) -> Iterator[str]:
    try:
        yield from walk_files(Path(folder))
    except OSError:  # what cannot be listed was not listed by the job either
        return


def _posix(name: str) -> str:
    return name.replace(os.sep, "/")


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None
