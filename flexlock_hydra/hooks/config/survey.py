"""A config walked once: as plain data, and where in it the interpolations are.

Large configs are mostly plain values, so each is touched once and OmegaConf is asked only
about the strings that hold an interpolation.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from omegaconf import AnyNode, Container, DictConfig, OmegaConf

from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.hooks.config import resolver, tracking
from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT, SCALARS, children, raw_value
from flexlock_hydra.record.codec import Json

_CALL = re.compile(rf"\$\{{\s*{resolver.NAME}\s*:")
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\}")
# Modules of random numbers, and how the state of each is read and set.
_GENERATORS = (
    ("random", "getstate", "setstate"),
    ("numpy.random", "get_state", "set_state"),
    ("torch.random", "get_rng_state", "set_rng_state"),
)


@dataclass
class Interpolation:
    """A string of a config with ``${...}`` in it, and where its resolved value belongs."""

    container: Any
    key: Any
    node: Any
    text: str
    name: str | int
    place: Any = None
    has_failed: bool = False

    @property
    def full_key(self) -> str:
        """The config key, ``data.train`` or ``data.list[1]``."""
        return config_nodes.full_key(self.node)


@dataclass
class Survey:
    """A config as plain data before resolution, and its interpolations in their order."""

    unresolved: Json = None
    interpolations: list[Interpolation] = field(default_factory=list)
    _resolved: Json = None

    def resolve_snapshots(self) -> list[str]:
        """Resolve the snapshot expressions alone, which records their paths; what failed, in words.

        Of a string only the sub-expression ``${snapshot:...}`` is resolved, so no other
        resolver of the user's runs more often than it would.
        """
        return list(_resolve_calls(self.interpolations))

    def resolve(self) -> tuple[Json, list[str]]:
        """The resolved config, and in words what failed: there the interpolation stays."""
        failed: list[str] = []
        for found in self.interpolations:
            found.place[found.name] = _resolved_value(found, failed)
        return self._resolved, failed


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Leave random numbers and the working folder as they were.

    The user's own resolvers run where a config is resolved, and the task may count on
    being the only one that draws.
    """
    # Only generators that the app has loaded can be disturbed; torch is not imported for this.
    states = [
        (getattr(sys.modules[name], put), getattr(sys.modules[name], get)())
        for name, get, put in _GENERATORS
        if hasattr(sys.modules.get(name), put)  # it may be half imported
    ]
    cwd = os.getcwd()
    try:
        yield
    finally:
        for put_back, state in states:
            put_back(state)
        os.chdir(cwd)


def survey(config: Container | None, without: Collection[str] = ()) -> Survey:
    """A config as plain data, with its interpolations found; nothing is resolved.

    Args:
        without: keys at its root that are passed over.
    """
    found = Survey()
    value = None if config is None else raw_value(config)
    if isinstance(value, Container):
        found.unresolved, found._resolved = _walk(value, found.interpolations, without)
    else:
        found.unresolved = found._resolved = _plain_value(value)
    return found


def named_data(config: Container, without: Collection[str] = ()) -> tuple[Path, ...]:
    """The paths that a config's snapshot expressions name, from where the job starts.

    An expression that cannot be resolved names none; what is wrong with it is said of the job.
    """
    collector = tracking.PathCollector()
    tracking.enter_sink(collector)
    try:
        list(_resolve_calls(_strings_with_calls(config, without)))
    finally:
        tracking.leave_sink(collector)
    cwd = Path.cwd()
    return tuple(Places(cwd, cwd, cwd).locate(given) for given in collector.given)


def has_marks(config: Container) -> bool:
    """Whether a snapshot expression stands anywhere in a config."""
    return any(True for _ in _strings_with_calls(config))


def marked_keys(config: Container, without: Collection[str] = ()) -> dict[str, str]:
    """The keys of a config that snapshot expressions stand at, each with the name of its input."""
    keys, collector = dict[str, str](), tracking.PathCollector()
    tracking.enter_sink(collector)
    try:
        for found in _strings_with_calls(config, without):
            keys[found.full_key] = found.full_key
            list(_resolve_calls([found]))
    finally:
        tracking.leave_sink(collector)
    return keys | {key: name for key, name in collector.names.items() if key in keys}


def to_plain(config: Container | None) -> Json:
    """An unresolved config as data that YAML can hold."""
    return survey(config).unresolved


def value_at(config: Any, path: str) -> Json:
    """What stands at a dotted path of a config, as plain data; None where nothing does.

    A scalar is resolved, a container is not. OmegaConf itself takes 30 us a key.
    """
    node = config_nodes.node_at(config, path)
    if isinstance(node, Container):
        return survey(node).unresolved
    value = config_nodes.scalar(node)
    if value is ABSENT:
        value = OmegaConf.select(config, path)
    return to_plain(value) if isinstance(value, Container) else _plain_value(value)


