"""The run that a job repeats, as the rerun that started the job tells it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.capture.data.paths import expanded, lies_in, relocated
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json


@dataclass(frozen=True)
class Relocation:
    """Where the paths of the original machine lie here, in a rerun.

    Args:
        moves: old folders and files -> new ones.
        cwd: where the original run was started: what leads out of the project from there is
            looked up as well.
        inputs: config key -> where the recorded input of that key lies.
        here: where this run was started.
        tree: the worktree.
        project: the checkout that stands for it where overrides name other inputs.
    """

    moves: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    here: str = ""
    tree: str | None = None
    project: str | None = None

    def __call__(self, given: str, config_key: str | None = None) -> str:
        """The path here, as given where nothing is known of it.

        Where nothing lies there, the input that was recorded of the same key counts: its path
        was made of the user's home, or of a variable. So does, with overrides, what lies in
        the checkout: it may be no part of the recorded run.
        """
        found = self._moved(given)
        if self.tree is None:  # no rerun
            return found
        path = os.path.normpath(os.path.join(self.here, expanded(found)))
        if _is_there(path):
            return found
        others = [self.inputs.get(config_key or "")]
        if self.project is not None and lies_in(path, self.tree):
            others.append(os.path.join(self.project, os.path.relpath(path, self.tree)))
        return next((other for other in others if other and _is_there(other)), found)

    def _moved(self, given: str) -> str:
        if os.path.isabs(path := expanded(given)):
            return relocated(path, self.moves) or given
        if self.cwd is None or ".." not in Path(given).parts:
            return given
        absolute = os.path.normpath(os.path.join(self.cwd, given))
        return self.moves.get(absolute) or given

    def in_text(self, text: str) -> str:
        """A text with the known paths of the original machine replaced by those of this one."""
        known = {old.rstrip("/\\"): new for old, new in self.moves.items() if old.strip("/\\")}
        longest_first = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
        if not known:
            return text
        return re.sub(
            rf"(?<!\w)(?:{longest_first})(?![\w-]|\.\w)", lambda found: known[found[0]], text
        )


@dataclass(frozen=True)
class Rerun:
    """The run that this job repeats: its id, its config, and where its paths lie here."""

    parent: str | None = None
    unresolved: Json = None
    """What must be composed again; None where overrides change it."""
    choices: Mapping[str, Any] | None = None
    lenient: bool = False
    """Whether a config that other code brought is said and no reason to stop."""
    resolved: Json = None
    """The values to run with, in the place of interpolations."""
    given: tuple[str, ...] = ()
    """Keys that are overridden on purpose."""
    data: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """With ``resolved``, what the resolver would have tracked: name -> path, config key."""
    relocation: Relocation = Relocation()
    repos: Mapping[str, str] | None = None
    """Further repositories that the job is given: name -> folder."""
    launched: bool = False
    """Whether a script calls hydra-zen's launch, perhaps for other jobs as well."""

    @classmethod
    def of(cls, folder: str | Path) -> Rerun:
        """The run that the job with this output directory repeats; an empty one for any other job.

        Whatever that job starts inherits the variable, and repeats nothing.
        """
        notes = read_notes()
        if notes is None or os.path.abspath(folder) != notes["folder"]:
            return cls()
        inputs = {key: here for key, here in notes["inputs"].items()
                  if not covers(notes["given"], key)}
        kept = ("parent", "unresolved", "choices", "lenient", "resolved", "repos")
        return cls(
            **{name: notes[name] for name in kept},
            given=tuple(notes["given"]),
            data={name: (given, key) for name, (given, key) in notes["data"].items()},
            relocation=Relocation(
                notes["relocate"], notes["cwd"], inputs, notes["started_in"], notes["tree"],
                notes["project"],
            ),
            launched=bool(notes["overrides"]),
        )


def covers(given: Collection[str], key: str) -> bool:
    """Whether an override of one of the keys may change another key."""
    return any(key == each or key.startswith((f"{each}.", f"{each}[")) for each in given)


def _is_there(path: str) -> bool:
    pattern = Pattern.parse(Path(path))
    return os.path.exists(pattern.base if pattern else path)


def read_notes() -> Any:
    """What the rerun that started this process wrote into a file for it; None without a rerun."""
    name = os.environ.get(layout.RERUN_VARIABLE)
    return json.loads(Path(name).read_bytes()) if name else None
