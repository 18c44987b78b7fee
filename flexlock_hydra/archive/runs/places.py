"""Where a recorded run's folder, its data and its predecessors lie now."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from flexlock_hydra.archive.runs.find import run_locks_below
from flexlock_hydra.archive.runs.recorded_run import (
    RecordedRun, is_pulled, load_run, locks_in_tag, original_root
)
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.errors import PushError, RunNotFoundError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING
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


def load_predecessors(run: RecordedRun) -> list[RecordedRun]:
    """The runs that a run stands on, the newest first.

    Raises:
        RunNotFoundError: the lock of one is gone. PushError: it is not the recorded one.
    """
    return [load_predecessor(run, run_id) for run_id in sorted(run.lock.prevs, reverse=True)]


def load_predecessor(run: RecordedRun, run_id: str) -> RecordedRun:
    """A run that another one stands on: its lock lies in a folder, or in the other one's tag.

    Raises:
        RunNotFoundError: it is gone. PushError: it is not the recorded one.
    """
    prev = run.lock.prevs[run_id]
    if run.tag is not None and run.repo is not None:
        for name, content in locks_in_tag(run.repo, run.tag).items():
            if sha256_of(content) == prev.lock:
                lock = lockfile.parse_lock(content, f"{run.tag}:{name}")
                return replace(run, path=run.root / name, lock=lock, content=content)
        raise RunNotFoundError(f"tag {run.tag} does not hold the run.lock of {prev.job} {run_id}")
    for path in predecessor_locks(run, run_id):
        found = load_run(path, near=run.repo)
        if found.lock.run.id != run_id:
            continue
        sha256 = sha256_of(found.content)
        if prev.status != RUNNING and sha256 != prev.lock:  # a running one's lock was not final
            raise PushError(
                f"the run.lock of predecessor {run_id} in {path.parent} changed since: "
                f"recorded {prev.lock}, now {sha256}",
                hint="Put the recorded one back, or run the job again on this one.",
            )
        return found
    raise RunNotFoundError(
        f"the run.lock of predecessor {prev.job} {run_id} is not in {prev.path}",
        hint="Put that run's folder back, or pull it from its tag.",
    )


def sha256_of(content: bytes) -> str:
    """The hash of a lock's bytes, as the locks of later runs name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
