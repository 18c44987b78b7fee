"""Keep secrets out of what is written down.

A value is masked for its key's name, for its shape (see ``patterns`` beside this module), or
because it is known to be a secret from somewhere else: another key, a variable of the
environment, the password of a URL. Names are judged by their words: ``api_token`` is a
secret, ``tokenizer``, ``pad_token`` and ``password_length`` are not.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from flexlock_hydra.capture.secrets import patterns as shapes
from flexlock_hydra.capture.secrets.patterns import MASK, AssignmentRule

__all__ = ["MASK", "Masker", "env_names", "is_interpolation"]

PLAIN, SECRET, GROUP = range(3)
"""What a key says of its value: nothing, that it is a secret, that all below it is."""

_TELLING = re.compile(
    "pass|pwd|pw$|secret|token|key|cred|authoriz|bearer|jwt|cookie|otp", re.IGNORECASE | re.ASCII
)
_SECRET_WORDS = frozenset("pwd secret secrets credential credentials authorization".split())
_SECRET_ENDINGS = tuple(
    "password passwords passwd passphrase passcode apikey accesskey secretkey privatekey "
    "accesstoken authtoken apitoken authkey dbpass".split()
)
_LOGINS = frozenset("db user mysql pg postgres smtp mail redis ftp http proxy admin root".split())
_WORKING_FOLDERS = ("PWD", "OLDPWD")
_KEY_OWNERS = frozenset(
    "api access private secret auth encryption signing account ssh shared master license "
    "application deploy consumer hmac gpg".split()
)
_VENDORS = frozenset(
    "wandb comet neptune kaggle openai anthropic cohere mistral gemini groq pinecone stripe "
    "supabase sendgrid datadog azure gcp aws".split()
)
"""Whose ``<vendor>_key`` is an API key."""

_TOKENS = frozenset("token bearer jwt otp".split())
_TOKEN_OWNERS = _KEY_OWNERS | frozenset("bearer refresh github gitlab hf".split())
_TEXT_TOKENS = frozenset(
    "pad padding eos bos unk unknown sep separator mask cls class special start stop end image "
    "audio video prefix suffix next first last new num max min per label eot sot blank oov "
    "patch time lang language newline fim placeholder speaker register vocab".split()
)
_ABOUT = frozenset(
    "length len size file path dir folder field name env var envvar policy type format expiry "
    "expires ttl min max count required enabled regex prefix suffix column label prompt "
    "endpoint uri dim manager provider at rotation retries timeout".split()
)
"""Last words of a name that is about a secret and not its value."""

_SETTINGS = frozenset("region zone type profile project backend port bucket".split())
"""Last words of names that stand beside a secret: hidden there, and not looked for elsewhere."""

_AMOUNTS = frozenset("num n max min total count".split())
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
_ENV_READ = re.compile(r"\$\{\s*oc\.env\s*:\s*['\"]?(\w+)")
_ENV_DEFAULT = re.compile(r"(\$\{\s*oc\.env\s*:\s*['\"]?(\w+)['\"]?\s*,\s*)([^${}]+)(\})")
_BRACES = re.compile(r"\$\{|\}|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_FALLBACKS = ("", "null", "true", "false", "???")
_EVERYBODYS = frozenset(
    "admin administrator changeme default docker example guest localhost minioadmin minio "
    "mysql nobody none null password postgres public redis required secret string unknown "
    "token user username".split()
)
_PLACE = re.compile(r"(?:~|\.{0,2})(?:/[\w. -]+){2,}/?|[A-Za-z]:\\.*")
_SPECIAL_TOKEN = re.compile(r"<[^<>]{0,40}>|\[[A-Z_]{0,20}\]")
"""As ``<|assistant|>`` and ``[SEP]``, the values of an ``assistant_token``."""

_SHORTEST, _SHORTEST_WORD, _LONG = 4, 6, 12
_MEMORABLE = 1000
_SCALARS = frozenset((str, int, float, bool, type(None)))
_Judge = Callable[[Any], int]
_Known = re.Pattern[str] | None
_Done = dict[tuple[int, Any], Any]
"""Containers by identity and key, as they were masked."""


@dataclass(frozen=True)
class Masker:
    """What to hide: key patterns of the user's, and values known to be secret."""

    patterns: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    def learn(self, *configs: Any) -> Masker:
        """Know also the secrets that these configs hold or read, and the environment's."""
        judge = _judge_of(self.patterns)
        found = {os.environ[name] for name in [*os.environ] if judge(name)}
        _gather(configs, "", judge, found, set())
        return replace(self, known=self.known | set(filter(_is_telling, found)))

    def is_secret_key(self, key: str) -> bool:
        """Whether a key's name says that its value is a secret."""
        return bool(_judge_of(self.patterns)(key))

    def mask(self, value: Any, key: str = "") -> Any:
        """The value, lists and mappings gone through, with secrets as ``***``.

        Nothing is changed in place; what holds no secret is the same object.
        """
        return self._walk(_judge_of(self.patterns), _known(self.known), {}, [value], key)[0]

    def _walk(self, judge: _Judge, known: _Known, done: _Done, items: Any, key: Any) -> Any:
        """A list or dict masked. One loop, for configs of ten thousand leaves.

        ``done`` is what was masked in this walk already: a resolved config shares most
        of itself with the one before resolution.
        """
        if (id(items), key) in done:
            return done[id(items), key]
        pairs: Iterable[tuple[Any, Any]]
        pairs = items.items() if type(items) is dict else enumerate(items)
        inherits = type(items) is list or judge(key) == GROUP
        masked, may_show = items, shapes.may_show
        for place, item in pairs:
            kind = type(item)
            name: Any = key if inherits else place
            if kind is str:
                if judge(name):
                    new = self._named(item, name)
                elif may_show(item) or (known and known.search(item)):
                    new = self._without_defaults(self.text(item), name)
                else:
                    continue
            elif kind is dict or kind is list:
                new = self._walk(judge, known, done, item, name)
            elif kind in _SCALARS:
                if item is None or kind is bool or not judge(name):
                    continue
                new = MASK
            elif (container := _container(item)) is not None:
                new = self._walk(judge, known, {}, container, name)
            else:
                new = MASK if judge(name) else item
            if new is not item:
                masked = items.copy() if masked is items else masked
                masked[place] = new
        done[id(items), key] = masked
        return masked

    def text(self, text: str, *, typed: bool = False) -> str:
        """A text with known secrets masked, and whatever shows itself as one.

        ``typed``: it comes from a command line, see :class:`shapes.Look`.
        """
        clean = _clean if len(text) < _MEMORABLE else _clean.__wrapped__
        return clean(text, self.patterns, self.known, typed)

    def arguments(self, words: Iterable[str]) -> Iterator[str]:
        """The words of a command line, masked; ``--password`` hides the word after it."""
        option = ""
        for word in words:
            takes_one = option.startswith("-") and not option.startswith("--no-")
            is_value = takes_one and not word.startswith("-")
            is_secret = is_value and self._hides(option, word)
            yield MASK if is_secret else self.assignment(word)
            option = word

    def assignment(self, word: str) -> str:
        """An override or an argument, ``key=value``, masked for its key too."""
        key, equals, value = word.partition("=")
        *groups, name = key.lstrip("+~-").partition("@")[0].split(".")
        judge = _judge_of(self.patterns)
        is_below = any(judge(group) == GROUP for group in groups) and not _ends_in(_ABOUT, name)
        is_secret = " " not in key and (is_below or self._hides(name, value))
        if equals and is_secret and value not in _FALLBACKS and not is_interpolation(value):
            return f"{key}={MASK}"
        return self.text(self._without_defaults(word, name if equals else ""), typed=True)

    def _hides(self, key: str, text: str) -> bool:
        """Whether a key says that this text is a secret: no word of a model's vocabulary is."""
        kind = _judge_of(self.patterns)(key)
        return kind == GROUP or (kind == SECRET and not _SPECIAL_TOKEN.fullmatch(text))

    def _named(self, text: str, key: str) -> str:
        """The value of a secret name."""
        if text in ("", "???") or not self._hides(key, text):
            return text
        return self._without_defaults(self.text(text), key) if is_interpolation(text) else MASK

    def _without_defaults(self, text: str, key: str) -> str:
        """A text without the literal fallbacks of variables that are secrets, or the key is."""

        def masked(match: re.Match[str]) -> str:
            secret = self.is_secret_key(key) or self.is_secret_key(match[2])
            return f"{match[1]}{MASK}{match[4]}" if secret and _fallback(match) else match[0]

        return _ENV_DEFAULT.sub(masked, text) if "oc.env" in text else text


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
                names.update(_ENV_READ.findall(value))
        elif type(value) not in _SCALARS and (container := _container(value)) is not None:
            waiting.extend(container.values() if type(container) is dict else container)
    return names


