"""What the list of runs keeps of a lock: the fields, which an index is made and read by.

Apart from the reader of locks, so that a list of known runs loads no YAML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from flexlock_hydra.record.codec import Json


class ShownRun(NamedTuple):
    """Of a run, what every list shows; kept as a JSON list in this order."""

    id: str
    job: str
    status: str
    started: str
    duration: float | None
    overrides: list[str]
    result: Json
    num: int | None
    sweep: str | None
    """The sweep's id."""
    process: Json
    """Of a run that says it is running, how to find out whether it still does."""
    root: str | None
    """The repository's, where the run was recorded."""


WORLD_SECTIONS = ("data", "environment")
"""Sections of a lock that runs of an app share, and that are kept together."""
