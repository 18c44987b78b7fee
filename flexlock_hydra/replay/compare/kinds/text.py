"""Text: CSV and TSV by row and column, numbers alone as a table of them, the rest by line."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.reading import check_size
from flexlock_hydra.replay.compare.outcome import ABSENT

LARGEST_READ = 256 * 1024**2
"""Bytes of a file that is read line by line."""
LONGEST_LINE = 8 * 1024**2
_LONGEST_NUMBER = 400
_NUMBER = re.compile(
    r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_COMMENT = (b"#", b"%")
_SEPARATORS = ",;\t|"
Row = list[str]


def compare_tables(old: Path, new: Path, judge: Judge) -> None:
    """Two tables. Numbers are compared as such, the first row as the columns' names.

    A first row with a number in it names nothing: the columns are then known by number,
    as is each without a name.

    Raises:
        UnreadableError: no such table, or too large.
    """
    one, other = _csv_rows(old), _csv_rows(new)
    heads = next(one, []), next(other, [])
    if any(number_of(cell) is not None for head in heads for cell in head):
        one, other = chain([heads[0]], one), chain([heads[1]], other)
        heads = ([""] * len(heads[0])), ([""] * len(heads[1]))
    names, names_now = map(_column_names, heads)
    if names == names_now:
        _compare_rows(one, other, names, judge)
    else:
        before, now = {*names}, {*names_now}
        for name in dict.fromkeys((*names, *names_now)):
            judge.stands(name, name in before, name in now, judge.rule(name), "column")
        both = [name for name in names if name in now]
        _compare_rows(_picked(one, names, both), _picked(other, names_now, both), both, judge)


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


def _number_rows(path: Path) -> Iterator[Row]:
    """The numbers of each line, as they are written; a comment as a whole."""
    for line in text_lines(path):
        if line.startswith(_COMMENT):
            yield [_decoded(line)]
            continue
        row = line.decode("ascii", "replace").split()
        if any(number_of(each) is None for each in row):
            raise UnreadableError  # it is any text
        yield row


def _row_shown(row: Row | None) -> str:
    return ABSENT if row is None else " ".join(row)


def _decoded(line: bytes) -> str:
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UnreadableError from error


def _csv_rows(path: Path) -> Iterator[Row]:
    source = text_lines(path)
    first = next(source, b"")
    possible = "\t" if path.suffix.lower() == ".tsv" else _SEPARATORS
    separator = max(possible, key=lambda each: first.count(each.encode()))
    # Bytes that are no UTF-8 stay what they are, and are compared as such.
    decoded = (line.decode("utf-8", "surrogateescape") for line in chain([first], source))
    try:
        yield from csv.reader(decoded, delimiter=separator, strict=True)
    except csv.Error as error:
        raise UnreadableError(f"no table of text: {error}") from error


def _column_names(head: Row) -> Row:
    """The columns' names; those without one, or with another's too, by number."""
    bare = [cell.removeprefix("\ufeff").strip() for cell in head]
    often = Counter(bare)
    return [name if name and often[name] == 1 else str(i) for i, name in enumerate(bare, start=1)]


def _picked(rows: Iterator[Row], names: Row, wanted: Row) -> Iterator[Row]:
    at = {name: i for i, name in enumerate(names)}
    places = [at[name] for name in wanted]
    for row in rows:
        if len(row) != len(names):
            raise UnreadableError("rows of unequal length")
        yield [row[place] for place in places]


def _compare_rows(old: Iterator[Row], new: Iterator[Row], names: Row, judge: Judge) -> None:
    counts = [0, 0]
    for number, (one, other) in enumerate(zip_longest(old, new), start=1):
        judge.spend()
        counts = [count + (row is not None) for count, row in zip(counts, (one, other))]
        if one is not None and other is not None and one != other:
            _compare_row(one, other, names, f"row {number}", judge)
    judge.size("", counts[0], counts[1], "rows")


def _compare_row(old: Row, new: Row, names: Row, where: str, judge: Judge) -> None:
    if len(old) != len(new):
        judge.size(where, len(old), len(new), "cells")
        return
    for i, (before, after) in enumerate(zip(old, new)):
        if before == after:
            continue
        name = names[i] if i < len(names) else str(i + 1)
        if by := judge.rule(name):
            judge.leaves_out(name, by)
        else:
            compare_cells(before, after, f"{where}, column {name}", name, judge)
