"""Find locks below a folder, by their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

_NOT_SEARCHED = frozenset({"node_modules", "__pycache__", "site-packages"})


def files_below(
    root: Path, wanted: Callable[[str], bool], *, last_first: bool = False
) -> Iterator[Path]:
    """The files with a wanted name, not in hidden folders or those of installed packages.

    ``last_first``: the folders whose names sort last come first; of dates the newest.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(
            (
                name
                for name in folders
                if not name.startswith(".")
                and name not in _NOT_SEARCHED
                and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
            ),
            reverse=last_first,
        )
        for name in filter(wanted, files):
            yield Path(folder, name)
