"""``${snapshot:path}`` and ``${snapshot:path,key}``: track a path, return it as given."""

from __future__ import annotations

from typing import Any

from omegaconf import Node, OmegaConf

from flexlock_hydra.ports.hydra_internals import config_nodes

NAME = "snapshot"


def register_resolver() -> None:
    """Make the resolver known to OmegaConf; to be called again after ``clear_resolvers()``."""
    config_nodes.add_resolver(NAME, snapshot_resolver)


def snapshot_resolver(*path_and_key: Any, _node_: Node | None = None) -> Any:
    """Record a path as data of the active run, under a key or the config's own key.

    Outside of a job this is pure. A list of paths records each of them.

    Raises:
        ValueError: no path, or more than a path and a key.
    """
    if not 1 <= len(path_and_key) <= 2:
        raise ValueError(
            "it is ${snapshot:path} or ${snapshot:path,key}; quote a path with a comma in it"
        )
    path, key = (*path_and_key, None)[:2]
    # Not before: what imports tracking may import omegaconf, which registers this.
    from flexlock_hydra.hooks.config import tracking

    sink = tracking.current()
    if sink is None or path is None:
        return path
    config_key = config_nodes.full_key(_node_) if _node_ is not None else ""
    name = None if key is None else str(key)
    if OmegaConf.is_list(path) or isinstance(path, (list, tuple)):
        for i, item in enumerate(path):
            sink.see(str(item), f"{name or config_key}[{i}]", config_key)
        return path
    return sink.see(str(path), name, config_key, original=path)
