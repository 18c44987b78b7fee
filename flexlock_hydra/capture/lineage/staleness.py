"""Whether what a run wrote, and what it read, is still what its lock says.

Times and sizes raise the suspicion; up to ``_MOST_HASHED`` bytes, hashing makes sure.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from flexlock_hydra.capture.data.digest import (
    FileDigest, digest, digest_file, fingerprint, of_files
)
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.errors import DataError
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import DataEntry, Outputs, is_left_out
from flexlock_hydra.record.summary import LockSummary

# Bytes. More are not hashed again for a suspicion alone: 12 ms at 700 MB/s.
_MOST_HASHED = 8 * 1024**2


@dataclass(frozen=True)
class Place:
    """A run as it lies here: its output directory, its lock, when that was last written."""

    folder: Path
    lock: LockSummary
    written_ns: int


def stale(
    place: Place, path: Path, files: Mapping[str, FileDigest] | None, root: Path
) -> tuple[str, ...]:
    """Why a predecessor's record no longer holds, as far as that is cheap to know.

    Args:
        path: the data that was read: in its output directory, that itself, or above it.
        files: what was read there of its outputs, by paths from ``path`` or from its
            output directory, whichever is deeper; None where nothing was read.
        root: the root of the repository that its recorded paths start at.
    """
    ended = nanoseconds(place.lock.run.ended)
    if ended is None:
        return ()
    is_inside = place.folder.is_relative_to(root)
    reasons = list(_changed_inputs(place.lock, root, ended)) if is_inside else []
    if files and place.lock.outputs is not None:
        if place.folder.is_relative_to(path):
            recorded = place.lock.outputs
            kept = {name: file for name, file in files.items() if not recorded.leaves_out(name)}
            if (now := of_files(kept).md5) != recorded.md5:
                reasons.append(f"its outputs changed: recorded {recorded.md5}, now {now}")
        else:
            late_ns = max(ended, place.written_ns)  # loggers write after a job's end
            reasons += _changed_part(place.folder, place.lock.outputs, path, files, late_ns)
    return tuple(reasons)


def _changed_part(
    folder: Path, recorded: Outputs, path: Path, files: Mapping[str, FileDigest], late_ns: int
) -> Iterator[str]:
    """Why a part of a run's outputs is not as recorded: it has no hash of its own, but times."""
    name, file = max(files.items(), key=lambda item: item[1].mtime_ns or 0)
    if (file.mtime_ns or 0) <= late_ns:
        return
    if recorded.size > _MOST_HASHED:
        if not _is_restored(folder):
            yield f"{(path / name).relative_to(folder).as_posix()} was written after its end"
        return
    names = (*recorded.left_out, *(recorded.unhashed or ()))
    now = _outputs_now(folder, names, recorded.only, file.mtime_ns)
    if now is not None and now != recorded.md5:
        yield f"its outputs changed: recorded {recorded.md5}, now {now}"


@lru_cache(maxsize=1024)
def _outputs_now(
    folder: Path, names: tuple[str, ...], only: tuple[str, ...] | None, newest: int | None
) -> str | None:
    """DVC's id of an output directory, hashed once for each time of its latest file."""
    try:
        return digest(folder, lambda name: is_left_out(name, names, only)).md5
    except DataError:
        return None


def _changed_inputs(lock: LockSummary, root: Path, ended: int) -> Iterator[str]:
    """Files that the predecessor read and that hold something else by now."""
    for name, entry in lock.data.items():
        try:
            info = os.stat(os.path.join(root, entry.path))
        except OSError:
            continue  # an input that is gone says nothing about what was made of it
        if entry.md5 is None or not stat.S_ISREG(info.st_mode) or entry.md5.endswith(".dir"):
            continue
        if info.st_size != entry.size:
            yield f"its input {name} ({entry.path}) has another size"
        elif info.st_mtime_ns > ended:
            yield from _changed_content(root / entry.path, name, entry, info.st_mtime_ns)


def _changed_content(path: Path, name: str, entry: DataEntry, mtime_ns: int) -> Iterator[str]:
    """Why an input of one file that was written later does not hold what was recorded."""
    if (entry.size or 0) > _MOST_HASHED:
        if not _is_restored(path):
            yield f"its input {name} ({entry.path}) was written after its end"
    elif (now := _md5_now(path, mtime_ns)) and now != entry.md5:
        yield f"its input {name} ({entry.path}) changed: recorded {entry.md5}, now {now}"


@lru_cache(maxsize=1024)
def _md5_now(path: Path, mtime_ns: int) -> str | None:
    """The md5 of a file, read once for each time that it was written."""
    try:
        return digest_file(path).md5
    except OSError:
        return None


def _is_restored(path: Path) -> bool:
    """Whether a pull brought a file or folder: then its time says nothing."""
    return any((folder / layout.METAFILES).is_dir() for folder in path.parents)


def written_since(path: Path, leave_out: LeaveOut | None, moment: str) -> str:
    """Files below a folder that changed since a recorded time, some of them by name.

    Raises:
        DataError: it cannot be looked at.
    """
    since = nanoseconds(moment)
    return "" if since is None else fingerprint(path, leave_out, since=since)[1]


def nanoseconds(moment: str | None) -> int | None:
    """A recorded time as a file's would be; None where it is none."""
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1e9) if moment else None
    except ValueError:
        return None
