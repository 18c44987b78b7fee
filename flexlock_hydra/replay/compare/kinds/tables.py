"""Tables as text, CSV and TSV: by row and by the name of the column."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.text import compare_cells, number_of, text_lines

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
        _compare_columns(names, names_now, judge)
        now = {*names_now}
        both = [name for name in names if name in now]
        _compare_rows(_picked(one, names, both), _picked(other, names_now, both), both, judge)


def _csv_rows(path: Path) -> Iterator[Row]:
    source = text_lines(path)
    first = next(source, b"")
    # Bytes that are no UTF-8 stay what they are, and are compared as such.
    decoded = (line.decode("utf-8", "surrogateescape") for line in chain([first], source))
    try:
        yield from csv.reader(decoded, delimiter=_separator(path, first), strict=True)
    except csv.Error as error:
        raise UnreadableError(f"no table of text: {error}") from error


def _separator(path: Path, first: bytes) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(_SEPARATORS, key=lambda each: first.count(each.encode()))


def _column_names(head: Row) -> Row:
    """The columns' names; those without one, or with another's too, by number."""
    bare = [cell.removeprefix("\ufeff").strip() for cell in head]
    often = Counter(bare)
    return [
        name if name and often[name] == 1 else str(i) for i, name in enumerate(bare, start=1)
    ]


def _compare_columns(old: Row, new: Row, judge: Judge) -> None:
    """Columns that one of the tables alone has."""
    before, after = {*old}, {*new}
    for name in dict.fromkeys((*old, *new)):
        judge.stands(name, name in before, name in after, judge.rule(name), "column")


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


def _compare_row(old: Row, new: Row, names: Sequence[str], where: str, judge: Judge) -> None:
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
