"""DVC's object ids, made with the standard library alone.

A file's id is the md5 of its bytes. A folder's id is the md5 of a JSON listing of its
files, sorted by path, with ``.dir`` appended (dvc_data.hashfile.tree.Tree).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.data.walk import (
    NEVER_DATA,
    Batch,
    LeaveOut,
    Met,
    TooLargeError,
    Walk,
    is_settled,
    mtime_ns,
    stamp,
)
from flexlock_hydra.errors import DataError

if TYPE_CHECKING:  # SQLite is loaded where there is much to hash
    from flexlock_hydra.capture.data.hash_index import HashedFolder, HashIndex

_BLOCK = 1024 * 1024
_CHUNK = 64
"""Small files that one thread hashes at once."""
_ALONE = 1024 * 1024
"""Bytes below which no thread is worth its start."""
_MD5 = re.compile(r"[0-9a-f]{32}")
# A pipe that took a file's place a moment ago is opened without waiting for its writer.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file: its md5 (32 hex digits), its size in bytes, its mtime (ns) when read."""

    md5: str
    size: int
    mtime_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Digest:
    """A file or a folder: DVC's id, total bytes, and the files by relative path.

    A single file stands in ``files`` under the empty name.
    """

    md5: str
    files: Mapping[str, FileDigest]
    skipped: tuple[str, ...] = ()
    """Why entries were left out, each in words."""

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files.values())

    @property
    def nfiles(self) -> int:
        """How many files."""
        return len(self.files)

    @property
    def is_folder(self) -> bool:
        """Whether this is the digest of a folder."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True)
class DataSummary:
    """A file or folder of any size: DVC's id, and what else a lock says of it."""

    md5: str
    size: int
    nfiles: int
    fingerprint: str
    """Of all names and stats: equal as long as nothing was written."""
    warnings: tuple[str, ...] = ()
    late: str = ""
    """Files that changed since the moment from which the caller wanted to know."""
    executable: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    unhashed: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, FileDigest] | None = None
    """Each file, where limits were given."""

    @property
    def digest(self) -> Digest | None:
        """The digest with each file, where they were few."""
        return None if self.files is None else Digest(self.md5, self.files)

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> DataSummary:
        """From plain data."""
        tuples = ("warnings", "executable", "empty")
        return cls(**{**plain, **{name: tuple(plain[name]) for name in tuples}})


@dataclass(frozen=True)
class Limits:
    """How much may be hashed at once: files, and bytes in them."""

    files: int
    size: int

    def are_below(self, batch: Batch) -> bool:
        """Whether a batch is more than that."""
        return len(batch.names) > self.files or sum(batch.sizes) > self.size


def digest(path: Path, leave_out: LeaveOut | None = None, index: HashIndex | None = None) -> Digest:
    """Hash a file or a folder, and remember each file's digest.

    ``leave_out`` takes paths relative to the folder; those of folders end with a slash.

    Raises:
        DataError: missing, unreadable, no file or folder, or a name that is not UTF-8.
    """
    with _Reading(path, index) as reading:
        files: dict[str, FileDigest] = {}
        walk, tally = reading.walk(leave_out), _Tally(files)
        for batch, md5s, _ in reading.hashed(walk):
            tally.add(batch, md5s)
        if reading.is_folder:
            return of_files(files, _warnings(path, walk.met))
        return Digest(files[""].md5, files)


def summarize(
    path: Path,
    leave_out: LeaveOut | None = None,
    *,
    index: HashIndex | None = None,
    since: int | None = None,
    largest: int | None = None,
    limits: Limits | None = None,
) -> DataSummary:
    """Hash a file or a folder in bounded memory, however many files there are.

    Args:
        path: a file or a folder.
        leave_out: paths relative to the folder; those of folders end with a slash.
        index: knows the hashes of files that did not change.
        since: files that changed after it (ns since the epoch) are named in ``late``.
        largest: of files above it (bytes), the size alone is noted.
        limits: TooLargeError above them, before anything is read.

    Raises:
        DataError: missing, unreadable, no file or folder, or a name that is not UTF-8.
    """
    with _Reading(path, index) as reading:
        walk = reading.walk(leave_out, since, largest, limits)
        tally = _Tally({} if limits else None)
        for batch, md5s, torn in reading.hashed(walk, limits):
            tally.add(batch, md5s)
            for name in torn:
                torn_path = os.path.join(path, name) if reading.is_folder else path
                walk.met.skipped.add(f"{torn_path} changed while it was read")
        return tally.summary(path, reading.is_folder, walk.met)


def fingerprint(
    path: Path, leave_out: LeaveOut | None = None, *, since: int, largest: int | None = None
) -> tuple[str, str]:
    """The fingerprint of a summary, without a read; files that changed since a time (ns).

    Raises:
        DataError: as for :func:`summarize`.
    """
    with _Reading(path, None) as reading:
        walk = reading.walk(leave_out, since, largest)
        tally = _Tally()
        for batch in walk.batches():
            tally.stat(batch)
        return tally.fingerprint(walk.met), str(walk.met.late)


def digest_file(path: Path | str) -> FileDigest:
    """The md5 and size of one file.

    Raises:
        OSError: it cannot be read.
    """
    md5, size, stamped = _read(os.fspath(path))
    return FileDigest(md5, size, mtime_ns(stamped))


def digest_bytes(content: bytes) -> FileDigest:
    """The digest of a file that holds these bytes."""
    return FileDigest(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))


