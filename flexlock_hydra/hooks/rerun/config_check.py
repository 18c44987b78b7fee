"""The config that a rerun composes: whether it is the recorded one, and how it becomes it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NoReturn

from omegaconf import DictConfig, flag_override

from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.hooks.config.survey import survey
from flexlock_hydra.hooks.config.values import value_at
from flexlock_hydra.hooks.rerun.notes import Rerun, covers
from flexlock_hydra.ports.hydra_internals.config_nodes import ABSENT, child, key_path
from flexlock_hydra.record.codec import Json, same

_NAMED = 20  # differences that are printed with both values


class OtherConfigError(SystemExit):
    """Hydra composed another config than the recorded one; nothing was run."""

    def __init__(self, keys: Collection[str]) -> None:
        super().__init__(2)
        self.keys = tuple(keys)


@dataclass(frozen=True)
class ConfigDifference:
    """A config key whose value is not the recorded one."""

    path: tuple[Any, ...]
    old: Any
    new: Any

    @property
    def key(self) -> str:
        """The key as people write it, ``a.b[1]``."""
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path]
        return "".join(parts).removeprefix(".").replace("the choice of.", "the choice of ")

    def __str__(self) -> str:
        return f"{self.key}: recorded {_shown_value(self.old)}, now {_shown_value(self.new)}"


def require(rerun: Rerun, config: DictConfig, without: Collection[str]) -> None:
    """Refuse a config that is not the recorded one; print what differs.

    Args:
        without: keys of the config that are Hydra's.

    Raises:
        OtherConfigError: it is another.
    """
    found = [*_unasked_differences(rerun, config, without), *_other_choices(rerun, config)]
    if found and rerun.lenient:
        _print_differences(found, stops=False)
    elif found:
        _refuse_config(rerun, found)


def fix(rerun: Rerun, config: DictConfig, without: Collection[str]) -> list[str]:
    """Give a config the recorded values, in the place of what resolvers would say.

    Plain references stay: they lead to values that are fixed themselves. Masked secrets
    cannot be put back; their keys are returned.

    Raises:
        OtherConfigError: it has other keys than the recorded one.
    """
    changed = [*_unasked_differences(rerun, config, without)]
    if others := [each for each in changed if not _is_value(each)]:
        _refuse_config(rerun, others)
    masked = []
    # A user's config may be read-only, and Hydra's is struct.
    with flag_override(config, ["readonly", "struct"], False):
        for found in survey(config, without).interpolations:
            if ":" not in found.text or covers(rerun.given, found.full_key):
                continue
            value = _value_at_path(rerun.resolved, key_path(found.node))
            if isinstance(value, str) and MASK in value:
                masked.append(found.full_key)
            elif value is not ABSENT and value != found.text:
                found.container[found.key] = _value_here(rerun, value)
        for each in changed:  # plain values that are others by now, as a random default is
            *above, key = each.path
            recorded = _value_at_path(rerun.resolved, each.path)
            reduce(child, above, config)[key] = _value_here(rerun, recorded)
    return masked


def differences(
    recorded: Json, now: Json, path: tuple[Any, ...] = ()
) -> Iterator[ConfigDifference]:
    """What differs between two configs, leaf by leaf, masked secrets aside."""
    if isinstance(recorded, Mapping) and isinstance(now, Mapping):
        old, new = _by_name(recorded), _by_name(now)
        for key in sorted({*old, *new}):
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), (*path, key))
    elif isinstance(recorded, list) and isinstance(now, list) and len(recorded) == len(now):
        for i, (one, other) in enumerate(zip(recorded, now, strict=True)):
            yield from differences(one, other, (*path, i))
    elif not (isinstance(recorded, str) and MASK in recorded or same(recorded, now)):
        yield ConfigDifference(path, recorded, now)


def _unasked_differences(
    rerun: Rerun, config: DictConfig, without: Collection[str]
) -> list[ConfigDifference]:
    """What differs from the recorded config and was not overridden on purpose.

    None where a group was overridden: its option may have changed anything.
    """
    groups = {key.partition("@")[0] for key in value_at(config, "hydra.runtime.choices")}
    if rerun.unresolved is None or any(key.partition("@")[0] in groups for key in rerun.given):
        return []
    found = differences(rerun.unresolved, survey(config, without).unresolved)
    here = rerun.relocation.in_text  # a folder of the original machine is the same one here
    inputs = rerun.relocation.inputs.values()  # and so is an input in the place of a path
    return [
        each
        for each in found
        if not covers(rerun.given, each.key)
        and not (isinstance(each.old, str) and each.new in (here(each.old), *inputs))
    ]


def _other_choices(rerun: Rerun, config: DictConfig) -> list[ConfigDifference]:
    if rerun.choices is None or rerun.given:
        return []
    now = value_at(config, "hydra.runtime.choices")
    found = differences(_choices_of_app(rerun.choices), _choices_of_app(now))
    return [ConfigDifference(("the choice of", *each.path), each.old, each.new) for each in found]


def _refuse_config(rerun: Rerun, found: Sequence[ConfigDifference]) -> NoReturn:
    if not rerun.launched:
        _print_differences(found, stops=True)
    raise OtherConfigError([each.key for each in found])


def _print_differences(found: Sequence[ConfigDifference], *, stops: bool) -> None:
    names = ", ".join(each.key for each in found)
    lines = [f"flexlock-hydra: this config is not the recorded one: {names}"]
    lines += [f"  {each}" for each in found[:_NAMED]]
    if stops:
        plain = [each for each in found if _is_plain_word(each.old)]
        again = [f"{each.key}={_shown_value(each.old)}" for each in plain]
        lines.append("Name what should change as an override of the rerun; the recorded values")
        lines.append(f"come back with --resolved{', or with ' if again else ''}{' '.join(again)}")
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _is_value(each: ConfigDifference) -> bool:
    """Whether a key has one plain value and had another: no key came or went."""
    return not any(isinstance(v, (Mapping, list)) or v is ABSENT for v in (each.old, each.new))


def _by_name(mapping: Mapping[Any, Json]) -> dict[str, Json]:
    """A mapping with the names that JSON gives its keys."""
    return {key if isinstance(key, str) else json.dumps(key): v for key, v in mapping.items()}


def _is_plain_word(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) or (
        isinstance(value, str) and re.fullmatch(r"[\w./-]+", value) is not None
    )


def _shown_value(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:200])


def _choices_of_app(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of the app's own groups; Hydra's own are another in a sweep."""
    return {key: value for key, value in choices.items() if not re.match("hydra([@/]|$)", key)}


def _value_here(rerun: Rerun, value: Json) -> Json:
    """A recorded value for the config of this rerun: paths moved, ``${`` escaped."""
    return rerun.relocation(value).replace("${", "\\${") if isinstance(value, str) else value


def _value_at_path(plain: Json, path: Sequence[Any]) -> Json:
    for key in path:
        if isinstance(plain, Mapping):
            plain = _by_name(plain).get(key if isinstance(key, str) else json.dumps(key), ABSENT)
        elif isinstance(plain, list) and isinstance(key, int) and key < len(plain):
            plain = plain[key]
        else:
            return ABSENT
    return plain
