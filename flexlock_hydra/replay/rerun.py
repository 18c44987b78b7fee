"""Run a recorded job again: its code, overrides and data, in a new output directory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from flexlock_hydra.archive import collect
from flexlock_hydra.archive.runs import RecordedRun, load_run
from flexlock_hydra.capture import code
from flexlock_hydra.capture.digest import FileDigest
from flexlock_hydra.capture.scope import Scope
from flexlock_hydra.errors import CodeError, RerunError, TargetError
from flexlock_hydra.ports import gitcmd
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import same
from flexlock_hydra.replay.command import Command, command
from flexlock_hydra.replay.compare import compare_files, result_files
from flexlock_hydra.replay.diff import flatten
from flexlock_hydra.replay.stage import Stage, stage

IDENTICAL = "identical"
DIFFERS = "differs"


@dataclass(frozen=True)
class Options:
    """How a rerun goes.

    Args:
        into: the new output directory; below ``outputs/reruns/`` without it.
        resolved: run from the resolved config; no resolver is called then.
        current_code: run the working tree as it is now; a config that differs by it is said
            and does not stop the rerun.
        python: the interpreter; this one without it.
        with_prevs: run the predecessors again before, each from what the rerun of its own
            predecessors wrote.
        say: hears, in words, what the user should know before the job starts.
    """

    into: Path | None = None
    resolved: bool = False
    current_code: bool = False
    python: str | None = None
    with_prevs: bool = False
    say: Callable[[str], None] = field(default=lambda text: None)


@dataclass(frozen=True)
class Reran:
    """A rerun and how its outputs compare with the recorded ones."""

    path: str
    id: str
    identical: int
    differ: tuple[str, ...]
    missing: tuple[str, ...]
    verdict: str
    steps: tuple[Reran, ...] = ()
    """Those of its predecessors, in their order, where they were run again."""


def rerun(run: RecordedRun, overrides: Sequence[str] = (), **options: Any) -> Reran:
    """Run a recorded job again and compare what comes out.

    Args:
        overrides: Hydra overrides that change the job; without any, the config that
            Hydra composes must be the recorded one.
        options: see :class:`Options`.

    Raises:
        RerunError: it cannot be run faithfully, or ended before it wrote a lock.
        CodeError, DataError: its code or data is not here. TargetError: ``into`` is taken.
    """
    gitcmd.require_version()
    how = Options(**options)
    expected = _expected(run)
    fresh, steps = _run_prevs(run, how) if how.with_prevs else ({}, ())
    reran = _verdict(run, expected, run_again(run, overrides, how, fresh))
    worst = DIFFERS if DIFFERS in [each.verdict for each in (reran, *steps)] else IDENTICAL
    return replace(reran, verdict=worst, steps=steps)


def _run_prevs(
    run: RecordedRun, how: Options
) -> tuple[dict[str, RecordedRun], tuple[Reran, ...]]:
    """Run the predecessors again, each after its own."""
    found = {prev.lock.run.id: prev for prev in collect.predecessors(run)}
    graph = {run_id: set(prev.prevs) & found.keys() for run_id, prev in run.lock.prevs.items()}
    fresh: dict[str, RecordedRun] = {}
    steps = []
    for run_id in TopologicalSorter(graph).static_order():
        prev = found[run_id]
        expected, before = _expected(prev), {key: fresh[key] for key in prev.lock.prevs}
        fresh[run_id] = run_again(prev, (), replace(how, into=None), before)
        steps.append(_verdict(prev, expected, fresh[run_id]))
    return fresh, tuple(steps)


def run_again(
    run: RecordedRun,
    overrides: Sequence[str],
    how: Options,
    fresh: Mapping[str, RecordedRun] | None = None,
) -> RecordedRun:
    """Run a recorded job again; what it recorded.

    Args:
        fresh: reruns of its predecessors, by the ids of these, whose outputs it takes.

    Raises:
        RerunError, CodeError, DataError, TargetError: see :func:`rerun`.
    """
    if how.resolved and run.lock.config is None:
        raise RerunError(
            f"run {run.lock.run.id} did not record its resolved config",
            hint="Run it again without --resolved.",
        )
    target = _free_folder(run, how.into)
    commit = _current_commit(run) if how.current_code else None
    python = how.python or sys.executable
    with stage(run, target, commit=commit, fresh=fresh) as place:
        again = command(run, overrides, place, target, python)
        for note in again.notes:
            how.say(note)
        notes = _notes(run, overrides, how, place, target, again)
        ended = _execute(again, place, notes)
    lock = target / layout.LOCK
    if not lock.exists():
        raise RerunError(
            f"the rerun of {run.lock.run.id} ended with exit code {ended} before it wrote a lock",
            hint="What it said stands above.",
        )
    return load_run(lock)


def as_json(reran: Reran) -> dict[str, Any]:
    """The command's JSON document."""
    plain = {**vars(reran), "differ": list(reran.differ), "missing": list(reran.missing)}
    plain["steps"] = [as_json(step) for step in reran.steps]
    return {key: value for key, value in plain.items() if key != "steps" or value}


