"""Plain data as YAML, in block style: a lock is mostly config, and most jobs are short.

PyYAML's own emitter, the one in C included, takes ten times as long. What is written here
is a subset of YAML 1.1 that any loader reads back to the same value: plain scalars where
nothing can be mistaken, literal blocks for lines of text, else JSON's double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

# ASCII that no loader takes for a number, a date or an indicator; run ids, versions.
_PLAIN = re.compile(
    r"[A-Za-z_/$](?:[!-9;-~]|:(?=[!-~])| (?=[!\"$-~]))*"
    r"|\d{8}T\d{6}Z-[0-9a-f]{8}|\d+\.\d+\.\d[\w.+]*",
    re.ASCII,
)

_RESERVED = frozenset("y n yes no on off true false null".split())
_LINES = re.compile(r"[^\s#\x00-\x1f\x7f-\x9f][^\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]*")
_NOT_AS_IS = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_MANY = 8  # Entries from which the text of a mapping is kept for the next time
_KEPT = 4096
# Mappings as they were written: a lock is written twice, most of its config stands in it twice, and
# its data is frozen.
_texts: dict[tuple[int, str], tuple[Mapping[str, Any], str]] = {}

# Characters; YAML allows 1024 before the colon of a key that no ``?`` announces.
_LONGEST_KEY = 1000


def emit(plain: Mapping[str, Any]) -> str:
    """A mapping of None, bool, int, float, str, lists and mappings as a YAML document."""
    lines: list[str] = []
    _mapping(plain, "", lines)
    return "".join(lines) or "{}\n"


def _mapping(plain: Mapping[str, Any], pad: str, lines: list[str]) -> None:
    for key, value in plain.items():
        name = _key(key)
        if len(name) > _LONGEST_KEY:
            name = f"? {name}\n{pad}"
        _entry(f"{pad}{name}:", value, pad, lines)


def _sequence(items: Sequence[Any], pad: str, lines: list[str]) -> None:
    inner = f"{pad}  "
    for item in items:
        if item and isinstance(item, (Mapping, list, tuple)):
            start = len(lines)
            _collection(item, inner, lines)
            lines[start] = f"{pad}- {lines[start][len(inner):]}"
        else:
            _entry(f"{pad}-", item, pad, lines)


def _collection(value: Mapping[str, Any] | Sequence[Any], pad: str, lines: list[str]) -> None:
    if not isinstance(value, Mapping):
        _sequence(value, pad, lines)
    elif len(value) < _MANY:
        _mapping(value, pad, lines)
    else:
        lines.append(_text_of(value, pad))


def _text_of(large: Mapping[str, Any], pad: str) -> str:
    known = _texts.get((id(large), pad))
    if known is None:  # what is kept holds on to its mapping: no other has that id meanwhile
        lines: list[str] = []
        _mapping(large, pad, lines)
        if len(_texts) >= _KEPT:
            _texts.clear()
        known = _texts[id(large), pad] = (large, "".join(lines))
    return known[1]


def _entry(head: str, value: Any, pad: str, lines: list[str]) -> None:
    """``key: value`` or ``- value``, over as many lines as it takes."""
    kind = type(value)
    if kind is str:
        text = _literal(value, pad) if _is_lines(value) else _scalar_text(value)
        lines.append(f"{head} {text}\n")
    elif kind is bool:
        lines.append(f"{head} true\n" if value else f"{head} false\n")
    elif kind is int:
        lines.append(f"{head} {value}\n")
    elif kind is float:
        lines.append(f"{head} {_float(value)}\n")
    elif value is None:
        lines.append(f"{head} null\n")
    elif not isinstance(value, (Mapping, list, tuple)):
        lines.append(f"{head} {_scalar_text(str(value))}\n")
    elif value:
        lines.append(f"{head}\n")
        _collection(value, f"{pad}  " if isinstance(value, Mapping) else pad, lines)
    else:
        lines.append(f"{head} {{}}\n" if isinstance(value, Mapping) else f"{head} []\n")


def _is_lines(text: str) -> bool:
    """Whether a text is lines that a literal block shows as they are."""
    return "\n" in text and _LINES.fullmatch(text) is not None and not text.endswith("\n\n")


def _literal(text: str, pad: str) -> str:
    keep = "|" if text.endswith("\n") else "|-"
    block = text.removesuffix("\n").split("\n")
    return "\n".join([keep, *(f"{pad}  {line}" if line else "" for line in block)])


def _scalar_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    quoted = encode_basestring(text)
    return _NOT_AS_IS.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


_key = lru_cache(maxsize=4096)(_scalar_text)


def _float(value: float) -> str:
    if value != value:
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")  # 1e-05 is text to YAML 1.1