def walk_files(root: Path) -> Iterator[str]:
    """The files of a folder by relative path, unsorted, found as they are asked for."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if entry.name in NEVER_DATA:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{entry.name}/")
                elif entry.is_file():
                    yield f"{folder}{entry.name}"


def of_files(files: Mapping[str, FileDigest], skipped: tuple[str, ...] = ()) -> Digest:
    """The digest of a folder that holds these files."""
    return Digest(f"{digest_bytes(tree_object(files)).md5}.dir", files, skipped)


def tree_object(files: Mapping[str, FileDigest]) -> bytes:
    """The bytes that DVC stores for a folder: its ``.dir`` object."""
    entries = (
        f'{{"md5": "{files[name].md5}", "relpath": {_quoted(name)}}}' for name in sorted(files)
    )
    return f"[{', '.join(entries)}]".encode()


def parse_tree_object(content: bytes) -> dict[str, str]:
    """Relative path -> md5 of a ``.dir`` object.

    Raises:
        DataError: it is none.
    """
    try:
        listing = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        damaged = [name for name, md5 in listing.items() if not _MD5.fullmatch(md5)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"damaged listing of a folder: {error!r:.100}") from error
    if damaged or not all(isinstance(name, str) for name in listing):
        raise DataError(f"damaged listing of a folder: no md5 for {damaged!r:.100}")
    return listing


class _Tally:
    """The listing of a folder and its md5, as they grow."""

    def __init__(self, files: dict[str, FileDigest] | None = None) -> None:
        self.files = files
        self.listing = hashlib.md5(b"[", usedforsecurity=False)
        self.stats = hashlib.md5(usedforsecurity=False)
        self.size = self.nfiles = 0
        self.last = ""

    def add(self, batch: Batch, md5s: Sequence[str]) -> None:
        """Count hashed files."""
        self.stat(batch)
        entries = ", ".join(
            [
                f'{{"md5": "{md5}", "relpath": {_quoted(name)}}}'
                for md5, name in zip(md5s, batch.names, strict=True)
            ]
        )
        self.listing.update(f", {entries}".encode() if self.nfiles else entries.encode())
        self.nfiles += len(batch.names)
        self.size += sum(batch.sizes)
        self.last = md5s[-1]
        if self.files is not None:
            found = map(FileDigest, md5s, batch.sizes, map(mtime_ns, batch.stamps))
            self.files |= dict(zip(batch.names, found, strict=True))

    def stat(self, batch: Batch) -> None:
        """Note names and stamps alone."""
        self.stats.update("\0".join(batch.names).encode())
        self.stats.update(b"".join(batch.stamps))

    def fingerprint(self, met: Met) -> str:
        """Of all that was noted, files too large to hash included."""
        self.stats.update(json.dumps(met.unhashed).encode())
        return self.stats.hexdigest()

    def summary(self, path: Path, is_folder: bool, met: Met) -> DataSummary:
        """What is known at the end."""
        self.listing.update(b"]")
        whole = met.links.count == len(met.links.kept)
        modes = met.executable.count == len(met.executable.kept)
        return DataSummary(
            md5=f"{self.listing.hexdigest()}.dir" if is_folder else self.last,
            size=self.size,
            nfiles=self.nfiles,
            fingerprint=self.fingerprint(met),
            warnings=_warnings(path, met),
            late=str(met.late),
            executable=tuple(name or "." for name in met.executable.kept) if modes else (),
            links={name: _target(path, name) for name in met.links.kept} if whole else {},
            empty=tuple(met.empty.kept),
            unhashed=met.unhashed,
            files=self.files,
        )


def _target(path: Path, name: str) -> str:
    try:
        return os.readlink(os.path.join(path, name))
    except OSError:
        return ""


def _warnings(path: Path, met: Met) -> tuple[str, ...]:
    """What no field of a lock holds."""
    more = met.skipped.count - len(met.skipped.kept)
    texts = [*met.skipped.kept, *([f"{path}: {more:,} more left out"] if more else [])]
    for few, what in (
        (met.executable, "executable files, their modes are not recorded"),
        (met.links, "links, they are recorded as the files that they lead to"),
        (met.empty, "empty folders, some are not recorded"),
    ):
        if few.count > len(few.kept):
            texts.append(f"{path} has {few.count:,} {what}")
    return tuple(texts)


class _Reading:
    """A file or folder that is being hashed; the errors of its read become DataError."""

    def __init__(self, path: Path, index: HashIndex | None) -> None:
        self.path, self.index = path, index
        self.is_folder = False
        self.pool: Any = None

    def __enter__(self) -> _Reading:
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
    ) -> Walk | _One:
        """What is to be read."""
        walk = Walk(os.fspath(self.path), leave_out)
        walk.since = walk.since if since is None else since
        walk.largest = walk.largest if largest is None else largest
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
            if limits is not None and limits.are_below(batch):
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
        missing = known.missing()
        parts = list(_parts(missing, known.stamps))

        def read(part: list[int]) -> list[tuple[int, str, int, bytes]]:
            return [(i, *_read(root + known.names[i], known.stamps[i])) for i in part]

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
        """The file."""
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
        self.read: list[int] = []

    def missing(self) -> list[int]:
        """The numbers of the files to read."""
        self.read = [i for i, md5 in enumerate(self.md5s) if not md5]
        return self.read

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


def _read(path: str, known: bytes = b"") -> tuple[str, int, bytes]:
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
