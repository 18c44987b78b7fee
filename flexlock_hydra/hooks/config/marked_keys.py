"""Which keys an app's own config marks, where an override may have taken the mark away.

The key is marked, not the value: what stands there in its place is recorded as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import Container, DictConfig

from flexlock_hydra.hooks.config import resolver
from flexlock_hydra.hooks.config.snapshot_calls import has_marks, marked_keys
from flexlock_hydra.hooks.config.values import value_at
from flexlock_hydra.ports.hydra_internals import app_start

_MARK = f"${{{resolver.NAME}:".encode()
_NUMBER = re.compile(r"[+-]?[\d.]+(?:e[+-]?\d+)?", re.I)
_LARGEST = 1 << 20  # bytes of a config file that is searched


def lost_marks(config: DictConfig, sources: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The keys that are marked without the user's overrides, each with the name of its input.

    Composing once more takes as long as Hydra itself takes for it, so it is done only where a
    config has a mark at all, and an override gives what may be a path, or an option of a group.

    Args:
        config: of the run or the sweep.
        sources: where Hydra looks for configs.
    """
    overrides = value_at(config, "hydra.overrides")["task"]
    name = value_at(config, "hydra.job.config_name")
    choices = value_at(config, "hydra.runtime.choices")
    if name is None or not any(_may_unmark(str(each), choices) for each in overrides):
        return {}
    if not _any_marks(sources):
        return {}
    own = app_start.compose_without_overrides(name)
    return {} if own is None else marked_keys(own, ("hydra",))


def _may_unmark(override: str, choices: Mapping[str, Any]) -> bool:
    key, _, value = override.lstrip("+~").partition("=")
    if key.partition("@")[0] in choices:
        return True
    words = (word.strip("'\" ") for word in value.strip("'\"[]() ").split(","))
    return any(_may_be_path(word) for word in words if word)


def _may_be_path(word: str) -> bool:
    return not _NUMBER.fullmatch(word) and ("/" in word or "." in word or os.path.lexists(word))


def _any_marks(sources: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a config has a mark: one in a file, or stored by the app; in a package it may."""
    own = [each for each in sources if each["provider"] not in ("hydra", "schema")]
    if any(each["schema"] != "file" for each in own):
        return True
    paths = (path for each in own for path in Path(each["path"]).rglob("*.yaml"))
    stored = ConfigStore.instance().repo
    own_nodes = _nodes(node for name, node in stored.items() if name != "hydra")
    return any(map(_has_mark, paths)) or any(map(_is_marked, own_nodes))


def _nodes(stored: Iterable[Any]) -> Iterator[Any]:
    """The configs in Hydra's store: a group of it is a mapping."""
    for each in stored:
        if isinstance(each, dict):
            yield from _nodes(each.values())
        else:
            yield each.node


def _is_marked(node: Any) -> bool:
    return isinstance(node, Container) and has_marks(node)


def _has_mark(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _MARK in file.read(_LARGEST)
    except OSError:
        return False
