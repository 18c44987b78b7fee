"""How a list of runs looks to people, and as CSV."""

from __future__ import annotations

import csv
import json
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import click

from flexlock_hydra.archive.query import columns
from flexlock_hydra.archive.query.catalog import ListedRun
from flexlock_hydra.archive.query.columns import MISSING, Column
from flexlock_hydra.cli.views import render

USUAL = ("id", "job", "status", "when", "took", "overrides", "result", "tag")
_COLUMN_OF = {"when": "started", "took": "duration"}
# Columns that may be cut, with all those that keys follow.
_CUT = ("job", "path", "overrides", "result", "tag")
_LEAST = 3  # Columns of a terminal that a cell is cut to at most
_GAP = "  "
_TO_THE_SECOND = 16  # Characters of an id


def named_column(name: str) -> Column:
    """The column of a name; ``when`` and ``took`` are how people read two of them.

    Raises:
        ColumnError: it is none.
    """
    return columns.parse_column(_COLUMN_OF.get(name, name))


def run_table(runs: Sequence[ListedRun], names: Sequence[str]) -> None:
    """A line a run, no longer than the terminal is wide."""
    most = render.columns() + 1  # the rest would be cut
    cells = []
    for name in names:
        form, value = _FORMS.get(name, _cell_text), columns.getter(named_column(name))
        texts = [name, *(form(run, value(run))[:most] for run in runs)]
        is_clean = "".join(texts).isprintable()  # one look is faster than one for each text
        cells.append(texts if is_clean else [render.printable(text) for text in texts])
    _shorten(cells, names, [run.id for run in runs])
    widths = _fitted(cells, names)
    padded = (_padded(column, width) for column, width in zip(cells, widths))
    head, *lines = (_GAP.join(row).rstrip() for row in zip(*padded))
    click.secho(head, bold=True)
    click.echo("\n".join(lines))


def as_csv(runs: Iterable[ListedRun], names: Sequence[str]) -> None:
    """A line a run; values that are no text or number as JSON."""
    values = [columns.getter(named_column(name)) for name in names]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for run in runs:
        writer.writerow([_plain(value(run)) for value in values])


def _plain(value: Any) -> Any:
    if value is MISSING or value is None:
        return ""
    return json.dumps(value) if isinstance(value, (list, tuple, dict, bool)) else value


def _shorten(cells: list[list[str]], names: Sequence[str], ids: Sequence[str]) -> None:
    """Say tags and ids in short where the table is too wide with them whole."""
    if _total(map(_widest, cells)) > render.columns() and "tag" in names:
        at = names.index("tag")
        cells[at] = ["tag", *("yes" if tag else "" for tag in cells[at][1:])]
    if _total(map(_widest, cells)) > render.columns() and "id" in names:
        at, length = names.index("id"), _unique(ids)
        cells[at] = [text[:length] for text in cells[at]]


def _unique(ids: Sequence[str]) -> int:
    """Characters that tell all ids apart."""
    found = sorted(set(ids))
    length = _TO_THE_SECOND
    for one, other in zip(found, found[1:]):
        while one[:length] == other[:length]:
            length += 1
    return length


def _fitted(cells: Sequence[Sequence[str]], names: Sequence[str]) -> list[int]:
    """The widths of columns; the widest of those that may be cut give way first."""
    widths = [*map(_widest, cells)]
    may = [i for i, name in enumerate(names) if name in _CUT or name not in _FORMS]
    while may and _total(widths) > render.columns():
        widest = max(may, key=lambda i: widths[i])
        if widths[widest] <= _LEAST:
            break
        widths[widest] -= 1
    return widths


def _total(widths: Iterable[int]) -> int:
    each = [*widths]
    return sum(each) + len(_GAP) * (len(each) - 1)


def _widest(column: Sequence[str]) -> int:
    return max(map(len if _is_narrow(column) else _columns_of_text, column))


def _padded(column: Sequence[str], width: int) -> Iterator[str]:
    """The cells of a column, each as wide as it is, what is longer cut."""
    if _is_narrow(column):
        for text in column:
            yield text.ljust(width) if len(text) <= width else f"{text[: width - 1]}…"
        return
    for text in column:
        if _columns_of_text(text) > width:
            while _columns_of_text(text) >= width:
                text = text[:-1]
            text += "…"
        yield text + " " * (width - _columns_of_text(text))


def _is_narrow(column: Sequence[str]) -> bool:
    """Whether each character surely takes one column of a terminal."""
    text = "".join(column)
    return text.isascii() or max(text) < "\u0100"


def _columns_of_text(text: str) -> int:
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cell_text(run: ListedRun, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is MISSING or value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return " ".join([f"{key}={_cell_text(run, item)}" for key, item in value.items()])
    return json.dumps(value, ensure_ascii=False)


def _when(run: ListedRun, value: str) -> str:
    """How long ago; of weeks, and of a time that Python cannot read, the date."""
    try:
        seconds = _seconds_since(value)
    except ValueError:
        return value[:10]
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if 0 <= seconds < limit:
            return f"{int(seconds / unit)} {name} ago"
    if 0 <= seconds < 30 * 86400:
        return f"{int(seconds / 86400)} d ago"
    return value[:10]


def _took(run: ListedRun, value: float | None) -> str:
    """The duration; of what still runs, so far."""
    if value is None:
        if run.status != "running":
            return ""
        try:
            value = _seconds_since(run.started)
        except ValueError:
            return ""
    if value < 59.95:
        return render.duration(value)
    for limit, unit, name in ((3600, 60, "min"), (48 * 3600, 3600, "h")):
        if value < limit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 86400:.3g} d"


def _seconds_since(moment: str) -> float:
    then = datetime.fromisoformat(moment)
    return time.time() - (then if then.tzinfo else then.replace(tzinfo=timezone.utc)).timestamp()


# How a column is told; those that are named here are not cut but for :data:`_CUT`.
_FORMS: dict[str, Callable[[ListedRun, Any], str]] = {
    **dict.fromkeys(("id", "status", "started", "num", "duration", "sweep", "job"), _cell_text),
    "when": _when,
    "took": _took,
    "path": lambda run, value: columns.shorter(value),
    "overrides": lambda run, value: " ".join(value),
}
