"""The run that a job repeats, as the rerun that started the job tells it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, Node, flag_override

from flexlock_hydra.capture.places import expanded
from flexlock_hydra.capture.secrets import MASK
from flexlock_hydra.hooks.survey import survey, value_at
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


class OtherConfigError(SystemExit):
    """Hydra composed another config than the recorded one; nothing was run."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__(2)
        self.keys = tuple(keys)


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
        """What the rerun says that the job with this output directory repeats, if anything.

        Whatever that job starts inherits the variable, and repeats nothing.
        """
        notes = read_notes()
        if notes is None or os.path.abspath(folder) != notes["folder"]:
            return cls()
        return cls(
            parent=notes["parent"],
            unresolved=notes["unresolved"],
            choices=notes["choices"],
            lenient=notes["lenient"],
            resolved=notes["resolved"],
            given=tuple(notes["given"]),
            data={name: (given, key) for name, (given, key) in notes["data"].items()},
            relocation=Relocation(notes["relocate"], notes["cwd"]),
            repos=notes["repos"],
            launched=bool(notes["overrides"]),
        )

    def require(self, config: DictConfig, without: Collection[str]) -> None:
        """Refuse a config that is not the recorded one.

        Raises:
            OtherConfigError: it is another.
        """
        keys = self._differences(config, without)
        if not keys:
            return
        said = f"flexlock-hydra: this config is not the recorded one: {', '.join(keys)}\n"
        if self.lenient:
            sys.stderr.write(said)
            return
        if not self.launched:
            sys.stderr.write(f"{said}Name what should change as an override of the rerun.\n")
        raise OtherConfigError(keys)

    def fix(self, config: DictConfig, without: Collection[str]) -> list[str]:
        """Put the recorded values in the place of what resolvers would say.

        Plain references stay: they lead to values that are fixed themselves. Masked secrets
        cannot be put back; their keys are returned.
        """
        masked = []
        with flag_override(config, ["readonly", "struct"], False):
            for found in survey(config, without).interpolations:
                path = _path(found.node)
                if ":" not in found.text or found.full_key in self.given:
                    continue
                value = _at(self.resolved, path)
                if isinstance(value, str) and MASK in value:
                    masked.append(found.full_key)
                elif value is not _ABSENT and value != found.text:
                    found.container[found.key] = self._here(value)
        return masked

    def _differences(self, config: DictConfig, without: Collection[str]) -> list[str]:
        keys = []
        if self.unresolved is not None:
            keys += changed_keys(self.unresolved, survey(config, without).unresolved)
        if self.choices is not None:
            now = value_at(config, "hydra.runtime.choices")
            keys += [
                f"the choice of {key}"
                for key in changed_keys(_apps_own(self.choices), _apps_own(now))
            ]
        return keys

    def _here(self, value: Json) -> Json:
        """A recorded value as this machine needs it: moved paths, no interpolation."""
        if not isinstance(value, str):
            return value
        return self.relocation(value).replace("${", "\\${")


def read_notes() -> Any:
    """What the rerun that started this process says; None where none did."""
    name = os.environ.get(layout.RERUN_VARIABLE)
    return json.loads(Path(name).read_bytes()) if name else None


def _apps_own(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of the app's own groups; Hydra's own are another in a sweep."""
    hydras = {key for key in choices if key.partition("@")[0].split("/")[0] == "hydra"}
    return {key: value for key, value in choices.items() if key not in hydras}


def _path(node: Node) -> list[Any]:
    """The keys that lead to a node from the config's root."""
    keys: list[Any] = []
    here: Node | None = node
    while here is not None and (parent := here._get_parent()) is not None:
        keys.insert(0, here._key())
        here = parent
    return keys


def _at(plain: Json, path: Sequence[Any]) -> Json:
    for key in path:
        if isinstance(plain, Mapping):
            plain = plain.get(key, plain.get(str(key), _ABSENT))
        elif isinstance(plain, list) and isinstance(key, int) and key < len(plain):
            plain = plain[key]
        else:
            return _ABSENT
    return plain


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
