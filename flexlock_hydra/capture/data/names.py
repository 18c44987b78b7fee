"""The names in a folder: what a job sees that lists it, whatever it then reads."""

from __future__ import annotations

import hashlib
import os

from flexlock_hydra.capture.data.walk import NEVER_DATA


def names_in(folder: str) -> str | None:
    """The md5 of a folder's sorted names, a line each; None where it cannot be listed."""
    try:
        names = sorted(name for name in os.listdir(folder) if name not in NEVER_DATA)
    except (OSError, ValueError):
        return None
    lines = "".join(f"{name}\n" for name in names)
    return hashlib.md5(os.fsencode(lines), usedforsecurity=False).hexdigest()
