"""An input as the config gives it -> an entry of the lock."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.digest import Digest, digest
from flexlock_hydra.errors import DataError
from flexlock_hydra.record.model import DataEntry


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
        path = Path(os.path.expanduser(given))
        here = self.cwd / path
        if path.is_absolute() or here.exists() or self.cwd == self.original_cwd:
            return Path(os.path.normpath(here))
        return Path(os.path.normpath(self.original_cwd / path))

    def record(self, path: Path) -> str:
        """A path as the lock writes it: POSIX, relative below the root, else absolute."""
        return record_path(path, self.root)


def record_path(path: Path, root: Path) -> str:
    """A path as a lock writes it: POSIX, relative below ``root``, else absolute.

    A link in the folders above may hide that a path lies below the root; the path's
    own last part stays as given.
    """
    if not path.is_relative_to(root):
        resolved = path.parent.resolve() / path.name
        path = resolved if resolved.is_relative_to(root) else path
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def entry(given: str, places: Places, config_key: str | None = None) -> tuple[DataEntry, Digest]:
    """Hash an input.

    Raises:
        DataError: it is missing or cannot be read.
    """
    path = places.locate(given)
    found = digest(path)
    recorded = DataEntry(
        path=places.record(path),
        hash={"md5": found.md5},
        size=found.size,
        nfiles=found.nfiles,
        config_key=config_key,
    )
    return recorded, found


def failed_entry(
    given: str, places: Places, config_key: str | None, error: DataError
) -> DataEntry:
    """The entry of an input that could not be recorded, with the reason."""
    path = places.record(places.locate(given))
    return DataEntry(path=path, config_key=config_key, error=str(error))
