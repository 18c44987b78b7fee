"""A recorded run as Hydra configs: the primary one, and one for each group that it chose.

The recorded config is composed already. Each node that a config group filled is served as
the recorded option of that group, so that ``model=other`` replaces the whole node; the rest
is the primary config, whose defaults list chooses the recorded options.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.errors import LockError
from flexlock_hydra.hooks.config.survey import strings_passing
from flexlock_hydra.record.codec import Json

GLOBAL = "_global_"
OVERLAY = "flexlock/run"
"""The option whose config is the recorded one as a whole, to be merged over another."""

# What belongs to how a job is started, and where its outputs go.
_STARTING = re.compile(
    r"hydra[/.](launcher|sweeper|sweep|mode|searchpath)\b|hydra\.(run|job\.(num|id))\b"
)


@dataclass(frozen=True)
class ServedConfig:
    """One config as Hydra is given it: its content with its defaults list, and its package."""

    content: Mapping[str, Any]
    package: str = GLOBAL


@dataclass(frozen=True)
class AppSettings:
    """The app's own config name and Hydra settings, and the packages that its options state.

    ``package`` is told the path of an option, ``model/resnet``, and answers with what its
    file says of its package: None if nothing, LookupError if the app has no such option.
    """

    config_name: str | None = None
    hydra: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Any = None
    package: Callable[[str], str | None] = dict[str, "str | None"]().__getitem__


@dataclass(frozen=True)
class _Choice:
    """A group and its recorded option, and the config key that it fills, ``""`` for any.

    ``package`` is the one that the choice itself names, as in ``optimizer@train.opt``.
    """

    group: str
    option: str | None
    place: str
    package: str = ""

    @property
    def path(self) -> str:
        return f"{self.group}/{self.option}"

    def entry(self, parent: _Choice | None) -> dict[str, str | None]:
        """Its entry in the defaults list of the option above it, else of the primary config."""
        if self.package == GLOBAL:
            return {f"/{self.group}@{GLOBAL}": self.option}
        if self.package:
            return {f"/{self.group}@{GLOBAL}.{self.package}": self.option}
        if parent is None:
            return {f"/{self.group}": self.option}
        below = self.group.removeprefix(f"{parent.group}/")
        if self.place == f"{parent.place}.{below.replace('/', '.')}":
            return {below: self.option}
        return {f"/{self.group}@{GLOBAL}.{self.place}": self.option}


def serve(run: RecordedRun, app: AppSettings) -> dict[str, ServedConfig]:
    """The configs of a run by their paths: ``config``, ``model/resnet``.

    Raises:
        LockError: the lock holds no config.
    """
    config = _without_secrets(_recorded_config(run))
    choices = list(_choices(run.lock.job.choices, config, app))
    filled = {choice.place: choice for choice in choices if choice.place and choice.option}
    served = {
        choice.path: ServedConfig(_part_of_config(config, place, filled, choices), place)
        for place, choice in filled.items()
    }
    loose = [choice for choice in choices if not choice.place]
    served |= {choice.path: ServedConfig({}) for choice in loose if choice.option}
    own = run.lock.job.choices.get("hydra")  # a group of the app's, as many templates have one
    first = [{"optional /hydra": own}] if own else []
    primary = {
        **_part_of_config(config, "", filled, choices, first=first),
        "hydra": _hydra_settings(run, app),
    }
    primary["defaults"] += [*(choice.entry(None) for choice in loose), *_hydra_choices(run, app)]
    names = (run.lock.job.config_name, app.config_name, "config")
    overlay = _without_secrets(_recorded_config(run), drop=True)
    return {
        **served,
        **{name: ServedConfig(primary) for name in names if name},
        OVERLAY: ServedConfig(overlay),
    }


def masked_keys(run: RecordedRun) -> list[str]:
    """The config keys whose values were secrets: the lock has a mask in their place."""
    return [key for key, _ in strings_passing(_recorded_config(run), lambda text: MASK in text)]


def _recorded_config(run: RecordedRun) -> dict[str, Any]:
    lock = run.lock
    config = lock.unresolved if lock.unresolved is not None else _escaped(lock.config)
    if not isinstance(config, dict):
        raise LockError(
            f"run {lock.run.id} recorded no config to run from",
            hint="Its save_config was none; name a run that was recorded with its config.",
        )
    return {key: value for key, value in config.items() if key != "defaults"}


def _escaped(config: Json) -> Json:
    """A resolved config, in whose texts nothing is an interpolation."""
    if isinstance(config, dict):
        return {key: _escaped(value) for key, value in config.items()}
    if isinstance(config, list):
        return [_escaped(value) for value in config]
    return config.replace("${", r"\${") if isinstance(config, str) else config


def _choices(recorded: Mapping[str, Any], config: Json, app: AppSettings) -> Iterator[_Choice]:
    """The choices of the app's own groups that can be made again, one by one.

    Left out are those whose option is used twice and those whose place is not known: of
    them a new choice would give a mixture of the new option and the recorded one.
    """
    own = {key: option for key, option in recorded.items() if not re.match("hydra($|/)", key)}
    uses = Counter((key.partition("@")[0], option) for key, option in own.items())
    known = [
        _Choice(group, option, place, package)
        for key, option in own.items()
        for group, _, package in [key.partition("@")]
        if option is None or uses[group, option] == 1
        if (place := _filled_key(group, option, package, config, app)) is not None
    ]
    places = Counter(choice.place for choice in known if choice.place and choice.option)
    yield from (choice for choice in known if places[choice.place] < 2)


def _filled_key(
    group: str, option: str | None, package: str, config: Json, app: AppSettings
) -> str | None:
    """The config key of the node that a choice filled; ``""``: keys anywhere, None: unknown."""
    usual = group.replace("/", ".")
    if option is None:
        return "" if package == GLOBAL else package or usual
    try:
        place = package or app.package(f"{group}/{option}") or usual
    except LookupError:
        place = usual
    place = place.removeprefix(f"{GLOBAL}.")
    if place == GLOBAL or (place == usual and not package and _mapping_at(config, place) is None):
        return None if package else ""
    node = _mapping_at(config, place)
    return place if node is not None and "defaults" not in node else None


def _part_of_config(
    config: Json,
    place: str,
    filled: Mapping[str, _Choice],
    choices: Iterable[_Choice],
    first: Sequence[Any] = (),
) -> dict[str, Any]:
    """The node at a place without what groups below it filled, which its defaults list names."""
    mine = [
        choice
        for choice in choices
        if choice.place and choice.place != place and _owner(choice.place, filled) == place
    ]
    content: dict[str, Any] = copy.deepcopy(_mapping_at(config, place) or {})
    for choice in mine:
        above, _, key = choice.place[len(place) + 1 if place else 0:].rpartition(".")
        node = _mapping_at(content, above)
        if choice.option is not None and node is not None:
            node[key] = {}  # where it stood among its neighbours
    mine.sort(key=lambda choice: choice.option is None)  # an option may override those above it
    entries = (choice.entry(filled.get(place)) for choice in mine)
    return {**content, "defaults": [*first, "_self_", *entries]}


def _owner(place: str, filled: Mapping[str, _Choice]) -> str:
    """The nearest place above that a group filled; ``""`` is the primary config."""
    while place := place.rpartition(".")[0]:
        if place in filled:
            return place
    return ""


def _mapping_at(config: Json, place: str) -> dict[str, Any] | None:
    """The mapping at a dotted key; None where something else stands there, or nothing."""
    for key in filter(None, place.split(".")):
        config = config.get(key) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else None


def _hydra_choices(run: RecordedRun, app: AppSettings) -> Iterator[dict[str, Any]]:
    """Overrides of the groups of Hydra itself that differ from its own choices."""
    from hydra.conf import HydraConf

    usual = {
        f"hydra/{group}": option
        for entry in HydraConf().defaults
        if isinstance(entry, dict)
        for group, option in entry.items()
    }
    recorded = {"hydra/callbacks": _listed_callbacks(run) or app.callbacks, **run.lock.job.choices}
    for group, option in recorded.items():
        if group in usual and not _STARTING.match(group):
            if group == "hydra/callbacks":
                option = _with_flexlock(option)
            if option != usual[group]:
                yield {f"override /{group}": option}


def _listed_callbacks(run: RecordedRun) -> list[str]:
    """The callbacks that a command line gave as a list: Hydra records no choice then."""
    prefix = "hydra/callbacks=["
    lines = [line for line in run.lock.job.overrides.hydra if line.startswith(prefix)]
    words = lines[-1][len(prefix):].rstrip("]").split(",") if lines else []
    return [word.strip(" '\"") for word in words if word.strip()]


def _with_flexlock(callbacks: Any) -> Any:
    names = [callbacks] if isinstance(callbacks, str) else list(callbacks or ())
    names = names if "flexlock" in names else ["flexlock", *names]
    return names[0] if len(names) == 1 else names


def _hydra_settings(run: RecordedRun, app: AppSettings) -> Any:
    """The app's own settings of Hydra, and the recorded overrides of them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    settings = OmegaConf.create({"hydra": dict(app.hydra)})
    lines = [
        line
        for line in run.lock.job.overrides.hydra
        if MASK not in line and not _STARTING.match(line.lstrip("+~"))
    ]
    for override in OverridesParser.create().parse_overrides(lines):
        if override.key_or_group.startswith("hydra.") and not override.is_delete():
            OmegaConf.update(settings, override.key_or_group, override.value(), force_add=True)
    return settings.hydra


def _without_secrets(value: Any, *, drop: bool = False) -> Any:
    """A config with ``???`` in the place of masked values.

    Args:
        drop: leave keys with masked values out, so that a merge keeps what is there.
    """
    if isinstance(value, dict):
        return {
            key: _without_secrets(item, drop=drop)
            for key, item in value.items()
            if not (drop and isinstance(item, str) and MASK in item)
        }
    if isinstance(value, list):
        return [_without_secrets(item, drop=drop) for item in value]
    return "???" if isinstance(value, str) and MASK in value else value