@lru_cache(maxsize=8)
def _judge_of(patterns: tuple[str, ...]) -> _Judge:
    """The judge of key names, for whom the user's patterns count too."""
    if not patterns:
        return _judge
    wanted = re.compile("|".join(translate(pattern.lower()) for pattern in patterns))
    return lru_cache(maxsize=1 << 16)(
        lambda key: GROUP if wanted.fullmatch(str(key).lower()) else _judge(key)
    )


@lru_cache(maxsize=1 << 16)
def _judge(key: Any) -> int:
    """PLAIN, SECRET or GROUP."""
    text = str(key)
    if not _TELLING.search(text) or text in _WORKING_FOLDERS:
        return PLAIN
    words = [word.lower() for word in _WORDS.findall(text)]
    last, before = words[-1], words[-2:-1]
    if last in _ABOUT or words[0] in _AMOUNTS:
        return PLAIN
    pairs = zip(words, words[1:], strict=False)
    if (
        not _SECRET_WORDS.isdisjoint(words)
        or any(word.endswith(_SECRET_ENDINGS) for word in words)
        or (last == "pass" and set(words[:-1]) <= _LOGINS)
        or (last == "pw" and not _LOGINS.isdisjoint(before))
        or last in ("cookie", "cookies")
        or any(owner in _KEY_OWNERS | _VENDORS and word in ("key", "keys") for owner, word in pairs)
        or (last == "tokens" and not _TOKEN_OWNERS.isdisjoint(before))
    ):
        return GROUP
    return SECRET if last in _TOKENS and _TEXT_TOKENS.isdisjoint(words) else PLAIN


