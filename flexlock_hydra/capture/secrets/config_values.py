"""Values of configs: containers, interpolations, and what these read from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ENV_READ = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")
ENV_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*,\s*)([^${}]+)(\})")
_BRACES = re.compile(r"\$\{|\}|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
NO_FALLBACKS = ("", "null", "true", "false", "???")
SCALARS = frozenset((str, int, float, bool, type(None)))


def is_interpolation(value: Any) -> bool:
    """Whether a value is one interpolation from end to end: it names where it comes from."""
    if not isinstance(value, str) or not value.startswith("${"):
        return False
    depth = 0
    for match in _BRACES.finditer(value):
        depth += {"${": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end() == len(value)
    return False


def env_names(*configs: Any) -> set[str]:
    """The environment variables that unresolved configs read through ``oc.env``."""
    names: set[str] = set()
    waiting: list[Any] = [configs]
    while waiting:
        value = waiting.pop()
        if type(value) is str:
            if "oc.env" in value:
                names.update(ENV_READ.findall(value))
        elif type(value) not in SCALARS and (container := plain_container(value)) is not None:
            waiting.extend(container.values() if type(container) is dict else container)
    return names


def plain_container(value: Any) -> dict[Any, Any] | list[Any] | None:
    """A mapping or sequence of any type as a plain one; None for what is neither."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else None


def literal_fallback(match: re.Match[str]) -> str:
    """The literal fallback in an ``oc.env``, or nothing where it says that there is none."""
    text = match[3].strip("'\" ")
    return "" if text in NO_FALLBACKS else text
