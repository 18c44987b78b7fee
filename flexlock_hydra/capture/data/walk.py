"""The files of a folder in the order of their full paths, in bounded memory.

A folder sorts as its name and a slash, which makes a depth-first walk meet the files in
the order of their sorted paths: what follows can be written down as it comes.
"""

from __future__ import annotations

import heapq
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import IO

from flexlock_hydra.capture.data.lock_files import is_lock_file
from flexlock_hydra.errors import DataError
from flexlock_hydra.record import layout
from flexlock_hydra.record.wording import some_of

NEVER_DATA = frozenset({".git", ".hg", ".dvc", layout.ARCHIVE_DIR})
"""Names that DVC's own ignore rules leave out of any data (dvc.ignore), and our own folder."""

_SPILL = 100_000  # Names of one folder that are held and sorted in memory; more go through files
_BATCH = 4096
_GRAIN_NS = 2_000_000_000  # The coarsest clock of a file system that is in use (FAT, 2 s)
_NEVER = 1 << 100
_MOST_HOLES = 1 << 30  # Bytes; zeros are read at some 500 MB a second
_EXTENTS = 10_000  # Holes of one file that are looked at
_64_BITS = (1 << 64) - 1
_stamp = struct.Struct("<5Q")

LeaveOut = Callable[[str], bool]
"""Whether a path relative to the walked folder is left out; that of a folder ends with /."""


class TooLargeError(Exception):
    """A walk met more than its caller wants to wait for."""


@dataclass
class Few:
    """Names in the order they came: all are counted, the first ones are kept."""

    most: int = 5
    kept: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, name: str) -> None:
        """Count a name, and keep it while there is room."""
        self.count += 1
        if len(self.kept) < self.most:
            self.kept.append(name)

    def __str__(self) -> str:
        return some_of(self.kept, self.most, total=self.count)


@dataclass
class Met:
    """What a walk met beside plain files: all that DVC's ids do not hold."""

    skipped: Few = field(default_factory=lambda: Few(20))
    """Leaves that are no data, each with the reason."""
    executable: Few = field(default_factory=lambda: Few(1000))
    links: Few = field(default_factory=lambda: Few(1000))
    empty: Few = field(default_factory=lambda: Few(1000))
    late: Few = field(default_factory=Few)
    """Files that changed after the moment that the caller named."""
    unhashed: dict[str, int] = field(default_factory=dict)
    """Files above the largest size, with their sizes in bytes."""
    locks: int = 0
    """Lock files of readers, which are no data."""


@dataclass
class Batch:
    """Files next to each other: relative path, stamp and size (bytes) of each."""

    names: list[str] = field(default_factory=list)
    stamps: list[bytes] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def add(self, name: str, info: os.stat_result) -> None:
        """Append a file: its name and what stat said of it."""
        self.names.append(name)
        self.stamps.append(stamp(info))
        self.sizes.append(info.st_size)


def stamp(info: os.stat_result) -> bytes:
    """Whatever of a file's stat changes when its content does, 40 bytes."""
    return _stamp.pack(
        info.st_size,
        info.st_mtime_ns & _64_BITS,
        info.st_ctime_ns & _64_BITS,
        info.st_ino & _64_BITS,
        info.st_dev & _64_BITS,
    )


def mtime_ns(stamped: bytes) -> int | None:
    """The modification time in a stamp; None where there is no stamp."""
    return int(_stamp.unpack(stamped)[1]) if stamped else None


def is_settled(stamped: bytes, now_ns: int) -> bool:
    """Whether the next change of a file's content is sure to change its stamp.

    A file that changed a moment ago, or is said to have changed later than now, could
    change again within the same tick of its file system's clock.
    """
    _, mtime_ns, ctime_ns, _, _ = _stamp.unpack(stamped)
    return bool(max(mtime_ns, ctime_ns) < now_ns - _GRAIN_NS)


