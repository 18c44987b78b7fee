"""Archives as ``torch.save`` writes them: tensors by their elements, the rest by its values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds import pickles, reading
from flexlock_hydra.replay.compare.kinds.archives import SAME_CONTENTS, compare_members
from flexlock_hydra.replay.compare.kinds.arrays import compare_elements
from flexlock_hydra.replay.compare.kinds.pickled import ID
from flexlock_hydra.replay.compare.kinds.reading import Stream

_ELEMENTS = {
    "Float": "F32", "Double": "F64", "Half": "F16", "BFloat16": "BF16", "Long": "I64",
    "Int": "I32", "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL",
    "ComplexFloat": "C64", "ComplexDouble": "C128",
}
_DERIVED = "serialization_id"  # PyTorch's hash of the names and checksums of all other members
_PICKLE = "data.pkl"
_DEEPEST = 100
# What no user has named in a path: calls, states and items.
_CALLS = re.compile(r"\.?\(\)(\[\d+\])*|\.?\((?:state|items)\)|\.storage$")


def compare_checkpoints(old: Path, new: Path, judge: Judge) -> None:
    """Two archives; pickles in them are read and not unpickled.

    Raises:
        UnreadableError: no such archive, or too large.
    """
    judge.same = SAME_CONTENTS
    compare_members(old, new, _Members(), judge)


@dataclass(frozen=True)
class _Storage:
    """Where a tensor's elements are said to be: what it is called, their type and number."""

    name: str = field(compare=False)
    kind: str
    count: int


@dataclass
class _Members:
    """Compares the members of two archives; the pickle comes before the elements."""

    storages: dict[str, _Storage] = field(default_factory=dict)

    def __call__(self, old: Stream, new: Stream, name: str, judge: Judge) -> None:
        path = PurePosixPath(name)
        if path.name == _PICKLE:
            self._compare_pickles(old, new, judge)
        elif path.name == "byteorder":
            order = [reading.read_exactly(each, 16) for each in (old, new)]
            one, other = (each.decode("latin-1") for each in order)
            judge.text(name, one, other, name)
            if order != [b"little"] * 2:
                self.storages = {}  # elements are compared as bytes
        elif path.name != _DERIVED:
            storage = self.storages.get(path.name) if path.parent.name == "data" else None
            if storage is None:
                reading.compare_streams(old, new, name, judge)
            else:
                compare_elements(storage.kind, storage.count, old, new, storage.name, judge)
                reading.compare_streams(old, new, f"{name}, after the elements", judge)

    def _compare_pickles(self, old: Stream, new: Stream, judge: Judge) -> None:
        before, after = (pickles.pickle_contents(_pickle_bytes(each)) for each in (old, new))
        one, other = (dict(_storages(each)) for each in (before, after))
        same = {key: it for key, it in one.items() if it == other.get(key)}
        try:
            reading.require_package("NumPy")
        except UnreadableError:
            same = {}  # the elements are compared as bytes
        self.storages = same
        pickles.compare_told(before, after, judge)


def _pickle_bytes(stream: Stream) -> bytes:
    found = reading.read_exactly(stream, reading.LARGEST + 1)
    reading.check_size(len(found), reading.LARGEST, f"{_PICKLE} is")
    return found


def _storages(value: Any) -> Iterator[tuple[str, _Storage]]:
    """Every storage that values name, by its key; its place among the devices is dropped."""
    seen: set[int] = set()
    open_ones: list[tuple[Any, str, int]] = [(value, "", 0)]
    while open_ones:
        each, name, depth = open_ones.pop()
        if id(each) in seen or depth > _DEEPEST or not isinstance(each, (Mapping, list, tuple)):
            continue
        seen.add(id(each))
        if isinstance(each, dict) and ID in each:
            yield from _storage_in(each, name)
            continue
        items = each.items() if isinstance(each, Mapping) else enumerate(each)
        open_ones += [(item, _path_below(name, key), depth + 1) for key, item in items]


def _storage_in(each: dict[str, Any], name: str) -> Iterator[tuple[str, _Storage]]:
    match each[ID]:
        case ("storage", str(kind), str(key), str(_), int(count)):
            each[ID] = ["storage", kind, key, count]
            element = kind.removeprefix("torch ").removesuffix("Storage")
            if element in _ELEMENTS and 0 <= count < 1 << 48:
                told = _CALLS.sub("", name).lstrip(".") or "value"
                yield key, _Storage(told, _ELEMENTS[element], count)


def _path_below(name: str, key: str | int) -> str:
    return f"{name}.{key}".lstrip(".") if isinstance(key, str) else f"{name}[{key}]"
