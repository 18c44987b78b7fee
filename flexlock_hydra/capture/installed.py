"""Installed distributions whose code lies in a folder of the user's."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from flexlock_hydra.capture.packages import editable_folder, packages

_OWN = "flexlock-hydra"
"""The recorder is not what is recorded."""


def editable_installs() -> dict[str, Path]:
    """Distribution -> folder, of those installed in place: PEP 610, or ``develop``."""
    found = {name: editable_folder(text) for name, text in packages().items() if name != _OWN}
    return {name: folder for name, folder in found.items() if folder is not None}


def finder_homes() -> Iterator[Path]:
    """Folders that setuptools' editable finders import packages from, without ``sys.path``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable___"):
            for place in getattr(module, "MAPPING", {}).values():
                yield Path(place).parent
