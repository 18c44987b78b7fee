"""What differs, by name: the nouns of a comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from flexlock_hydra.record.codec import Json
from flexlock_hydra.replay.explain.values import exactly

Described = Mapping[str, Json]


@dataclass(frozen=True)
class Change:
    """The values of one name in the old run and in the new; of numbers, how far apart."""

    old: Json
    new: Json
    delta: float | None = None
    percent: float | None = None

    def to_dict(self) -> dict[str, Json]:
        """As plain data."""
        numbers = {"delta": self.delta, "percent": self.percent}
        known = {name: value for name, value in numbers.items() if value is not None}
        return {"old": self.old, "new": self.new, **known}


@dataclass(frozen=True)
class Detail:
    """What else is known of a name in both runs: size, files, path, the run it came from."""

    old: Described | None
    new: Described | None


@dataclass(frozen=True)
class Move:
    """The same bytes under another name or path."""

    old: str
    new: str


@dataclass(frozen=True)
class Section:
    """Names and their values: only in the new run, only in the old, in both and different."""

    added: Mapping[str, Json] = field(default_factory=dict)
    removed: Mapping[str, Json] = field(default_factory=dict)
    changed: Mapping[str, Change] = field(default_factory=dict)
    details: Mapping[str, Detail] = field(default_factory=dict)
    moved: tuple[Move, ...] = ()
    notes: tuple[str, ...] = ()
    """Why it is less exact than it could be, in words."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_dict(self) -> dict[str, Any]:
        """As plain data; what is known beyond names and values where there is any."""
        plain: dict[str, Any] = {
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed": {name: change.to_dict() for name, change in self.changed.items()},
        }
        if self.details:
            plain["details"] = {name: vars(detail) for name, detail in self.details.items()}
        if self.moved:
            plain["moved"] = [vars(move) for move in self.moved]
        return plain


def section(old: Mapping[str, Json], new: Mapping[str, Json]) -> Section:
    """What differs between two mappings."""
    return Section(
        added={name: new[name] for name in sorted(new.keys() - old.keys())},
        removed={name: old[name] for name in sorted(old.keys() - new.keys())},
        changed={
            name: Change(old[name], new[name])
            for name in sorted(old.keys() & new.keys())
            if not exactly(old[name], new[name])
        },
    )


def with_moves(found: Section) -> Section:
    """The section with what was removed under one name and added under another."""
    gone = {value: name for name, value in _unique(found.removed)}
    came = {value: name for name, value in _unique(found.added)}
    moved = tuple(Move(gone[value], came[value]) for value in gone if value in came)
    return replace(found, moved=(*found.moved, *moved))


def _unique(values: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Hashes that stand under one name alone: those of empty files say nothing."""
    hashes = {name: value for name, value in values.items() if isinstance(value, str)}
    counts = Counter(hashes.values())
    return ((name, value) for name, value in hashes.items()
            if counts[value] == 1 and value not in _EMPTY)


_EMPTY = frozenset({
    "d41d8cd98f00b204e9800998ecf8427e",
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
})
"""What a file without content hashes to: md5, git's SHA-1 and SHA-256."""
