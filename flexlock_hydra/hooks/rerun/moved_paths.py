"""In a rerun, paths in the config lead to where they lie now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any

from omegaconf import Container, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from flexlock_hydra.hooks.config.snapshot_calls import CALL
from flexlock_hydra.hooks.config.undisturbed import undisturbed
from flexlock_hydra.hooks.rerun.notes import Relocation
from flexlock_hydra.ports.hydra_internals.config_nodes import children, full_key, raw_value


def move_paths(config: Container, relocation: Relocation, without: Collection[str]) -> None:
    """Give a config the present places of what it names on the machine of the original run.

    Absolute paths that stand plainly in it move wherever they lead to. Other texts do where they
    are the recorded input of their key, or of another key with the same text: a path that the
    home, a variable or the project's place makes may lead to nothing here. The resolver does it
    for what is marked.

    Args:
        without: keys at its root that are passed over.
    """
    if relocation.tree is None:  # no rerun
        return
    texts = [*_texts(config, without)]
    inputs = _moved_inputs(config, texts, relocation)
    with flag_override(config, ["readonly", "struct"], False):
        for container, key, node, text in texts:
            plain = "$" not in text and os.path.isabs(text)
            moved = relocation(text, full_key(node)) if plain else inputs.get(text, text)
            if moved != text:
                container[key] = Path(moved) if isinstance(raw_value(node), PurePath) else moved


def _moved_inputs(
    config: Container, texts: list[tuple[Any, Any, Any, str]], relocation: Relocation
) -> dict[str, str]:
    """The texts of recorded inputs that lead to nothing here, each with where its input lies."""
    found = {}
    for _, _, node, text in texts:
        key = full_key(node)
        if key in relocation.inputs:
            value = _value(config, key) if "${" in text else text
            moved = relocation(value, key)
            if moved != value:
                found[text] = moved
    return found


def _value(config: Container, key: str) -> str:
    """The text that an interpolation makes; an empty one where it cannot be resolved here."""
    try:
        with undisturbed():
            value = OmegaConf.select(config, key)
    except OmegaConfBaseException:  # of a user's resolver too: OmegaConf wraps what it raises
        return ""
    return str(value) if isinstance(value, (str, PurePath)) else ""


def _texts(
    container: Container, without: Collection[str] = ()
) -> Iterator[tuple[Any, Any, Any, str]]:
    """The strings and paths of a config that are not marked."""
    for key, node in children(container):
        value = raw_value(node)
        if isinstance(value, Container):
            if key not in without:
                yield from _texts(value)
        elif isinstance(value, (str, PurePath)) and not CALL.search(str(value)):
            yield container, key, node, str(value)
