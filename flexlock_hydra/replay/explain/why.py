"""Why two runs came to different results: the first causes, along both lineages.

The walk goes from the results back. Of a step's inputs, those with equal contents explain
nothing and end the walk; those that differ and came from another run lead to that run. What
differs in a step itself is a cause there, unless the same difference stands in a step
before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.errors import DataError
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import EXACT, DataEntry
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.compare.compare import compare_runs
from flexlock_hydra.replay.compare.outcome import ERROR, IDENTICAL, RETURNED, STATUS
from flexlock_hydra.replay.explain import diff
from flexlock_hydra.replay.explain.causes import (
    CHANCE, DATA, STEP, UNKNOWN, Cause, Lineage, Pair, Step, causes_within, feeding, lineage,
    program_of
)


@dataclass(frozen=True)
class Why:
    """Why the results of two runs differ.

    Args:
        differs: whether they do.
        causes: the first ones; of the steps that come first, first.
        differing: the steps on the way, from the runs themselves back.
        equal: the steps whose outputs are equal where they were taken.
    """

    root: Pair
    differs: bool
    causes: tuple[Cause, ...] = ()
    differing: tuple[Pair, ...] = ()
    equal: tuple[Pair, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The command's JSON document."""
        return {
            "differs": self.differs,
            "job": self.root.job,
            "runs": list(self.root.ids),
            "causes": [{**vars(cause), "runs": list(cause.runs)} for cause in self.causes],
            "differing": [_plain_pair(pair) for pair in self.differing],
            "equal": [_plain_pair(pair) for pair in self.equal],
        }


def why(old: RecordedRun, new: RecordedRun) -> Why:
    """The first causes of what differs between the results of two runs."""
    walk = _Walk(lineage(old), lineage(new))
    root = Pair(walk.before[old.lock.run.id], walk.after[new.lock.run.id])
    differs, doubt = _results_differ(old, new)
    if not differs:
        return Why(root, differs=False)
    walk.visit(root, doubt)
    return Why(
        root,
        differs=True,
        causes=tuple(walk.first_causes()),
        differing=tuple(walk.visited.values()),
        equal=tuple(pair for ids, pair in walk.equal.items() if ids not in walk.visited),
    )


@dataclass
class _Walk:
    """Goes back from the results, through what differs."""

    before: Lineage
    after: Lineage
    visited: dict[tuple[str, str], Pair] = field(default_factory=dict)
    equal: dict[tuple[str, str], Pair] = field(default_factory=dict)
    own: dict[tuple[str, str], list[Cause]] = field(default_factory=dict)
    above: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)

    def visit(self, root: Pair, doubt: str | None = None) -> None:
        """Look at a step whose outputs differ, and at those before it that differ.

        ``doubt``: why it is not sure of the first one that they do.
        """
        waiting = [root]
        while waiting:
            pair = waiting.pop(0)  # the nearest first: that is the order in which they are shown
            if pair.ids in self.visited:
                continue
            self.visited[pair.ids] = pair
            differing, causes = self._inputs(pair)
            own = [*causes, *causes_within(pair)]
            self.above[pair.ids] = [each.ids for each in differing]
            if not own and not differing:
                unsure = (doubt if pair is root else None) or _unrecorded_code(pair)
                kind = UNKNOWN if unsure else CHANCE
                own = [Cause(pair.job, pair.ids, kind, "", unsure)]
            self.own[pair.ids] = own
            waiting += differing

    def first_causes(self) -> Iterator[Cause]:
        """Each step's own, without those that stand in a step before it."""
        for ids in self._earliest_first():
            before = {cause.key for up in self._all_above(ids) for cause in self.own[up]}
            yield from (cause for cause in self.own[ids] if cause.key not in before)

    def _earliest_first(self) -> list[tuple[str, str]]:
        try:
            return [*TopologicalSorter(self.above).static_order()]
        except CycleError:  # no honest lineage has one
            return [*reversed(self.visited)]

    def _all_above(self, ids: tuple[str, str]) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        waiting = [*self.above[ids]]
        while waiting:
            up = waiting.pop()
            if up not in found:
                found.add(up)
                waiting += self.above[up]
        return found

    def _inputs(self, pair: Pair) -> tuple[list[Pair], list[Cause]]:
        """The steps before, where what was taken of them differs; what else differs of inputs."""
        differing: dict[tuple[str, str], Pair] = {}
        causes: list[Cause] = []
        old, new = pair.old.data, pair.new.data
        for name in sorted({*old, *new}):
            one, other = old.get(name), new.get(name)
            pairs, causes_here = _matched(
                pair,
                name,
                feeding(pair.old, name, self.before) if one else [],
                feeding(pair.new, name, self.after) if other else [],
            )
            same = one is not None and other is not None and _identity(one) == _identity(other)
            alike = {each.ids: each for each in pairs if same or _files_are_alike(each)}
            self.equal.update(alike)
            if same or (alike and len(alike) == len(pairs) and not causes_here):
                continue
            named = [each for each in pairs if each.ids not in alike and not _left_the_same(each)]
            differing.update((each.ids, each) for each in named)
            causes += causes_here
            if not named and not causes_here:
                sides = [_known_of_input(each) for each in (one, other)]
                causes.append(Cause(pair.job, pair.ids, DATA, name, *sides))
        return [*differing.values()], causes


