"""Text, line by line; where it holds nothing but numbers, as a table of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.limits import check_size
from flexlock_hydra.replay.compare.outcome import ABSENT

LARGEST_READ = 256 * 1024**2
"""Bytes of a file that is read line by line."""
LONGEST_LINE = 8 * 1024**2
_LONGEST_NUMBER = 400
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_COMMENT = (b"#", b"%")


def compare_numbers(old: Path, new: Path, judge: Judge) -> None:
    """Files of numbers apart by spaces, as ``numpy.savetxt`` writes them.

    Raises:
        UnreadableError: there is something else in them than numbers and comments.
    """
    pairs = zip_longest(_number_rows(old), _number_rows(new))
    for line, (one, other) in enumerate(pairs, start=1):
        if one is None or other is None or len(one) != len(other):
            judge.differs(f"line {line}", _row_shown(one), _row_shown(other))
            continue
        judge.spend(len(one))
        for column, (before, after) in enumerate(zip(one, other), start=1):
            where = f"line {line}" + (f", number {column}" if len(one) > 1 else "")
            compare_cells(before, after, where, "lines", judge)


def compare_lines(old: Path, new: Path, judge: Judge) -> None:
    """Any text. After a line that one file alone has, all that follow differ.

    Raises:
        UnreadableError: no text, or too large.
    """
    pairs = zip_longest(map(_decoded, text_lines(old)), map(_decoded, text_lines(new)))
    for number, (one, other) in enumerate(pairs, start=1):
        judge.spend()
        if one is None or other is None:
            before, after = (ABSENT if each is None else each for each in (one, other))
            judge.differs(f"line {number}", before, after)
        else:
            judge.text(f"line {number}", one, other, "lines")


def text_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, in bounded memory.

    Raises:
        UnreadableError: it or one of them is too large, or it has NUL bytes.
    """
    check_size(path.stat().st_size, LARGEST_READ)
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE + 1):
            if len(line) > LONGEST_LINE:
                raise UnreadableError(f"a line is longer than {LONGEST_LINE // 1024**2} MiB")
            if b"\0" in line:
                raise UnreadableError
            yield line


def compare_cells(old: str, new: str, where: str, key: str, judge: Judge) -> None:
    """Two texts at one place, as numbers where both are."""
    if old == new:
        return
    before, after = number_of(old), number_of(new)
    if before is None or after is None:
        judge.text(where, old, new, key)
    else:
        judge.number(where, before, after)


def number_of(text: str) -> int | float | None:
    """The number that a text is, whole ones exactly; None where it is none."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    digits = text[1:] if text[0] in "+-" else text
    return int(text) if digits.isdigit() else float(text)


def _number_rows(path: Path) -> Iterator[list[str]]:
    """The numbers of each line, as they are written; a comment as a whole."""
    for line in text_lines(path):
        if line.startswith(_COMMENT):
            yield [_decoded(line)]
            continue
        row = line.decode("ascii", "replace").split()
        if any(number_of(each) is None for each in row):
            raise UnreadableError  # it is any text
        yield row


def _row_shown(row: list[str] | None) -> str:
    return ABSENT if row is None else " ".join(row)


def _decoded(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UnreadableError from error
