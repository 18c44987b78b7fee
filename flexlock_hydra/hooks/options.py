"""The typed options of ``hydra/callbacks=flexlock``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from flexlock_hydra.errors import FlexlockError


class Strict(Enum):
    """What a thing that cannot be recorded does to the job."""

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
        name = "off" if value is False else str(value)
        if name not in cls.__members__:
            raise FlexlockError(f"strict is {value!r}, not one of {', '.join(cls.__members__)}")
        return cls[name]


class SaveConfig(Enum):
    """Which configs the lock carries: both, the resolved one alone, or none."""

    unresolved = 0
    resolved = 1
    none = 2


@dataclass
class FlexlockConf:
    """Hydra's config node; each field is an argument of the callback."""

    _target_: str = "flexlock_hydra.hooks.callback.FlexlockCallback"
    enabled: bool = True
    strict: Any = "off"
    outputs: bool = True
    save_config: SaveConfig = SaveConfig.unresolved
    ignore: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    max_untracked_mb: int = 50


def register(store: Any) -> None:
    """Put the node into Hydra's ConfigStore."""
    store.store(
        group="hydra/callbacks",
        name="flexlock",
        package="hydra.callbacks.flexlock",
        node=FlexlockConf,
        provider="flexlock-hydra",
    )
