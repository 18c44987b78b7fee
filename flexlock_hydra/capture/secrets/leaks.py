"""The lines of a file that show a secret.

Only what shows itself is looked for: well-known tokens, private keys, and in files that
hold settings the values of names such as ``api_key``. A file is named by its path and
line, the secret by its kind, never by its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flexlock_hydra.capture.secrets import shapes
from flexlock_hydra.capture.secrets.key_names import judge_key
from flexlock_hydra.capture.secrets.shapes import MASK, SecretShape
from flexlock_hydra.record.layout import is_lock

LARGEST = 4 << 20
"""Bytes above which a file is no text that anybody wrote."""
# Characters: a secret begins so near to a literal of its shape, before or behind it.
_BEFORE, _BEHIND = 3, 40
# Characters of a secret: no more are looked at, so that no file takes long.
_LONGEST, _LONGEST_BLOCK = 600, 8000

_SETTINGS = frozenset(".env .yaml .yml .json .toml .ini .cfg .conf .properties .secrets".split())
_BLOCK_BODY = re.compile(r"-----BEGIN[^\n]{0,60}-----.*?[A-Za-z0-9+/=]{16,}.*?-----END", re.DOTALL)
_TELLING = re.compile(rb"(?i)pass|pwd|secret|token|key|cred|auth")
_ASSIGNED = re.compile(
    r"""^[ \t-]*(?:export[ ]+|set[ ]+)?["']?(?P<name>[A-Za-z_][\w.-]{0,60})["']?[ \t]*[:=][ \t]*
    (?P<quote>["']?)(?P<value>[^\s"'#,{}\[\]<>$*]{6,200})(?P=quote)[ \t]*,?[ \t]*(?:\#.*)?\r?$""",
    re.VERBOSE | re.MULTILINE,
)
_EXAMPLES = re.compile(r"(?i)example|change|your|dummy|placeholder|xxxx|fake|test|sample|\.{3}|/")


@dataclass(frozen=True)
class Leak:
    """A line that shows a secret."""

    path: str
    line: int
    what: str
    """Its kind, with no more of it than its first letters."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def find_secrets(path: str, content: bytes) -> Iterator[Leak]:
    """The lines of a file that show a secret."""
    if len(content) > LARGEST or b"\0" in content[:8000]:
        return
    may_assign = holds_settings(path) and _TELLING.search(content) is not None
    shown = [
        (shape, literal)
        for shape in shapes.SHAPES
        if shape.stops_push
        for literal in shape.literals
        if literal.encode() in content
    ]
    if not (may_assign or shown):  # as of most files
        return
    text = content.decode("utf-8", "replace")
    found: dict[int, str] = {}
    for match in _ASSIGNED.finditer(text) if may_assign else ():
        if assigned := _secret_assignment(match):
            found[match.start()] = assigned
    for shape, literal in reversed(shown):  # the first shape that fits names the spot
        found |= _shape_spots(text, shape, literal)
    lines = {text.count("\n", 0, start) + 1: what for start, what in sorted(found.items())}
    yield from (Leak(path, number, what) for number, what in lines.items())


def holds_settings(path: str) -> bool:
    """Whether a file is one of settings, by its name."""
    name = path.rpartition("/")[2].lower()  # of very many: a PurePath takes its time
    suffix = f".{name.rpartition('.')[2]}"
    return suffix in _SETTINGS or name.startswith((".env", ".netrc")) or is_lock(name)


def _shape_spots(text: str, shape: SecretShape, literal: str) -> Iterator[tuple[int, str]]:
    """Where secrets of a shape begin, and what they are; looked for around one literal."""
    longest, regex = _LONGEST_BLOCK if shape.is_block else _LONGEST, shape.regex
    at = text.find(literal)
    while at >= 0:
        match = regex.search(text, max(0, at - _BEFORE), at + longest)
        if match is not None and match.start() <= at + _BEHIND and _is_real(shape, match[0]):
            first = "" if shape.is_block else f", {match[0][:4]}{MASK}"
            yield match.start(), shape.name + first
        at = text.find(literal, at + 1)


def _is_real(shape: SecretShape, secret: str) -> bool:
    """Whether it is neither an example of somebody's documentation nor a headline alone."""
    return "EXAMPLE" not in secret and not (shape.is_block and not _BLOCK_BODY.match(secret))


def _secret_assignment(match: re.Match[str]) -> str | None:
    """The name of a secret whose value stands in a line of settings."""
    value = match["value"]
    mixed = re.search(r"\d", value) and re.search("[A-Za-z]", value)
    if not mixed or _EXAMPLES.search(value):
        return None
    secret = judge_key(match["name"].rpartition(".")[2])
    return f"{match['name']} = {MASK}" if secret else None
