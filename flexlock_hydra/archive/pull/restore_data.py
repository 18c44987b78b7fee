"""Bring the data of a tag into its checkout: fetched, every byte checked, put in its place."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.pull.fetch_objects import (
    BLOCK, batches_of, damage_of, lent_objects, md5_if_readable
)
from flexlock_hydra.archive.tag.listings import MISSING, TagContents
from flexlock_hydra.errors import DataError, TargetError
from flexlock_hydra.ports.safe_write import SafeFolder, clone_file
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.store import Store

COPY, REFLINK, HARDLINK, SYMLINK = "copy", "reflink", "hardlink", "symlink"
LINKS = (COPY, REFLINK, HARDLINK, SYMLINK)
# What a killed pull leaves beside the file that it was writing.
_UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.flexlock")
_SPARE = 16 << 20  # bytes of a disk that a pull leaves free

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shape:
    """What DVC's ids do not hold, by paths in the restored project."""

    executable: frozenset[str] = frozenset()
    links: Mapping[str, str] = field(default_factory=dict)
    """Path -> the path of the file that a link leads to."""
    empty: tuple[str, ...] = ()
    """Paths of folders that hold nothing, which DVC would not bring back."""


@dataclass(frozen=True)
class RestoredData:
    """What a pull of data did: files written, and what is not there, in words."""

    restored: int = 0
    missing: tuple[str, ...] = ()
    copied: int = 0
    """Files that are copies although links were asked for: the file system has none."""


