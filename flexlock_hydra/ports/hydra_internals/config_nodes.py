"""Private names of OmegaConf: resolvers, nodes as they stand, and the grammar of interpolations.

Public access resolves what it reads, at some 30 us a key; a config is walked at each job's start,
and the user's resolvers must not run more often than the task has them run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import omegaconf
from omegaconf import AnyNode, Container, DictConfig, Node, OmegaConf, UnionNode, ValueNode
from omegaconf.grammar_parser import parse

ABSENT = object()
"""Stands for a value that is not there, or that OmegaConf would have to compute."""
_BETWEEN_KEYS = re.compile(r"[.\[\]]")
SCALARS = frozenset((type(None), bool, int, float, str))

parsed = lru_cache(maxsize=1024)(parse)
"""The parse tree of a string with interpolations; to make one takes 0.3 ms.

Seen on both; OmegaConf has no public parser.
"""


def add_resolver(name: str, function: Callable[..., Any]) -> None:
    """Register a resolver in the place of one with its name.

    2.4 deprecates the function that 2.3 needs, and reads annotations unless told not to. The
    version is compared because 2.3 has an unrelated function with the name of 2.4's.
    """
    if omegaconf.__version__.startswith("2.3."):
        OmegaConf.register_new_resolver(name, function, replace=True)
    else:
        new_register: Any = OmegaConf.register_resolver
        new_register(name, function, replace=True, annotation_validation="off")


def full_key(node: Any) -> str:
    """The config key of a node, ``data.train`` or ``data.list[1]``; seen on both, no public way."""
    return str(node._get_full_key(None))


def key_path(node: Node) -> list[Any]:
    """The keys that lead to a node from the config's root; seen on both, no public way."""
    keys: list[Any] = []
    here: Node | None = node
    while here is not None and (parent := here._get_parent()) is not None:
        keys.insert(0, here._key())
        here = parent
    return keys


def children(container: Any) -> Iterator[tuple[Any, Any]]:
    """The nodes of a mapping or list with their keys, as they stand.

    Seen on both; ``items_ex(resolve=False)`` looks each key up again.
    """
    content = container._content
    yield from content.items() if isinstance(content, dict) else enumerate(content)


def child(container: Any, key: Any) -> Any:
    """One node of a mapping or list, unresolved, its key made of the mapping's key type.

    Seen on both; indexing resolves.
    """
    return container._get_node(key)


def raw_value(node: Any) -> Any:
    """What a node holds: a container with nodes itself, else its value before resolution.

    Seen on both; ``OmegaConf.to_container(resolve=False)`` copies all that is below.
    """
    if type(node) is AnyNode:  # nearly all are: mind the time
        return node._value()
    if isinstance(node, UnionNode):
        node = node._content
    if isinstance(node, Container):
        return node if isinstance(node._content, (dict, list, tuple)) else node._content
    return node._value() if isinstance(node, Node) else node


def node_at(root: Any, path: str) -> Any:
    """The node at a dotted path through mappings; ``ABSENT`` where it takes more than a look.

    Seen on both; ``OmegaConf.select`` resolves on its way.
    """
    node = root
    for key in path.split("."):
        content = node._content if isinstance(node, DictConfig) else None
        node = content.get(key, ABSENT) if isinstance(content, dict) else ABSENT
    return node


def referred_node(container: Any, reference: str) -> Any:
    """The node that a reference leads to, ``a.b[0]`` or ``..c``, from the container it stands in.

    ``ABSENT`` where there is none, and where it leads through another interpolation. Seen on
    both; ``OmegaConf.select`` resolves on its way.
    """
    path = reference.lstrip(".")
    node = root_of(container) if path == reference else container
    for _ in reference[1 : len(reference) - len(path)]:
        node = parent_of(node)
    for key in filter(None, _BETWEEN_KEYS.split(path)):
        content = node._content if isinstance(node, Container) else None
        if isinstance(content, dict):
            node = content.get(key, ABSENT)
        elif isinstance(content, list) and key.isdecimal():
            node = ABSENT if int(key) >= len(content) else content[int(key)]
        else:
            return ABSENT
    return node


def parent_of(node: Any) -> Any:
    """The container of a node; None of the root. Seen on both, no public way."""
    return None if node is None else node._get_parent()


def scalar(node: Any) -> Any:
    """The plain value of a node; ``ABSENT`` for containers, interpolations and ``???``.

    Seen on both.
    """
    value = node._value() if isinstance(node, ValueNode) else ABSENT
    if type(value) is not str:
        return value if type(value) in SCALARS else ABSENT
    return value if "$" not in value and value != "???" else ABSENT


def converted(node: Any, value: Any) -> Any:
    """A resolved value as the type of a node has it; ``ABSENT`` where the node must say it itself.

    Seen on both; OmegaConf does it in the course of an access, which resolves.
    """
    if isinstance(node, ValueNode) and type(value) in SCALARS:
        return node.validate_and_convert(value)
    return ABSENT


def root_of(container: Any) -> Any:
    """The config that a container is a part of; seen on both, no public way."""
    return container._get_root()


def evaluate(container: Any, node: Any, tree: Any) -> Any:
    """The value of a parse tree where a node stands: its references are relative to it.

    Seen on both. Public access resolves the whole string, where one expression is asked for.
    """
    return container.resolve_parse_tree(tree, node=node, key=node._key())


def resolver_calls(text: str, name: str) -> Iterator[Any]:
    """The calls of a resolver in a string, as parse trees; of nested ones the outermost.

    Seen on both; the class is told by its name, for the generated parser is no public module.
    """
    waiting = [parsed(text)]
    while waiting:
        tree = waiting.pop()
        is_call = type(tree).__name__ == "InterpolationResolverContext"
        if is_call and tree.resolverName().getText() == name:
            yield tree
        elif hasattr(tree, "getChildren"):
            waiting.extend(reversed([*tree.getChildren()]))
