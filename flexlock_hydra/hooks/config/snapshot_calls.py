"""The snapshot expressions of a config, ``${snapshot:...}``: found and resolved, one by one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import Container

from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.hooks.config import resolver, tracking
from flexlock_hydra.hooks.config.own_resolvers import is_own
from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT, children, raw_value

CALL = re.compile(rf"\$\{{\s*{resolver.NAME}\s*:")
_NAME = re.compile(r",([\w.-]+)\}$")  # of a call's second argument
ONE_CALL = re.compile(rf"\$\{{\s*{resolver.NAME}\s*:[^{{}}]*(?:\$\{{[^{{}}]*\}}[^{{}}]*)*\}}")


@dataclass
class Interpolation:
    """A string of a config with ``${...}`` in it, and where its resolved value belongs."""

    container: Any
    key: Any
    node: Any
    text: str
    name: str | int
    place: Any = None
    value: Any = ABSENT
    """What it was resolved to: what is asked for twice is resolved once."""
    error: str | None = None
    """Why it has no value."""
    is_told: bool = False
    """Whether the error is among the warnings already."""
    is_begun: bool = False
    """Whether it was begun to be resolved: references may lead in a circle."""

    @property
    def full_key(self) -> str:
        """The config key, ``data.train`` or ``data.list[1]``."""
        return config_nodes.full_key(self.node)


def named_data(config: Container, without: Collection[str] = ()) -> tuple[Path, ...]:
    """The paths that a config's snapshot expressions name, from where the job starts.

    An expression that cannot be resolved names none; what is wrong with it is said of the job.
    """
    collector = tracking.PathCollector()
    with collector.collecting():
        list(resolve_calls(strings_with_calls(config, without)))
    return located(collector)


def names_data_by_itself(config: Container, without: Collection[str] = ()) -> bool:
    """Whether no resolver of the user's takes part in what a config's snapshot expressions name."""
    return all(
        is_own(found.container, expression.getText())
        for found in strings_with_calls(config, without)
        for expression in _calls(found)
    )


def has_marks(config: Container) -> bool:
    """Whether a snapshot expression stands anywhere in a config."""
    return any(True for _ in strings_with_calls(config))


def marked_keys(config: Container, without: Collection[str] = ()) -> dict[str, str]:
    """The keys of a config that snapshot expressions stand at, each with the name of its input.

    What a resolver of the user's takes part in is not resolved: there a plain name counts.
    """
    keys, collector = dict[str, str](), tracking.PathCollector()
    with collector.collecting():
        for found in strings_with_calls(config, without):
            keys[found.full_key] = found.full_key
            texts = [expression.getText() for expression in _calls(found)]
            if all(is_own(found.container, text) for text in texts):
                list(resolve_calls([found]))
            elif name := _NAME.search(texts[0]):
                keys[found.full_key] = name[1]
    return keys | {key: name for key, name in collector.names.items() if key in keys}


def located(collector: tracking.PathCollector) -> tuple[Path, ...]:
    """The paths that were collected, from where the job starts."""
    cwd = Path.cwd()
    return tuple(Places(cwd, cwd, cwd).locate(given) for given in collector.given)


def _calls(found: Interpolation) -> Iterator[Any]:
    """The snapshot expressions of a string, as parse trees."""
    if CALL.search(found.text):  # most are plain references: do not parse them
        yield from config_nodes.resolver_calls(found.text, resolver.NAME)


def resolve_calls(strings: Iterable[Interpolation]) -> Iterator[str]:
    """Resolve each snapshot expression in some strings; yield what failed, in words."""
    for found in strings:
        for expression in _calls(found):
            try:
                config_nodes.evaluate(found.container, found.node, expression)
            except (Exception, SystemExit) as error:  # the user's own resolvers run here
                found.is_told = True
                yield failure_in_words(found, first_line(error))


def failure_in_words(found: Interpolation, why: str) -> str:
    """What a lock says of a snapshot expression that cannot be resolved."""
    return f"{found.full_key}: {found.text} cannot be resolved: {why}"


def strings_with_calls(
    container: Container, without: Collection[str] = ()
) -> Iterator[Interpolation]:
    """The strings of a config that hold a snapshot expression."""
    for key, node in children(container):
        value = raw_value(node)
        if type(value) is str and "${" in value and CALL.search(value):
            yield Interpolation(container, key, node, value, "")
        elif isinstance(value, Container) and key not in without:
            yield from strings_with_calls(value)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, its type's name where it has none."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
