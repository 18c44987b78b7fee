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
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import FAILED, INTERRUPTED, RUNNING
from flexlock_hydra.record.sweep import SweepJob, SweepLock

_RESULT_LIMIT = 1000
"""Characters of JSON above which a result stands in the job's lock alone."""


def observe(lock: SweepLock, folder: Path) -> SweepLock:
    """The sweep as its process and its jobs, below its folder, are now.

    Jobs whose folders are gone stay as they were recorded, and so do warnings. Whether a
    process of another host lives cannot be told from here: what it runs stays ``running``.
    """
    known = {job.run: job for job in lock.jobs}
    warnings = []
    for path in find_files(folder, layout.is_lock):
        try:
            found = read_found(path, more=True)
        except LockError as error:
            warnings.append(str(error))
            continue
        if found.lock.job.sweep is not None and found.lock.job.sweep.id == lock.id:
            known[found.lock.run.id] = _job(found, folder)
    jobs = tuple(sorted(known.values(), key=_order))
    told = tuple(dict.fromkeys((*lock.warnings, *sorted(warnings))))
    seen = replace(lock, njobs=len(jobs), jobs=jobs, warnings=told)
    return replace(seen, status=_status(seen))


def outcome(jobs: Iterable[SweepJob], otherwise: str) -> str:
    """What its jobs make a sweep that launches no more: ``failed`` where one is."""
    statuses = {job.status for job in jobs}
    return next((s for s in (FAILED, INTERRUPTED) if s in statuses), otherwise)


def _status(lock: SweepLock) -> str:
    if lock.status == RUNNING:
        return INTERRUPTED if is_alive(lock.process) is False else RUNNING
    return outcome(lock.jobs, lock.status)


def _job(found: Found, folder: Path) -> SweepJob:
    run, job = found.lock.run, found.lock.job
    return SweepJob(
        num=job.num,
        overrides=job.overrides.task,
        run=run.id,
        path=found.folder.relative_to(folder).as_posix(),
        status=run.status,
        duration=run.duration,
        result=_short(run.result),
        lock=found.sha256,
    )


def _short(result: Json) -> Json:
    return result if len(json.dumps(result, default=str)) <= _RESULT_LIMIT else None


def _order(job: SweepJob) -> tuple[bool, int, str]:
    return (job.num is None, job.num or 0, job.run)
