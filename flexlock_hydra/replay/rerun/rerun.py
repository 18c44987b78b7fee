"""Run a recorded job again: its code, overrides and data, in a new output directory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.runs import run_url
from flexlock_hydra.archive.runs.places import load_predecessors
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, load_run
from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import capture_code
from flexlock_hydra.capture.environment.packages import version_pairs
from flexlock_hydra.errors import CodeError, RerunError, TargetError
from flexlock_hydra.ports.git.command import require_version
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import RunLock
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.compare.compare import moved_folders
from flexlock_hydra.replay.compare.tolerance import Tolerance
from flexlock_hydra.replay.env.environment import chosen
from flexlock_hydra.replay.env.interpreter import interpreter
from flexlock_hydra.replay.rerun.command import StartCommand, start_command
from flexlock_hydra.replay.rerun.result import Again, Expected, RerunResult, WrittenOutside
from flexlock_hydra.replay.rerun.stage import Stage, stage


@dataclass(frozen=True)
class RerunOptions:
    """What the user of a rerun may choose.

    Args:
        into: the new output directory; below ``outputs/reruns/`` without it.
        resolved: run from the resolved config; no resolver is called then.
        current_code: run the working tree as it is now; a config that differs by it is said
            and does not stop the rerun.
        python: the interpreter, or the folder of its environment; this one without it.
        env: in the recorded environment, which is made again; not with ``python``.
        with_prevs: run the predecessors again before, each from what the rerun of its own
            predecessors wrote.
        tolerance: how far apart numbers may be that count as close.
        say: hears, in words, what the user should know before the job starts.
        tell: hears, in words, what takes long.
    """

    into: Path | None = None
    resolved: bool = False
    current_code: bool = False
    python: str | None = None
    env: bool = False
    with_prevs: bool = False
    tolerance: Tolerance = Tolerance()
    say: Callable[[str], None] = field(default=lambda text: None)
    tell: Callable[[str], None] = field(default=lambda text: None)


def rerun(run: RecordedRun, overrides: Sequence[str] = (), **options: Any) -> RerunResult:
    """Run a recorded job again and compare what comes out.

    Args:
        overrides: Hydra overrides that change the job; without any, the config that
            Hydra composes must be the recorded one.
        options: see :class:`RerunOptions`.

    Raises:
        RerunError: it cannot be run faithfully, or ended before it wrote a lock.
        CodeError, DataError: its code or data is not here. TargetError: ``into`` is taken.
    """
    require_version()
    how = RerunOptions(**options)
    with tempfile.TemporaryDirectory(prefix="flexlock-") as name:
        scratch = Path(name)
        expected = Expected.of(run, scratch, how.say)
        before = _run_prevs(run, how, scratch) if how.with_prevs else _Before()
        again = run_again(run, overrides, how, before.fresh)
        found = expected.compared(again, tuple(overrides), how.tolerance, before.moved)
        return replace(found, steps=tuple(before.steps))


@dataclass
class _Before:
    """Reruns of predecessors, by the ids of these; how each compares, and what it moved."""

    fresh: dict[str, RecordedRun] = field(default_factory=dict)
    steps: list[RerunResult] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)


def _run_prevs(run: RecordedRun, how: RerunOptions, scratch: Path) -> _Before:
    """Run the predecessors again, each after its own."""
    found = {prev.lock.run.id: prev for prev in load_predecessors(run)}
    graph = {run_id: set(prev.prevs) & found.keys() for run_id, prev in run.lock.prevs.items()}
    done = _Before()
    for run_id in TopologicalSorter(graph).static_order():
        prev = found[run_id]
        expected = Expected.of(prev, scratch, how.say)
        before = {key: done.fresh[key] for key in prev.lock.prevs}
        again = run_again(prev, (), replace(how, into=None), before)
        done.fresh[run_id] = again.run
        done.steps.append(expected.compared(again, (), how.tolerance, done.moved))
        done.moved += [*again.moves.items(), *moved_folders(prev, again.run)]
    return done


def run_again(
    run: RecordedRun,
    overrides: Sequence[str],
    how: RerunOptions,
    fresh: Mapping[str, RecordedRun] | None = None,
) -> Again:
    """Run a recorded job again, and compare nothing.

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
    commit = _current_commit(run) if how.current_code else None
    if commit is not None:
        how.tell(f"code: as it is now; {_changes(run, commit)}")
    python, made = chosen(run, python=how.python, env=how.env, say=how.say, tell=how.tell)
    with _new_folder(run, how.into) as target:
        with stage(run, target, commit=commit, fresh=fresh) as place:
            words = start_command(run, overrides, place, python, inherit=not how.env)
            for note in words.notes:
                how.say(note)
            try:
                ended = _execute(words, place, _notes(run, overrides, how, place, words))
            finally:
                place.keep(target)
            beside = target.with_name(f"{target.name}.written")
            files = place.keep_others(beside)
        lock = target / layout.LOCK
        if not lock.exists():
            raise RerunError(
                f"the rerun of {run.lock.run.id} ended with exit code {ended} before it wrote "
                "a lock",
                hint=f"What it said stands above.{_lacking(run, python)}",
            )
    written = WrittenOutside(beside, files) if files else None
    return Again(load_run(lock), place.moves, written, made)


