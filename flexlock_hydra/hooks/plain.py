"""A config as plain data that YAML can hold, resolved as far as it can be."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Any

from omegaconf import Container, OmegaConf

from flexlock_hydra.capture.secrets import MASK
from flexlock_hydra.hooks import scan
from flexlock_hydra.record.codec import Json, same

_ABSENT = object()


def to_plain(config: Container | None, *, resolve: bool) -> Json:
    """A config as data that YAML can hold.

    Raises:
        Exception: whatever a resolver of the user's raises.
    """
    if config is None:
        return None
    return _plain(OmegaConf.to_container(config, resolve=resolve, enum_to_str=True))


def resolve(config: Container) -> tuple[Json, list[str]]:
    """The resolved config; a key whose resolution fails keeps its interpolation."""
    try:
        return to_plain(config, resolve=True), []
    except Exception:  # the user's own resolvers run here
        failed: list[str] = []
        return _resolve_each(config, failed), failed


def _resolve_each(container: Any, failed: list[str]) -> Json:
    """The same key by key."""
    if container._is_none() or container._is_missing():
        return to_plain(container, resolve=False)
    items: dict[Any, Json] = {}
    for key in scan.keys(container):
        node = container._get_node(key)
        try:
            value = container[key]
            items[key] = (
                _resolve_each(value, failed) if isinstance(value, Container) else _plain(value)
            )
        except Exception as error:  # as above
            items[key] = _plain(node._value())
            if not node._is_missing():
                failed.append(f"config {node._get_full_key(None)}: {_first_line(error)}")
    return list(items.values()) if OmegaConf.is_list(container) else _plain(items)


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


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PurePath):
        return str(value)
    if value is None or type(value) in (bool, int, float, str):
        return value
    return repr(value)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