@dataclass(frozen=True)
class DataRestorer:
    """How files come from a store into a folder."""

    root: Path
    scratch: Path
    """Where what was fetched lies until it was checked: on the same disk."""
    store: Store
    link: str = COPY
    cache: FolderStore | None = None
    """Holds what links lead to; without it, a store that is a folder does."""
    progress: Progress = lambda done, total: None
    resumed: bool = False
    """Whether an earlier pull began to fill the folder."""

    def fill(
        self, files: Mapping[str, str], shape: Shape, sizes: Mapping[str, int]
    ) -> RestoredData:
        """Write every file that is not there yet.

        Args:
            files: path -> object id.
            sizes: object id -> bytes, of the objects that the store has.

        Raises:
            TargetError: a place is not safe, or the disk is full.
            RemoteError: the remote cannot be reached.
        """
        with SafeFolder(self.root) as inside:
            if self.resumed:
                self._clear(inside, files)
            todo, taken = self._compare(inside, files, shape)
            lacking = {path: MISSING for path, oid in todo.items() if oid not in sizes}
            todo = {path: oid for path, oid in todo.items() if path not in lacking}
            # Before the first file: a disk that is too small is known at once.
            _require_room(self.root, sum(sizes[oid] for oid in todo.values()))
            failed, copied = self._bring(inside, todo, shape, sizes)
            # Last: files make the folders above them, in a way that no link diverts.
            for folder in shape.empty:
                if inside.look(folder) is None:
                    inside.make_folder(folder)
        missing = {**taken, **lacking, **failed}
        restored = len(todo) - len(failed)
        words = tuple(f"{path}: {missing[path]}" for path in sorted(missing))
        return RestoredData(restored, words, copied)

    def _clear(self, inside: SafeFolder, files: Iterable[str]) -> None:
        for folder in {posixpath.dirname(path) for path in files}:
            place = self.root / folder
            for name in os.listdir(place) if place.is_dir() else []:
                if _UNFINISHED.fullmatch(name) and inside.look(posixpath.join(folder, name)):
                    (place / name).unlink()

    def _compare(
        self, inside: SafeFolder, files: Mapping[str, str], shape: Shape
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The files that are to be written, and those whose place something else has."""
        todo, taken = {}, {}
        for path, oid in files.items():
            found = inside.look(path)
            if found is None:
                todo[path] = oid
            elif not self._is_whole(inside, path, oid, found, shape):
                taken[path] = "another file is there; move it away and pull again"
        return todo, taken

    def _is_whole(
        self, inside: SafeFolder, path: str, oid: str, found: os.stat_result, shape: Shape
    ) -> bool:
        """Whether a file is there with its bytes, itself or by a link that we would make."""
        if stat.S_ISLNK(found.st_mode):
            target = os.readlink(self.root / path)
            own = target == _link_text(path, shape.links.get(path, ""))
            origin = self.cache or self.store
            if own or self.link != SYMLINK or not isinstance(origin, FolderStore):
                return own
            return target == os.path.abspath(origin.path(oid)) and md5_if_readable(target) == oid
        if not stat.S_ISREG(found.st_mode):
            return False
        with inside.reading(path) as fd:
            return md5_if_readable(fd) == oid

    def _bring(
        self, inside: SafeFolder, todo: Mapping[str, str], shape: Shape, sizes: Mapping[str, int]
    ) -> tuple[dict[str, str], int]:
        """Fetch and place; path -> why not, and how many are copies against the wish."""
        failed: dict[str, str] = {}
        copied = done = 0
        by_oid: dict[str, list[str]] = {}
        for path in sorted(todo):
            by_oid.setdefault(todo[path], []).append(path)
        for oids in batches_of(by_oid, sizes):
            with lent_objects(self.store, self.cache, self.scratch, oids) as path_of:
                for oid in oids:
                    for path in by_oid[oid]:
                        try:
                            copied += self._place(inside, path, oid, path_of(oid), shape)
                        except DataError as error:
                            failed[path] = str(error)
            done += len(oids)
            self.progress(done, len(by_oid))
        return failed, copied

    def _place(self, inside: SafeFolder, path: str, oid: str, source: str, shape: Shape) -> bool:
        """One file; whether it is a copy although a link was asked for."""
        text = _link_text(path, shape.links.get(path, ""))
        if text and inside.link(path, text, SYMLINK):
            return False
        is_executable = path in shape.executable
        by_link = self.link in (SYMLINK, HARDLINK) and not is_executable  # whose mode it would be
        if by_link:
            if md5_if_readable(source) != oid:
                raise DataError(damage_of(source))
            if inside.link(path, source, self.link):
                return False
        cloned = False

        def write(fd: int) -> None:
            nonlocal cloned
            cloned = self.link == REFLINK and clone_file(source, fd)
            if not cloned:
                _copy_checked(source, fd, oid)
            elif md5_if_readable(fd) != oid:
                raise DataError(damage_of(source))

        inside.write(path, write, executable=is_executable)
        return by_link or (self.link == REFLINK and not cloned)


def _require_room(root: Path, needed: int) -> None:
    """Refuse before anything is written where the disk is too small."""
    free = shutil.disk_usage(root).free
    if needed > max(0, free - _SPARE):
        raise TargetError(
            f"{root} has room for {free:,} bytes, the data needs {needed:,}",
            hint="Make room, or choose another disk: --into DIR; a part: --only NAME",
        )


def check_sizes(contents: TagContents, sizes: Mapping[str, int], tagged_size: int) -> None:
    """Refuse objects that are larger than the tag says: a bomb is.

    Raises:
        DataError: they are.
    """
    found = sum(sizes[oid] for oid in contents.files.values() if oid in sizes)
    if found > tagged_size:
        raise DataError(
            f"the objects have {found:,} bytes on the remote and {tagged_size:,} by the tag",
            hint="Verify it: flexlock-hydra verify TAG --remote --full; "
            "or do not trust it: ask who pushed it.",
        )


def _copy_checked(source: str, fd: int, oid: str) -> None:
    found = hashlib.md5(usedforsecurity=False)
    with open(fd, "wb", closefd=False) as file:
        for block in _blocks_of(source):
            found.update(block)
            file.write(block)
    if found.hexdigest() != oid:
        raise DataError(damage_of(source, found.hexdigest()))


def _blocks_of(source: str) -> Iterator[bytes]:
    """The bytes of a file; that they cannot be written is another error."""
    try:
        with open(source, "rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror or error}") from error


def _link_text(path: str, target: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(path) or ".") if target else ""
