"""Values of configs, and the secrets that they hold or read: what other texts are searched for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flexlock_hydra.capture.secrets.key_names import GROUP, KeyJudge, hides, is_setting
from flexlock_hydra.capture.secrets.shapes import MASK, url_passwords

ENV_READ = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")
ENV_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*,\s*)([^${}]+)(\})")
_BRACES = re.compile(r"\$\{|\}|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
NO_FALLBACKS = ("", "null", "true", "false", "???")
SCALARS = frozenset((str, int, float, bool, type(None)))
_EVERYBODYS = frozenset(
    "admin administrator changeme default docker example guest localhost minioadmin minio "
    "mysql nobody none null password postgres public redis required secret string unknown "
    "token user username".split()
)
_PLACE = re.compile(r"(?:~|\.{0,2})(?:/[\w. -]+){2,}/?|[A-Za-z]:\\.*")
# Characters: of a secret that is looked for elsewhere, of one that is a word or a number, and of
# one that is found even inside of another word
_SHORTEST, _SHORTEST_WORD, _LONG = 4, 6, 12


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


def gather_secrets(
    items: Any, key: Any, judge: KeyJudge, found: set[str], seen: set[tuple[int, Any]]
) -> None:
    """Put the secrets that a plain list or dict holds or reads into ``found``, at any depth.

    Args:
        key: the name that the items of a list stand under.
        seen: what was gone through already, by identity and key.
    """
    if (id(items), key) in seen:
        return
    seen.add((id(items), key))
    pairs: Iterable[tuple[Any, Any]]
    pairs = items.items() if type(items) is dict else enumerate(items)
    inherits = type(items) is not dict or judge(key) == GROUP
    for place, item in pairs:
        kind = type(item)
        name: Any = key if inherits else place
        if kind is str:
            if hides(judge, name, item) and (judge(place) or not is_setting(place)):
                found.add(item)
            if "://" in item:
                found.update(url_passwords(item))
            if "oc.env" in item:
                found.update(_env_secrets(item, name, judge))
        elif kind is dict or kind is list:
            gather_secrets(item, name, judge, found, seen)
        elif kind in SCALARS:
            if kind is int and judge(name):
                found.add(str(item))
        elif (container := plain_container(item)) is not None:
            gather_secrets(container, name, judge, found, set())


def _env_secrets(text: str, key: str, judge: KeyJudge) -> Iterator[str]:
    """The values of the secret variables that a text reads, and the fallbacks beside them."""
    for name in ENV_READ.findall(text):
        if judge(name) or judge(key):
            yield os.environ.get(name, "")
    for match in ENV_DEFAULT.finditer(text):
        if judge(match[2]) or judge(key):
            yield literal_fallback(match)


def is_telling(secret: str) -> bool:
    """Whether a secret is looked for in other texts: it hides no ordinary word there."""
    if len(secret) < (_SHORTEST_WORD if secret.isalpha() or secret.isdigit() else _SHORTEST):
        return False
    return not (
        secret.lower() in _EVERYBODYS
        or _PLACE.fullmatch(secret)
        or not any(map(str.isalnum, secret))
        or is_interpolation(secret)
    )


@lru_cache(maxsize=8)
def known_pattern(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Finds secrets in a text, the longest first; None where there are none."""
    forms = {form for secret in secrets for form in _written_forms(secret)}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, longest_first))) if forms else None


def _written_forms(secret: str) -> Iterator[str]:
    """A secret as it stands in a URL, in JSON or in a repr; of several lines also each one."""
    yield from (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _LONG)


def hide_known(match: re.Match[str]) -> str:
    """The mask; a word or a number that is a secret stays where it is a part of another."""
    secret, text = match[0], match.string
    is_word = secret.isalpha() or secret.isdigit()
    if len(secret) < (_LONG if is_word else _SHORTEST_WORD):
        around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
        if any(map(str.isalnum, around)):
            return secret
    return MASK
