"""What a rerun came to: its outputs beside the recorded ones, and what else is to be said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.pull.fetch_objects import HashFetcher
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.data.digest import FileDigest
from flexlock_hydra.errors import DataError
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import COMPLETED
from flexlock_hydra.replay.compare.compare import compare_runs, output_files
from flexlock_hydra.replay.compare.outcome import DIFFERS, Comparison, Outcome, worst
from flexlock_hydra.replay.compare.tolerance import Tolerance
from flexlock_hydra.replay.env.environment import RebuiltEnvironment

ALL_OUTPUTS = "all outputs"


@dataclass(frozen=True)
class WrittenOutside:
    """Files that a job wrote outside of its output directory, and where they are now."""

    folder: Path
    files: tuple[str, ...]


@dataclass(frozen=True)
class Again:
    """A job that was run again: what it recorded, and what else it left."""

    run: RecordedRun
    moves: Mapping[str, str]
    written: WrittenOutside | None
    environment: RebuiltEnvironment | None = None
    """What was made for it."""


@dataclass(frozen=True)
class RerunResult:
    """A rerun and how its outputs compare with the recorded ones."""

    run: RecordedRun
    comparison: Comparison
    overrides: tuple[str, ...] = ()
    """What was changed on purpose."""
    written: WrittenOutside | None = None
    """What it wrote beside its output directory, which was kept and not compared."""
    environment: RebuiltEnvironment | None = None
    """What was made for it to run in."""
    warned: tuple[str, ...] = ()
    """What the record itself says that it lacks: it may be why a rerun fails."""
    steps: tuple[RerunResult, ...] = ()
    """Those of its predecessors, in their order, where they were run again."""

    @property
    def verdict(self) -> str:
        """The worst of its own and its steps': ``identical``, ``close`` or ``differs``."""
        return worst(self.comparison.verdict, *(step.verdict for step in self.steps))

    @property
    def failure(self) -> str | None:
        """How the job ended, where it did not complete: ``failed: TypeError: ...``."""
        ended = self.run.lock.run
        if ended.status == COMPLETED:
            return None
        said = f": {ended.error.type}: {ended.error.message}" if ended.error else ""
        return f"{ended.status}{said}"


@dataclass(frozen=True)
class Expected:
    """The outputs of a run, looked at before it is run again.

    Args:
        run: the run, as it lies where its outputs are.
        files: None where they were not recorded, or are nowhere to be had as they were.
    """

    run: RecordedRun
    files: Mapping[str, FileDigest] | None

    @classmethod
    def of(cls, run: RecordedRun, scratch: Path, say: Callable[[str], None]) -> Expected:
        """The outputs of a run: here as they were recorded, or else brought to ``scratch``."""
        recorded = run.lock.outputs
        if recorded is None:
            return cls(run, None)
        try:
            return cls(run, output_files(run))
        except DataError as error:
            reason = error
        try:
            place, found = HashFetcher(run, scratch / run.lock.run.id).bring(recorded.md5)
        except DataError:
            say(f"{reason}; they are in no cache and on no remote: nothing to compare with")
            return cls(run, None)
        by_size = {name: FileDigest("", size) for name, size in (recorded.unhashed or {}).items()}
        return cls(replace(run, path=place / layout.LOCK), {**found.files, **by_size})

    def compared(
        self,
        again: Again,
        overrides: tuple[str, ...],
        tolerance: Tolerance,
        moved: Sequence[tuple[str, str]] = (),
    ) -> RerunResult:
        """The rerun, beside what was expected of it.

        Args:
            moved: names of folders that moved in the reruns before this.

        Raises:
            DataError: its own outputs cannot be read.
        """
        run, gone = self.run, self.files is None and self.run.lock.outputs is not None
        if gone:
            run = replace(run, lock=replace(run.lock, outputs=None))
        moves = (*again.moves.items(), *moved)
        found = compare_runs(run, again.run, tolerance=tolerance, moved=moves, files=self.files)
        if gone:
            unknown = Outcome(ALL_OUTPUTS, DIFFERS, reason="the recorded ones are gone")
            found = replace(found, differing=(*found.differing, unknown))
        warned = run.lock.warnings
        return RerunResult(again.run, found, overrides, again.written, again.environment, warned)


def rerun_document(reran: RerunResult) -> dict[str, Any]:
    """The command's JSON document."""
    more: dict[str, Any] = {}
    if reran.failure:
        more |= {"failure": reran.failure, "warned": list(reran.warned)}
    if reran.written:
        more["written"] = {"path": str(reran.written.folder), "files": list(reran.written.files)}
    if reran.environment:
        more["environment"] = reran.environment.as_json()
    if reran.steps:
        more["steps"] = [rerun_document(step) for step in reran.steps]
    plain = {
        "path": str(reran.run.folder), "id": reran.run.lock.run.id, **reran.comparison.as_json()
    }
    return {**plain, "verdict": reran.verdict, **more}
