"""Find the snapshot expressions of a config before the task touches any of them.

Only the sub-expression ``${snapshot:...}`` of a string is resolved, so no other
resolver of the user's runs more often than it would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import Container, DictConfig, ListConfig, Node
from omegaconf.grammar_parser import parse

from flexlock_hydra.hooks.resolver import NAME

_CALL = re.compile(rf"\$\{{\s*{NAME}\s*:")


def resolve_snapshots(config: Container) -> list[str]:
    """Resolve every snapshot expression below ``config``; what failed, in words."""
    failed = []
    for node, parent, text in _strings(config):
        for expression in _expressions(parse(text)):
            try:
                parent.resolve_parse_tree(expression, node=node, key=node._key())
            except Exception as error:  # the user's own resolvers run here
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                failed.append(f"{node._get_full_key(None)}: {text} cannot be resolved: {reason}")
    return failed


def _strings(container: Container) -> Iterator[tuple[Node, Any, str]]:
    """Each string below a container that may hold a snapshot expression."""
    if container._is_none() or container._is_missing() or container._is_interpolation():
        return
    for key in keys(container):
        node = container._get_node(key)
        if isinstance(node, (DictConfig, ListConfig)):
            yield from _strings(node)
        elif isinstance(node, Node):
            text = node._value()
            if isinstance(text, str) and _CALL.search(text):
                yield node, container, text


def keys(container: Any) -> list[Any]:
    """The keys of a mapping, the indexes of a list."""
    if isinstance(container, ListConfig):
        return list(range(len(container)))
    return list(container.keys())


def _expressions(tree: Any) -> Iterator[Any]:
    """The resolver calls named ``snapshot`` in a parse tree, the outermost of a nest."""
    if type(tree).__name__ == "InterpolationResolverContext":
        if tree.resolverName().getText() == NAME:
            yield tree
            return
    for child in tree.getChildren() if hasattr(tree, "getChildren") else ():
        yield from _expressions(child)
