"""Whether Hydra was given ``flexlock://RUN`` as its config path.

Hydra joins it to the app's folder or package before any plugin sees it, so it is read from
Hydra's own frames. Every Hydra app imports this module, and pays for what it imports.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath

SCHEME = "flexlock"
PREFIX = f"{SCHEME}://"
_FRAMES = 6
"""How far up Hydra's own frames are looked for."""


def repair(search_path: ConfigSearchPath) -> None:
    """Put the URL back into Hydra's search path, where it was given."""
    frame = frame_of("create_automatic_config_search_path", sys._getframe(1))
    url = frame.f_locals.get("config_path") if frame else None
    if frame is not None and url is not None and is_run_url(url):
        from flexlock_hydra.hooks.config_source import run_source

        run_source.put(search_path, url, frame)


def parent_id(sources: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of the run that a job takes its config from, by Hydra's list of sources."""
    for source in sources:
        if source["provider"] == "main" and source["schema"] == SCHEME:
            from flexlock_hydra.archive.runs import run_url

            return run_url.run_id(str(source["path"]))
    return None


def is_run_url(config_path: Any) -> bool:
    """Whether a config path names a recorded run."""
    return isinstance(config_path, str) and config_path.startswith(PREFIX)


def frame_of(function: str, below: FrameType) -> FrameType | None:
    """The nearest frame above of a function of Hydra's with this name."""
    frame = below.f_back
    for _ in range(_FRAMES):
        if frame is None:
            break
        if frame.f_code.co_name == function and frame.f_globals["__name__"].startswith("hydra."):
            return frame
        frame = frame.f_back
    return None
