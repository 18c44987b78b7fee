"""The run in progress: the data that it names, its outputs, its end."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.code.snapshot import Snapshot
from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.tracking import Owner
from flexlock_hydra.hooks.job.lock_writer import WrittenLock
from flexlock_hydra.hooks.job.masking import masked_code, masked_entry
from flexlock_hydra.hooks.rerun.notes import Relocation
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.layout import utc_now
from flexlock_hydra.record.model import COMPLETED, FAILED, INTERRUPTED, RUNNING, CodeState, Failure

if TYPE_CHECKING:  # loaded where there is something to hash
    from flexlock_hydra.capture.data.digest import Digest
    from flexlock_hydra.capture.data.hash_worker import HashAnswer
    from flexlock_hydra.hooks.job.inputs import Inputs
    from flexlock_hydra.hooks.job.outputs import OutputFolder

MISSING_DATA_HINT = "Put it there, or run with hydra.callbacks.flexlock.strict=code"

_ended: list[ActiveRun] = []
"""Runs whose lock may have to be written again before the process ends."""
_last: list[Callable[[], None]] = []
_exit_registered = False

log = logging.getLogger("flexlock_hydra")


def enter_run(run: ActiveRun) -> None:
    """Make a run the one that is told of paths; should nobody end it, the process's exit does."""
    _register_exit()
    tracking.enter_sink(run)


def active_runs() -> list[ActiveRun]:
    """The runs in progress that this process itself began, the innermost last."""
    return [sink for sink in tracking.mine() if isinstance(sink, ActiveRun)]


def active(output_dir: Path) -> ActiveRun | None:
    """The active run of an output directory, the innermost."""
    runs = [run for run in active_runs() if run.folder == output_dir]
    return runs[-1] if runs else None


def interrupt() -> None:
    """Every run in progress ends here and now."""
    for run in active_runs():
        run.finish(INTERRUPTED)


def at_exit(function: Callable[[], None]) -> None:
    """Have a function called when the process ends, after every run's own end."""
    _register_exit()
    if function not in _last:
        _last.append(function)


def _register_exit() -> None:
    global _exit_registered
    if not _exit_registered:
        atexit.register(_at_exit)
        _exit_registered = True


def _at_exit() -> None:
    """A run that nobody ended was cut off; late writers may have added to an ended one."""
    interrupt()
    for run in _ended:
        if run.owner.pid == os.getpid():
            run.settle()
    for function in _last:
        function()


