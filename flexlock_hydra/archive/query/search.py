"""The runs below some folders for which a condition holds, in an order."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.archive.query import columns as named
from flexlock_hydra.archive.query.catalog import ListedRun, catalog
from flexlock_hydra.archive.query.columns import Column
from flexlock_hydra.errors import RunNotFoundError

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
