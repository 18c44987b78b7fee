"""``show RUN``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from flexlock_hydra.archive.elsewhere import finding
from flexlock_hydra.archive.runs import RecordedRun, RecordedSweep, find_sweep
from flexlock_hydra.capture import process
from flexlock_hydra.cli import render
from flexlock_hydra.record.model import MAIN, STATUSES, CodeState, DataEntry, RunLock
from flexlock_hydra.record.sweep import SweepLock


@click.command("show")
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print the whole lock as JSON.")
def command(run: str, as_json: bool) -> None:
    """Show what was recorded of RUN, its status as judged now.

    RUN may be a sweep: its folder or its id. Then sweep.lock is written anew as well.
    """
    sweep = find_sweep(run)
    if sweep is not None:
        _show_sweep(sweep, as_json)
        return
    with finding() as find:
        found = find(run)
    if as_json:
        plain = found.lock.to_dict()
        plain["run"]["status"] = process.status_now(found.lock)
        render.as_json({**plain, "path": str(found.folder)})
    else:
        _show(found)


def _show_sweep(found: RecordedSweep, as_json: bool) -> None:
    try:
        found.save()
    except OSError as error:
        render.warn([f"{found.path} not written: {error.strerror}"])
    lock = found.lock
    if as_json:
        render.as_json({**lock.to_dict(), "path": str(found.folder)})
        return
    render.rows(
        [
            ("sweep", lock.id),
            ("job", lock.job),
            ("status", f"{lock.status}, {_tally(lock)}"),
            ("started", f"{lock.started} on {lock.process.host}"),
            ("overrides", " ".join(lock.overrides)),
            ("launcher", lock.launcher or ""),
            ("folder", str(found.folder)),
        ]
    )
    if lock.jobs:
        click.echo("jobs")
        render.table(list(_job_rows(lock)))
    if lock.warnings:
        click.echo("warnings")
        render.rows([("-", text) for text in lock.warnings], indent=2)


def _tally(lock: SweepLock) -> str:
    counts = Counter(job.status for job in lock.jobs)
    named = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{render.plural(lock.njobs, 'job')}{': ' if named else ''}{', '.join(named)}"


def _job_rows(lock: SweepLock) -> Iterator[tuple[str, ...]]:
    for job in lock.jobs:
        yield (
            "-" if job.num is None else str(job.num),
            job.status,
            "" if job.duration is None else render.duration(job.duration),
            " ".join(job.overrides),
            "" if job.result is None else render.brief(job.result, 200),
        )


def _show(found: RecordedRun) -> None:
    lock = found.lock
    render.rows(_summary(found))
    for title, lines in (
        ("further repositories", list(_repos(lock))),
        ("data", list(_data(lock))),
        ("stands on", list(_prevs(lock))),
        ("warnings", [("-", text) for text in lock.warnings]),
    ):
        if lines:
            click.echo(title)
            render.rows(lines, indent=2)


def _summary(found: RecordedRun) -> Iterator[tuple[str, str]]:
    lock = found.lock
    yield "run", lock.run.id
    yield "job", lock.job.name
    yield "status", _status(lock)
    yield "started", f"{lock.run.started} on {lock.run.process.host}"
    if lock.run.error:
        yield "error", f"{lock.run.error.type}: {lock.run.error.message}"
    yield "overrides", " ".join(lock.job.overrides.task)
    yield "result", "" if lock.run.result is None else render.brief(lock.run.result, 200)
    yield "code", _code(lock.code)
    yield "outputs", _outputs(lock)
    yield "folder", str(found.folder)


def _status(lock: RunLock) -> str:
    if process.status_now(lock) == process.UNKNOWN:
        return f"{lock.run.status} (on {lock.run.process.host}; cannot be judged from here)"
    took = "" if lock.run.duration is None else f" in {render.duration(lock.run.duration)}"
    return f"{lock.run.status}{took}"


def _repos(lock: RunLock) -> Iterator[tuple[str, str]]:
    for name, code in lock.repos.items():
        if name != MAIN:
            yield name, f"{code.path}  {_code(code)}"


def _code(code: CodeState | None) -> str:
    if code is None:
        return "not recorded"
    dirty = f", {render.plural(len(code.dirty), 'file')} not committed" if code.dirty else ""
    reasons = f" ({'; '.join(code.reasons)})" if code.reasons else ""
    where = f"{code.commit[:12]} on {code.branch or 'no branch'}"
    return f"{where}{dirty}, {code.completeness}{reasons}"


def _outputs(lock: RunLock) -> str:
    if lock.outputs is None:
        return "not recorded"
    count = render.plural(lock.outputs.nfiles, "file")
    return f"{count}, {render.size(lock.outputs.size)}, {lock.outputs.md5}"


def _data(lock: RunLock) -> Iterator[tuple[str, str]]:
    for name, entry in lock.data.items():
        yield name, f"{entry.path}  ({entry.error or _identity(entry)})"


def _identity(entry: DataEntry) -> str:
    """What an input is known by: its size and hash, or what its server says of it."""
    if entry.remote is not None:
        return ", ".join(f"{key} {value}" for key, value in entry.remote.items())
    if entry.md5 is None:
        return "not hashed"
    return f"{render.size(entry.size or 0)}, {entry.md5}"


def _prevs(lock: RunLock) -> Iterator[tuple[str, Any]]:
    for run_id, prev in lock.prevs.items():
        via = f" via {', '.join(prev.via)}" if prev.via else ""
        stale = f", stale: {'; '.join(prev.stale)}" if prev.stale else ""
        yield prev.job, f"{run_id}  {prev.status}{via}{stale}"
