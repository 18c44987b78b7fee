"""Lineages step by step, and what differs within one step: script, config, code, environment."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flexlock_hydra.archive.runs.places import load_predecessor
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, original_root
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import DataEntry, Predecessor, RunLock
from flexlock_hydra.record.relative_path import is_under
from flexlock_hydra.replay.explain import diff
from flexlock_hydra.replay.explain.sections import Section, flatten

CONFIG, CODE, DATA, ENVIRONMENT = "config", "code", "data", "environment"
SCRIPT = "script"
STEP = "step"
"""An input came from a run on one side alone, or from runs of different jobs."""
UNKNOWN = "unknown"
"""A lock is not here, so what differs in its step is not known."""
CHANCE = "not deterministic"
"""Nothing that was recorded differs, and yet the outputs do."""

# Of an environment, what decides no result, or is told by something else.
_DECIDES_NOTHING = re.compile(r"platform|cpu (?!model)\w+|container .*|torch devices?")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w.]*)\}")
_NOW = re.compile(r"\$\{\s*now\s*:")


@dataclass(frozen=True)
class Cause:
    """What differs first, in which step; a side that has no such thing has None."""

    job: str
    runs: tuple[str | None, str | None]
    kind: str
    name: str = ""
    old: Json = None
    new: Json = None

    @property
    def key(self) -> tuple[str, ...]:
        """By which the same difference is known in another step."""
        return (self.kind, self.name, repr(self.old), repr(self.new))


@dataclass(frozen=True)
class Step:
    """A run of a lineage.

    Args:
        prevs: the ids of the runs that it stands on directly.
        run: its own record; None where its lock is not here as it was.
        missing: why not.
    """

    id: str
    job: str
    path: str
    status: str
    data: Mapping[str, DataEntry]
    prevs: tuple[str, ...]
    run: RecordedRun | None
    missing: str = ""


Lineage = Mapping[str, Step]


@dataclass(frozen=True)
class Pair:
    """A step of the old run's lineage and the one of the new that takes its place."""

    old: Step
    new: Step

    @property
    def ids(self) -> tuple[str, str]:
        """Both runs."""
        return self.old.id, self.new.id

    @property
    def job(self) -> str:
        """The step's name; both where they differ."""
        return " and ".join(dict.fromkeys((self.old.job, self.new.job)))


def lineage(run: RecordedRun) -> dict[str, Step]:
    """The steps by their ids; that of the run itself comes first."""
    lock = run.lock
    direct = tuple(run_id for run_id, prev in lock.prevs.items() if prev.direct)
    own = Step(lock.run.id, lock.job.name, str(run.folder), lock.run.status, lock.data, direct, run)
    return {own.id: own, **{run_id: _step(run, run_id, p) for run_id, p in lock.prevs.items()}}


def feeding(step: Step, name: str, steps: Lineage) -> list[Step]:
    """The predecessors whose outputs an input of a step takes."""
    known = [steps[run_id] for run_id in step.prevs if run_id in steps]
    if step.run is not None:
        prevs = step.run.lock.prevs
        return [each for each in known if each.id in prevs and name in prevs[each.id].via]
    place = step.data[name].place
    return [each for each in known if is_under(place, each.path)]


def _step(run: RecordedRun, run_id: str, prev: Predecessor) -> Step:
    missing = ""
    found = None
    try:
        found = load_predecessor(run, run_id)
    except FlexlockError as error:
        missing = str(error)
    data = found.lock.data if found else prev.data
    return Step(run_id, prev.job, prev.path, prev.status, data, prev.prevs, found, missing)


def causes_within(pair: Pair) -> Iterator[Cause]:
    """What differs in a step itself, its inputs aside: script, config, code, environment."""
    old, new = pair.old.run, pair.new.run
    if old is None or new is None:
        missing = [step.missing or None for step in (pair.old, pair.new)]
        yield Cause(pair.job, pair.ids, UNKNOWN, "", *missing)
        return
    programs = [program_of(run.lock) for run in (old, new)]
    if programs[0] != programs[1]:
        yield Cause(pair.job, pair.ids, SCRIPT, "", *programs)
    yield from _config_causes(pair, old, new)
    yield from _causes_of(pair, CODE, diff.code(old, new))
    for cause in _causes_of(pair, ENVIRONMENT, diff.environment(old.lock, new.lock)):
        if not _DECIDES_NOTHING.fullmatch(cause.name):
            yield cause


def _config_causes(pair: Pair, old: RecordedRun, new: RecordedRun) -> Iterator[Cause]:
    """What differs in the config, and names neither inputs nor folders that the runs made."""
    inputs = _keys_of_inputs(old.lock) | _keys_of_inputs(new.lock)
    choosing = _keys_that_choose(old.lock) | _keys_that_choose(new.lock)
    names = [_folder_names(run) for run in (old, new)]
    nows = _keys_of_time(old.lock) & _keys_of_time(new.lock)
    for cause in _causes_of(pair, CONFIG, diff.config(old.lock, new.lock)):
        if cause.name in inputs or cause.name in nows:
            continue
        if cause.name in choosing and isinstance(cause.old, str) and isinstance(cause.new, str):
            continue
        if _neutral(cause.old, names[0]) != _neutral(cause.new, names[1]):
            yield cause


def _folder_names(run: RecordedRun) -> dict[str, str]:
    """The folders that a run and those before it made, by what stands for them.

    Relative and absolute, those of the predecessors by their jobs.
    """
    root = original_root(run.lock)
    found = {prev.path: f"<{prev.job}>" for prev in run.lock.prevs.values()}
    if run.lock.job.output_dir:
        found[run.lock.job.output_dir] = "<output>"
        found[posixpath.relpath(run.lock.job.output_dir, root)] = "<output>"
    absolute = {posixpath.join(root, path): name for path, name in found.items()}
    return {**found, **absolute, root: "<root>"}


def _neutral(value: Json, folders: Mapping[str, str]) -> Json:
    """A text without the names of these folders; anything else as it is."""
    longest_first = sorted(folders.keys() - {"", "."}, key=len, reverse=True)
    if not (isinstance(value, str) and longest_first):
        return value
    known = "|".join(map(re.escape, longest_first))
    return re.sub(rf"(?<![\w.-])(?:{known})(?![\w-])", lambda m: folders[m[0]], value)


def _keys_of_inputs(lock: RunLock) -> set[str]:
    return {entry.config_key for entry in lock.data.values() if entry.config_key}


def _keys_that_choose(lock: RunLock) -> set[str]:
    """The keys that the paths of inputs are made of: what was chosen stands among the inputs."""
    leaves = flatten(lock.unresolved)
    texts = (leaves.get(key) for key in _keys_of_inputs(lock))
    return {name for text in texts if isinstance(text, str) for name in _REFERENCE.findall(text)}


def _keys_of_time(lock: RunLock) -> set[str]:
    """The keys whose values say when the job started."""
    leaves = flatten(lock.unresolved)
    return {key for key, text in leaves.items() if isinstance(text, str) and _NOW.search(text)}


def _causes_of(pair: Pair, kind: str, found: Section) -> Iterator[Cause]:
    sides: dict[str, tuple[Json, Json]] = {
        **{name: (None, new) for name, new in found.added.items()},
        **{name: (old, None) for name, old in found.removed.items()},
        **{name: (change.old, change.new) for name, change in found.changed.items()},
    }
    for name in sorted(sides):
        yield Cause(pair.job, pair.ids, kind, name, *sides[name])


def program_of(lock: RunLock) -> str:
    """The script or module of a job, as Python was given it."""
    command = lock.job.command
    return f"-m {command.module}" if command.module else command.file or ""
