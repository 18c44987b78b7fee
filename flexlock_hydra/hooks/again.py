"""The run that a job repeats, as the rerun that started the job tells it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.capture.places import expanded
from flexlock_hydra.capture.secrets import MASK
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json, same

_ABSENT = object()


@dataclass(frozen=True)
class Relocation:
    """Where the paths of the original machine lie here, in a rerun.

    ``moves`` maps old folders and files to new ones; ``cwd`` is where the original run was
    started: what leads out of the project from there is looked up as well.
    """

    moves: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None

    def __call__(self, given: str) -> str:
        """The path here, as given where nothing is known of it."""
        if os.path.isabs(path := expanded(given)):
            return self._moved(path) or given
        if self.cwd is None or ".." not in Path(given).parts:
            return given
        absolute = os.path.normpath(os.path.join(self.cwd, given))
        return self.moves.get(absolute) or given

    def _moved(self, path: str) -> str | None:
        """The longest known folder decides."""
        for old in sorted(self.moves, key=len, reverse=True):
            if path == old or path.startswith(old.rstrip("/\\") + "/"):
                return self.moves[old] + path[len(old):]
        return None


@dataclass(frozen=True)
class Rerun:
    """The run that this job repeats: its id, its config, and where its paths lie here.

    ``repos`` are the further repositories that it is given: name -> folder.
    """

    parent: str | None = None
    unresolved: Json = None
    relocation: Relocation = Relocation()
    repos: Mapping[str, str] | None = None

    @classmethod
    def of(cls, folder: str | Path) -> Rerun:
        """What the rerun says that the job with this output directory repeats, if anything.

        Whatever that job starts inherits the variable, and repeats nothing.
        """
        name = os.environ.get(layout.RERUN_VARIABLE)
        if not name:
            return cls()
        notes = json.loads(Path(name).read_bytes())
        if os.path.abspath(folder) != notes["folder"]:
            return cls()
        moves = Relocation(notes["relocate"], notes["cwd"])
        return cls(notes["parent"], notes["unresolved"], moves, notes["repos"])


def changed_keys(recorded: Json, now: Json, where: str = "") -> list[str]:
    """The config keys whose values differ, masked secrets aside."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        return [
            name
            for key in sorted({*recorded, *now})
            for name in changed_keys(
                recorded.get(key, _ABSENT),
                now.get(key, _ABSENT),
                f"{where}.{key}".lstrip("."),
            )
        ]
    if isinstance(recorded, str) and MASK in recorded:
        return []
    if isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        pairs = zip(recorded, now, strict=True)
        return [
            name
            for i, (old, new) in enumerate(pairs)
            for name in changed_keys(old, new, f"{where}[{i}]")
        ]
    return [] if same(recorded, now) else [where]
