"""Keep secrets out of what is written down.

A value is masked for its key's name, for its shape (see ``shapes`` beside this module), or
because it is known to be a secret from somewhere else: another key, a variable of the
environment, the password of a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from flexlock_hydra.capture.secrets import config_values
from flexlock_hydra.capture.secrets.config_values import (
    NO_FALLBACKS, SCALARS, is_interpolation, known_pattern
)
from flexlock_hydra.capture.secrets.key_names import (
    GROUP, KeyJudge, hides, is_about_a_secret, judge_keys
)
from flexlock_hydra.capture.secrets.shapes import MASK, AssignmentRule, hide_secrets, may_show

_MEMORABLE = 1000  # Characters: longer texts, as tracebacks, do not come by twice
_KnownSecrets = re.Pattern[str] | None
_Masked = dict[tuple[int, Any], Any]  # Containers by identity and key, as they were masked


@dataclass(frozen=True)
class Masker:
    """Hides secrets, with the user's patterns of key names and the values known to be secret."""

    patterns: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()

    def learn(self, *configs: Any) -> Masker:
        """Know also the secrets that these configs hold or read, and the environment's."""
        judge = judge_keys(self.patterns)
        found = {os.environ[name] for name in [*os.environ] if judge(name)}
        config_values.gather_secrets(configs, "", judge, found, set())
        return replace(self, known=self.known | set(filter(config_values.is_telling, found)))

    def mask(self, value: Any, key: str = "") -> Any:
        """The value, lists and mappings gone through, with secrets as ``***``.

        Nothing is changed in place; what holds no secret is the same object.
        """
        judge, known = judge_keys(self.patterns), known_pattern(self.known)
        return self._mask_items(judge, known, {}, [value], key)[0]

    def _mask_items(
        self, judge: KeyJudge, known: _KnownSecrets, done: _Masked, items: Any, key: Any
    ) -> Any:
        """A list or dict masked, items of lists under ``key``.

        ``done`` is what was masked in this walk already: a resolved config shares most
        of itself with the one before resolution.
        """
        if (id(items), key) in done:
            return done[id(items), key]
        # One loop that asks for exact types first: configs have ten thousand leaves.
        pairs: Iterable[tuple[Any, Any]]
        pairs = items.items() if type(items) is dict else enumerate(items)
        inherits = type(items) is list or judge(key) == GROUP
        masked = items
        for place, item in pairs:
            kind = type(item)
            name: Any = key if inherits else place
            if kind is str:
                if judge(name):
                    new = self._secret_value(item, name)
                elif may_show(item) or (known and known.search(item)):
                    new = self._without_defaults(self.text(item), name)
                else:
                    continue
            elif kind is dict or kind is list:
                new = self._mask_items(judge, known, done, item, name)
            elif kind in SCALARS:
                if item is None or kind is bool or not judge(name):
                    continue
                new = MASK
            elif (container := config_values.plain_container(item)) is not None:
                new = self._mask_items(judge, known, {}, container, name)
            else:
                new = MASK if judge(name) else item
            if new is not item:
                masked = items.copy() if masked is items else masked
                masked[place] = new
        done[id(items), key] = masked
        return masked

    def text(self, text: str, *, typed: bool = False) -> str:
        """A text with known secrets masked, and whatever shows itself as one.

        ``typed``: it comes from a command line, see :class:`AssignmentRule`.
        """
        clean = _masked_text if len(text) < _MEMORABLE else _masked_text.__wrapped__
        return clean(text, self.patterns, self.known, typed)

    def arguments(self, words: Iterable[str]) -> Iterator[str]:
        """The words of a command line, masked; ``--password`` hides the word after it."""
        option, judge = "", judge_keys(self.patterns)
        for word in words:
            takes_one = option.startswith("-") and not option.startswith("--no-")
            is_value = takes_one and not word.startswith("-")
            is_secret = is_value and hides(judge, option, word)
            yield MASK if is_secret else self.assignment(word)
            option = word

    def assignment(self, word: str) -> str:
        """An override or an argument, ``key=value``, masked for its key too."""
        key, equals, value = word.partition("=")
        *groups, name = key.lstrip("+~-").partition("@")[0].split(".")
        judge = judge_keys(self.patterns)
        is_below = any(judge(group) == GROUP for group in groups) and not is_about_a_secret(name)
        is_secret = " " not in key and (is_below or hides(judge, name, value))
        if equals and is_secret and value not in NO_FALLBACKS and not is_interpolation(value):
            return f"{key}={MASK}"
        return self.text(self._without_defaults(word, name if equals else ""), typed=True)

    def _secret_value(self, text: str, key: str) -> str:
        """The value of a secret name, as it is shown: an interpolation says where it comes from."""
        if text in ("", "???") or not hides(judge_keys(self.patterns), key, text):
            return text
        return self._without_defaults(self.text(text), key) if is_interpolation(text) else MASK

    def _without_defaults(self, text: str, key: str) -> str:
        """A text without the literal fallbacks of variables that are secrets, or the key is."""
        judge = judge_keys(self.patterns)

        def masked(match: re.Match[str]) -> str:
            is_secret = (judge(key) or judge(match[2])) and config_values.literal_fallback(match)
            return f"{match[1]}{MASK}{match[4]}" if is_secret else match[0]

        return config_values.ENV_DEFAULT.sub(masked, text) if "oc.env" in text else text


@lru_cache(maxsize=1 << 12)
def _masked_text(text: str, patterns: tuple[str, ...], known: frozenset[str], typed: bool) -> str:
    """A text masked; remembered, for a config comes by twice, and again in a sweep's next job."""
    if pattern := known_pattern(known):
        text = pattern.sub(config_values.hide_known, text)
    if not may_show(text):
        return text
    return hide_secrets(
        text, AssignmentRule(judge_keys(patterns), any_name=bool(patterns), typed=typed)
    )
