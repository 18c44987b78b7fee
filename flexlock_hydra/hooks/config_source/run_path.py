"""``flexlock://RUN`` as a config path, and the run that a job took its config from.

Every Hydra app imports this module, and pays for what it imports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SCHEME = "flexlock"
PREFIX = f"{SCHEME}://"


def is_run_url(config_path: Any) -> bool:
    """Whether a config path names a recorded run."""
    return isinstance(config_path, str) and config_path.startswith(PREFIX)


def parent_id(sources: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of the run that a job takes its config from, by Hydra's list of sources."""
    for source in sources:
        if source["provider"] == "main" and source["schema"] == SCHEME:
            from flexlock_hydra.archive.runs import run_url

            return run_url.run_id(str(source["path"]))
    return None
