"""How a list of runs looks to people, and as CSV."""

from __future__ import annotations

import csv
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from flexlock_hydra.archive import columns
from flexlock_hydra.archive.catalog import Listed
from flexlock_hydra.archive.columns import MISSING, Column
from flexlock_hydra.cli import render
from flexlock_hydra.record.model import RUNNING

USUAL = ("id", "job", "status", "when", "took", "overrides", "result", "tag")
_COLUMN_OF = {"when": "started", "took": "duration"}
_CUT = ("job", "path", "overrides", "result", "tag")
"""Columns that may be cut, with all those that keys follow."""
_LEAST = 6
_GAP = "  "
_TO_THE_SECOND = 16
"""Characters of an id."""


def parse(name: str) -> Column:
    """The column of a name; ``when`` and ``took`` are how people read two of them.

    Raises:
        ColumnError: it is none.
    """
    return columns.parse(_COLUMN_OF.get(name, name))


def table(runs: Sequence[Listed], names: Sequence[str]) -> None:
    """A line a run, no longer than the terminal is wide."""
    told = [(_FORMS.get(name, _text), parse(name)) for name in names]
    rows = [
        [render.printable(form(run, columns.value(run, column))) for form, column in told]
        for run in runs
    ]
    _shorten(rows, names, [run.id for run in runs])
    cells = [[render.printable(name) for name in names], *rows]
    widths = _fitted(cells, names)
    head, *lines = (_line(row, widths) for row in cells)
    click.secho(head, bold=True)
    click.echo("\n".join(lines))


def as_csv(runs: Iterable[Listed], names: Sequence[str]) -> None:
    """A line a run; values that are no text or number as JSON."""
    told = [parse(name) for name in names]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for run in runs:
        writer.writerow([_plain(columns.value(run, column)) for column in told])


def _plain(value: Any) -> Any:
    if value is MISSING or value is None:
        return ""
    return json.dumps(value) if isinstance(value, (list, tuple, dict, bool)) else value


def _shorten(rows: Sequence[list[str]], names: Sequence[str], ids: Sequence[str]) -> None:
    """Say tags and ids in short where the table is too wide with them whole."""
    if _total(_widths([names, *rows])) > render.columns() and "tag" in names:
        at = names.index("tag")
        for row in rows:
            row[at] = "yes" if row[at] else ""
    if _total(_widths([names, *rows])) > render.columns() and "id" in names:
        at, length = names.index("id"), _unique(ids)
        for row in rows:
            row[at] = row[at][:length]


def _unique(ids: Sequence[str]) -> int:
    """Characters that tell all ids apart."""
    pairs = zip(found := sorted(set(ids)), found[1:])
    longest = max((len(os.path.commonprefix(pair)) for pair in pairs), default=0)
    return max(longest + 1, _TO_THE_SECOND)


def _fitted(cells: Sequence[Sequence[str]], names: Sequence[str]) -> list[int]:
    """The widths of columns; the widest of those that may be cut give way first."""
    widths = _widths(cells)
    may = [i for i, name in enumerate(names) if name in _CUT or name not in _FORMS]
    while may and _total(widths) > render.columns():
        widest = max(may, key=lambda i: widths[i])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    return widths


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, column)) for column in zip(*cells)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (_cell(text, width) for text, width in zip(row, widths))
    return _GAP.join(cells).rstrip()


def _cell(text: str, width: int) -> str:
    if text.isascii() and len(text) <= width:
        return text.ljust(width)
    if _width(text) > width:
        while _width(text) >= width:
            text = text[: width - 1] if len(text) >= width else text[:-1]
        text += "…"
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns of a terminal."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _text(run: Listed, value: Any) -> str:
    if value is MISSING or value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(run, item)}" for key, item in value.items())
    return json.dumps(value, ensure_ascii=False)


def _when(run: Listed, value: str) -> str:
    """How long ago, of weeks the date."""
    try:
        seconds = _seconds_since(value)
    except ValueError:
        return value
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if 0 <= seconds < limit:
            return f"{int(seconds / unit)} {name} ago"
    if 0 <= seconds < 30 * 86400:
        return f"{int(seconds / 86400)} d ago"
    return value[:10]


def _took(run: Listed, value: float | None) -> str:
    """The duration; of what still runs, so far."""
    if value is not None:
        return render.duration(value)
    try:
        return render.duration(_seconds_since(run.started)) if run.status == RUNNING else ""
    except ValueError:
        return ""


def _seconds_since(moment: str) -> float:
    then = datetime.fromisoformat(moment)
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return (datetime.now(timezone.utc) - then).total_seconds()


_FORMS: dict[str, Callable[[Listed, Any], str]] = {
    "id": _text,
    "status": _text,
    "started": _text,
    "num": _text,
    "duration": _text,
    "sweep": _text,
    "job": _text,
    "when": _when,
    "took": _took,
    "path": lambda run, value: columns.shorter(value),
    "overrides": lambda run, value: " ".join(value),
}
"""How a column is told; those that are named here are not cut but for :data:`_CUT`."""