def _lacking(run: RecordedRun, python: str) -> str:
    """What was installed for the run and is not now, in words."""
    there = interpreter(python).packages
    pairs = version_pairs(run.lock.environment.packages, there)
    gone = [f"{name} {version}" for name, version, here in pairs if here is None]
    ways = "--env makes the recorded environment, --python P takes another"
    return f" Not installed here: {some_of(gone)}; {ways}." if gone else ""


def _notes(
    run: RecordedRun, overrides: Sequence[str], how: RerunOptions, place: Stage, again: StartCommand
) -> dict[str, Any]:
    """What the job's own process must know, see :class:`flexlock_hydra.hooks.rerun.notes.Rerun`."""
    lock = run.lock
    return {
        "folder": str(place.output),
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
        "inputs": _inputs_by_key(lock, place),
        "tree": str(place.root),
        "project": str(run.root) if overrides else None,
        "cwd": lock.job.command.cwd,
        "repos": {name: str(folder) for name, folder in place.repos.items()},
        "task": lock.job.command.task,
        "config_name": None if run_url.is_source_of(lock) else lock.job.config_name,
        "alone": list(again.alone),
        "arguments": list(again.arguments),
        "overrides": list(again.launch),
        "started_in": str(again.cwd),
    }


def _inputs_by_key(lock: RunLock, place: Stage) -> dict[str, str]:
    """Where the input of each config key lies; of keys with several, none."""
    keys = Counter(entry.config_key for entry in lock.data.values())
    return {
        entry.config_key: place.moved(entry.path) or str(place.root / entry.path)
        for entry in lock.data.values()
        if entry.config_key and keys[entry.config_key] == 1 and not entry.is_url
    }


def _execute(again: StartCommand, place: Stage, notes: Mapping[str, Any]) -> int:
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


@contextmanager
def _new_folder(run: RecordedRun, into: Path | None) -> Iterator[Path]:
    """An empty folder for the outputs, taken away again where none come; or TargetError."""
    target = _free_folder(run) if into is None else into.expanduser().absolute()
    try:
        target.mkdir(parents=True, exist_ok=True)
        taken = any(target.iterdir())
    except FileExistsError:
        taken = True
    except OSError as error:
        raise TargetError(
            f"{target} cannot be made: {error.strerror}", hint="Choose another place: --into DIR"
        ) from error
    if taken:
        raise TargetError(f"{target} is not empty", hint="Choose a new folder: --into DIR")
    try:
        yield target
    finally:
        for folder in (target, *target.parents[:2]) if into is None else (target,):
            if not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def _free_folder(run: RecordedRun) -> Path:
    folder = run.root / "outputs" / "reruns" / run.lock.run.id
    return next(
        place.absolute() for n in range(1, 1 << 30) if not (place := folder / str(n)).exists()
    )


def _changes(run: RecordedRun, commit: str) -> str:
    """How code differs from the recorded, in words."""
    recorded = run.lock.code.commit if run.lock.code else None
    repo = run.require_repo()
    if recorded is None or not repo.has_object(recorded):
        return "the recorded is not here to compare it with"
    paths = repo.diff(recorded, commit).paths
    return f"differs from the recorded in {some_of(paths)}" if paths else "it is the recorded"


def _current_commit(run: RecordedRun) -> str:
    """A snapshot of the project's working tree as it is now; CodeError if it has no commit."""
    repo = run.require_repo()
    data = tuple(run.root / entry.place for entry in run.lock.data.values() if not entry.is_url)
    state = capture_code(repo, repo.root, Scope(folders=(run.folder,), data=data))
    if not state.commit:
        raise CodeError(f"{repo.root} has no code", hint="Commit something.")
    return state.commit
