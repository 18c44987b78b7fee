"""The locks at, above and below a piece of data: the runs that it may come from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from flexlock_hydra.capture.data.digest import Digest, walk_files
from flexlock_hydra.record import layout

_SEARCHED = 10_000  # Files that a search for locks looks at where the folder was not hashed anyway


@dataclass(frozen=True)
class Reader:
    """The run whose predecessors are looked for: its id, its lock, its repository's root."""

    id: str
    lock: Path
    root: Path


def find_locks(
    path: Path, reader: Reader, found: Digest | None, files: Collection[str] = ()
) -> tuple[list[Path], list[str]]:
    """The locks of the runs that wrote a file or folder, and why some are left out.

    Args:
        found: the digest of what lies there, where it was hashed.
        files: of a folder, those that were read, where these are not all.
    """
    if files:  # whoever wrote one of them has a lock in a folder above it
        folders = {str(up) for name in files for up in PurePosixPath(name).parents}
        names = [f"{up}/{layout.LOCK}" for up in folders if (path / up / layout.LOCK).is_file()]
    elif found is not None:
        names = list(found.files) if found.is_folder else []
    else:  # as many as let the search end soon
        names = list(islice(walk_files(path), _SEARCHED)) if path.is_dir() else []
    locks = [path / name for name in _outermost(names)]
    above = find_lock(path, reader.root)
    if above is not None and above not in locks:
        locks.insert(0, above)
    warnings = []
    if len(names) == _SEARCHED and found is None:
        warnings.append(f"predecessors looked for in {_SEARCHED} files of {path} alone")
    if reader.lock in locks:
        locks.remove(reader.lock)
        own = reader.lock.parent
        if path.is_relative_to(own) and not reader.root.is_relative_to(own):  # else all data is
            warnings.append(
                f"{path} lies in this run's own output directory, so that the run that wrote it is "
                "not recorded; to have that, give each run its own hydra.run.dir"
            )
    return locks, warnings


def find_lock(path: Path, root: Path) -> Path | None:
    """The run.lock in ``path`` or in the nearest folder above it.

    The search ends at ``root``, and outside of it at the first repository's root.
    """
    for folder in (path, *path.parents):
        if os.path.isfile(os.path.join(folder, layout.LOCK)):
            return folder / layout.LOCK
        if folder == root or os.path.exists(os.path.join(folder, ".git")):
            return None
    return None


def _outermost(names: Iterable[str]) -> list[str]:
    """The locks among files, without those inside of another run's folder."""
    locks = sorted(name for name in names if f"/{name}".endswith(f"/{layout.LOCK}"))
    folders = {PurePosixPath(name).parent for name in locks}
    return [name for name in locks if folders.isdisjoint(PurePosixPath(name).parent.parents)]
