"""The md5s of a file or of all files in a folder: from the index, or by reading them.

With the standard library alone: the process that hashes beside a job has no packages.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.data.walk import (
    Batch, LeaveOut, Met, TooLargeError, Walk, is_settled, stamp
)
from flexlock_hydra.errors import DataError

if TYPE_CHECKING:  # a job with little to hash loads no SQLite
    from flexlock_hydra.capture.data.hash_index import HashedFolder, HashIndex

_BLOCK = 1024 * 1024
_CHUNK = 64  # Small files that one thread hashes at once
_ALONE = 1024 * 1024  # Bytes below which no thread is worth its start
# A pipe that took a file's place a moment ago is opened without waiting for its writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Limits:
    """How much may be hashed at once: files, and bytes in them."""

    files: int
    size: int


class DataReading:
    """A file or folder that is being hashed; the errors of its read become DataError."""

    def __init__(self, path: Path, index: HashIndex | None) -> None:
        self.path, self.index = path, index
        self.is_folder = False
        self.pool: Any = None

    def __enter__(self) -> DataReading:
        try:
            mode = os.stat(self.path).st_mode
        except (OSError, ValueError) as error:
            raise self._named(error) from error
        self.is_folder = stat.S_ISDIR(mode)
        if not self.is_folder and not stat.S_ISREG(mode):
            raise DataError(f"{self.path} is neither a file nor a folder")
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        if isinstance(error, OSError):
            raise self._named(error) from error

    def walk(
        self,
        leave_out: LeaveOut | None,
        since: int | None = None,
        largest: int | None = None,
        limits: Limits | None = None,
        *,
        hollow: bool = False,
        with_locks: bool = False,
    ) -> Walk | _One:
        """The files to read, those of a folder in the order of their paths."""
        walk = Walk(os.fspath(self.path), leave_out, with_locks=with_locks)
        walk.since = walk.since if since is None else since
        walk.largest = walk.largest if largest is None else largest
        walk.hollow = hollow
        walk.most_names = walk.most_names if limits is None else limits.files
        return walk if self.is_folder else _One(walk.root, walk.since)

    def hashed(
        self, walk: Walk | _One, limits: Limits | None = None
    ) -> Iterator[tuple[Batch, list[str], list[str]]]:
        """Each batch with its files' md5s, and the names of files that changed meanwhile."""
        path = os.fspath(self.path)
        root, prefix = (path, "") if self.is_folder else os.path.split(os.path.realpath(path))
        folder = self.index.folder(root) if self.index is not None else None
        whole = isinstance(walk, Walk) and walk.leave_out is None
        first = prefix
        for batch in walk.batches():
            if limits and (len(batch.names) > limits.files or sum(batch.sizes) > limits.size):
                raise TooLargeError
            keys = [prefix] if prefix else batch.names
            known = _Known(folder, keys, batch, first)
            torn = self._read_all(os.path.join(root, ""), known)
            known.keep(prune=whole)
            yield batch, known.md5s, torn
            first = keys[-1]
        if folder is not None and whole:
            folder.drop_after(first)

    def _read_all(self, root: str, known: _Known) -> list[str]:
        """Read what is not known, by several threads where that helps."""
        parts = list(_parts(known.read, known.stamps))

        def read(part: list[int]) -> list[tuple[int, str, int, bytes]]:
            return [(i, *hash_file(root + known.names[i], known.stamps[i])) for i in part]

        parallel = len(parts) > 1 and (os.cpu_count() or 1) > 1
        found = self._threads().map(read, parts) if parallel else map(read, parts)
        torn = []
        for i, md5, size, now in (each for part in found for each in part):
            known.md5s[i] = md5
            if now != known.stamps[i]:
                torn.append(known.names[i])
                known.stamps[i], known.sizes[i] = now, size
        return torn

    def _threads(self) -> Any:
        if self.pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self.pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        return self.pool

    def _named(self, error: Exception) -> DataError:
        if isinstance(error, FileNotFoundError):
            hint = " (braces are no pattern)" if "{" in os.fspath(self.path) else ""
            return DataError(f"{error.filename or self.path} is missing{hint}")
        if isinstance(error, OSError):
            return DataError(f"{error.filename or self.path} cannot be read: {error.strerror}")
        return DataError(f"{str(self.path)!r} is no path: {error}")