def _notes(
    run: RecordedRun,
    overrides: Sequence[str],
    how: Options,
    place: Stage,
    target: Path,
    again: Command,
) -> dict[str, Any]:
    """What the job's own process must know, see :class:`flexlock_hydra.hooks.again.Rerun`."""
    lock = run.lock
    return {
        "folder": os.path.abspath(target),
        "parent": lock.run.id,
        "unresolved": lock.unresolved,
        "choices": lock.job.choices,
        "lenient": how.current_code,
        "resolved": lock.config if how.resolved else None,
        "given": [word.partition("=")[0].lstrip("+~") for word in overrides],
        "data": {
            name: [entry.given or entry.path, entry.config_key] for name, entry in lock.data.items()
        } if how.resolved else {},
        "relocate": dict(place.moves),
        "cwd": lock.job.command.cwd,
        "repos": {name: str(folder) for name, folder in place.repos.items()},
        "task": lock.job.command.task,
        "overrides": list(again.launch),
        "started_in": str(again.cwd),
    }


def _execute(again: Command, place: Stage, notes: Mapping[str, Any]) -> int:
    note = place.scratch / "rerun.json"
    note.write_text(json.dumps(notes), encoding="utf-8")
    return subprocess.run(
        again.words,
        cwd=again.cwd,
        env={**again.env, layout.RERUN_VARIABLE: str(note)},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        check=False,
    ).returncode


def _expected(run: RecordedRun) -> dict[str, FileDigest]:
    return result_files(run) if run.lock.outputs else {}


def _verdict(
    run: RecordedRun, expected: Mapping[str, FileDigest], again: RecordedRun
) -> Reran:
    both = run.lock.outputs and again.lock.outputs
    files = compare_files(expected, result_files(again) if both else {})
    differ = [*files.changed, *(f"{name} (new)" for name in files.added)]
    if changed_result(run.lock.run.result, again.lock.run.result):
        differ.append("the returned result")
    if again.lock.run.status != run.lock.run.status:
        differ.append(f"the status: {run.lock.run.status}, now {again.lock.run.status}")
    return Reran(
        path=str(again.folder),
        id=again.lock.run.id,
        identical=len(files.identical),
        differ=tuple(differ),
        missing=files.removed,
        verdict=DIFFERS if differ or files.removed else IDENTICAL,
    )


def changed_result(old: Any, new: Any) -> bool:
    """Whether two returned values differ, leaf by leaf."""
    one, other = flatten(old), flatten(new)
    return one.keys() != other.keys() or not all(same(one[key], other[key]) for key in one)


def _free_folder(run: RecordedRun, into: Path | None) -> Path:
    if into is not None:
        target = into.expanduser().absolute()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise TargetError(
                f"{target} is not empty", hint="Choose a new folder: --into DIR"
            )
        return target
    folder = run.root / "outputs" / "reruns" / run.lock.run.id
    return next(
        place for n in range(1, 1 << 30) if not (place := folder / str(n)).exists()
    )


def _current_commit(run: RecordedRun) -> str:
    """A snapshot of the project's working tree as it is now.

    Raises:
        CodeError: it has no commit yet.
    """
    repo = run.require_repo()
    data = tuple(run.root / entry.place for entry in run.lock.data.values() if not entry.is_url)
    state = code.capture(repo, repo.root, Scope(folders=(run.folder,), data=data))
    if not state.commit:
        raise CodeError(f"{repo.root} has no code", hint="Commit something.")
    return state.commit
