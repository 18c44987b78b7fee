"""A data remote that is a folder: of this machine, or of a network file system."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import logging
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.object_source import (
    SMALL, ObjectSource, Sendable, changed, is_unchanged, md5_of, name_beside, read_small, reading,
    reason, size_of
)
from flexlock_hydra.ports.store.store import OBJECTS, Sent, Store, Stored, chunks, object_path
from flexlock_hydra.record.lockfile import write_bytes

log = logging.getLogger(__name__)

_THREADS = 4
_AT_ONCE = 32  # Small files that one thread handles at a time
_BLOCK = 4 * 1024 * 1024
_TRIES = 100  # To write a file into a folder that others may take away
_READ_ONLY = 0o444
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class FolderStore(Store):
    """Objects as read-only files, each renamed into its place when it is whole."""

    @property
    def root(self) -> Path:
        """The folder that the remote is."""
        return Path(self.spec.url)

    def require(self) -> None:
        """Refuse a folder that is not there.

        Raises:
            RemoteError: it is not.
        """
        if not self.root.is_dir():
            raise RemoteError(
                f"the data remote {self.root} is not here",
                hint="It is a folder of the machine that pushed, or a disk that is not mounted.",
            )

    def path(self, oid: str) -> str:
        """The file of an object."""
        return os.path.join(self.spec.url, object_path(oid))

    def sizes(self, oids: Sequence[str]) -> dict[str, int]:
        with self._errors("read"):
            return {oid: each.size for oid in oids for each in _file_at(self.path(oid), oid)}

    def send(self, objects: Iterable[Sendable], sent: Sent = lambda count, size: None) -> None:
        with self._errors("write to"), ThreadPoolExecutor(_THREADS) as threads:
            for group in chunks(objects, _AT_ONCE * _THREADS):
                log.debug("upload %d objects to %s", len(group), self.spec.url)
                for number, size in threads.map(self._put_all, chunks(group, _AT_ONCE)):
                    sent(number, size)

    def fetch(self, objects: Sequence[tuple[str, Path]]) -> dict[str, str]:
        with self._errors("read"), ThreadPoolExecutor(_THREADS) as threads:
            parts = threads.map(self._get_all, chunks(objects, _AT_ONCE))
            return {oid: why for part in parts for oid, why in part.items()}

    def stored(self) -> Iterator[Stored]:
        with self._errors("list"):
            for folder in _names_in(self.root / OBJECTS):
                for name in _names_in(self.root / OBJECTS / folder):
                    yield from _file_at(self.path(f"{folder}{name}"), f"{folder}{name}")

    def remove(self, oids: Sequence[str]) -> None:
        with self._errors("delete from"):
            for oid in oids:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path(oid))

    def md5s(self, oids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Hash objects where they lie: ``(id, md5 of its bytes, or why it cannot be read)``."""

        def look(oid: str) -> tuple[str, str]:
            try:
                return oid, md5_of(self.path(oid))
            except OSError as error:
                return oid, reason(error)

        with ThreadPoolExecutor(_THREADS) as threads:
            for group in chunks(oids, _AT_ONCE * _THREADS):
                yield from threads.map(look, group)

    def settle(self) -> None:
        """One sync of the file system; where there is none, the kernel writes in its time.

        Raises:
            RemoteError: the disk could not write all that it took.
        """
        # One for all files, not an fsync for each.
        sync = getattr(ctypes.CDLL(None), "syncfs", None) if os.name == "posix" else None
        if sync is not None and self.root.is_dir():
            fd = os.open(self.root, os.O_RDONLY)
            try:
                if sync(fd) != 0:
                    raise RemoteError(f"{self.spec.url}: the disk did not take what was written")
            finally:
                os.close(fd)

    def read_file(self, name: str) -> bytes | None:
        with self._errors("read"):
            try:
                return (self.root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def write_file(self, name: str, content: bytes) -> None:
        path = self.root / name
        with self._errors("write to"):
            for _ in range(_TRIES - 1):
                # Whoever deletes the last file of a folder takes the folder away with it.
                with contextlib.suppress(FileNotFoundError, FileExistsError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    return write_bytes(path, content)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)

    def remove_file(self, name: str) -> None:
        with self._errors("delete from"), contextlib.suppress(FileNotFoundError):
            os.unlink(self.root / name)
            for up in (self.root / name).relative_to(self.root).parents[:-1]:
                with contextlib.suppress(OSError):  # others have files there
                    os.rmdir(self.root / up)

    def files(self, folder: str) -> list[Stored]:
        with self._errors("list"):
            return [
                each
                for path in sorted((self.root / folder).rglob("*"))
                for each in _file_at(path, path.relative_to(self.root).as_posix())
            ]

    def adopt(self, oid: str, path: Path) -> None:
        """Take over a file, whose bytes were checked, as an object."""
        with self._errors("write to"):
            final = self.path(oid)
            beside = name_beside(final)
            os.makedirs(os.path.dirname(final), exist_ok=True)
            shutil.move(path, beside)
            os.chmod(beside, _READ_ONLY)
            os.replace(beside, final)

    def _put_all(self, group: Sequence[Sendable]) -> tuple[int, int]:
        for oid, source in group:
            self._put(oid, source)
        return len(group), sum(size_of(source) for _, source in group)

    def _put(self, oid: str, source: ObjectSource | bytes) -> None:
        """One object: written beside its place, its md5 checked on the way, and renamed."""
        final = self.path(oid)
        beside = name_beside(final)
        try:
            fd = os.open(beside, _NEW, _READ_ONLY)
        except FileNotFoundError:  # mostly it is there: to make it first costs a call a file
            os.makedirs(os.path.dirname(final), exist_ok=True)
            fd = os.open(beside, _NEW, _READ_ONLY)
        try:
            try:
                if isinstance(source, ObjectSource) and source.size > SMALL:
                    _write_large(fd, oid, source)
                else:
                    _write_all(fd, read_small(oid, source))
            finally:
                os.close(fd)
            os.replace(beside, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(beside)
            raise

    def _get_all(self, group: Sequence[tuple[str, Path]]) -> dict[str, str]:
        failed = {}
        for oid, to in group:
            try:
                shutil.copyfile(self.path(oid), to)
            except OSError as error:
                if not isinstance(error, FileNotFoundError) and error.filename == os.fspath(to):
                    raise  # the fault of where it goes, not of the object
                failed[oid] = reason(error)
        return failed


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view):]


def _write_large(fd: int, oid: str, source: ObjectSource) -> None:
    """A file in blocks: one thread reads and hashes while another writes."""
    found = hashlib.md5(usedforsecurity=False)
    with reading(source):
        file = open(source.path, "rb", buffering=0)
    with file, ThreadPoolExecutor(1) as writer:
        pending = None
        while block := _read_block(file, source):
            found.update(block)
            if pending is not None:
                pending.result()
            pending = writer.submit(_write_all, fd, block)
        if pending is not None:
            pending.result()
    if found.hexdigest() != oid[:32] or not is_unchanged(source):
        raise changed(source.path)


def _read_block(file: io.FileIO, source: ObjectSource) -> bytes:
    with reading(source):
        return file.read(_BLOCK) or b""


def _file_at(path: str | Path, name: str) -> Iterator[Stored]:
    """What lies at a path, under a name, where it is a file and still there."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        info = os.stat(path)
        if stat.S_ISREG(info.st_mode):
            yield Stored(name, info.st_size, info.st_mtime)


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
