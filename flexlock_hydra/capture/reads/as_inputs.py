"""Files that a job read -> its inputs: each alone, or together those of one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flexlock_hydra.capture.data.digest import walk_files
from flexlock_hydra.capture.data.entry import WHOLE, Part
from flexlock_hydra.capture.data.names import names_in
from flexlock_hydra.capture.reads.c_readers import suffixes_read_in_c
from flexlock_hydra.capture.reads.select import ReadFile, Surroundings

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
    part: Part = WHOLE


def as_inputs(files: Iterable[ReadFile], around: Surroundings) -> list[ReadInput]:
    """The inputs that files make: by the paths that the config names, the others by their own.

    Of more than some files below one folder, that no key names, the folder is the input.
    """
    by_name: dict[str | None, list[ReadFile]] = {}
    of_folder: dict[str, str | None] = {}
    for each in files:
        folder = each.path.rpartition(os.sep)[0]
        if folder not in of_folder:
            of_folder[folder] = around.name_of(folder)
        name = each.path if each.path in around.named else of_folder[folder]
        by_name.setdefault(name, []).append(each)
    unnamed = by_name.pop(None, [])
    found = [
        _together(name, around.named[name], around.named[name], some, around)
        for name, some in by_name.items()
        if name is not None
    ]
    by_top: dict[str, list[ReadFile]] = {}
    for each in unnamed:
        by_top.setdefault(around.written(each.path).partition("/")[0], []).append(each)
    for some in by_top.values():
        top = os.path.commonpath([os.path.dirname(each.path) for each in some])
        if len(some) > _APART and top != around.root:
            found.append(_together(top, around.written(top), None, some, around))
        else:
            found += [
                ReadInput(around.written(each.path), each.path, None, each.size) for each in some
            ]
    return found


def files_read_in_c(folders: Iterable[str], around: Surroundings) -> Iterator[str]:
    """Files below folders that the config names which a loaded library reads unseen."""
    suffixes = suffixes_read_in_c()
    for folder in folders if suffixes else ():
        for name in islice(_names_in(folder), _MOST_WALKED):
            if name.lower().endswith(suffixes):
                yield os.path.join(folder, name)


def unread_folders(
    folders: Iterable[str], files: Iterable[ReadFile], around: Surroundings
) -> Iterator[ReadInput]:
    """Folders that the config names and in which nobody saw anything read: taken whole.

    What a library reads in C or another process reads is in none of the files that were seen.
    """
    read = {around.name_of(each.path) for each in files}
    for folder in folders:
        if folder in read or any(other.startswith(f"{folder}{os.sep}") for other in around.named):
            continue
        if around.is_apart(folder) or around.excludes(folder) or around.knows_of(folder):
            continue
        names = [os.path.join(folder, name) for name in islice(_names_in(folder), _MOST_WALKED)]
        if names and len(around.in_code(names[:_APART])) < min(len(names), _APART):
            size = sum(map(_size, names))
            key = around.named[folder]
            yield ReadInput(key, folder, key, size, len(names))


def _together(
    path: str, key: str, config_key: str | None, files: list[ReadFile], around: Surroundings
) -> ReadInput:
    size = sum(each.size for each in files)
    start = len(path) + 1
    names = tuple(sorted(
        each.path[start:].replace(os.sep, "/") for each in files if each.path != path
    ))
    is_whole = len(names) > _MOST_LISTED or (
        names and sum(1 for _ in islice(_names_in(path), len(names) + 1)) == len(names)
    )
    part = Part(() if is_whole else names, _listed_below(path, around) if names else {})
    return ReadInput(key, path, config_key, size, len(files), part)


def _listed_below(path: str, around: Surroundings) -> dict[str, str]:
    """The names in a folder and those below it, as far as the job listed them."""
    inside = f"{path}{os.sep}"
    folders = sorted(each for each in around.listed if each == path or each.startswith(inside))
    names = ((each[len(inside):].replace(os.sep, "/") or ".", names_in(each)) for each in folders)
    return {folder: md5 for folder, md5 in islice(names, _MOST_LISTINGS) if md5 is not None}


def _names_in(folder: str) -> Iterator[str]:
    try:
        yield from walk_files(Path(folder))
    except OSError:  # what cannot be listed was not listed by the job either
        return


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
