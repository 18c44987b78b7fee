"""The names in a folder: what a job sees that lists it, whatever it then reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container

from flexlock_hydra.capture.data.lock_files import without_locks
from flexlock_hydra.capture.data.walk import NEVER_DATA


def names_in(folder: str, without: Container[str] = ()) -> str | None:
    """The md5 of a folder's sorted names, a line each; None where it cannot be listed.

    Args:
        without: paths that do not count.
    """
    try:
        listed = {name for name in os.listdir(folder) if name not in NEVER_DATA
                  and os.path.join(folder, name) not in without}
    except (OSError, ValueError):
        return None
    lines = "".join(f"{name}\n" for name in sorted(without_locks(listed)))
    return hashlib.md5(os.fsencode(lines), usedforsecurity=False).hexdigest()