def _matched(
    pair: Pair, name: str, old: list[Step], new: list[Step]
) -> tuple[list[Pair], list[Cause]]:
    """The steps that feed an input on both sides by their jobs, in the order of their ids."""
    pairs = []
    rest = sorted(new, key=lambda step: step.id)
    alone = []
    for step in sorted(old, key=lambda step: step.id):
        same = next((each for each in rest if each.job == step.job), None)
        if same is None:
            alone.append(step)
        else:
            rest.remove(same)
            pairs.append(Pair(step, same))
    if len(alone) == len(rest) == 1 and _is_renamed(alone[0], rest[0]):
        pairs.append(Pair(alone.pop(), rest.pop()))
    if not (alone or rest):
        return pairs, []
    said = [", ".join(f"{each.job} {each.id}" for each in side) or None for side in (alone, rest)]
    return pairs, [Cause(pair.job, pair.ids, STEP, name, *said)]


def _left_the_same(pair: Pair) -> bool:
    """Whether both runs recorded the same outputs: what was taken of them changed later."""
    if pair.old.id == pair.new.id:
        return True
    one, other = (run.lock.outputs if run else None for run in (pair.old.run, pair.new.run))
    return one is not None and other is not None and one.md5 == other.md5


def _files_are_alike(pair: Pair) -> bool:
    """Whether the files that both runs left are the same but for what is no part of a result.

    The hash of a whole output directory is never that of another: Hydra's own files name it.
    """
    if pair.old.run is None or pair.new.run is None or pair.old.id == pair.new.id:
        return False
    try:
        found = compare_runs(pair.old.run, pair.new.run)
    except DataError:
        return False
    files = {each.file for each in (*found.differing, *found.close)} - {RETURNED, STATUS, ERROR}
    return bool(found.identical) and not (files or found.missing or found.added)


def _results_differ(old: RecordedRun, new: RecordedRun) -> tuple[bool, str | None]:
    """Whether outputs, result or end differ; where hashes alone can tell, also why that is."""
    try:
        return compare_runs(old, new).verdict != IDENTICAL, None
    except DataError as error:
        ends = [(run.lock.run.status, run.lock.run.result) for run in (old, new)]
        differ = ends[0] != ends[1] or bool(diff.outputs(old, new))
        return differ, f"outputs compared by their hash alone: {error}"


def _unrecorded_code(pair: Pair) -> str | None:
    """Why what was run may differ although what was recorded of the code does not."""
    locks = [step.run.lock for step in (pair.old, pair.new) if step.run is not None]
    states = [state for lock in locks for state in lock.repos.values()]
    reasons = [text for state in states for text in state.reasons if state.completeness != EXACT]
    return f"not all of the code was recorded: {some_of(reasons)}" if reasons else None


def _is_renamed(old: Step, new: Step) -> bool:
    """Whether two steps of other jobs are the same program."""
    if old.run is None or new.run is None:
        return False
    return program_of(old.run.lock) == program_of(new.run.lock)


def _identity(entry: DataEntry) -> Json:
    return entry.identity or entry.error


def _known_of_input(entry: DataEntry | None) -> Json:
    if entry is None:
        return None
    known = {"path": entry.path, "size": entry.size, "md5": entry.md5, "names": entry.listed,
             "error": entry.error}
    return {key: value for key, value in known.items() if value is not None}


def _plain_pair(pair: Pair) -> dict[str, Any]:
    return {"job": pair.job, "runs": list(pair.ids)}
