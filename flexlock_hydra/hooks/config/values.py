"""Single values of a config, read without a resolver of the user's."""

from __future__ import annotations

from typing import Any

from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flexlock_hydra.hooks.config.own_resolvers import is_own_node
from flexlock_hydra.hooks.config.survey import plain_value, survey, to_plain
from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT
from flexlock_hydra.record.codec import Json


def value_at(config: Any, path: str) -> Json:
    """What stands at a dotted path of a config, as plain data; None where nothing does.

    A scalar is resolved, a container is not. None as well where a resolver of the user's makes the
    value: it would run once more than without the record. OmegaConf itself takes 30 us a key.
    """
    node = config_nodes.node_at(config, path)
    value = config_nodes.scalar(node)
    if isinstance(node, Container) and isinstance(config_nodes.raw_value(node), Container):
        return survey(node).unresolved
    if value is ABSENT:  # an interpolation, in the place of a container too
        if not is_own_node(node):
            return None
        value = OmegaConf.select(config, path)
    return to_plain(value) if isinstance(value, Container) else plain_value(value)


def folder_at(config: DictConfig, path: str) -> str | None:
    """The folder that a dotted path of a config names.

    None where a resolver of the user's takes part, and where it cannot be resolved: Hydra says so.
    """
    if not is_own_node(config_nodes.node_at(config, path)):
        return None
    try:
        return str(OmegaConf.select(config, path))
    except OmegaConfBaseException:
        return None
