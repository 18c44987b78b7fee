"""How a run looks to people."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.environment import process
from flexlock_hydra.cli.views import render
from flexlock_hydra.record.model import FAILED, MAIN, CodeState, DataEntry, Job, RunLock
from flexlock_hydra.record.wording import some_of

_NAMED = 5
_MARGIN = 11
"""Columns before the values of a run."""


def show_run(found: RecordedRun, name: str, reproduced: Sequence[str] = ()) -> None:
    """What ran, on what, what came out, what it stands on, and what was not exact.

    Args:
        name: how the user named it, for what to type next.
        reproduced: a line for each time that it was run again: where, and the verdict.
    """
    lock = found.lock
    render.rows(_summary(found, name))
    for title, lines in (
        ("further repositories", [*_repos(lock)]),
        ("data", [*_data(lock)]),
        ("stands on", [*_prevs(lock)]),
        ("not exact", [("-", text) for text in _inexact(lock)]),
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
    yield "groups", " ".join(_groups(lock.job))
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


def _groups(job: Job) -> Iterator[str]:
    """The options that were taken of the app's own config groups."""
    for group, option in job.choices.items():
        if not group.startswith("hydra/") and option is not None:
            yield f"{group}={option}"


def _code(code: CodeState | None) -> str:
    if code is None:
        return "not recorded"
    dirty = f", {render.plural(len(code.dirty), 'file')} not committed" if code.dirty else ""
    where = f"{code.commit[:12]} on {code.branch or 'no branch'}"
    return f"{where}{dirty}, {code.completeness}"


def _python(lock: RunLock) -> str:
    found = lock.environment
    cards = Counter(
        str(card.get("name") or "GPU") for card in found.gpu if isinstance(card, dict)
    )
    named = "".join(f", {count} x {name}" for name, count in cards.items())
    packages = render.plural(len(found.packages), "package")
    return f"{found.implementation} {found.python}, {packages}{named}"


def _outputs(lock: RunLock) -> str:
    if lock.outputs is None:
        return "not recorded"
    count = render.plural(lock.outputs.nfiles, "file")
    return f"{count}, {render.size(lock.outputs.size)}, {lock.outputs.md5}"


def _repos(lock: RunLock) -> Iterator[tuple[str, str]]:
    for name, code in lock.repos.items():
        if name != MAIN:
            yield name, f"{code.path}  {_code(code)}"


def _data(lock: RunLock) -> Iterator[tuple[str, str]]:
    for name, entry in lock.data.items():
        yield name, f"{entry.path}  ({entry.error or _size_and_md5(entry)})"


def _size_and_md5(entry: DataEntry) -> str:
    """What an input is known by: its size and hash, or what its server says of it."""
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


def _inexact(lock: RunLock) -> list[str]:
    """What the record does not hold, or holds in a way that may not come back the same."""
    return list(dict.fromkeys([*_code_gaps(lock), *_data_gaps(lock), *lock.warnings]))


def _code_gaps(lock: RunLock) -> Iterator[str]:
    for name, code in lock.repos.items():
        where = "code" if name == MAIN else f"repository {name}"
        yield from (f"{where}: {reason}" for reason in code.reasons)


def _data_gaps(lock: RunLock) -> Iterator[str]:
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
