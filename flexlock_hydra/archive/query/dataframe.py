"""The runs below a folder as a pandas DataFrame."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.archive.query import columns
from flexlock_hydra.archive.query.search import search
from flexlock_hydra.errors import ExtraError

if TYPE_CHECKING:
    import pandas


def runs(dir: str | os.PathLike[str] = ".", where: str | None = None) -> pandas.DataFrame:
    """Every run below a folder, a row each, the newest first.

    The columns are those of ``ls``, ``started`` as a time, and ``config.<key>`` and
    ``result.<key>`` for each key, those of nested mappings joined by dots.

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
    found = search([Path(dir)], where=where, columns=[("config", ())])
    for text in found.warnings:
        warnings.warn(text, stacklevel=2)
    rows = [_row(columns.plain(run), run.config) for run in found.runs]
    names = dict.fromkeys((*columns.SHOWN, *(name for row in rows for name in row)))
    frame = pandas.DataFrame(rows, columns=[*names])
    frame["started"] = pandas.to_datetime(
        frame["started"], utc=True, errors="coerce", format="ISO8601"
    )
    return frame


def _row(shown: dict[str, Any], config: Any) -> dict[str, Any]:
    result = shown["result"]
    return {**shown, **dict(_flat("config", config)), **dict(_flat("result", result))}


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values of a mapping by their keys, joined by dots."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = f"{name}.{key}"
            yield from _flat(inner, item) if isinstance(item, Mapping) and item else [(inner, item)]
