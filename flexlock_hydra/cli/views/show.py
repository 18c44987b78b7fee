"""How a run and a sweep look to people, and the verdicts on them."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
from flexlock_hydra.capture.environment import process
from flexlock_hydra.cli.views import render
from flexlock_hydra.record.model import (
    FAILED, MAIN, OBSERVED, OVERRIDDEN, STATUSES, CodeState, DataEntry, Job, RunLock
)
from flexlock_hydra.record.sweep import SweepLock
from flexlock_hydra.record.verdict import VERDICTS, Verdict
from flexlock_hydra.record.wording import some_of

_NAMED = 5
_MARGIN = 11  # Columns before the values of a run
_FRACTION = re.compile(r"\.\d+")
_FEW = 3
_LATEST = 10
_MOST_UNRECORDED = 10


def show_run(found: RecordedRun, name: str, reproduced: Sequence[str] = ()) -> None:
    """What ran, on what, what came out, what it stands on, and what was not exact.

    Args:
        name: how the user named it, for what to type next.
        reproduced: a line for each time that it was run again: where, and the verdict.
    """
    lock = found.lock
    render.rows(_summary(found, name))
    others = [(name, code) for name, code in lock.repos.items() if name != MAIN]
    inexact = dict.fromkeys([*_gaps(lock), *lock.warnings])
    for title, lines in (
        ("further repositories", [(name, f"{each.path}  {_code(each)}") for name, each in others]),
        ("data", [*_inputs(lock, observed=False)]),
        ("data that nobody marked", [*_inputs(lock, observed=True)]),
        ("read and not recorded", [*_unrecorded(lock)]),
        ("stands on", [*_prevs(lock)]),
        ("not exact", [("-", text) for text in inexact]),
        ("reproduced", [("-", text) for text in reproduced]),
    ):
        if lines:
            click.echo(title)
            render.rows(lines, indent=2)


def _summary(found: RecordedRun, name: str) -> Iterator[tuple[str, str]]:
    lock = found.lock
    yield "run", lock.run.id
    yield "job", _job(lock.job)
    yield "parent", lock.run.parent or ""
    yield "status", _status(lock)
    yield "started", f"{lock.run.started} on {lock.run.process.host}"
    if lock.run.error:
        said = f"{lock.run.error.type}: {lock.run.error.message}"
        yield "error", render.one_line(said, max(render.columns() - _MARGIN, 60))
        yield "traceback", f"flexlock-hydra show {shlex.quote(name)} --json, under run.error"
    yield "overrides", " ".join(lock.job.overrides.task)
    own = {key: one for key, one in lock.job.choices.items() if not key.startswith("hydra/")}
    yield "groups", " ".join(f"{key}={one}" for key, one in own.items() if one is not None)
    yield "result", "" if lock.run.result is None else render.brief(lock.run.result, 200)
    yield "code", _code(lock.code)
    yield "edited", some_of(lock.code.dirty, _NAMED) if lock.code else ""
    yield "python", _python(lock)
    yield "outputs", _outputs(lock)
    yield "folder", str(found.folder)


def _job(job: Job) -> str:
    command = job.command
    started = f"-m {command.module}" if command.module else command.file
    return f"{job.name} (python {started})" if started else job.name


def _status(lock: RunLock) -> str:
    if process.status_now(lock) == process.UNKNOWN:
        return f"{lock.run.status} (on {lock.run.process.host}; cannot be judged from here)"
    took = "" if lock.run.duration is None else f" in {render.duration(lock.run.duration)}"
    return f"{lock.run.status}{took}"


def _code(code: CodeState | None) -> str:
    if code is None:
        return "not recorded"
    dirty = f", {render.plural(len(code.dirty), 'file')} not committed" if code.dirty else ""
    where = f"{code.commit[:12]} on {code.branch or 'no branch'}"
    return f"{where}{dirty}, {code.completeness}"


def _python(lock: RunLock) -> str:
    found = lock.environment
    cards = Counter(str(card.get("name") or "GPU") for card in found.gpu if isinstance(card, dict))
    named = "".join(f", {count} x {name}" for name, count in cards.items())
    packages = render.plural(len(found.packages), "package")
    return f"{found.implementation} {found.python}, {packages}{named}"


def _outputs(lock: RunLock) -> str:
    if lock.outputs is None:
        return "not recorded"
    count = render.plural(lock.outputs.nfiles, "file")
    return f"{count}, {render.size(lock.outputs.size)}, {lock.outputs.md5}"


def _inputs(lock: RunLock, *, observed: bool) -> Iterator[tuple[str, str]]:
    """The inputs that the job's reads alone tell of, or those that the config tells of."""
    for name, each in lock.data.items():
        if (each.how == OBSERVED) is observed:
            how = ", overridden" if each.how == OVERRIDDEN else ""
            part = f", {render.plural(each.nfiles or 0, 'file')} of it" if each.files else ""
            yield name, f"{each.path}  ({_known_by(each)}{part}{how})"


def _unrecorded(lock: RunLock) -> Iterator[tuple[str, str]]:
    """The first files that the record lacks, each with the reason, and how many more there are."""
    found = lock.unrecorded or ()
    for each in found[:_MOST_UNRECORDED]:
        size = "" if each.size is None else f"{render.size(each.size)}, "
        yield each.config_key or "-", f"{each.path}  ({size}{each.why})"
    if (more := len(found) - _MOST_UNRECORDED) > 0:
        yield "-", f"and {more} more: flexlock-hydra show --json, under unrecorded"


