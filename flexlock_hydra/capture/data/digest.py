"""DVC's object ids, made with the standard library alone.

A file's id is the md5 of its bytes. A folder's id is the md5 of a JSON listing of its
files, sorted by path, with ``.dir`` appended (dvc_data.hashfile.tree.Tree).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.data.lock_files import is_lock_file
from flexlock_hydra.capture.data.read_data import DataReading, Limits, hash_file
from flexlock_hydra.capture.data.walk import NEVER_DATA, Batch, LeaveOut, Met, mtime_ns
from flexlock_hydra.errors import DataError

if TYPE_CHECKING:  # a job with little to hash loads no SQLite
    from flexlock_hydra.capture.data.hash_index import HashIndex

_MD5 = re.compile(r"[0-9a-f]{32}")


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
    has_locks: bool = False
    """Whether lock files of readers were left out."""

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
        """A summary from the JSON that the hash worker answers with."""
        tuples = ("warnings", "executable", "empty")
        return cls(**{**plain, **{name: tuple(plain[name]) for name in tuples}})


def digest(
    path: Path,
    leave_out: LeaveOut | None = None,
    index: HashIndex | None = None,
    *,
    with_locks: bool = False,
) -> Digest:
    """Hash a file or a folder, and remember each file's digest.

    Args:
        leave_out: takes paths relative to the folder; those of folders end with a slash.
        with_locks: count lock files of readers, as older records did.

    Raises:
        DataError: missing, unreadable, no file or folder, or a name that is not UTF-8.
    """
    with DataReading(path, index) as reading:
        files: dict[str, FileDigest] = {}
        walk, tally = reading.walk(leave_out, with_locks=with_locks), _Tally(files)
        for batch, md5s, _ in reading.hashed(walk):
            tally.add(batch, md5s)
        if reading.is_folder:
            return of_files(files, _warnings(path, walk.met), has_locks=walk.met.locks > 0)
        return Digest(files[""].md5, files)


def summarize(
    path: Path,
    leave_out: LeaveOut | None = None,
    *,
    index: HashIndex | None = None,
    since: int | None = None,
    largest: int | None = None,
    hollow: bool = False,
    limits: Limits | None = None,
) -> DataSummary:
    """Hash a file or a folder in bounded memory, however many files there are.

    Args:
        path: a file or a folder.
        leave_out: paths relative to the folder; those of folders end with a slash.
        index: knows the hashes of files that did not change.
        since: files that changed after it (ns since the epoch) are named in ``late``.
        largest: of files above it (bytes), the size alone is noted.
        hollow: of sparse files with more than 1 GiB of holes, too.
        limits: TooLargeError above them, before anything is read.

    Raises:
        DataError: missing, unreadable, no file or folder, or a name that is not UTF-8.
    """
    with DataReading(path, index) as reading:
        walk = reading.walk(leave_out, since, largest, limits, hollow=hollow)
        tally = _Tally({} if limits else None)
        for batch, md5s, torn in reading.hashed(walk, limits):
            tally.add(batch, md5s)
            for name in torn:
                torn_path = os.path.join(path, name) if reading.is_folder else path
                walk.met.skipped.add(f"{torn_path} changed while it was read")
        return tally.summary(path, reading.is_folder, walk.met)


def fingerprint(
    path: Path,
    leave_out: LeaveOut | None = None,
    *,
    since: int,
    largest: int | None = None,
    hollow: bool = False,
) -> tuple[str, str]:
    """The fingerprint of a summary, without a read; files that changed since a time (ns).

    Raises:
        DataError: as for :func:`summarize`.
    """
    with DataReading(path, None) as reading:
        walk = reading.walk(leave_out, since, largest, hollow=hollow)
        tally = _Tally()
        for batch in walk.batches():
            tally.stat(batch)
        return tally.fingerprint(walk.met), str(walk.met.late)


def digest_file(path: Path | str) -> FileDigest:
    """The md5 and size of one file.

    Raises:
        OSError: it cannot be read.
    """
    md5, size, stamped = hash_file(os.fspath(path))
    return FileDigest(md5, size, mtime_ns(stamped))


def digest_bytes(content: bytes) -> FileDigest:
    """The digest of a file that holds these bytes."""
    return FileDigest(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))


def walk_files(root: Path) -> Iterator[str]:
    """The files of a folder by relative path, unsorted, found as they are asked for.

    Lock files of readers are no data, and none of them.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if entry.name in NEVER_DATA or is_lock_file(entry.path):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{folder}{entry.name}/")
                elif entry.is_file():
                    yield f"{folder}{entry.name}"


def of_files(
    files: Mapping[str, FileDigest], skipped: tuple[str, ...] = (), *, has_locks: bool = False
) -> Digest:
    """The digest of a folder that holds these files."""
    return Digest(f"{digest_bytes(tree_object(files)).md5}.dir", files, skipped, has_locks)


def tree_object(files: Mapping[str, FileDigest]) -> bytes:
    """The bytes that DVC stores for a folder: its ``.dir`` object."""
    return f"[{', '.join(_listed(files[name].md5, name) for name in sorted(files))}]".encode()


def _listed(md5: str, name: str) -> str:
    """A file as DVC lists it."""
    return f'{{"md5": "{md5}", "relpath": {_quoted(name)}}}'


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
        pairs = zip(md5s, batch.names, strict=True)
        entries = ", ".join([_listed(md5, name) for md5, name in pairs])
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
