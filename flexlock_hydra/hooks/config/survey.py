"""A config walked once: as plain data, and where in it the interpolations are.

Large configs are mostly plain values, so each is touched once and OmegaConf is asked only
about the strings that hold an interpolation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

from omegaconf import AnyNode, Container, DictConfig

from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.snapshot_calls import (
    CALL, ONE_CALL, Interpolation, failure_in_words, first_line, located, resolve_calls
)
from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT, SCALARS, children, raw_value
from flexlock_hydra.record.codec import Json

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\}")


@dataclass
class Survey:
    """A config as plain data before resolution, and its interpolations in their order."""

    unresolved: Json = None
    interpolations: list[Interpolation] = field(default_factory=list)
    _resolved: Json = None
    _known: dict[int, Interpolation] = field(default_factory=dict)
    """The same by their nodes: what several references lead to is resolved once."""
    _before: tuple[tracking.PathCollector, list[str]] | None = None
    """What :meth:`name_data` collected, and what failed in it."""

    def name_data(self, *, whole: bool) -> tuple[Path, ...]:
        """The paths that the snapshot expressions name, before there is a run to record them.

        :meth:`resolve_snapshots` then hands them on, and resolves nothing a second time.

        Args:
            whole: see there.
        """
        collector = tracking.PathCollector()
        with collector.collecting():
            failed = self.resolve_snapshots(whole=whole)
        self._before = collector, failed
        return located(collector)

    def resolve_snapshots(self, *, whole: bool = False) -> list[str]:
        """Resolve the snapshot expressions, which records their paths; what failed, in words.

        Args:
            whole: whether the strings that they stand in are to be resolved later: then they are
                now, and no resolver in them runs twice. Else of a string only the sub-expression
                ``${snapshot:...}`` is resolved, so no other resolver of the user's runs.
        """
        if self._before is not None:
            collector, failed = self._before
            collector.repeat()
            return failed
        strings = [each for each in self.interpolations if CALL.search(each.text)]
        return list(self._resolve_whole(strings) if whole else resolve_calls(strings))

    def resolve(self) -> tuple[Json, list[str]]:
        """The resolved config, and in words what failed: there the interpolation stays."""
        failed: list[str] = []
        for found in self.interpolations:
            found.place[found.name] = self._plain(found, failed)
        return self._resolved, failed

    def _resolve_whole(self, strings: Iterable[Interpolation]) -> Iterator[str]:
        for found in strings:
            self._settle(found)
            if found.error is None:
                continue
            # Perhaps it failed before the snapshot expressions in it had their turn.
            if not ONE_CALL.fullmatch(found.text):
                yield from resolve_calls([found])
            else:
                found.is_told = True
                yield failure_in_words(found, found.error)

    def _plain(self, found: Interpolation, failed: list[str]) -> Json:
        """The value of a string as plain data; the string itself, and why, where there is none."""
        found = self._settle(found)
        if found.error is None and isinstance(found.value, Container):
            inner = survey(found.value)
            inner._known = self._known
            plain, reasons = inner.resolve()
            failed.extend(reasons)
            return plain
        if found.error is not None:
            if not found.is_told:
                failed.append(f"config {found.full_key}: {found.error}")
            return found.text
        return plain_value(found.value)

    def _settle(self, found: Interpolation) -> Interpolation:
        """Resolve a string, if nobody did; the first that was found of its node."""
        known = self._known.setdefault(id(found.node), found)
        if not known.is_begun:
            known.is_begun = True
            try:
                known.value = self._value(known)
            except (Exception, SystemExit) as error:  # the user's own resolvers run here
                known.error = first_line(error)
        return known

    def _value(self, found: Interpolation) -> Any:
        value = self._referred(config_nodes.root_of(found.container), found.text)
        is_typed = not isinstance(found.node, AnyNode)
        if is_typed and value is not ABSENT:
            value = config_nodes.converted(found.node, value)
        if value is not ABSENT:
            return value
        if is_typed:  # the node converts what it gets
            return raw_value(found.container[found.key])
        tree = config_nodes.parsed(found.text)
        return raw_value(config_nodes.evaluate(found.container, found.node, tree))

    def _referred(self, root: Any, text: str) -> Any:
        """The value of a string of plain references, ``${a.b}/${c}``, without OmegaConf's parser.

        Most interpolations are such, and the parser takes 0.3 ms for each. ``ABSENT`` of any
        other string.
        """
        literals, paths = (_REFERENCE.split(text)[start::2] for start in (0, 1))
        if any("$" in literal or "\\" in literal for literal in literals):
            return ABSENT
        values = [self._at(config_nodes.node_at(root, path)) for path in paths]
        if len(values) == 1 and literals == ["", ""]:
            return values[0]
        if not all(type(value) in (str, int) for value in values):
            return ABSENT
        return "".join(f"{literal}{value}" for literal, value in zip(literals, [*values, ""]))

    def _at(self, node: Any) -> Any:
        """The value of a node: its own, or what it is resolved to.

        Raises:
            ValueError: it cannot be resolved, and a string that refers to it cannot, either.
        """
        value = config_nodes.scalar(node)
        known = self._known.get(id(node)) if value is ABSENT else None
        if known is None:
            return value
        if self._settle(known).error is not None:
            raise ValueError(known.error)
        return known.value


def survey(config: Container | None, without: Collection[str] = ()) -> Survey:
    """A config as plain data, with its interpolations found; nothing is resolved.

    Args:
        without: keys at its root that are passed over.
    """
    found = Survey()
    value = None if config is None else raw_value(config)
    if isinstance(value, Container):
        found.unresolved, found._resolved = _walk(value, found.interpolations, without)
        found._known = {id(each.node): each for each in found.interpolations}
    else:
        found.unresolved = found._resolved = plain_value(value)
    return found


def to_plain(config: Container | None) -> Json:
    """An unresolved config as data that YAML can hold."""
    return survey(config).unresolved


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
        name = key if is_list or type(key) is str else str(plain_value(key))
        if type(value) in SCALARS:
            raw[name] = value
            if type(value) is str and "${" in value:
                own.append(Interpolation(container, key, node, value, name))
                found.append(own[-1])
        elif isinstance(value, Container):
            raw[name], other[name] = _walk(value, found)
        else:
            raw[name] = plain_value(value)
    # What has nothing to resolve is shared by both: only interpolations are written over.
    kept, place = ([*raw.values()], [*(raw | other).values()]) if is_list else (raw, raw | other)
    if len(found) == before:
        return kept, kept
    for interpolation in own:
        interpolation.place = place
    return kept, place


def plain_value(value: Any) -> Json:
    if type(value) in SCALARS:
        return value
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, (str, PurePath)):
        return str(value)
    if isinstance(value, Mapping):
        return {str(plain_value(key)): plain_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain_value(item) for item in value]
    return repr(value)
