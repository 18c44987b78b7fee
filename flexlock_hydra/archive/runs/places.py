"""Where a recorded run's folder, its data and its predecessors' locks lie now.

A lock holds paths of the machine where the job ran. What they name may still lie there; a
pull brings it elsewhere; a folder may have been renamed; a later run in the same folder
moves the lock of the run before it aside. Whoever looks for what was recorded asks here.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from pathlib import Path

from flexlock_hydra.archive.runs.find import run_locks_below
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled, original_root
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.relative_path import is_under


def restored_path(recorded: str) -> str:
    """Where a pull brings a recorded path, relative to the restored root."""
    return layout.fsroot_path(recorded) if Path(recorded).is_absolute() else recorded


def original_folder(run: RecordedRun) -> str:
    """The output directory on the machine where the run was recorded."""
    if run.lock.job.output_dir is not None:
        return run.lock.job.output_dir
    path = record_path(run.folder, run.root)
    outside = path.removeprefix(f"{layout.FSROOT}/")
    return posixpath.join(original_root(run.lock), path if outside == path else f"/{outside}")


def places_now(run: RecordedRun, recorded: str) -> Iterator[Path]:
    """Where a path that a run recorded may lie now, the likeliest first; not all exist.

    First its own place and where a pull brings it; then, should it be in a predecessor's
    folder, where the lock of that predecessor is.
    """
    absolute = posixpath.join(original_root(run.lock), recorded)
    # A path of the original machine may be anybody's on this one: a pulled project is asked alone.
    if not (Path(recorded).is_absolute() and is_pulled(run.root)):
        yield run.root / recorded
    yield run.root / layout.other_version_path(run.lock.run.id, restored_path(recorded))
    yield run.root / layout.fsroot_path(absolute)
    # Last, for it looks through all runs of the project. The folder was renamed since, or its
    # recorded name is a link that was set anew.
    for run_id, prev in run.lock.prevs.items():
        if is_under(recorded, prev.path):
            for _, found, lock in run_locks_below(run.root):
                if found == run_id:
                    yield lock.parent / posixpath.relpath(recorded, prev.path)


def locks_in(folder: Path, run_id: str) -> list[Path]:
    """The lock files of a folder that may be a run's: the current one, or that run's own,
    which a later run in the same folder moved aside."""
    paths = (folder / layout.LOCK, folder / layout.superseded_lock(run_id))
    return [path for path in paths if os.path.isfile(path)]


def predecessor_locks(run: RecordedRun, run_id: str) -> Iterator[Path]:
    """The lock files that may be a predecessor's, the likeliest first; other runs' among them."""
    for folder in places_now(run, run.lock.prevs[run_id].path):
        yield from locks_in(folder, run_id)


def find_predecessor_lock(run: RecordedRun, run_id: str) -> Path | None:
    """The lock file of a predecessor, by the id in its first lines; None where it is not here."""
    for path in predecessor_locks(run, run_id):
        if (head := lockfile.read_head(path)) and head[1] == run_id:
            return path
    return None
