"""Bytes as such."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError

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
    while True:
        one, other = read_exactly(old, _BLOCK), read_exactly(new, _BLOCK)
        if one != other:
            at += first_difference(one, other)
            start = at % _BLOCK
            place = f"{where}, byte {at}" if where else f"byte {at}"
            judge.differs(place, _hex(one[start:][:_TOLD]), _hex(other[start:][:_TOLD]))
            return
        if not one:
            return
        at += len(one)


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


def first_difference(old: bytes, new: bytes) -> int:
    """Where two unequal pieces differ first."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _hex(piece: bytes) -> str:
    return piece.hex(" ") or "the end"
