"""Keep secrets out of what is written down.

A value is masked for its key's name, for its shape, or because it is known to be a
secret from somewhere else (an environment variable of such a name that the config
reads). Names are judged by their words: ``api_token`` is a secret, ``tokenizer`` and
``pad_token`` are not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

MASK = "***"

_SECRET_WORDS = frozenset(
    "pwd secret secrets credential credentials apikey accesskey authorization".split()
)
_SECRET_ENDINGS = ("password", "passwords", "passwd", "passphrase")
_LOGINS = frozenset("db user mysql pg postgres smtp mail redis ftp http proxy admin root".split())
_GROUPS = frozenset("secrets credentials passwords".split())
_WORKING_FOLDERS = ("PWD", "OLDPWD")
_KEY_OWNERS = frozenset("api access private secret auth encryption signing account ssh".split())
_TEXT_TOKENS = frozenset(
    "pad eos bos unk sep mask cls special start end image audio video prefix suffix".split()
)
_SHAPES = re.compile(
    r"""
    \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                                  # AWS
    | \bgh[pousr]_[A-Za-z0-9]{36,}\b | \bgithub_pat_\w{22,}\b      # GitHub
    | \bglpat-[\w-]{20,} | \bhf_[A-Za-z0-9]{30,}\b                 # GitLab, Hugging Face
    | \bsk-(?=[\w-]*\d)(?=[\w-]*[A-Z])[\w-]{20,}                   # OpenAI
    | \bxox[abprs]-[\w-]{10,}                                      # Slack
    | \bAIza[\w-]{35}                                              # Google
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+                         # JWT
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?<=://)[^/\s:@]*:(?!\$\{)[^/\s@]+(?=@)                              # a password in a URL
    """,
    re.VERBOSE,
)
_ENV_READ = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")
_ENV_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*,\s*)([^${}]+)(\})")
_BRACES = re.compile(r"\$\{|\}|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
_SHORTEST = 4


@dataclass(frozen=True)
class Masker:
    """What to hide: key patterns of the user's, and values known to be secret."""

    patterns: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    def learn(self, *configs: Any) -> Masker:
        """Know also the secrets that stand in, or are read by, these configs."""
        found = {
            text
            for config in configs
            for key, value in leaves(config)
            if self.is_secret_key(key)
            and value is not True
            and value is not False
            and not isinstance(value, float)
            and not is_interpolation(value)
            and len(text := str(value)) >= _SHORTEST
        }
        found |= {
            value
            for name in env_names(*configs)
            if self.is_secret_key(name) and len(value := os.environ.get(name, "")) >= _SHORTEST
        }
        return replace(self, known=self.known | found)

    def is_secret_key(self, key: str) -> bool:
        """Whether a key's name says that its value is a secret."""
        if key in _WORKING_FOLDERS:
            return False
        words = [word.lower() for word in _WORDS.findall(key)]
        if any(fnmatch(key.lower(), pattern.lower()) for pattern in self.patterns):
            return True
        pairs = zip(words, words[1:], strict=False)
        return (
            not _SECRET_WORDS.isdisjoint(words)
            or any(word.endswith(_SECRET_ENDINGS) for word in words)
            or (words[-1:] == ["pass"] and set(words[:-1]) <= _LOGINS)
            or any(owner in _KEY_OWNERS and word in ("key", "keys") for owner, word in pairs)
            or (words[-1:] == ["token"] and _TEXT_TOKENS.isdisjoint(words))
        )

    def mask(self, value: Any, key: str = "") -> Any:
        """The value, lists and mappings gone through, with secrets as ``***``."""
        if isinstance(value, Mapping):
            grouped = key if _is_group(key) else ""
            return {name: self.mask(item, grouped or str(name)) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mask(item, key) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if not is_interpolation(value) and value not in ("", "???") and self.is_secret_key(key):
            return MASK
        return self.text(self._without_defaults(value, key)) if isinstance(value, str) else value

    def _without_defaults(self, text: str, key: str) -> str:
        """A text without the literal fallbacks of variables that are secrets, or the key is."""

        def masked(match: re.Match[str]) -> str:
            secret = self.is_secret_key(key) or self.is_secret_key(match[2])
            is_text = match[3].strip("'\" ") not in ("", "null", "true", "false", "???")
            return f"{match[1]}{MASK}{match[4]}" if secret and is_text else match[0]

        return _ENV_DEFAULT.sub(masked, text)

    def text(self, text: str) -> str:
        """A text with known secrets and everything shaped like one masked."""
        for secret in sorted(self.known, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        return _SHAPES.sub(_mask_shape, text)

    def assignment(self, word: str) -> str:
        """An override or an argument, ``key=value``, masked for its key too."""
        key, equals, value = word.partition("=")
        name = key.lstrip("+~-").rpartition(".")[2].partition("@")[0]
        if equals and self.is_secret_key(name) and not is_interpolation(value):
            return f"{key}={MASK}"
        return self.text(self._without_defaults(word, name if equals else ""))


def _mask_shape(match: re.Match[str]) -> str:
    user, colon, _ = match[0].partition(":")
    in_url = colon and match.string[: match.start()].endswith("://")
    return f"{user}:{MASK}" if in_url else MASK


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


def _is_group(key: str) -> bool:
    """Whether everything below a key is a secret."""
    return not _GROUPS.isdisjoint(word.lower() for word in _WORDS.findall(key))


def env_names(*configs: Any) -> set[str]:
    """The environment variables that unresolved configs read through ``oc.env``."""
    return {
        name
        for config in configs
        for _, value in leaves(config)
        if isinstance(value, str) and "oc.env" in value
        for name in _ENV_READ.findall(value)
    }


def leaves(config: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every scalar of a plain config with the name of the key that holds it."""
    children: Iterable[tuple[Any, Any]] | None = None
    if isinstance(config, Mapping):
        children = [(key, item) for item in config.values()] if _is_group(key) else config.items()
    elif isinstance(config, (list, tuple)):
        children = ((key, item) for item in config)
    if children is None:
        if config is not None:
            yield key, config
        return
    for name, item in children:
        yield from leaves(item, str(name))