@dataclass
class Walk:
    """One walk of a folder.

    Args:
        root: the folder.
        leave_out: what to pass over.
        since: files that changed at or after this time (ns) are named in ``met.late``.
        largest: files above it (bytes) are named in ``met.unhashed`` and not yielded.
        hollow: so are sparse files of which most was never written.
        most_names: TooLargeError above as many names.
        with_locks: take lock files of readers for data, as older records did.

    Raises:
        DataError: a name that is not UTF-8. OSError: a folder that cannot be read.
    """

    root: str
    leave_out: LeaveOut | None = None
    since: int = _NEVER
    largest: int = _NEVER
    hollow: bool = False
    most_names: int = _NEVER
    with_locks: bool = False
    met: Met = field(default_factory=Met)

    def batches(self) -> Iterator[Batch]:
        """Every regular file, links to files followed, some thousands at once."""
        batch = Batch()
        for name, info in self._leaves():
            if info.st_ctime_ns >= self.since or info.st_mtime_ns >= self.since:
                self.met.late.add(name)
            if info.st_size > self.largest or self.hollow and _is_hollow(self.root, name, info):
                self.met.unhashed[name] = info.st_size
                continue
            batch.add(name, info)
            if len(batch.names) == _BATCH:
                yield batch
                batch = Batch()
        if batch.names:
            yield batch

    def _leaves(self) -> Iterator[tuple[str, os.stat_result]]:
        root, leave_out = os.path.join(self.root, ""), self.leave_out
        stack = [("", iter(self._sorted_names(root)))]
        while stack:
            folder, entries = stack[-1]
            for entry in entries:
                name = folder + entry
                if leave_out is not None and leave_out(name):
                    continue
                if not self.with_locks and is_lock_file(root + name):
                    self.met.locks += 1
                    continue
                if entry[-1] == "/":
                    stack.append((name, iter(self._sorted_names(root + name, name))))
                    break
                info = self._look(root + name, name)
                if info is not None:
                    yield name, info
            else:
                stack.pop()

    def _look(self, path: str, name: str) -> os.stat_result | None:
        """The stat of a file's content; None where it has none that DVC could hold."""
        try:
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                self.met.links.add(name)
                info = os.stat(path)
        except OSError as error:
            if os.path.islink(path):
                self._skip(path, "a broken link")
            elif isinstance(error, FileNotFoundError):
                self._skip(path, "it vanished while the folder was read")
            else:
                raise
            return None
        if not stat.S_ISREG(info.st_mode):
            folder = stat.S_ISDIR(info.st_mode)
            self._skip(path, "a link to a folder" if folder else "neither a file nor a folder")
            return None
        if info.st_mode & stat.S_IXUSR and os.name != "nt":
            self.met.executable.add(name)
        return info

    def _skip(self, path: str, reason: str) -> None:
        self.met.skipped.add(f"{path} left out: {reason}")

    def _sorted_names(self, folder: str, name: str = "") -> Iterable[str]:
        """The names in a folder, sorted, those of folders with a slash at their end."""
        names: list[str] = []
        spilled: list[IO[bytes]] = []
        with os.scandir(folder) as entries:
            while some := list(islice(entries, min(_SPILL, self.most_names + 1))):
                if names:
                    spilled.append(_spill(_encode(folder, names)))
                names = [
                    f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in some
                    if entry.name not in NEVER_DATA
                ]
                names.sort()
                self.most_names -= len(names)
                if self.most_names < 0:
                    raise TooLargeError
        _encode(folder, names)
        if not names and not spilled and name:
            if self.leave_out is None or not self.leave_out(name[:-1]):
                self.met.empty.add(name[:-1])
        return heapq.merge(names, *map(_read_back, spilled)) if spilled else names


def _is_hollow(root: str, name: str, info: os.stat_result) -> bool:
    """Whether a file has so many bytes of holes that to read them takes long and tells nothing."""
    stored = getattr(info, "st_blocks", None)
    if stored is None or info.st_size - stored * 512 <= _MOST_HOLES:
        return False
    # A file system that compresses stores less than is there, and yet there are no holes.
    with suppress(OSError), open(os.path.join(root, name), "rb") as file:
        return sum(islice(_holes(file.fileno(), info.st_size), _EXTENTS)) > _MOST_HOLES
    return False


def _holes(fd: int, size: int) -> Iterator[int]:
    """The lengths of a file's holes, bytes."""
    place = 0
    while place < size:
        start = os.lseek(fd, place, os.SEEK_HOLE)
        try:
            place = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # a hole up to the end
            place = size
        yield place - start


def _encode(folder: str, names: list[str]) -> bytes:
    try:
        return "\0".join(names).encode()
    except UnicodeEncodeError:
        culprit = next(name for name in names if name.encode("utf-8", "ignore").decode() != name)
    path = os.fsencode(os.path.join(folder, culprit.rstrip("/")))
    raise DataError(
        f"{path!r} has a name that is not UTF-8",
        hint="Rename it: such a name cannot be restored elsewhere.",
    )


def _spill(encoded: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile()
    file.write(encoded)
    file.seek(0)
    return file


def _read_back(file: IO[bytes]) -> Iterator[str]:
    rest = b""
    with file:
        while block := file.read(1 << 16):
            *names, rest = (rest + block).split(b"\0")
            for name in names:
                yield name.decode()
    yield rest.decode()
