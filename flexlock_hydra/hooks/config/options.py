"""The typed options of ``hydra/callbacks=flexlock``."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar, Union, cast

from omegaconf import OmegaConf

from flexlock_hydra.errors import FlexlockError

PathLike = Union[str, "os.PathLike[str]"]
Paths = Union[PathLike, Sequence[PathLike], Mapping[str, PathLike]]


class Strict(Enum):
    """What becomes of a job of which something cannot be recorded, from the mildest on."""

    off = 0
    warn = 1
    code = 2
    all = 3

    @classmethod
    def parse(cls, value: Any) -> Strict:
        """An option's value; YAML reads a bare ``off`` as false.

        Raises:
            FlexlockError: it is none of the names.
        """
        if isinstance(value, cls):
            return value
        # `strict: off` without quotes is false in YAML, and the name means the same.
        name = "off" if value is False else str(value)
        if name not in cls.__members__:
            raise FlexlockError(f"strict is {value!r}, not one of {', '.join(cls.__members__)}")
        return cls[name]


class SaveConfig(Enum):
    """Which configs the lock carries: both, the resolved one alone, or none."""

    unresolved = 0
    resolved = 1
    none = 2


@dataclass(frozen=True)
class OutputSelection:
    """Which files of the output directory are hashed.

    ``only`` holds patterns, None for all files; of files above ``largest`` (bytes) the
    size alone is recorded.
    """

    enabled: bool = True
    only: tuple[str, ...] | None = None
    largest: int | None = None

    @classmethod
    def parse(cls, outputs: Any, max_mb: Any = None) -> OutputSelection:
        """The options ``outputs`` (true, false, patterns) and ``max_output_mb``.

        Raises:
            FlexlockError: something else.
        """
        if max_mb is not None and (isinstance(max_mb, (bool, str)) or not max_mb >= 0):
            raise FlexlockError(f"max_output_mb is {max_mb!r}, not a number of megabytes")
        largest = None if max_mb is None else int(max_mb * 1024**2)
        if isinstance(outputs, bool):
            return cls(outputs, largest=largest)
        if isinstance(outputs, str) or not isinstance(outputs, Iterable):
            raise FlexlockError(f"outputs is {outputs!r}, not true, false or a list of patterns")
        return cls(True, tuple(map(str, outputs)), largest)


class Sized(Protocol):
    """Something that counts: its bytes, and its files."""

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def nfiles(self) -> int: ...  # noqa: D102


SizedT = TypeVar("SizedT", bound=Sized)


@dataclass(frozen=True)
class InputSelection:
    """What becomes of inputs that nobody marked.

    With ``observed`` they are recorded, up to ``most_files`` and ``most_bytes`` of a job;
    without it they are named. ``exclude`` holds globs of what is no input.
    """

    observed: bool = True
    exclude: tuple[str, ...] = ()
    most_files: int = 1_000_000
    most_bytes: int = 10 * 10**9

    @classmethod
    def parse(cls, inputs: Any, most_files: Any, most_gb: Any) -> InputSelection:
        """The options ``inputs`` (a mode, or a mapping), ``max_input_files``, ``max_input_gb``.

        Raises:
            FlexlockError: something else.
        """
        given = dict(inputs) if isinstance(inputs, Mapping) else {"mode": inputs}
        mode, exclude = given.pop("mode", "observed"), given.pop("exclude", None) or ()
        if mode not in ("observed", "marked"):
            raise FlexlockError(f"inputs is {mode!r}, not observed or marked")
        if given or isinstance(exclude, str) or not isinstance(exclude, Iterable):
            raise FlexlockError(
                "inputs takes a mode (observed or marked) and exclude, a list of patterns"
            )
        for name, value in (("max_input_files", most_files), ("max_input_gb", most_gb)):
            if isinstance(value, (bool, str)) or not value >= 0:
                raise FlexlockError(f"{name} is {value!r}, not a number")
        patterns = tuple(map(str, exclude))
        return cls(mode == "observed", patterns, int(most_files), int(most_gb * 1e9))

    def choose(
        self, inputs: Iterable[SizedT], before: Collection[Sized] = ()
    ) -> tuple[list[SizedT], list[SizedT], str]:
        """The inputs that are recorded, those that are not, and why the latter are not.

        Args:
            before: what was recorded already.
        """
        if not self.observed:
            return [], [*inputs], "nobody marked it, and inputs=marked"
        fitting: list[SizedT] = []
        others: list[SizedT] = []
        files = self.most_files - sum(each.nfiles for each in before)
        size = self.most_bytes - sum(each.size for each in before)
        for each in sorted(inputs, key=lambda each: each.size):  # the small ones fit
            fits = each.nfiles <= files and each.size <= size
            (fitting if fits else others).append(each)
            if fits:
                files, size = files - each.nfiles, size - each.size
        limits = f"max_input_files={self.most_files}, max_input_gb={self.most_bytes / 1e9:g}"
        return fitting, others, f"beyond what is recorded without a mark ({limits})"


@dataclass(frozen=True)
class CallbackOptions:
    """The callback's options, checked; see :class:`FlexlockConf`."""

    enabled: bool
    strict: Strict
    inputs: InputSelection
    outputs: OutputSelection
    save_config: SaveConfig
    ignore: tuple[str, ...]
    secrets: tuple[str, ...]
    size_limit: int  # bytes above which an untracked file is left out of the code
    repos: Mapping[str, str]
    editable: bool
    push: bool
    volatile: tuple[str, ...]

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> CallbackOptions:
        """The options that a config gives, by their names in :class:`FlexlockConf`.

        Raises:
            FlexlockError, omegaconf.ValidationError: one has a value that it cannot have.
        """
        typed = OmegaConf.merge(OmegaConf.structured(FlexlockConf), dict(given))
        conf = cast(FlexlockConf, OmegaConf.to_object(typed))
        if volatile := tuple(conf.volatile):
            # Hardly any config has patterns; the others do not pay for the module.
            from flexlock_hydra.record.volatile import check_patterns

            check_patterns(volatile)
        return cls(
            enabled=conf.enabled,
            strict=Strict.parse(conf.strict),
            inputs=InputSelection.parse(conf.inputs, conf.max_input_files, conf.max_input_gb),
            outputs=OutputSelection.parse(conf.outputs, conf.max_output_mb),
            save_config=conf.save_config,
            ignore=tuple(conf.ignore),
            secrets=tuple(conf.secrets),
            size_limit=conf.max_untracked_mb * 1024**2,
            repos=named_paths(conf.repos),
            editable=conf.editable,
            push=conf.push,
            volatile=volatile,
        )


