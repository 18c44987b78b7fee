"""Reproducible Hydra runs: recorded, pushed, pulled and run again.

Importing this registers the OmegaConf resolver ``snapshot``, as soon as OmegaConf is imported
as well, and does nothing else.
"""

from __future__ import annotations

from flexlock_hydra.hooks.config.on_import import when_imported as _when_imported

TYPE_CHECKING = False  # type checkers take it for true; typing takes half as long as Python's start
if TYPE_CHECKING:
    from typing import Any

    from flexlock_hydra.archive.pull.pull import pull as pull
    from flexlock_hydra.archive.push.push import push as push
    from flexlock_hydra.archive.query.search import runs as runs
    from flexlock_hydra.archive.runs.find import find_run as find_run
    from flexlock_hydra.errors import FlexlockError as FlexlockError
    from flexlock_hydra.hooks.snapshot import snapshot as snapshot
    from flexlock_hydra.record.lockfile import read_lock as read_lock
    from flexlock_hydra.record.model import RunLock as RunLock
    from flexlock_hydra.replay.explain.diff import diff as diff
    from flexlock_hydra.replay.rerun.rerun import rerun as rerun

__version__ = "0.1.0"

_PUBLIC = {
    "FlexlockError": "errors",
    "RunLock": "record.model",
    "diff": "replay.explain.diff",
    "find_run": "archive.runs.find",
    "pull": "archive.pull.pull",
    "push": "archive.push.push",
    "read_lock": "record.lockfile",
    "rerun": "replay.rerun.rerun",
    "runs": "archive.query.search",
    "snapshot": "hooks.snapshot",
}  # name -> the module that it is loaded from when it is first asked for

__all__ = [
    "FlexlockError", "RunLock", "__version__", "diff", "find_run", "pull", "push", "read_lock",
    "rerun", "runs", "snapshot",
]


def _register() -> None:
    from flexlock_hydra.hooks.config.resolver import register_resolver

    register_resolver()


_when_imported("omegaconf", _register)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