@lru_cache(maxsize=1 << 12)
def _clean(text: str, patterns: tuple[str, ...], known: frozenset[str], typed: bool) -> str:
    """A text masked; remembered, for a config comes by twice, and again in a sweep's next job."""
    if pattern := _known(known):
        text = pattern.sub(_hide_known, text)
    if not shapes.may_show(text):
        return text
    return shapes.hide(
        text, AssignmentRule(_judge_of(patterns), any_name=bool(patterns), typed=typed)
    )


def _gather(
    items: Any, key: Any, judge: _Judge, found: set[str], seen: set[tuple[int, Any]]
) -> None:
    """Put the secrets of a plain list or dict into ``found``. One loop, as in a mask's walk."""
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
            is_word = judge(name) == SECRET and _SPECIAL_TOKEN.fullmatch(item)
            is_setting = not judge(place) and _ends_in(_SETTINGS, place)
            if judge(name) and not is_word and not is_setting:
                found.add(item)
            if "://" in item:
                found.update(shapes.passwords(item))
            if "oc.env" in item:
                found.update(_read(item, name, judge))
        elif kind is dict or kind is list:
            _gather(item, name, judge, found, seen)
        elif kind in _SCALARS:
            if kind is int and judge(name):
                found.add(str(item))
        elif (container := _container(item)) is not None:
            _gather(container, name, judge, found, set())


def _ends_in(words: frozenset[str], key: Any) -> bool:
    """Whether the last word of a key is one of these."""
    found = _WORDS.findall(key) if type(key) is str else []
    return bool(found) and found[-1].lower() in words


def _container(value: Any) -> dict[Any, Any] | list[Any] | None:
    """A mapping or sequence of any type as a plain one; None for what is neither."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else None


def _read(text: str, key: str, judge: _Judge) -> Iterator[str]:
    """The secrets among the variables that a text reads, and their fallbacks."""
    for name in _ENV_READ.findall(text):
        if judge(name) or judge(key):
            yield os.environ.get(name, "")
    for match in _ENV_DEFAULT.finditer(text):
        if judge(match[2]) or judge(key):
            yield _fallback(match)


def _fallback(match: re.Match[str]) -> str:
    """The literal fallback in an ``oc.env``, or nothing where it says that there is none."""
    text = match[3].strip("'\" ")
    return "" if text in _FALLBACKS else text


def _is_telling(secret: str) -> bool:
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
def _known(secrets: frozenset[str]) -> re.Pattern[str] | None:
    """Finds what may be a known secret, the longest first."""
    forms = {form for secret in secrets for form in _forms(secret)}
    longest_first = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, longest_first))) if forms else None


def _forms(secret: str) -> Iterator[str]:
    """A secret as it stands in a URL, in JSON or in a repr; of several lines also each one."""
    yield from (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= _LONG)


def _hide_known(match: re.Match[str]) -> str:
    """The mask; a word or a number that is a secret stays where it is a part of another."""
    secret, text = match[0], match.string
    is_word = secret.isalpha() or secret.isdigit()
    if len(secret) < (_LONG if is_word else _SHORTEST_WORD):
        around = text[match.start() - 1 : match.start()] + text[match.end() : match.end() + 1]
        if any(map(str.isalnum, around)):
            return secret
    return MASK
