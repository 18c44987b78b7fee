"""Nested values compared by the dotted names of their parts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from flexlock_hydra.record.codec import Json, same

_PLAIN = re.compile(r"[^\s.\[\]\"']+")
"""A key that stands in a dotted name as it is."""
_MISSING = object()
Equal = Callable[[Json, Json], bool]


@dataclass(frozen=True)
class Part:
    """A name, and its value on the sides that have it."""

    name: str
    old: Any
    new: Any

    @property
    def is_added(self) -> bool:
        """Whether the new side alone has it."""
        return self.old is _MISSING

    @property
    def is_removed(self) -> bool:
        """Whether the old side alone has it."""
        return self.new is _MISSING


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
    """The same, but for numbers their value alone counts."""
    return exactly(old, new) or (is_number(old) and is_number(new) and same(old, new))


def is_number(value: Json) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def changed_parts(old: Json, new: Json, where: str = "", equal: Equal = exactly) -> Iterator[Part]:
    """What differs between two nested values.

    Where a value became one of another kind, or a list has the same items in another
    order, it is one part; else each leaf that differs is.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = dict(_children(old, where)), dict(_children(new, where))
        for name in dict.fromkeys((*before, *after)):
            yield from _both(name, before.get(name, _MISSING), after.get(name, _MISSING), equal)
    elif _is_list(old) and _is_list(new):
        if _is_reordered(old, new):
            yield Part(where, old, new)
            return
        for number, (one, other) in enumerate(zip_longest(old, new, fillvalue=_MISSING)):
            yield from _both(f"{where}[{number}]", one, other, equal)
    elif not equal(old, new):
        yield Part(where, old, new)


def _both(name: str, old: Any, new: Any, equal: Equal) -> Iterator[Part]:
    if old is _MISSING:
        yield from (Part(key, _MISSING, leaf) for key, leaf in flatten(new, name).items())
    elif new is _MISSING:
        yield from (Part(key, leaf, _MISSING) for key, leaf in flatten(old, name).items())
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