def named_paths(paths: Paths | None) -> dict[str, str]:
    """Names and paths of any accepted form; a path without a name is its own."""
    if paths is None:
        return {}
    if isinstance(paths, Mapping):
        return {str(name): os.fspath(path) for name, path in paths.items()}
    if isinstance(paths, (str, os.PathLike)):
        return {os.fspath(paths): os.fspath(paths)}
    return {os.fspath(path): os.fspath(path) for path in paths}


@dataclass
class FlexlockConf:
    """Hydra's config node; each field is an argument of the callback."""

    _target_: str = "flexlock_hydra.hooks.callback.FlexlockCallback"
    enabled: bool = True
    strict: Any = "off"
    inputs: Any = field(default_factory=lambda: {"mode": "observed", "exclude": []})
    max_input_files: Any = 1_000_000
    max_input_gb: Any = 10
    outputs: Any = True
    max_output_mb: Any = None
    save_config: SaveConfig = SaveConfig.unresolved
    ignore: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    max_untracked_mb: int = 50
    repos: Any = None
    editable: bool = True
    push: bool = False
    volatile: list[str] = field(default_factory=list)


def register_options(store: Any) -> None:
    """Put the node into Hydra's ConfigStore, untyped.

    Hydra composes it for every job of a sweep, and takes 2 ms more for types. Those are
    checked once, where the callback is made.
    """
    defaults = {
        name: value.name if isinstance(value, Enum) else value
        for name, value in asdict(FlexlockConf()).items()
    }
    store.store(
        group="hydra/callbacks",
        name="flexlock",
        package="hydra.callbacks.flexlock",
        node=defaults,
        provider="flexlock-hydra",
    )
