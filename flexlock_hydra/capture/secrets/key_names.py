"""What the name of a key says of its value.

Names are judged by their words: ``api_token`` is a secret, ``tokenizer``, ``pad_token`` and
``password_length`` are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache
from typing import Any

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
# Whose ``<vendor>_key`` is an API key
_VENDORS = frozenset(
    "wandb comet neptune kaggle openai anthropic cohere mistral gemini groq pinecone stripe "
    "supabase sendgrid datadog azure gcp aws".split()
)

_TOKENS = frozenset("token bearer jwt otp".split())
_TOKEN_OWNERS = _KEY_OWNERS | frozenset("bearer refresh github gitlab hf".split())
_TEXT_TOKENS = frozenset(
    "pad padding eos bos unk unknown sep separator mask cls class special start stop end image "
    "audio video prefix suffix next first last new num max min per label eot sot blank oov "
    "patch time lang language newline fim placeholder speaker register vocab".split()
)
# Last words of a name that is about a secret and not its value
_ABOUT = frozenset(
    "length len size file path dir folder field name env var envvar policy type format expiry "
    "expires ttl min max count required enabled regex prefix suffix column label prompt "
    "endpoint uri dim manager provider at rotation retries timeout".split()
)

# Last words of names that stand beside a secret: hidden there, and not looked for elsewhere
_SETTINGS = frozenset("region zone type profile project backend port bucket".split())
_AMOUNTS = frozenset("num n max min total count".split())
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
# As ``<|assistant|>`` and ``[SEP]``, the values of an ``assistant_token``
_SPECIAL_TOKEN = re.compile(r"<[^<>]{0,40}>|\[[A-Z_]{0,20}\]")

KeyJudge = Callable[[Any], int]
"""Says PLAIN, SECRET or GROUP of a key."""


@lru_cache(maxsize=8)
def judge_keys(patterns: tuple[str, ...]) -> KeyJudge:
    """The judge of key names, for whom the user's patterns count too."""
    if not patterns:
        return judge_key
    wanted = re.compile("|".join(translate(pattern.lower()) for pattern in patterns))
    return lru_cache(maxsize=1 << 16)(
        lambda key: GROUP if wanted.fullmatch(str(key).lower()) else judge_key(key)
    )


@lru_cache(maxsize=1 << 16)
def judge_key(key: Any) -> int:
    """What a key says by its own words: PLAIN, SECRET or GROUP."""
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


def hides(judge: KeyJudge, key: Any, text: str) -> bool:
    """Whether a key says that its text is a secret: no word of a model's vocabulary is."""
    kind = judge(key)
    return kind == GROUP or (kind == SECRET and not _SPECIAL_TOKEN.fullmatch(text))


def is_about_a_secret(key: Any) -> bool:
    """Whether a key is about a secret and not its value: its length, its file."""
    return _last_word(key) in _ABOUT


def is_setting(key: Any) -> bool:
    """Whether a key names what stands beside a secret, as a region does."""
    return _last_word(key) in _SETTINGS


def _last_word(key: Any) -> str:
    found = _WORDS.findall(key) if type(key) is str else []
    return found[-1].lower() if found else ""
