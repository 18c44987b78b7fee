"""The typed options of ``hydra/callbacks=flexlock``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Strict(Enum):
    """What a thing that cannot be recorded does to the job.

    ``off`` has the value 0: YAML reads a bare ``off`` as false.
    """

    off = 0
    warn = 1
    code = 2
    all = 3


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
    strict: Strict = Strict.off
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
