"""What may be asked of a listed run by name: ``job``, ``config.lr``, ``result["a.b"]``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from flexlock_hydra.archive.query.catalog import ListedRun
from flexlock_hydra.errors import FlexlockError

SHOWN = ("id", "path", "job", "status", "started", "duration", "overrides", "result", "tag")
"""The keys of a run in JSON, and of a data frame."""
NAMES = (*SHOWN, "num", "sweep", "config", "data", "environment")
PARTS = ("config", "data", "environment")
"""What is read from the index for those who ask for it."""
NESTED = ("config", "result", "data", "environment")
"""Names that keys may follow."""


class _Missing:
    """Neither true nor false, and printed by nobody."""

    def __bool__(self) -> bool:
        return False


LAST = (9,)
"""Where what is absent sorts."""
MISSING = _Missing()
"""What a run does not have."""
_KEY = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")


class ColumnError(FlexlockError, ValueError):
    """A name that no run has anything under, or a condition that is none."""


Column = tuple[str, tuple[str | int, ...]]
"""A name and the keys below it."""


def parse_column(text: str) -> Column:
    """A column from ``config.model.lr``, ``result[0]``, ``config["a.b"]``.

    Raises:
        ColumnError: it is none.
    """
    name = re.match(r"\w*", text)[0]  # type: ignore[index]
    rest, keys = text[len(name):], []
    while match := _KEY.match(rest):
        keys.append(int(match[2]) if match[2] else match[1] or match[3] or match[4] or "")
        rest = rest[match.end():]
    if rest:
        raise ColumnError(f"{text!r:.80} is no column", hint=_hint(name))
    return check_column(name, keys)


def check_column(name: str, keys: Sequence[str | int]) -> Column:
    """A column whose name is known.

    Raises:
        ColumnError: it is not, or has no keys.
    """
    if name not in NAMES:
        raise ColumnError(f"there is no column {name!r:.80}", hint=_hint(name))
    if keys and name not in NESTED and not (name == "overrides" and isinstance(keys[0], int)):
        raise ColumnError(f"{name} has no keys", hint=f"Keys follow {', '.join(NESTED)}.")
    return name, tuple(keys)


def _hint(name: str) -> str:
    known = f"Columns are {', '.join(NAMES)}."
    return f"A key of the config is config.{name}. {known}" if name.isidentifier() else known


def getter(column: Column) -> Callable[[ListedRun], Any]:
    """What tells the value of a run in a column, or MISSING."""
    name, keys = column
    return partial(_value, column) if keys else attrgetter(name)


def _value(column: Column, run: ListedRun) -> Any:
    name, keys = column
    found = getattr(run, name)
    for i, key in enumerate(keys):
        if isinstance(found, Mapping):
            if str(key) not in found:  # it may be one key with dots in it
                return found.get(".".join(map(str, keys[i:])), MISSING)
            found = found[str(key)]
        elif isinstance(found, (list, tuple)) and str(key).isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return MISSING
    return found


def sections_to_read(columns: Collection[Column]) -> set[str]:
    """What of the runs must be read for columns."""
    return {name for name, _ in columns} & set(PARTS)


def plain(run: ListedRun) -> dict[str, Any]:
    """A run as JSON has it."""
    return {name: getattr(run, name) for name in SHOWN}


def order(found: Any) -> tuple[Any, ...]:
    """A key that sorts values of any kind: numbers, texts, the rest; what is absent last."""
    if found is MISSING or found is None or found != found or found in ("", [], {}):
        return LAST
    if isinstance(found, (bool, int, float)):
        return (0, found)
    if isinstance(found, str):
        return (1, found)
    return (2, str(found))


def shorter(path: str) -> str:
    """A path seen from the working folder, where it lies below it."""
    return path.removeprefix(os.path.join(os.getcwd(), ""))
