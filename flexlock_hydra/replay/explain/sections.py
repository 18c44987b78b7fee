"""What differs, by name: the nouns of a comparison; nested values by their dotted names."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from flexlock_hydra.record.codec import Json, is_number, same

Described = Mapping[str, Json]
_PLAIN = re.compile(r"[^\s.\[\]\"']+")  # a key that stands in a dotted name as it is
MISSING = object()
"""Stands for the value of a name that one side does not have."""
# What a file without content hashes to: md5, git's SHA-1 and SHA-256.
_EMPTY = frozenset({
    "d41d8cd98f00b204e9800998ecf8427e",
    "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
    "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
})
Equal = Callable[[Json, Json], bool]


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
    return ((n, value) for n, value in hashes.items() if counts[value] == 1 and value not in _EMPTY)


@dataclass(frozen=True)
class Part:
    """A name, and its values; of a side that does not have it, ``MISSING``."""

    name: str
    old: Any
    new: Any


def flatten(value: Json, where: str = "") -> dict[str, Json]:
    """A nested value as dotted names of its leaves: ``a.b[0]``, ``a["b.c"]``."""
    children = list(_children(value, where))
    if not children:
        return {where: value}
    return {name: leaf for key, item in children for name, leaf in flatten(item, key).items()}


def exactly(old: Json, new: Json) -> bool:
    """Whether two leaves are equal and of one type: 1, 1.0 and true are three values."""
    return type(old) is type(new) and same(old, new)


def numerically(old: Json, new: Json) -> bool:
    """Whether two values are equal; of numbers the value counts and not the type."""
    return exactly(old, new) or (is_number(old) and is_number(new) and same(old, new))


def changed_parts(old: Json, new: Json, where: str = "", equal: Equal = exactly) -> Iterator[Part]:
    """What differs between two nested values.

    Where a value became one of another kind, or a list has the same items in another
    order, it is one part; else each leaf that differs is.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = dict(_children(old, where)), dict(_children(new, where))
        for name in dict.fromkeys((*before, *after)):
            yield from _both(name, before.get(name, MISSING), after.get(name, MISSING), equal)
    elif _is_list(old) and _is_list(new):
        if _is_reordered(old, new):
            yield Part(where, old, new)
            return
        for number, (one, other) in enumerate(zip_longest(old, new, fillvalue=MISSING)):
            yield from _both(f"{where}[{number}]", one, other, equal)
    elif not equal(old, new):
        yield Part(where, old, new)


def _both(name: str, old: Any, new: Any, equal: Equal) -> Iterator[Part]:
    if old is MISSING:
        yield from (Part(key, MISSING, leaf) for key, leaf in flatten(new, name).items())
    elif new is MISSING:
        yield from (Part(key, leaf, MISSING) for key, leaf in flatten(old, name).items())
    else:
        yield from changed_parts(old, new, name, equal)


def _children(value: Json, where: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield _name(where, str(key)), item
    elif _is_list(value):
        for number, item in enumerate(value):
            yield f"{where}[{number}]", item


def _name(where: str, key: str) -> str:
    if not _PLAIN.fullmatch(key):
        return f"{where}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{where}.{key}" if where else key


def _is_list(value: Json) -> bool:
    return isinstance(value, (list, tuple))


def _is_reordered(old: Json, new: Json) -> bool:
    if len(old) != len(new):
        return False
    one, other = ([json.dumps(item, default=str) for item in each] for each in (old, new))
    return one != other and sorted(one) == sorted(other)


def section_of(parts: Iterable[Part], change: Callable[[Json, Json], Change] = Change) -> Section:
    """A section of what differs in nested values, in the order of the values."""
    found = list(parts)
    both = [part for part in found if MISSING not in (part.old, part.new)]
    return Section(
        added={part.name: part.new for part in found if part.old is MISSING},
        removed={part.name: part.old for part in found if part.new is MISSING},
        changed={part.name: change(part.old, part.new) for part in both},
    )
