"""Zip archives and gzip files, by what is in them; nothing of it is unpickled.

Archives of arrays (``.npz``) are compared array by array.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds import reading
from flexlock_hydra.replay.compare.kinds.reading import Stream

SAME_CONTENTS = "the same contents in another container"
PICKLED = "it would have to be unpickled"

# Bytes of an archive's list of members; each of these becomes ten in memory.
_LARGEST_LIST = 4 * 1024**2
_LONGEST_END = 22 + 65535 + 20 + 56
_FARTHEST = (1 << 63) - 1
# What the standard library raises for archives that are damaged, or locked by a password.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, NotImplementedError,
           RuntimeError)

CompareMembers = Callable[[Stream, Stream, str, Judge], None]


def is_zip(*paths: Path) -> bool:
    """Whether files all begin like a zip archive."""
    for path in paths:
        with path.open("rb") as file:
            if file.read(4) != b"PK\3\4":
                return False
    return True


def compare_zips(old: Path, new: Path, judge: Judge) -> None:
    """Two archives, member by member, each by its bytes.

    Raises:
        UnreadableError: no such archive, or too large.
    """
    judge.same = SAME_CONTENTS
    compare_members(old, new, reading.compare_streams, judge)


def compare_gzips(old: Path, new: Path, judge: Judge) -> None:
    """Two compressed files, by the bytes that are compressed.

    Raises:
        UnreadableError: no gzip, or too large.
    """
    judge.same = SAME_CONTENTS
    broken = reading.unreadable("no gzip file", _BROKEN)
    with broken, gzip.open(old) as one, gzip.open(new) as other:
        reading.compare_streams(_Bounded(one), _Bounded(other), "unpacked", judge)


def compare_members(old: Path, new: Path, compare: CompareMembers, judge: Judge) -> None:
    """Two archives, the members of one name as ``compare`` does it.

    Raises:
        UnreadableError: no such archive, or too large.
    """
    with _opened(old) as one, _opened(new) as other:
        before, after = _checked_members(one), _checked_members(other)
        for name in dict.fromkeys((*before, *after)):
            key = name.removesuffix(".npy")
            by = judge.rule(key)
            if not judge.stands(key, name in before, name in after, by):
                continue
            with (
                judge.part(key, by) as inner,
                one.open(before[name]) as a,
                other.open(after[name]) as b,
            ):
                compare(a, b, name, inner)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive; whatever is wrong with it, then or later, makes it unreadable."""
    with reading.unreadable("no zip archive", _BROKEN):
        _check_list(path)
        with zipfile.ZipFile(path) as archive:
            yield archive


def _check_list(path: Path) -> None:
    """Refuse an archive whose list of members would take all memory."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(file.tell() - _LONGEST_END, 0))
        tail = file.read()
        ends_plainly = tail[-22:].startswith(b"PK\5\6") and tail.endswith(b"\0\0")
        at = len(tail) - 22 if ends_plainly else tail.rfind(b"PK\5\6")
        if at < 0:
            raise UnreadableError("no zip archive")
        sizes = [int.from_bytes(tail[at + 12:at + 16], "little")]
        locator = tail[max(at - 20, 0):at]
        if locator.startswith(b"PK\6\7"):  # zip64: its place is told, and is known
            sizes.clear()
            file.seek(int.from_bytes(locator[8:16], "little") & _FARTHEST)
            sizes += [_size64(record) for record in (file.read(56), tail[max(at - 76, 0):at - 20])]
    if max(sizes) > _LARGEST_LIST:
        raise UnreadableError("more members than are looked at")


def _size64(record: bytes) -> int:
    return int.from_bytes(record[40:48], "little") if record.startswith(b"PK\6\6") else 0


def _checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members = {member.filename: member for member in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise UnreadableError("a member stands twice")
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
           for m in members.values()):
        raise UnreadableError("packed by a method that is not known here")
    reading.check_unpacked(sum(member.file_size for member in members.values()))
    return members


@dataclass
class _Bounded:
    """A stream that ends with an error where it is too long."""

    stream: Stream
    size: int = 0

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or fewer."""
        found = self.stream.read(size)
        self.size += len(found)
        reading.check_unpacked(self.size)
        return found