@dataclass
class _One:
    """A single file, walked: under the empty name."""

    path: str
    since: int
    met: Met = field(default_factory=Met)

    def batches(self) -> Iterator[Batch]:
        """One batch, of the file alone."""
        batch, info = Batch(), os.stat(self.path)
        batch.add("", info)
        if max(info.st_ctime_ns, info.st_mtime_ns) >= self.since:
            self.met.late.add(os.path.basename(self.path))
        if info.st_mode & stat.S_IXUSR and os.name != "nt":
            self.met.executable.add("")
        yield batch


class _Known:
    """The md5s of a batch: from the index, and what is read is put into it."""

    def __init__(
        self, folder: HashedFolder | None, names: Sequence[str], batch: Batch, after: str
    ) -> None:
        self.folder, self.names = folder, names
        self.stamps, self.sizes = batch.stamps, batch.sizes
        self.now_ns = time.time_ns()
        self.gone: list[str] = []
        self.md5s = [""] * len(names)
        if folder is not None:
            rows, self.gone = folder.known(names, after)
            row, md5 = rows.get, folder.md5
            self.md5s = [
                md5(name, stamped, row(name))
                for name, stamped in zip(names, self.stamps, strict=True)
            ]
        self.read = [i for i, md5 in enumerate(self.md5s) if not md5]

    def keep(self, *, prune: bool) -> None:
        """Write what was read and is sure to be known again; drop what is gone."""
        if self.folder is None:
            return
        rows = [
            (self.names[i], self.folder.value(self.names[i], self.stamps[i], self.md5s[i]))
            for i in self.read
            if self.stamps[i] and is_settled(self.stamps[i], self.now_ns)
        ]
        self.folder.keep(rows, self.gone if prune else ())


def _parts(numbers: Iterable[int], stamps: Sequence[bytes]) -> Iterator[list[int]]:
    """Files in portions of some dozens, or of one that is large; few small ones in one."""
    part: list[int] = []
    size = 0
    for i in numbers:
        part.append(i)
        size += int.from_bytes(stamps[i][:8], "little")
        if size > _ALONE or len(part) == _CHUNK:
            yield part
            part, size = [], 0
    if part:
        yield part


def hash_file(path: str, known: bytes = b"") -> tuple[str, int, bytes]:
    """The md5 and size of a file, and its stamp after the read.

    Where that is not the one known before it, the file is read once more; where it
    changes even then, the stamp is empty.
    """
    fd = os.open(path, _FLAGS)
    try:
        known = known or stamp(os.fstat(fd))
        for _ in range(2):
            md5, size = _md5_of(fd, int.from_bytes(known[:8], "little"))
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise OSError
            if (after := stamp(info)) == known:
                return md5, size, after
            known = after
            os.lseek(fd, 0, os.SEEK_SET)
    except OSError as error:  # which names no file, and of a FIFO the seek that failed
        is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        why = error.strerror if is_file else "no regular file any more"
        raise OSError(error.errno or 0, why, path) from error
    finally:
        os.close(fd)
    return md5, size, b""


def _md5_of(fd: int, expected: int) -> tuple[str, int]:
    if 0 < expected < _BLOCK:
        content = os.read(fd, expected + 1)
        if len(content) == expected:
            return hashlib.md5(content, usedforsecurity=False).hexdigest(), expected
        os.lseek(fd, 0, os.SEEK_SET)
    md5, size = hashlib.md5(usedforsecurity=False), 0
    buffer = memoryview(bytearray(_BLOCK))
    with open(fd, "rb", buffering=0, closefd=False) as file:
        while count := file.readinto(buffer):
            md5.update(buffer[:count])
            size += count
    return md5.hexdigest(), size