def _known_by(entry: DataEntry) -> str:
    """What an input is known by: its size and hash, or what its server says of it; or why not."""
    if entry.error:
        return entry.error
    if entry.remote is not None:
        return ", ".join(f"{key} {value}" for key, value in entry.remote.items())
    if entry.md5 is None:
        return "not hashed"
    return f"{render.size(entry.size or 0)}, {entry.md5}"


def _prevs(lock: RunLock) -> Iterator[tuple[str, str]]:
    for run_id, prev in lock.prevs.items():
        via = f" via {', '.join(prev.via)}" if prev.via else ""
        stale = f", stale: {'; '.join(prev.stale)}" if prev.stale else ""
        yield prev.job, f"{run_id}  {prev.status}{via}{stale}"


def _gaps(lock: RunLock) -> Iterator[str]:
    """What the record does not hold, or holds in a way that may not come back the same."""
    for name, code in lock.repos.items():
        where = "code" if name == MAIN else f"repository {name}"
        yield from (f"{where}: {reason}" for reason in code.reasons)
    warned = {text.partition(": ")[0] for text in lock.warnings}
    for name, entry in lock.data.items():
        if f"data {name}" in warned or name in warned:
            continue
        if entry.error:
            yield f"data {name}: {entry.error}"
        elif entry.is_url:
            yield f"data {name}: a URL; what its server has is not kept"
    for run_id, prev in lock.prevs.items():
        if prev.status == FAILED:
            yield f"it stands on {prev.job} {run_id}, which failed"
        yield from (f"{prev.job} {run_id} was stale: {reason}" for reason in prev.stale)
    if lock.outputs is not None and lock.outputs.unhashed:
        yield f"too large to be hashed: {some_of([*lock.outputs.unhashed], _NAMED)}"


def show_sweep(found: RecordedSweep, reproduced: Sequence[str] = ()) -> None:
    """The sweep in a few lines, then a table of its jobs, and how it was reproduced."""
    lock = found.lock
    shared = _shared_overrides(lock)
    unsaid = [override for override in shared if override not in lock.overrides]
    render.rows([
        ("sweep", lock.id),
        ("job", lock.job),
        ("status", f"{lock.status}, {_tally_of_jobs(lock)}"),
        ("started", f"{lock.started} on {lock.process.host}"),
        ("overrides", " ".join(lock.overrides)),
        ("in all jobs", " ".join(unsaid)),
        ("launcher", lock.launcher or ""),
        ("folder", str(found.folder)),
    ])
    if lock.jobs:
        click.echo("jobs")
        render.table(list(_rows_of_jobs(lock, shared)))
    for title, texts in (("not exact", lock.warnings), ("reproduced", reproduced)):
        if texts:
            click.echo(title)
            render.rows([("-", text) for text in texts], indent=2)


def _shared_overrides(lock: SweepLock) -> tuple[str, ...]:
    """The overrides that all jobs have; none where there is one job, which shows its own."""
    if len(lock.jobs) < 2:
        return ()
    first, *others = lock.jobs
    sets = [set(job.overrides) for job in others]
    return tuple(each for each in first.overrides if all(each in known for known in sets))


def _tally_of_jobs(lock: SweepLock) -> str:
    counts = Counter(job.status for job in lock.jobs)
    named = [f"{counts[status]} {status}" for status in STATUSES if counts[status]]
    return f"{render.plural(lock.njobs, 'job')}{': ' if named else ''}{', '.join(named)}"


def _rows_of_jobs(lock: SweepLock, shared: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for job in lock.jobs:
        yield (
            "-" if job.num is None else str(job.num),
            job.status,
            "" if job.duration is None else render.duration(job.duration),
            " ".join(each for each in job.overrides if each not in shared),
            "" if job.result is None else render.brief(job.result, 200),
        )


def verdict_lines(history: Sequence[Verdict]) -> Iterator[str]:
    """How often, with what result; then each of the latest, the newest first."""
    if not history:
        return
    counts = Counter(each.verdict for each in history)
    tally = ", ".join(f"{name} {counts[name]}" for name in VERDICTS if counts[name])
    times = "once" if len(history) == 1 else f"{len(history)} times"
    yield f"{times}: {tally}"
    for each in [*reversed(history)][:_LATEST]:
        yield _verdict_line(each)
    if len(history) > _LATEST:
        yield f"and {len(history) - _LATEST} earlier: flexlock-hydra show TAG --json"


def _verdict_line(verdict: Verdict) -> str:
    where, what = verdict.where, verdict.environment
    by = f" by {where['by']}" if where.get("by") else ""
    named = f": {some_of(verdict.differ, _FEW)}" if verdict.differ else ""
    compared = "" if any(verdict.files.values()) else " (no file was compared)"
    when = _FRACTION.sub("", verdict.when)
    return (
        f"{when} {verdict.verdict}{compared} on {where.get('host')}{by}, "
        f"{what.get('python')}, {_packages_in_words(verdict)}{named}{verdict.gaps}"
    )


def _packages_in_words(verdict: Verdict) -> str:
    different = verdict.environment.get("different")
    if verdict.environment.get("same"):
        return "the same packages"
    names = list(map(str, different)) if isinstance(different, list) else []
    more = " and more" if len(names) > _FEW else ""
    return f"other {', '.join(names[:_FEW])}{more}" if names else "other packages"
