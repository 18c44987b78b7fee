"""Plain values, key by key: JSON, a JSON document a line, YAML, what a task returned."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from flexlock_hydra.record.codec import Json, is_number
from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.reading import compare_streams, content_of, unreadable
from flexlock_hydra.replay.compare.kinds.text import text_lines
from flexlock_hydra.replay.compare.outcome import ABSENT, PATHS

_LARGEST_YAML = 4 * 1024**2
_MOST_VALUES = 2_000_000
_DEEPEST = 100
_LONGEST_NUMBER = 1000
# What PyYAML raises for text that is no YAML, or for a value that is not what its tag says.
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_MISSING = object()

Keys = tuple["str | int", ...]
"""From a document's root to a value: keys of mappings, numbers of items."""


def compare_json(old: Path, new: Path, judge: Judge) -> None:
    """Two JSON documents, whatever the order of their keys.

    Raises:
        UnreadableError: no JSON, or too large.
    """
    before, after = (load_json(content_of(path)) for path in (old, new))
    compare_values(before, after, judge)


def compare_json_lines(old: Path, new: Path, judge: Judge) -> None:
    """Files with a JSON document a line.

    Raises:
        UnreadableError: no JSON, or too large.
    """
    documents = [map(load_json, filter(bytes.strip, text_lines(path))) for path in (old, new)]
    counts = [0, 0]
    for i, (one, other) in enumerate(zip_longest(*documents, fillvalue=_MISSING)):
        counts = [n + (each is not _MISSING) for n, each in zip(counts, (one, other))]
        if one is not _MISSING and other is not _MISSING:
            compare_values(one, other, judge, (i,))
    judge.size("", counts[0], counts[1], "documents")


def compare_yaml(old: Path, new: Path, judge: Judge) -> None:
    """Two YAML documents of plain values.

    Raises:
        UnreadableError: no plain YAML, or too large.
    """
    before, after = (_load_yaml(content_of(path, _LARGEST_YAML)) for path in (old, new))
    compare_values(before, after, judge)


def load_json(content: bytes) -> Json:
    """A JSON document.

    Raises:
        UnreadableError: it is none, has too many values or a key twice.
    """
    if sum(map(content.count, (b"[", b"{", b","))) > _MOST_VALUES:
        raise UnreadableError(f"more than {_MOST_VALUES:,} values")
    try:
        return json.loads(content, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise UnreadableError("no JSON") from error


def _without_twins(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnreadableError("a key stands twice")
    return found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values; merge keys, by which a short text becomes a huge mapping, are none."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        """A mapping without a key that stands twice."""
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise UnreadableError("a key stands twice")
        return found


def _load_yaml(content: bytes) -> Json:
    with unreadable("no plain YAML", _NO_YAML):
        _check_events(yaml.parse(content, Loader=_Loader))
        return yaml.load(content, Loader=_Loader)


def _check_events(events: Iterable[yaml.Event]) -> None:
    """Refuse what the loader would take all memory or time for."""
    depth = 0
    for count, event in enumerate(events):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST or count > _MOST_VALUES:
            raise UnreadableError("YAML too deep, or of too many values")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _LONGEST_NUMBER:
            if event.tag or (not event.style and event.value[0] in "+-.0123456789"):
                raise UnreadableError("a number that is too long")


def compare_values(old: Json, new: Json, judge: Judge, path: Keys = ()) -> None:
    """Two plain values, leaf by leaf; ``path`` is where they stand.

    Raises:
        UnreadableError: they are too many, or nested too deeply.
    """
    judge.spend()
    if len(path) > _DEEPEST:
        raise UnreadableError(f"nested deeper than {_DEEPEST}")
    if isinstance(old, (Mapping, list, tuple)) and judge.meets(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key, now in _paired_keys(old, new, path, judge):
            inside = (*path, str(key))
            _compare_below(old.get(key, _MISSING), new.get(now, _MISSING), inside, judge)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        judge.size(_place_of(path), len(old), len(new), "items")
        for i, (one, other) in enumerate(zip(old, new)):
            _compare_below(one, other, (*path, i), judge)
    else:
        _compare_leaves(old, new, path, judge)


def _paired_keys(
    old: Mapping[str, Json], new: Mapping[str, Json], path: Keys, judge: Judge
) -> Iterator[tuple[str, str]]:
    """Each key, and what it is called in the new mapping where it names a moved path."""
    added = dict.fromkeys(key for key in new if key not in old)
    plain = judge.rules.moved.plain
    moved = {plain(str(key)): key for key in added}
    for key in old:
        now = key if key in new else moved.pop(plain(str(key)), key)
        if now != key:
            judge.leaves_out(general((*path, str(key))), PATHS)
            del added[now]
        yield key, now
    yield from ((key, key) for key in added)


def _compare_below(old: Json, new: Json, path: Keys, judge: Judge) -> None:
    judge.spend()
    kind = type(old)
    if kind is type(new) and kind in (str, int, float, bool) and old == new:
        return
    by = judge.rule(general(path)) if isinstance(path[-1], str) else None
    if by is not None:
        if _is_other(old, new, path, judge):
            judge.leaves_out(general(path), by)
    elif old is _MISSING or new is _MISSING:
        before, after = (ABSENT if each is _MISSING else each for each in (old, new))
        judge.differs(_place_of(path), before, after)
    else:
        compare_values(old, new, judge, path)


def _is_other(old: Json, new: Json, path: Keys, judge: Judge) -> bool:
    """Whether two values below a key that does not count are not exactly the same."""
    if old is _MISSING or new is _MISSING:
        return True
    inner = judge.inner(exact=True)
    compare_values(old, new, inner, path)
    judge.budget = inner.budget
    return not inner.is_clean


def _compare_leaves(old: Json, new: Json, path: Keys, judge: Judge) -> None:
    if is_number(old) and is_number(new):
        judge.number(_place_of(path), old, new)
    elif isinstance(old, str) and isinstance(new, str):
        judge.text(_place_of(path), old, new, general(path))
    elif isinstance(old, (bytes, bytearray)) and isinstance(new, (bytes, bytearray)):
        compare_streams(io.BytesIO(old), io.BytesIO(new), _place_of(path), judge)
    elif type(old) is not type(new) or old != new:
        judge.differs(_place_of(path), old, new)


def general(path: Keys) -> str:
    """A path as patterns know it: any item of a list is ``[]``."""
    return "".join("[]" if type(each) is int else f".{each}" for each in path).lstrip(".")


def _place_of(path: Keys) -> str:
    return "".join(f"[{each}]" if type(each) is int else f".{each}" for each in path).lstrip(".")
