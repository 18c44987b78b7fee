"""A sweep as its jobs' locks tell it: nothing else sees jobs in every launcher."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from flexlock_hydra.capture.environment.process import is_alive
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.capture.lineage.predecessors import Found, read_found
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import FAILED, INTERRUPTED, RUNNING
from flexlock_hydra.record.sweep import SweepJob, SweepLock

_RESULT_LIMIT = 1000  # Characters of JSON above which a result stands in the job's lock alone


def observe(lock: SweepLock, folder: Path) -> SweepLock:
    """The sweep as its process and its jobs, below its folder, are now.

    Jobs whose folders are gone stay as they were recorded, and so do warnings. Whether a
    process of another host lives cannot be told from here: what it runs stays ``running``.
    """
    by_run = {job.run: job for job in lock.jobs}
    warnings = []
    for path in find_files(folder, layout.is_lock):
        try:
            found = read_found(path, more=True)
        except LockError as error:
            warnings.append(str(error))
            continue
        if found.lock.job.sweep is not None and found.lock.job.sweep.id == lock.id:
            by_run[found.lock.run.id] = _sweep_job(found, folder)
    jobs = tuple(sorted(by_run.values(), key=lambda job: (job.num is None, job.num or 0, job.run)))
    all_warnings = tuple(dict.fromkeys((*lock.warnings, *sorted(warnings))))
    seen = replace(lock, njobs=len(jobs), jobs=jobs, warnings=all_warnings)
    if seen.status == RUNNING:
        status = INTERRUPTED if is_alive(seen.process) is False else RUNNING
    else:
        status = outcome(jobs, seen.status)
    return replace(seen, status=status)


def outcome(jobs: Iterable[SweepJob], otherwise: str) -> str:
    """The status of a sweep that launches no more: that of its worst job, or ``otherwise``."""
    statuses = {job.status for job in jobs}
    return next((s for s in (FAILED, INTERRUPTED) if s in statuses), otherwise)


def _sweep_job(found: Found, folder: Path) -> SweepJob:
    """A job as the lock of its sweep, in ``folder``, has it."""
    run, job = found.lock.run, found.lock.job
    is_short = len(json.dumps(run.result, default=str)) <= _RESULT_LIMIT
    return SweepJob(
        num=job.num,
        overrides=job.overrides.task,
        run=run.id,
        path=found.folder.relative_to(folder).as_posix(),
        status=run.status,
        duration=run.duration,
        result=run.result if is_short else None,
        lock=found.sha256,
    )
