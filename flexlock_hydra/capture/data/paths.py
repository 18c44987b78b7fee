"""Where a job's paths lead, and how a lock writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.data.url_identity import file_of, masked
from flexlock_hydra.record.layout import is_url

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class Places:
    """Where a job's relative paths start and how its paths are written down.

    ``cwd`` is where the job runs now, ``original_cwd`` where it was started, ``root``
    the repository's root, or the original cwd where there is no repository.
    """

    cwd: Path
    original_cwd: Path
    root: Path

    def locate(self, given: str) -> Path:
        """The absolute path that a given one means; the job's own cwd is tried first."""
        path = Path(expanded(given))
        if _DRIVE.match(given) and not path.is_absolute():
            return path  # of a Windows machine, and this is none
        here = self.cwd / path
        if path.is_absolute() or here.exists() or self.cwd == self.original_cwd:
            return Path(os.path.normpath(here))
        return Path(os.path.normpath(self.original_cwd / path))

    def written(self, given: str) -> str:
        """What the lock writes for a given path or URL."""
        return masked(given) if is_remote(given) else self.record(self.locate(given))

    def record(self, path: Path) -> str:
        """A path as the lock writes it: POSIX, relative below the root, else absolute."""
        return record_path(path, self.root)


def relocated(path: str, moves: Mapping[str, str]) -> str | None:
    """Where a path of another machine lies here; None where nothing is known of it.

    The longest known folder decides; what lies in a new one is in its place already.

    Args:
        moves: old folders and files -> new ones.
    """
    new = {name for here in moves.values() for name in (here, os.path.realpath(here))}
    above = [folder for folder in {*moves, *new} if lies_in(path, folder)]
    longest = max(above, key=len, default=None)
    if longest is None or longest not in moves:
        return None
    return moves[longest] + path[len(longest):]


def lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it, by their names."""
    return path == folder or path.startswith(folder.rstrip("/\\") + "/")


def record_path(path: Path, root: Path) -> str:
    """A path as a lock writes it: POSIX, relative below ``root``, else absolute."""
    if _DRIVE.match(str(path)) and not path.is_absolute():
        return str(path)
    path = Path(seen_below(str(path), str(root)))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def seen_below(path: str, root: str) -> str:
    """A path, by way of ``root`` where a link in the folders above hides that it lies there.

    Its own last part stays as given.
    """
    inside = f"{root.rstrip(os.sep)}{os.sep}"
    if path == root or path.startswith(inside):
        return path
    folder, name = os.path.split(path)
    real = os.path.join(os.path.realpath(folder), name)
    return real if real == root or real.startswith(inside) else path


def is_remote(given: str) -> bool:
    """Whether a text is a URL of something that is no file of this machine."""
    return is_url(given) and file_of(given) is None


def expanded(given: str) -> str:
    """A given path without ``file://``, ``~`` and environment variables."""
    path = file_of(given) if is_url(given) else None
    path = os.path.expanduser(given if path is None else path)
    return path if "$" not in path or os.path.lexists(path) else os.path.expandvars(path)
