"""Where this machine's caches lie: what is in them may be removed at any time."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

CACHE_VARIABLE = "FLEXLOCK_CACHE"
"""Names the folder of all caches, in place of the user's cache folder."""


def cache_folder() -> Path:
    """The folder of all caches; it may not be there yet."""
    folder = os.environ.get(CACHE_VARIABLE)
    if not folder:
        import platformdirs

        folder = platformdirs.user_cache_dir("flexlock-hydra", appauthor=False)
    return Path(folder)


def database_file(name: str) -> Path:
    """The file of a database in the cache folder, by the name of what it holds."""
    # A home folder may be shared by machines; SQLite's locks may not work across them.
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "host"
    return cache_folder() / f"{name}-{host}.sqlite"
