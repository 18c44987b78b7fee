"""Strings of a config that come to their value without a resolver of the user's.

A resolver may count, draw a number or make a folder: what is not needed for the record is read
only where Hydra's resolvers and OmegaConf's alone take part.
"""

from __future__ import annotations

import re
from typing import Any

from omegaconf import Container

from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT, raw_value

_PATH = r"\.*[\w/-]+(?:[.\[]+[\w/-]+\]?)*"
# Each interpolation in a string: a plain reference, Hydra's reference, a resolver, else nothing.
_OPENED = re.compile(rf"\$\{{(?:({_PATH})\}}|hydra:({_PATH})\}}|([A-Za-z_][\w.]*):)?")
_OWN = frozenset({"now", "oc.env", "oc.decode", "oc.create", "python_version", "snapshot"})
_DEEPEST = 20  # references that lead to references


def is_own(container: Any, text: str, depth: int = 0) -> bool:
    """Whether no resolver of the user's takes part in a string's value; False where in doubt.

    Args:
        container: the mapping or list that the string stands in.
    """
    for path, of_hydra, name in _OPENED.findall(text):
        if path or of_hydra:
            node = config_nodes.referred_node(container, path or f"hydra.{of_hydra}")
            if depth == _DEEPEST or not is_own_node(node, depth + 1):
                return False
        elif name not in _OWN:
            return False
    return True


def is_own_node(node: Any, depth: int = 0) -> bool:
    """The same of a node, whatever it holds; False of one that is not there."""
    value = ABSENT if node is ABSENT else raw_value(node)
    if isinstance(value, Container):
        return all(is_own_node(each, depth) for _, each in config_nodes.children(value))
    if isinstance(value, str) and "${" in value:
        return is_own(config_nodes.parent_of(node), value, depth)
    return value is not ABSENT
