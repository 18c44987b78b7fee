"""A run and all that it stands on, step by step, as far as it is known here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flexlock_hydra.archive.runs.load_predecessors import load_predecessor
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.record.model import DataEntry, Predecessor
from flexlock_hydra.record.relative_path import is_under


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


def lineage(run: RecordedRun) -> dict[str, Step]:
    """The steps by their ids; that of the run itself comes first."""
    lock = run.lock
    direct = tuple(run_id for run_id, prev in lock.prevs.items() if prev.direct)
    own = Step(
        lock.run.id, lock.job.name, str(run.folder), lock.run.status, lock.data, direct, run
    )
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
