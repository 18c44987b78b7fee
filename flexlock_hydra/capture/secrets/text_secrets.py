"""Secrets that a text shows by itself: well-known tokens, logins in URLs, ``name=value``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from flexlock_hydra.capture.secrets.shapes import MASK, hide_shapes, shows_shape

_WORD = re.compile(r"\S+")
# A password is no interpolation, which only names one; digits up to a slash or a comma are a
# port, as in kafka://b1:9092,b2:9092/x?user=a@b.
_LOGIN = re.compile(
    r"""(?<=://)(?P<user>[^/\s:@'"\[]*)
    (?::(?!\$\{)(?P<password>[^/\s'"]*|(?!\d*[/,])[^\s'"]*))?
    (?=@)""",
    re.VERBOSE,
)
_LOGIN_OPTION = re.compile(r"(?<=-u )(?P<user>[^\s:'\"$]+):(?P<password>(?!\d+\b)[^\s:'\"$/]+)")
"""As in ``curl -u user:password``."""
_TOKEN_AS_USER = re.compile(r"(?=.*\d)[\w-]{16,}")
_ASSIGNED = r"""
    {name}
    (?P<equals>\\*["']?[ ]{{0,2}}[:=][ ]{{0,2}}(?:(?:basic|bearer|token|digest)[ ]+)?|[ ]+)
    (?:(?P<quote>\\*["'])|(?!\$\{{)(?=[^\s"'`\\,;&|(){{}}\[\]<>]))
"""
"""A name up to where its value begins, which is read only where the name is a secret's."""

_BARE = re.compile(r"""[^\s"'`\\,;]+""")
_HINTS = "pass|pwd|secret|token|key|cred|auth|sig|bearer|jwt|cookie|otp"
_HINT = re.compile(_HINTS).search
_SECRET_NAME = rf"(?:{_HINTS})[\w-]{{0,40}}"
_ANY_NAME = r"[A-Za-z_][\w-]{0,40}"
_NAME_BEFORE = re.compile(r"[\w.-]{0,60}\Z")
_SIGNATURES = frozenset(("sig", "signature", "x-amz-signature", "x-goog-signature"))
_CODE = re.compile(r"\$?[^\W\d]+(?:\.[^\W\d]+)*(?:[(\[].*)?")
_NO_SECRETS = frozenset(("", "null", "none", "true", "false"))
_SHORTEST = 4


@dataclass(frozen=True)
class AssignmentRule:
    """How to look at ``name=value`` inside a text.

    ``is_secret`` judges a name; ``any_name`` asks it about every one and not only those
    with a telling word in them. A value without quotes could be a variable in a line of
    code: it is taken for text when it was ``typed`` on a command line.
    """

    is_secret: Callable[[str], object]
    any_name: bool = False
    typed: bool = False


def may_show(text: str) -> bool:
    """A quick look: whether :func:`hide_secrets` could find anything in a text."""
    return _may_assign(text) or shows_shape(text)


def _may_assign(text: str) -> bool:
    return ":" in text or "=" in text or "--" in text


def hide_secrets(text: str, look: AssignmentRule) -> str:
    """A text with everything that shows itself as a secret masked."""
    text = hide_shapes(text)
    if "://" in text and "@" in text:
        text = _WORD.sub(_hide_logins, text)
    if "curl " in text:
        text = _LOGIN_OPTION.sub(rf"\g<user>:{MASK}", text)
    if _may_assign(text) and (look.any_name or _HINT(text.lower())):
        text = "".join(_hide_assigned(text, look))
    return text


def url_passwords(text: str) -> Iterator[str]:
    """The passwords in the URLs of a text."""
    words = (word[0][: word[0].rfind("@") + 1] for word in _WORD.finditer(text))
    logins = (match for word in words if "://" in word for match in _LOGIN.finditer(word))
    return (match["password"] for match in logins if match["password"])


def _hide_logins(word: re.Match[str]) -> str:
    """A word without the passwords of its URLs; behind its last ``@`` there is none to look for."""
    end = word[0].rfind("@") + 1
    return _LOGIN.sub(_hide_login, word[0][:end]) + word[0][end:]


def _hide_login(match: re.Match[str]) -> str:
    """The user and password of a URL, masked; a user that looks like a token is one."""
    user = MASK if _TOKEN_AS_USER.fullmatch(match["user"]) else match["user"]
    return f"{user}:{MASK}" if match["password"] else user + match[0][len(match["user"]):]


def _hide_assigned(text: str, look: AssignmentRule) -> Iterator[str]:
    """The text in pieces, the values of secret names masked."""
    pattern = _assignments(look.any_name)
    done = at = 0
    while match := pattern.search(text, at):
        at = match.end("equals")  # what stands there may be a name as well
        if span := _secret_span(match, look):
            yield text[done : span[0]]
            yield MASK
            done = at = span[1]
    yield text[done:]


def _secret_span(match: re.Match[str], look: AssignmentRule) -> tuple[int, int] | None:
    """Where the value of an assignment stands, if it is a secret."""
    name, mark = _assigned_name(match)
    if match["equals"].isspace() and not mark.startswith("--"):
        return None
    text, start = match.string, match.end()
    if name == "PWD" and text[start : start + 1] not in ("/", "~"):
        name = "pwd"  # no working folder
    is_query = mark in ("?", "&", ";")
    if not look.is_secret(name) and not (is_query and name.lower() in _SIGNATURES):
        return None
    if match["quote"]:
        end = text.find(match["quote"], start)
        value = text[start:end]
        if end < 0 or "\n" in value:
            return None
        is_none = value.lower() in _NO_SECRETS or value.startswith("${")
        return None if is_none else (start, end)
    value = _BARE.match(text, start)[0]  # type: ignore[index]
    value = re.split("[&#]", value)[0] if is_query else value.rstrip(")]}>")
    is_text = look.typed or is_query or not _CODE.fullmatch(value)
    if value.lower() in _NO_SECRETS or len(value) < _SHORTEST or not is_text:
        return None
    return start, start + len(value)


def _assigned_name(match: re.Match[str]) -> tuple[str, str]:
    """The last part of the name that is assigned to, and what marks its beginning."""
    text, start = match.string, match.start()
    before = _NAME_BEFORE.search(text, max(0, start - 60), start)
    first = before.start() if before else start
    whole = text[first : match.start("equals")]
    name = whole.lstrip("-")
    mark = whole[: -len(name)] or text[max(0, first - 1) : first]
    return name.rpartition(".")[2], mark


@lru_cache(maxsize=2)
def _assignments(any_name: bool) -> re.Pattern[str]:
    name = _ANY_NAME if any_name else _SECRET_NAME
    return re.compile(_ASSIGNED.format(name=name), re.VERBOSE | re.IGNORECASE)