@dataclass(eq=False, kw_only=True)
class ActiveRun(WrittenLock):
    """A run in progress: its inputs, its outputs, its end."""

    places: Places
    raise_on_data: bool = False
    relocate: Relocation = field(default_factory=Relocation)
    scanning: bool = False
    """Whether the config is being walked: then no path is computed anew."""
    code: Mapping[str, Snapshot] = field(default_factory=dict)
    """The snapshots of its repositories, for a look at its end."""
    idle: Mapping[str, CodeState] = field(default_factory=dict)
    """Repositories of editable installs that nothing was imported from so far."""
    looked: Inputs | None = None
    """The inputs, where there are any."""
    outputs: OutputFolder | None = None
    ended: tuple[str, float] | None = None
    """When the task was over, and how long it took in seconds."""
    cut_off: bool = False
    started: float = field(default_factory=time.monotonic)
    owner: Owner = field(default_factory=Owner)

    @property
    def inputs(self) -> Inputs:
        """What is known of the inputs, and who finds out the rest."""
        from flexlock_hydra.hooks.job.inputs import Inputs

        self.looked = self.looked or Inputs()
        return self.looked

    @property
    def read_code(self) -> dict[str, Snapshot]:
        """The snapshots of the repositories that are recorded."""
        return {name: kept for name, kept in self.code.items() if name in self.lock.repos}

    def take_up(self) -> None:
        """Record those of the idle repositories that something was imported from meanwhile."""
        if not self.idle:
            return
        from flexlock_hydra.hooks.job import extra_repos

        with self.mutex:
            unused = extra_repos.unused(self.code, self.idle)
            fresh = {
                name: masked_code(extra_repos.with_imports(state, self.code[name]), self.masker)
                for name, state in self.idle.items()
                if name not in unused
            }
            self.idle = {name: state for name, state in self.idle.items() if name in unused}
            self.lock = replace(self.lock, repos={**self.lock.repos, **fresh})

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Record a path that the config names, once; then return it as given.

        In a rerun elsewhere, a path of the original machine becomes its place here.

        Raises:
            DataError: it cannot be recorded, and ``strict=all``.
        """
        moved = self.relocate(given, config_key)
        with self.mutex:
            if not self._knows(moved, name, config_key):
                self.add_data(self._free_key(moved, name, config_key), moved, config_key)
                if not self.scanning:
                    self.write()
            self._raise_if_strict(moved)
        if moved != given:
            return moved
        return given if original is None else original

    def add_data(self, key: str, given: str, config_key: str | None = None) -> None:
        """Put an input and its predecessors into the lock; what is large is hashed later."""
        from flexlock_hydra.capture.data.entry import describe
        from flexlock_hydra.capture.data.hash_worker import HashAnswer
        from flexlock_hydra.hooks.job.inputs import lies_inside

        with self.mutex:
            self.drop_data(key)
            recorded, task = describe(given, self.places, config_key, time.time_ns())
            wait = self.lock.run.status != RUNNING or (self.raise_on_data and bool(task.parts))
            try:
                answer = self.inputs.look(key, task, wait=wait)
                if not task.is_url:
                    known = answer.summary.digest if answer and answer.summary else None
                    self.add_prevs(task.path, via=key, found=known)
            except DataError as error:
                answer = HashAnswer(error=str(error))
            self.lock = replace(self.lock, data={**self.lock.data, key: recorded})
            if answer is not None:
                self._record(key, answer)
            if lies_inside(self.folder, task):
                self.warn(f"data {key}: the job's own output directory lies inside of it")

    def _record(self, key: str, answer: HashAnswer) -> None:
        """Complete an entry with what is known of it now."""
        from flexlock_hydra.capture.data.entry import filled

        entry = masked_entry(filled(self.lock.data[key], answer), self.masker)
        self.lock = replace(self.lock, data={**self.lock.data, key: entry})
        if entry.error:
            self.warn(f"data {key}: {entry.error}")
        if answer.summary:
            self.warn(*answer.summary.warnings)
            if answer.summary.late:
                self.warn(
                    f"data {key} changed after the job's start, before it was hashed: "
                    f"{answer.summary.late}"
                )

    def _answered(self, answers: list[tuple[int, HashAnswer]]) -> None:
        """Hashes came from beside the job: a job that is killed later still has them."""
        with self.mutex:
            for key, answer in self.inputs.current(answers):
                self._record(key, answer)
            with contextlib.suppress(OSError):  # the write at the job's end shows what is wrong
                self.write()

    def _end_inputs(self, status: str) -> None:
        """Wait for hashes, and look for changes.

        A completed job waits as long as it takes, a failed one not very long, and one
        that was cut off not at all.
        """
        if self.looked is None:
            return
        from flexlock_hydra.hooks.job.inputs import FAILED_PATIENCE

        patience = {COMPLETED: None, FAILED: FAILED_PATIENCE}.get(status, 0.0)
        try:
            late = self.looked.finish(patience)
        except KeyboardInterrupt:
            late, self.cut_off = self.looked.finish(0.0), True
        for key, answer in late:
            if answer is not None:
                self._record(key, answer)
            elif self.lock.data[key].is_url:
                self.warn(f"data {key}: no answer in time from {self.lock.data[key].path}")
            else:
                self.warn(f"data {key}: not hashed: the job ended before")
        if status != INTERRUPTED:
            for key, names in self.looked.changed():
                self.warn(f"data {key} changed during the job, its hash is of the start: {names}")

    def drop_data(self, key: str) -> None:
        """Take an entry and what it alone led to out of the lock."""
        with self.mutex:
            if self.looked is not None:
                self.looked.forget(key)
            if key in self.lock.data:
                from flexlock_hydra.capture.lineage import predecessors

                data = {name: kept for name, kept in self.lock.data.items() if name != key}
                prevs = predecessors.without_via(self.lock.prevs, key)
                self.lock = replace(self.lock, data=data, prevs=prevs)

    def add_prevs(self, given: str, via: str, found: Digest | None = None) -> bool:
        """Put the runs that a path comes from into the graph; whether there are any."""
        from flexlock_hydra.capture.lineage import find_locks

        path = self.places.locate(given)
        reader = find_locks.Reader(self.lock.run.id, self.path, self.places.root)
        locks, left_out = find_locks.find_locks(path, reader, found)
        self.warn(*(f"data {via}: {reason}" for reason in left_out))
        if not locks:
            return False
        from flexlock_hydra.capture.lineage import predecessors

        with self.mutex:
            trace = predecessors.trace(self.lock.prevs, locks, path, via, reader, found)
            self.warn(*trace.warnings)
            self.lock = replace(self.lock, prevs=trace.prevs)
        return trace.direct > 0

    def write(self) -> None:
        """Write the lock as it is now, and listen to what is hashed beside the job."""
        with self.mutex:
            super().write()
            if self.looked is not None:
                self.looked.listen(self._answered)

    def stop(self, status: str) -> None:
        """The task is over: what is not hashed yet is waited for.

        Ctrl-C in that time ends the wait; :meth:`finish` passes it on.
        """
        if self.ended is None:
            seconds = round(time.monotonic() - self.started, 6)
            self.ended = utc_now().isoformat(), seconds
            self._end_inputs(status)

    def finish(self, status: str, *, error: Failure | None = None, result: Json = None) -> None:
        """Write the end of the run.

        What cannot be written now is tried once more at the exit of the process.

        Raises:
            KeyboardInterrupt: it came while hashes were waited for; the lock is written.
        """
        tracking.leave_sink(self)
        _ended.append(self)
        self.take_up()
        self.stop(status)
        assert self.ended is not None
        ended, duration = self.ended
        run = replace(
            self.lock.run,
            status=status,
            ended=ended,
            duration=duration,
            error=error,
            result=result,
        )
        self.lock = replace(self.lock, run=run)
        try:
            self.write()
        except OSError as problem:
            log.warning("%s cannot be written: %s", self.path, problem.strerror)
        else:
            if self.outputs is None or self.lock.job.sweep is not None:
                _ended.remove(self)
        if self.cut_off:
            raise KeyboardInterrupt

    def settle(self) -> None:
        """At exit: write what could not be written; hash outputs that something wrote to since.

        Loggers and other callbacks do so until the process ends.
        """
        if self.saved is not self.lock:
            with contextlib.suppress(OSError):  # said at the end of the job
                self.write()
        if self.outputs is None or not self.path.exists() or not self.owns_folder():
            return
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
        self.lock = replace(self.lock, outputs=found)

    def _knows(self, given: str, name: str | None, config_key: str) -> bool:
        """Whether a path stands under its key already, be it numbered."""
        path = self.places.written(given)
        return any(
            kept.path == path
            and key.split("#")[0] == (name or config_key)
            and (name or kept.config_key == config_key)
            for key, kept in self.lock.data.items()
        )

    def _free_key(self, given: str, name: str | None, config_key: str) -> str:
        """The key for a path: a numbered one where the name means another path already.

        A path that the config computes anew at each access (``${now:...}``) takes the
        place of the one before it.
        """
        key = name or config_key
        taken = self.lock.data.get(key)
        if taken is None or (taken.config_key == config_key and not self.scanning):
            return key
        number = next(n for n in range(2, 1 << 30) if f"{key}#{n}" not in self.lock.data)
        if name:
            self.warn(
                f"data key {key} names two paths: {taken.path} and {given}; "
                f"the second is recorded as {key}#{number}"
            )
        return f"{key}#{number}"

    def _raise_if_strict(self, given: str) -> None:
        if not self.raise_on_data or self.scanning:
            return
        path = self.places.written(given)
        for key, kept in self.lock.data.items():
            if kept.path == path and kept.error:
                raise DataError(
                    f"data {key}: {kept.error}",
                    hint=MISSING_DATA_HINT,
                )


class Bystander(ActiveRun):
    """A job of one more process of a run that another process records: nothing is added."""

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Return the path, moved where a rerun moves it."""
        moved = self.relocate(given, config_key)
        return moved if moved != given or original is None else original

    def add_data(self, key: str, given: str, config_key: str | None = None) -> None:
        """The recording process does."""

    def add_prevs(self, given: str, via: str, found: Digest | None = None) -> bool:
        """The recording process does."""
        return True

    def write(self) -> None:
        """The lock is the recording process's."""
        self.saved = self.lock
