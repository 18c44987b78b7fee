"""The environment of the processes that tests start: nobody's own."""

from __future__ import annotations

import os
from pathlib import Path

QUIET = {
    "PYTHONWARNINGS": "ignore::UserWarning",
    "DVC_NO_ANALYTICS": "1",
    "GIT_CONFIG_NOSYSTEM": "1",
}
# KMP_: what a library that a test imported has set since.
_OTHERS = ("GIT_", "XDG_", "FLEXLOCK_", "HYDRA_", "DVC_", "KMP_")


def clean_env(home: Path) -> dict[str, str]:
    """An environment with an empty HOME and nothing of git's, Hydra's or ours."""
    home.mkdir(exist_ok=True)
    return {**clean_variables(), "HOME": str(home)}


def clean_variables() -> dict[str, str]:
    """This process' environment without what changes how git, Hydra, DVC or we behave."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_OTHERS)
        and name != "PYTHONDONTWRITEBYTECODE"  # each process would compile all of us anew
    }
    return {**kept, **QUIET}
