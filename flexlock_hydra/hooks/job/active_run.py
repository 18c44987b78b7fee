"""The run in progress: its code, its outputs, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.code.snapshot import Snapshot
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.tracking import Owner
from flexlock_hydra.hooks.job.recorded_inputs import RecordedInputs
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.layout import utc_now
from flexlock_hydra.record.model import MARKED, CodeState, Failure
from flexlock_hydra.record.summary import judge_completeness

if TYPE_CHECKING:
    from flexlock_hydra.capture.data.digest import Digest
    from flexlock_hydra.capture.data.entry import FolderPart
    from flexlock_hydra.hooks.job.hashed_data import OutputFolder
    from flexlock_hydra.hooks.job.job_view import JobView
    from flexlock_hydra.hooks.job.observed_inputs import InputWatch

late_writers: list[ActiveRun] = []
"""Ended runs whose lock may have to be written again before the process ends."""

log = logging.getLogger("flexlock_hydra")


@dataclass(eq=False, kw_only=True)
class ActiveRun(RecordedInputs):
    """A run in progress: its code, its outputs and its end; the rest is in the classes above.

    Args:
        view: the job as its config describes it; None outside of a Hydra job.
    """

    view: JobView | None = None
    code: Mapping[str, Snapshot] = field(default_factory=dict)  # looked at again at its end
    idle: Mapping[str, CodeState] = field(default_factory=dict)
    """Repositories of editable installs that nothing was imported from so far."""
    outputs: OutputFolder | None = None
    reads: InputWatch | None = None  # what the task opens, while it runs
    ended: tuple[str, float] | None = None  # when the task was over, and how many seconds it took
    started: float = field(default_factory=time.monotonic)
    owner: Owner = field(default_factory=Owner)
    began_in: Path | None = None  # the folder by which Hydra knows it, wherever it is by now

    def __post_init__(self) -> None:
        self.began_in = self.folder

    @property
    def read_code(self) -> dict[str, Snapshot]:
        """The snapshots of the repositories that are recorded."""
        return {name: kept for name, kept in self.code.items() if name in self.lock.repos}

    def record_used_repos(self) -> None:
        """Record the repositories of editable installs that something was imported from by now."""
        if not self.idle:
            return
        from flexlock_hydra.hooks.job import extra_repos

        with self.mutex:
            unused = extra_repos.unused(self.code, self.idle)
            used = {name: state for name, state in self.idle.items() if name not in unused}
            self.warn(*extra_repos.keep_used(self.code, used))
            self.record_repos({
                name: extra_repos.with_imports(state, self.code[name])
                for name, state in used.items()
            })
            # Each is looked at until its first import; then it stays recorded.
            self.idle = {name: state for name, state in self.idle.items() if name in unused}

    def stop(self, status: str) -> None:
        """Note when the task was over, and wait for the inputs that are not hashed yet.

        Ctrl-C in that time ends the wait; :meth:`finish` passes it on.
        """
        if self.ended is None:
            seconds = round(time.monotonic() - self.started, 6)
            self.ended = utc_now().isoformat(), seconds
            asked = self.looked.number if self.looked else 0
            if self.reads is not None:
                from flexlock_hydra.hooks.job import observed_inputs

                observed_inputs.end(self, self.reads)
            self.end_inputs(status, asked)
            if self.kept is not None and self.kept.done:
                from flexlock_hydra.hooks.job import kept_inputs

                kept_inputs.settle(self)

    def finish(self, status: str, *, error: Failure | None = None, result: Json = None) -> None:
        """Write the end of the run with its status, its error or its result.

        What cannot be written now is tried once more at the exit of the process.

        Raises:
            KeyboardInterrupt: it came while hashes were waited for; the lock is written.
        """
        tracking.leave_sink(self)
        late_writers.append(self)
        self.record_used_repos()
        self.stop(status)
        assert self.ended is not None
        ended, seconds = self.ended
        run = replace(self.lock.run, status=status, ended=ended, duration=seconds)
        self.lock = replace(self.lock, run=replace(run, error=error, result=result))
        self.lock = replace(self.lock, completeness=judge_completeness(self.lock))
        try:
            self.write()
        except OSError as problem:
            log.warning("%s cannot be written: %s", self.path, problem.strerror)
        else:
            if self.outputs is None or self.lock.job.sweep is not None:
                late_writers.remove(self)
                self.release()
        if self.cut_off:
            raise KeyboardInterrupt

    def locks_written(self) -> list[Path]:
        """Locks that the task opened for writing, by what was watched."""
        seen = list(self.reads.watch.seen.items()) if self.reads is not None else []
        return [Path(folder, layout.LOCK) for folder, names in seen if layout.LOCK in names]

    def release(self) -> None:
        """Let go of the folder: nothing is written there any more."""
        if self.held is not None:
            self.held.release()
            self.held, self.follows = None, False

    def settle(self) -> None:
        """Write at exit what could not be written; hash outputs anew that something wrote to since.

        Loggers and other callbacks do so until the process ends.
        """
        self.follow_folder()
        if self.saved is not self.lock:
            with contextlib.suppress(OSError):  # said at the end of the job
                self.write()
        # A folder that was removed, or that a later run has taken, has no outputs of this run.
        if self.outputs is None or not self.path.exists() or not self.owns_folder():
            return
        self.outputs.folder = self.folder
        if self.outputs.has_changed():
            self.record_outputs(self.outputs)
            self.write()

    def record_outputs(self, outputs: OutputFolder) -> None:
        """Hash the output directory, where it is not the project itself."""
        if self.places.root.is_relative_to(self.folder):
            self.warn("outputs not hashed: the output directory is the project itself")
            return
        self.outputs = outputs
        try:
            found, warnings = outputs.observe()
        except DataError as error:
            self.warn(f"outputs not hashed: {error}")
            return
        self.warn(*warnings)
        earlier = self._earlier_outputs(outputs)
        self.lock = replace(self.lock, outputs=replace(found, earlier=earlier))

    def _earlier_outputs(self, outputs: OutputFolder) -> tuple[str, ...] | None:
        """Outputs that an earlier run in this folder left, where its lock tells of one."""
        with contextlib.suppress(OSError):
            locks = {name for name in os.listdir(self.folder) if layout.is_lock(name)}
            if locks - {layout.LOCK}:
                return outputs.unchanged_since(self.since) or None
        return None


class Bystander(ActiveRun):
    """A run in a process that takes part in it while another one records it: nothing is written."""

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Return the path; in a rerun elsewhere, its place here."""
        moved = self.relocate(given, config_key)
        return moved if moved != given or original is None else original

    def add_data(
        self,
        key: str,
        given: str,
        config_key: str | None = None,
        *,
        how: str = MARKED,
        part: FolderPart | None = None,
        wait: bool = False,
    ) -> None:
        """Add nothing: the recording process does."""

    def add_prevs(
        self, given: str, via: str, found: Digest | None = None, files: tuple[str, ...] = ()
    ) -> bool:
        """Add nothing, as if there were predecessors: the recording process looks for them."""
        return True

    def write(self) -> None:
        """Write nothing: the lock is the recording process's."""
        self.saved = self.lock


def active_runs() -> list[ActiveRun]:
    """The runs in progress that this process itself began, the innermost last."""
    return [sink for sink in tracking.mine() if isinstance(sink, ActiveRun)]


def active(output_dir: Path) -> ActiveRun | None:
    """The active run of an output directory, the innermost."""
    runs = [run for run in active_runs() if output_dir in (run.folder, run.began_in)]
    return runs[-1] if runs else None
