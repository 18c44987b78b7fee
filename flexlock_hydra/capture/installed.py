"""Installed distributions whose code lies in a folder of the user's."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_OWN = "flexlock-hydra"
"""The recorder is not what is recorded."""


def editable_installs() -> dict[str, Path]:
    """Distribution -> folder, of those installed in place: PEP 610, or an egg-link."""
    found: dict[str, Path] = {}
    for entry in dict.fromkeys(sys.path):
        for name, folder in _editable_in(entry or os.curdir):
            if name != _OWN:
                found.setdefault(name, folder)
    return found


def finder_homes() -> Iterator[Path]:
    """Folders that setuptools' editable finders import packages from, without ``sys.path``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable___"):
            for place in getattr(module, "MAPPING", {}).values():
                yield Path(place).parent


def _editable_in(site: str) -> Iterator[tuple[str, Path]]:
    try:
        entries = os.listdir(site)
    except OSError:  # a zip file, or a folder that is gone
        return
    for entry in sorted(entries):
        stem, kind = os.path.splitext(entry)
        folder = None
        if kind == ".dist-info":
            folder = _direct_url(f"{site}/{entry}/direct_url.json")
        elif kind == ".egg-link":
            folder = _egg_link(f"{site}/{entry}")
        if folder is not None:
            name = stem.rpartition("-")[0] if kind == ".dist-info" else stem
            yield re.sub(r"[-_.]+", "-", name).lower(), folder


def _direct_url(path: str) -> Path | None:
    try:
        with open(path, "rb") as file:
            origin = json.load(file)
        editable, url = origin["dir_info"]["editable"], urlsplit(origin["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Path(url2pathname(url.path)) if editable else None


def _egg_link(path: str) -> Path | None:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return Path(lines[0]) if lines else None
