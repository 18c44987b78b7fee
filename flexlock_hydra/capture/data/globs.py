"""Patterns of paths: inputs like ``data/*.csv``, and which outputs are hashed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Pattern:
    """A folder without magic in its name, and what is matched below it, as ``glob`` does.

    ``**`` stands for any folders, a hidden name is matched by a dot alone, and whatever
    lies in a folder that matches belongs to it.
    """

    base: Path
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, path: Path) -> Pattern | None:
        """The pattern that a path is; None where it is none, or exists under that name."""
        at = next((i for i, part in enumerate(path.parts) if _MAGIC.search(part)), None)
        if at is None or os.path.lexists(path):
            return None
        return cls(Path(*path.parts[:at]), path.parts[at:])

    def matches(self, path: Path) -> bool:
        """Whether a file is matched, or lies in a folder that is."""
        return path.is_relative_to(self.base) and not self.leaves_out(
            path.relative_to(self.base).as_posix()
        )

    def leaves_out(self, name: str) -> bool:
        """Whether nothing at or below a path can match; a folder's path ends with a slash."""
        return not _leads(name.rstrip("/").split("/"), self.parts, name.endswith("/"))


def outside(parts: Sequence[str]) -> Callable[[str], bool] | None:
    """What of a folder is passed over for a pattern's parts; None for no pattern."""
    return Pattern(Path(), tuple(parts)).leaves_out if parts else None


def all_but(files: Collection[str]) -> Callable[[str], bool]:
    """What of a folder is passed over where some of its files alone are wanted."""
    wanted = frozenset(files)
    folders = {f"{up}/" for name in wanted for up in PurePosixPath(name).parents}
    return lambda name: name not in (folders if name.endswith("/") else wanted)


def _leads(names: Sequence[str], parts: Sequence[str], folder: bool) -> bool:
    if not parts:
        return True
    if not names:
        return folder
    hidden = names[0].startswith(".")
    if list(parts) == ["**"]:
        return not any(name.startswith(".") for name in names)
    if parts[0] == "**":
        here = _leads(names, parts[1:], folder)
        return here or (not hidden and _leads(names[1:], parts, folder))
    if hidden and not parts[0].startswith("."):
        return False
    return fnmatch(names[0], parts[0]) and _leads(names[1:], parts[1:], folder)
