"""The runs below some folders for which a condition holds, in an order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.archive.query import columns as named
from flexlock_hydra.archive.query.catalog import ListedRun, catalog
from flexlock_hydra.archive.query.columns import Column
from flexlock_hydra.errors import RunNotFoundError

if TYPE_CHECKING:
    from flexlock_hydra.archive.query.filter import Condition

STARTED: Column = ("started", ())


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
        where: a condition, see :mod:`archive.where`.
        columns: what will be asked of the runs beside what a list shows.
        processes: see :func:`catalog.catalog`.

    Raises:
        ColumnError: the condition is none. RunNotFoundError: there is no such folder.
    """
    condition = _condition(where) if where is not None else None
    needed = [sort, *columns, *(condition.columns if condition else ())]
    found = catalog(
        map(_checked, folders), parts=named.sections_to_read(needed), processes=processes
    )
    met = [run for run in found.runs if condition is None or condition.holds(run)]
    met.sort(key=lambda run: (run.started, run.id, run.path), reverse=True)
    return FoundRuns(tuple(_sorted(met, sort, descending)), len(found.runs), found.warnings)


def _condition(text: str) -> Condition:
    from flexlock_hydra.archive.query import filter as where

    return where.parse_condition(text)


def _sorted(runs: list[ListedRun], column: Column, descending: bool) -> list[ListedRun]:
    """Those that have nothing in the column come last, in either order."""
    value = named.getter(column)
    keys = [(named.order(value(run)), run) for run in runs]
    have = sorted(
        ((key, run) for key, run in keys if key != named.LAST),
        key=lambda pair: pair[0],
        reverse=descending,
    )
    return [run for _, run in have] + [run for key, run in keys if key == named.LAST]


def _checked(folder: Path) -> Path:
    if not folder.is_dir():
        raise RunNotFoundError(f"no folder {folder}", hint="Name folders that hold runs.")
    return folder
