"""What files of all kinds are read with: limits, streams, bytes up to the first that differs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError

LARGEST = 32 * 1024**2
"""Bytes of a file that is read as a whole."""
MOST_UNPACKED = 8 * 1024**3
"""Bytes of what compressed files hold: a small file may unpack to more than any disk has."""
_BLOCK = 1024 * 1024
_TOLD = 8


class Stream(Protocol):
    """What bytes can be read from."""

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or fewer; none at the end."""


def compare_bytes(old: Path, new: Path, judge: Judge) -> None:
    """Two files, up to the first byte that differs."""
    with old.open("rb") as one, new.open("rb") as other:
        compare_streams(one, other, "", judge)


def compare_streams(old: Stream, new: Stream, where: str, judge: Judge) -> None:
    """Two streams, up to the first byte that differs."""
    at = 0
    while (one := read_exactly(old, _BLOCK)) == (other := read_exactly(new, _BLOCK)):
        if not one:
            return
        at += len(one)
    # By halves: a mebibyte is too much to be walked through byte by byte in Python.
    shared = range(min(len(one), len(other)))
    start = bisect_left(shared, True, key=lambda i: one[:i + 1] != other[:i + 1])
    place = f"{where}, byte {at + start}" if where else f"byte {at + start}"
    judge.differs(place, *(each[start:][:_TOLD].hex(" ") or "the end" for each in (one, other)))


def read_exactly(stream: Stream, size: int) -> bytes:
    """So many bytes, fewer at the stream's end alone."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_all(stream: Stream, size: int) -> bytes:
    """So many bytes.

    Raises:
        UnreadableError: the stream ends before.
    """
    found = read_exactly(stream, size)
    if len(found) < size:
        raise UnreadableError("shorter than its header says")
    return found


def content_of(path: Path, largest: int = LARGEST) -> bytes:
    """A file's bytes.

    Raises:
        UnreadableError: it is larger than ``largest`` bytes.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    check_size(len(content), largest)
    return content


@contextmanager
def unreadable(why: str, errors: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Some errors of a reader's, as the one that has a file compared in a simpler way.

    Raises:
        UnreadableError: one of the ``errors`` came; ``why`` is its text.
    """
    try:
        yield
    except errors as error:
        raise UnreadableError(why) from error


def check_size(size: int, largest: int, what: str = "") -> None:
    """Refuse what takes too much memory or time.

    Raises:
        UnreadableError: ``size`` is above ``largest``, both in bytes.
    """
    if size > largest:
        raise UnreadableError(f"{what} larger than {largest // 1024**2} MiB".lstrip())


def check_unpacked(size: int) -> None:
    """Refuse what is too large once it is unpacked.

    Raises:
        UnreadableError: it has more than ``MOST_UNPACKED`` bytes.
    """
    if size > MOST_UNPACKED:
        raise UnreadableError(f"larger than {MOST_UNPACKED // 1024**3} GiB when unpacked")


def require_package(name: str) -> None:
    """Make sure of an optional package, by the name that people call it.

    Raises:
        UnreadableError: it cannot be imported.
    """
    with unreadable(f"{name} is not installed here", (ImportError,)):
        import_module(name.lower())
