"""In a rerun, absolute paths that stand plainly in the config lead to where they lie now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

from omegaconf import Container, flag_override

from flexlock_hydra.hooks.rerun.notes import Relocation
from flexlock_hydra.ports.hydra_internals.config_nodes import children, full_key, raw_value


def move_paths(config: Container, relocation: Relocation, without: Collection[str]) -> None:
    """Give a config the present places of what it names on the machine of the original run.

    The resolver does it for what is marked. Whatever an interpolation says is of this machine.

    Args:
        without: keys at its root that are passed over.
    """
    if relocation.tree is None:  # no rerun
        return
    with flag_override(config, ["readonly", "struct"], False):
        for container, key, node, text in [*_absolute_paths(config, without)]:
            moved = relocation(text, full_key(node))
            if moved != text:
                container[key] = Path(moved) if isinstance(raw_value(node), PurePath) else moved


def _absolute_paths(
    container: Container, without: Collection[str] = ()
) -> Iterator[tuple[Any, Any, Any, str]]:
    for key, node in children(container):
        value = raw_value(node)
        if isinstance(value, Container):
            if key not in without:
                yield from _absolute_paths(value)
        elif isinstance(value, (str, PurePath)) and "$" not in str(value) and os.path.isabs(value):
            yield container, key, node, str(value)
