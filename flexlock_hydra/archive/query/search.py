"""The runs below some folders for which a condition holds: in an order, or as a data frame."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.archive.query import columns as named
from flexlock_hydra.archive.query.catalog import ListedRun, catalog
from flexlock_hydra.archive.query.columns import SHOWN, Column
from flexlock_hydra.errors import ExtraError, RunNotFoundError

if TYPE_CHECKING:
    import pandas

STARTED: Column = ("started", ())
COLUMNS = (*SHOWN, "num", "sweep")
"""The columns of every data frame."""
_NESTED = ("config", "result", "data")
# What of an input becomes columns: a list of links, say, could become thousands.
_OF_AN_INPUT = ("path", "hash", "remote", "size", "nfiles")


@dataclass(frozen=True)
class FoundRuns:
    """The runs that were asked for."""

    runs: tuple[ListedRun, ...]
    seen: int
    """How many there are in all."""
    warnings: tuple[str, ...]


def search(
    folders: Iterable[Path],
    *,
    where: str | None = None,
    sort: Column = STARTED,
    descending: bool = True,
    columns: Collection[Column] = (),
    processes: bool = False,
) -> FoundRuns:
    """Find runs.

    Args:
        where: a condition, see :mod:`flexlock_hydra.archive.query.filter`.
        columns: what will be asked of the runs beside what a list shows.
        processes: see :func:`catalog.catalog`.

    Raises:
        ColumnError: the condition is none. RunNotFoundError: there is no such folder.
    """
    folders = [*folders]
    if lost := [folder for folder in folders if not folder.is_dir()]:
        raise RunNotFoundError(f"no folder {lost[0]}", hint="Name folders that hold runs.")
    condition = None
    if where is not None:
        from flexlock_hydra.archive.query.filter import parse_condition

        condition = parse_condition(where)
    needed = [sort, *columns, *(condition.columns if condition else ())]
    found = catalog(folders, parts=named.sections_to_read(needed), processes=processes)
    met = [run for run in found.runs if condition is None or condition.holds(run)]
    met.sort(key=lambda run: (run.started, run.id, run.path), reverse=True)
    return FoundRuns(tuple(_sorted(met, sort, descending)), len(found.runs), found.warnings)


def _sorted(runs: list[ListedRun], column: Column, descending: bool) -> list[ListedRun]:
    """Those that have nothing in the column come last, in either order."""
    value = named.getter(column)
    keys = [(named.order(value(run)), run) for run in runs]
    have = [pair for pair in keys if pair[0] != named.LAST]
    have.sort(key=lambda pair: pair[0], reverse=descending)
    return [run for _, run in have] + [run for key, run in keys if key == named.LAST]


def runs(dir: str | os.PathLike[str] = ".", where: str | None = None) -> pandas.DataFrame:
    """Every run below a folder, a row each, the newest first.

    The columns are named as those of ``ls``: ``started`` is a time, ``num`` a whole number or
    NA, ``sweep`` an id. ``config.<key>`` and ``result.<key>`` stand for each key, those of
    nested mappings joined by dots; of each input ``data.<name>.path``, ``.hash.md5``,
    ``.size`` and ``.nfiles``, of a URL ``.remote.<key>`` in place of the hash.

    Args:
        dir: a folder.
        where: a condition as for ``ls --where``.

    Raises:
        ExtraError: pandas is not installed.
        ColumnError: the condition is none. RunNotFoundError: there is no such folder.
    """
    try:
        import pandas
    except ImportError as error:
        install = "pip install 'flexlock-hydra[notebook]'"
        raise ExtraError(f"runs() needs pandas: {install}", hint=install) from error
    found = search([Path(dir)], where=where, columns=[("config", ()), ("data", ())])
    for text in found.warnings:
        warnings.warn(text, stacklevel=2)
    rows = [_row(run) for run in found.runs]
    keys = dict.fromkeys(chain(*rows))
    nested = (key for name in _NESTED for key in keys if key.startswith(f"{name}."))
    frame = pandas.DataFrame(rows, columns=[*COLUMNS, *nested])
    frame["started"] = pandas.to_datetime(
        frame["started"], utc=True, errors="coerce", format="ISO8601"
    )
    with contextlib.suppress(OverflowError):  # a lock may hold a number of any size
        frame["num"] = frame["num"].astype("Int64")
    return frame


def _row(run: ListedRun) -> dict[str, Any]:
    row = {name: getattr(run, name) for name in COLUMNS}
    inputs = run.data if isinstance(run.data, Mapping) else {}
    data = {name: _of_an_input(entry) for name, entry in inputs.items()}
    for name, value in zip(_NESTED, (run.config, run.result, data)):
        row |= _flat(name, value)
    return row


def _of_an_input(entry: Any) -> dict[str, Any]:
    plain = entry if isinstance(entry, Mapping) else {}
    return {key: plain[key] for key in _OF_AN_INPUT if plain.get(key) is not None}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values of a mapping by their keys, joined by dots."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{name}.{key}"
            yield from _flat(inner, item) if isinstance(item, Mapping) and item else [(inner, item)]
