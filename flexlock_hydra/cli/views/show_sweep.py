"""How a sweep looks to people: what its jobs share once, what differs for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import click

from flexlock_hydra.archive.runs.recorded_run import RecordedSweep
from flexlock_hydra.cli.views import render
from flexlock_hydra.record.model import STATUSES
from flexlock_hydra.record.sweep import SweepLock


def show_sweep(found: RecordedSweep, reproduced: Sequence[str] = ()) -> None:
    """The sweep in a few lines, then a table of its jobs, and how it was reproduced."""
    lock = found.lock
    shared = _shared(lock)
    unsaid = [override for override in shared if override not in lock.overrides]
    render.rows(
        [
            ("sweep", lock.id),
            ("job", lock.job),
            ("status", f"{lock.status}, {_tally(lock)}"),
            ("started", f"{lock.started} on {lock.process.host}"),
            ("overrides", " ".join(lock.overrides)),
            ("in all jobs", " ".join(unsaid)),
            ("launcher", lock.launcher or ""),
            ("folder", str(found.folder)),
        ]
    )
    if lock.jobs:
        click.echo("jobs")
        render.table(list(_rows(lock, shared)))
    for title, texts in (("not exact", lock.warnings), ("reproduced", reproduced)):
        if texts:
            click.echo(title)
            render.rows([("-", text) for text in texts], indent=2)


def _shared(lock: SweepLock) -> tuple[str, ...]:
    """The overrides that all jobs have; none where there is one job, which shows its own."""
    if len(lock.jobs) < 2:
        return ()
    first, *others = lock.jobs
    sets = [set(job.overrides) for job in others]
    return tuple(each for each in first.overrides if all(each in known for known in sets))


def _tally(lock: SweepLock) -> str:
    counts = Counter(job.status for job in lock.jobs)
    named = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{render.plural(lock.njobs, 'job')}{': ' if named else ''}{', '.join(named)}"


def _rows(lock: SweepLock, shared: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for job in lock.jobs:
        yield (
            "-" if job.num is None else str(job.num),
            job.status,
            "" if job.duration is None else render.duration(job.duration),
            " ".join(each for each in job.overrides if each not in shared),
            "" if job.result is None else render.brief(job.result, 200),
        )