def plain_at(config: Json, key: str) -> Json:
    """What stands at a full key, ``data.list[1]``, of a config as plain data; None for nothing."""
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(config, dict):
            config = config.get(part)
        elif isinstance(config, list) and part.isdigit() and int(part) < len(config):
            config = config[int(part)]
        else:
            return None
    return config


def strings_passing(
    value: Json, test: Callable[[str], bool], key: str = ""
) -> Iterator[tuple[str, str]]:
    """The strings of a config, as plain data, that pass a test, with their full keys."""
    is_list = isinstance(value, list)
    for name, each in enumerate(value) if is_list else value.items():
        is_text = isinstance(each, str)
        if isinstance(each, (dict, list)) or (is_text and test(each)):
            inner = f"{key}[{name}]" if is_list else f"{key}.{name}" if key else f"{name}"
            yield from [(inner, each)] if is_text else strings_passing(each, test, inner)


def _walk(
    container: Container, found: list[Interpolation], without: Collection[str] = ()
) -> tuple[Json, Json]:
    """A container as plain data, twice: to keep, and to put resolved values into.

    The two are one where there is nothing to resolve.
    """
    raw: dict[Any, Json] = {}
    other: dict[Any, Json] = {}
    own = []
    before = len(found)
    is_list = not isinstance(container, DictConfig)
    for key, node in children(container):
        if key in without:
            continue
        value = raw_value(node)
        name = key if is_list or type(key) is str else str(_plain_value(key))
        if type(value) in SCALARS:
            raw[name] = value
            if type(value) is str and "${" in value:
                own.append(Interpolation(container, key, node, value, name))
                found.append(own[-1])
        elif isinstance(value, Container):
            raw[name], other[name] = _walk(value, found)
        else:
            raw[name] = _plain_value(value)
    # What has nothing to resolve is shared by both: only interpolations are written over.
    kept, place = ([*raw.values()], [*(raw | other).values()]) if is_list else (raw, raw | other)
    if len(found) == before:
        return kept, kept
    for interpolation in own:
        interpolation.place = place
    return kept, place


def _resolve_calls(strings: Iterable[Interpolation]) -> Iterator[str]:
    """Resolve each snapshot expression in some strings; yield what failed, in words."""
    for found in strings:
        if not _CALL.search(found.text):  # most are plain references: do not parse them
            continue
        for expression in config_nodes.resolver_calls(found.text, resolver.NAME):
            try:
                config_nodes.evaluate(found.container, found.node, expression)
            except (Exception, SystemExit) as error:  # the user's own resolvers run here
                found.has_failed = True
                why = _first_line(error)
                yield f"{found.full_key}: {found.text} cannot be resolved: {why}"


def _strings_with_calls(
    container: Container, without: Collection[str] = ()
) -> Iterator[Interpolation]:
    """The strings of a config that hold a snapshot expression."""
    for key, node in children(container):
        value = raw_value(node)
        if type(value) is str and "${" in value and _CALL.search(value):
            yield Interpolation(container, key, node, value, "")
        elif isinstance(value, Container) and key not in without:
            yield from _strings_with_calls(value)


def _resolved_value(found: Interpolation, failed: list[str]) -> Json:
    """The value of a string as plain data; the string itself, and why, where there is none."""
    is_typed = not isinstance(found.node, AnyNode)
    if not is_typed:
        value = _references(config_nodes.root_of(found.container), found.text)
        if value is not ABSENT:
            return value
    try:
        if is_typed:  # the node converts what it gets
            value = raw_value(found.container[found.key])
        else:
            tree = config_nodes.parsed(found.text)
            value = raw_value(config_nodes.evaluate(found.container, found.node, tree))
        if not isinstance(value, Container):
            return _plain_value(value)
        inner = survey(value)
    except (Exception, SystemExit) as error:  # the user's own resolvers run here
        if not found.has_failed:
            failed.append(f"config {found.full_key}: {_first_line(error)}")
        return found.text
    plain, reasons = inner.resolve()
    failed.extend(reasons)
    return plain


def _references(root: Any, text: str) -> Json:
    """A string of plain references, ``${a.b}/${c}``, looked up without OmegaConf's parser.

    Most interpolations are such, and the parser takes 0.3 ms for each.
    """
    literals, paths = (_REFERENCE.split(text)[start::2] for start in (0, 1))
    if any("$" in literal or "\\" in literal for literal in literals):
        return ABSENT
    values = [config_nodes.scalar(config_nodes.node_at(root, path)) for path in paths]
    if len(values) == 1 and literals == ["", ""]:
        return values[0]
    if not all(type(value) in (str, int) for value in values):
        return ABSENT
    return "".join(f"{literal}{value}" for literal, value in zip(literals, [*values, ""]))


def _plain_value(value: Any) -> Json:
    if type(value) in SCALARS:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (str, PurePath)):
        return str(value)
    if isinstance(value, Mapping):
        return {str(_plain_value(key)): _plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain_value(item) for item in value]
    return repr(value)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
