"""The active run, and ``snapshot()``: what adds to it from anywhere in a job."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from flexlock_hydra.capture import lineage
from flexlock_hydra.capture.beside import Answer
from flexlock_hydra.capture.code import Snapshot
from flexlock_hydra.capture.data import Places, describe, expanded, filled
from flexlock_hydra.capture.digest import Digest, Limits, Summary, fingerprint, summarize
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.capture.walk import TooLargeError
from flexlock_hydra.errors import DataError, LockError
from flexlock_hydra.hooks.inputs import FAILED_PATIENCE, Inputs, lies_inside
from flexlock_hydra.hooks.options import Selection
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import (
    COMPLETED,
    DRIFTED,
    FAILED,
    INTERRUPTED,
    PARTIAL,
    RUNNING,
    CodeState,
    DataEntry,
    Failure,
    Outputs,
    RunLock,
    is_left_out,
)

MISSING_DATA_HINT = "Put it there, or run with hydra.callbacks.flexlock.strict=code"

log = logging.getLogger("flexlock_hydra")


class Sink(Protocol):
    """What the resolver tells of each path that it is asked for."""

    owner: Owner

    def see(
        self, given: str, name: str | None, config_key: str, original: Any = None
    ) -> Any:
        """Take note of a path; return what the resolver returns."""


@dataclass(frozen=True)
class Owner:
    """The process and the thread that a sink works for."""

    pid: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)


@dataclass
class Collector:
    """Notes paths and does nothing else: which data a config names, before any job."""

    given: list[str] = field(default_factory=list)
    owner: Owner = field(default_factory=Owner)

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Take note of a path."""
        self.given.append(given)
        return given if original is None else original


_stack: list[Sink] = []
_ended: list[ActiveRun] = []
"""Runs whose lock may have to be written again before the process ends."""
_last: list[Callable[[], None]] = []
_exit_registered = False


def current() -> Sink | None:
    """The innermost sink of this thread, else the one job's whose thread this may be.

    None in a child that a job started, and in a further thread where several jobs run: it
    could be of any of them.
    """
    here = Owner()
    sinks = [sink for sink in _stack if sink.owner.pid == here.pid]
    mine = [sink for sink in sinks if sink.owner == here]
    if mine:
        return mine[-1]
    return sinks[-1] if len({sink.owner for sink in sinks}) == 1 else None


def enter(sink: Sink) -> None:
    """Make a sink the innermost one."""
    _register_exit()
    _stack.append(sink)


def at_exit(function: Callable[[], None]) -> None:
    """Have a function called when the process ends, after every run's own end."""
    _register_exit()
    if function not in _last:
        _last.append(function)


def leave(sink: Sink) -> None:
    """Remove a sink, wherever in the stack it is."""
    _stack[:] = [other for other in _stack if other is not sink]


def active_runs() -> list[ActiveRun]:
    """The runs in progress that this process itself began, the innermost last."""
    pid = os.getpid()
    return [sink for sink in _stack if isinstance(sink, ActiveRun) and sink.owner.pid == pid]


def active(output_dir: Path) -> ActiveRun | None:
    """The active run of an output directory, the innermost."""
    runs = [run for run in active_runs() if run.folder == output_dir]
    return runs[-1] if runs else None


def interrupt() -> None:
    """Every run in progress ends here and now."""
    for run in active_runs():
        run.finish(INTERRUPTED)


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


@dataclass(eq=False)
class ActiveRun:
    """A run in progress: its lock so far, and where it is written."""

    folder: Path
    lock: RunLock
    places: Places
    masker: Masker
    raise_on_data: bool = False
    relocate: Relocation = field(default_factory=lambda: Relocation())
    scanning: bool = False
    """Whether the config is being walked: then no path is computed anew."""
    code: Mapping[str, Snapshot] = field(default_factory=dict)
    """The snapshots of its repositories, for a look at its end."""
    saved: RunLock | None = None
    """The lock as it was last written."""
    inputs: Inputs = field(default_factory=Inputs)
    outputs: Summary | None = None
    selection: Selection = field(default_factory=Selection)
    left_out: frozenset[str] = frozenset()
    started: float = field(default_factory=time.monotonic)
    owner: Owner = field(default_factory=Owner)
    mutex: threading.RLock = field(default_factory=threading.RLock)

    @property
    def path(self) -> Path:
        """The run.lock."""
        return self.folder / layout.LOCK

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Record a path that the config names, once; then return it as given.

        In a rerun elsewhere, a path of the original machine becomes its place here.

        Raises:
            DataError: it cannot be recorded, and ``strict=all``.
        """
        moved = self.relocate(given)
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
                answer = Answer(error=str(error))
            self.lock = replace(self.lock, data={**self.lock.data, key: recorded})
            if answer is not None:
                self._record(key, answer)
            if lies_inside(self.folder, task):
                self.warn(f"data {key}: the job's own output directory lies inside of it")

    def _record(self, key: str, answer: Answer) -> None:
        """Complete an entry with what is known of it now."""
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

    def _answered(self, answers: list[tuple[int, Answer]]) -> None:
        """Hashes came from beside the job: a job that is killed later still has them."""
        with self.mutex:
            for key, answer in self.inputs.current(answers):
                self._record(key, answer)
            with contextlib.suppress(OSError):  # the write at the job's end shows what is wrong
                self.write()

    def _end_inputs(self, status: str) -> bool:
        """Wait for hashes, and look for changes; whether that was interrupted.

        A completed job waits as long as it takes, a failed one not very long, and one
        that was cut off not at all.
        """
        patience = {COMPLETED: None, FAILED: FAILED_PATIENCE}.get(status, 0.0)
        cut_off = False
        try:
            late = self.inputs.finish(patience)
        except KeyboardInterrupt:
            late, cut_off = self.inputs.finish(0.0), True
        for key, answer in late:
            if answer is not None:
                self._record(key, answer)
            elif self.lock.data[key].is_url:
                self.warn(f"data {key}: no answer in time from {self.lock.data[key].path}")
            else:
                self.warn(f"data {key}: not hashed: the job ended before")
        if status != INTERRUPTED:
            for key, names in self.inputs.changed():
                self.warn(f"data {key} changed during the job, its hash is of the start: {names}")
        return cut_off

    def drop_data(self, key: str) -> None:
        """Take an entry and what it alone led to out of the lock."""
        with self.mutex:
            self.inputs.forget(key)
            data = {name: kept for name, kept in self.lock.data.items() if name != key}
            prevs = lineage.without_via(self.lock.prevs, key) if key in self.lock.data else None
            self.lock = replace(
                self.lock, data=data, prevs=self.lock.prevs if prevs is None else prevs
            )

    def add_prevs(self, given: str, via: str, found: Digest | None = None) -> bool:
        """Put the runs that a path comes from into the graph; whether there are any."""
        with self.mutex:
            trace = lineage.trace(
                self.lock.prevs,
                self.places.locate(given),
                via,
                lineage.Reader(self.lock.run.id, self.path, self.places.root),
                found,
            )
            self.warn(*trace.warnings)
            self.lock = replace(self.lock, prevs=trace.prevs)
        return trace.direct > 0

    def warn(self, *texts: str) -> None:
        """Name what could not be recorded, each thing once."""
        masked = [self.masker.text(text) for text in texts]
        with self.mutex:
            self.lock = replace(
                self.lock, warnings=tuple(dict.fromkeys((*self.lock.warnings, *masked)))
            )

    def code_differs(
        self, name: str, reasons: Iterable[str], completeness: str = PARTIAL
    ) -> None:
        """Name what the job read as code and the snapshot of a repository does not hold."""
        with self.mutex:
            state = self.lock.repos.get(name)
            if state is not None:
                state = masked_code(with_reasons(state, reasons, completeness), self.masker)
                self.lock = replace(self.lock, repos={**self.lock.repos, name: state})

    def write(self) -> None:
        """Write the lock as it is now; aside, where a later run has taken the folder."""
        with self.mutex:
            self.folder.mkdir(parents=True, exist_ok=True)  # the task may have removed it
            with lockfile.alone(self.folder):
                place = self._place()  # first: it may add warnings to the lock
                lockfile.write(self.lock, place)
            self.saved = self.lock
            self.inputs.listen(self._answered)

    def _place(self) -> Path:
        """Where the lock goes; that of an earlier run is moved aside: nothing is overwritten."""
        if self.saved is None:
            self._supersede()
        elif not self._owns_folder():
            self.warn("a later run writes to the same folder: the outputs are of both")
            return self.folder / layout.superseded_lock(self.lock.run.id)
        return self.path

    def _supersede(self) -> None:
        if not self.path.exists():
            return
        try:
            old = lockfile.read(self.path).run.id
        except LockError:
            old = new_run_id()
        aside = self.folder / layout.superseded_lock(old)
        os.replace(self.path, aside)
        self.warn(f"an earlier run wrote here: its lock is now {aside.name}")

    def finish(
        self,
        status: str,
        *,
        error: Failure | None = None,
        result: Json = None,
        leave_out: Iterable[str] | None = None,
    ) -> None:
        """Write the end of the run; outputs are hashed unless ``leave_out`` is None.

        What cannot be written now is tried once more at the exit of the process.

        Raises:
            KeyboardInterrupt: it came while hashes were waited for; the lock is written.
        """
        leave(self)
        _ended.append(self)
        cut_off = self._end_inputs(status)
        run = replace(
            self.lock.run,
            status=status,
            ended=utc_now().isoformat(),
            duration=round(time.monotonic() - self.started, 6),
            error=error,
            result=result,
        )
        self.lock = replace(self.lock, run=run)
        if leave_out is not None:
            self.left_out = frozenset(leave_out)
            self._record_outputs()
        try:
            self.write()
        except OSError as problem:
            log.warning("%s cannot be written: %s", self.path, problem.strerror)
        else:
            if self.outputs is None or self.lock.job.sweep is not None:
                _ended.remove(self)
        if cut_off:
            raise KeyboardInterrupt

    def settle(self) -> None:
        """At exit: write what could not be written; hash outputs that something wrote to since.

        Loggers and other callbacks do so until the process ends.
        """
        if self.saved is not self.lock:
            with contextlib.suppress(OSError):  # said at the end of the job
                self.write()
        if self.outputs is None or not self.path.exists() or not self._owns_folder():
            return
        now, _ = fingerprint(
            self.folder, self._leaves_out, since=0, largest=self.selection.largest
        )
        if now != self.outputs.fingerprint:
            self._record_outputs()
            self.write()

    def _owns_folder(self) -> bool:
        """Whether the folder's lock is this run's, or there is none any more."""
        head = lockfile.read_head(self.path)
        return head[1] == self.lock.run.id if head else not self.path.exists()

    def _leaves_out(self, name: str) -> bool:
        return is_left_out(name, self.left_out, self.selection.only)

    def _record_outputs(self) -> None:
        outputs = self._outputs()  # first: it may add warnings to the lock
        self.lock = replace(self.lock, outputs=outputs)

    def _outputs(self) -> Outputs | None:
        if self.places.root.is_relative_to(self.folder):
            self.warn("outputs not hashed: the output directory is the project itself")
            return None
        try:
            found = self._summarize_outputs()
        except DataError as error:
            self.warn(f"outputs not hashed: {error}")
            return None
        self.outputs = found
        self.warn(*found.warnings)
        return Outputs(
            path=".",
            hash={"md5": found.md5},
            size=found.size,
            nfiles=found.nfiles,
            left_out=tuple(sorted(self.left_out)),
            only=self.selection.only,
            unhashed=found.unhashed or None,
            executable=found.executable or None,
            links=found.links or None,
            empty=found.empty or None,
        )

    def _summarize_outputs(self) -> Summary:
        """Few small files need no index; large ones are not read again by :meth:`settle`."""
        where, largest = (self.folder, self._leaves_out), self.selection.largest
        try:
            return summarize(*where, largest=largest, limits=Limits(256, 4 * 1024**2))
        except TooLargeError:
            from flexlock_hydra.capture.index import Index, index_path

            with Index.open(index_path()) as index:
                return summarize(*where, largest=largest, index=index)

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
        moved = self.relocate(given)
        return moved if moved != given or original is None else original

    def add_data(self, key: str, given: str, config_key: str | None = None) -> None:
        """The recording process does."""

    def add_prevs(self, given: str, via: str, found: Digest | None = None) -> bool:
        """The recording process does."""
        return True

    def write(self) -> None:
        """The lock is the recording process's."""
        self.saved = self.lock


@dataclass(frozen=True)
class Relocation:
    """Where the paths of the original machine lie here, in a rerun.

    ``moves`` maps old folders and files to new ones; ``cwd`` is where the original run was
    started: what leads out of the project from there is looked up as well.
    """

    moves: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None

    def __call__(self, given: str) -> str:
        """The path here, as given where nothing is known of it."""
        if os.path.isabs(path := expanded(given)):
            return self._moved(path) or given
        if self.cwd is None or ".." not in Path(given).parts:
            return given
        absolute = os.path.normpath(os.path.join(self.cwd, given))
        return self.moves.get(absolute) or given

    def _moved(self, path: str) -> str | None:
        """The longest known folder decides."""
        for old in sorted(self.moves, key=len, reverse=True):
            if path == old or path.startswith(old.rstrip("/\\") + "/"):
                return self.moves[old] + path[len(old):]
        return None


def with_reasons(
    code: CodeState, reasons: Iterable[str], completeness: str = PARTIAL
) -> CodeState:
    """A repository's state with further gaps named; what drifted is not merely partial."""
    new = tuple(reasons)
    if not new:
        return code
    named = tuple(dict.fromkeys((*code.reasons, *new)))
    worst = DRIFTED if DRIFTED in (code.completeness, completeness) else PARTIAL
    return replace(code, reasons=named, completeness=worst)


def masked_code(code: CodeState, masker: Masker) -> CodeState:
    """A repository's state without secrets in its remote's URL or in what is said of it."""
    remote = code.remote and masker.text(code.remote)
    return replace(code, remote=remote, reasons=tuple(map(masker.text, code.reasons)))


def masked_entry(entry: DataEntry, masker: Masker) -> DataEntry:
    """An input without secrets, where it could not be recorded; else its path is needed."""
    if entry.error is None:
        return entry
    return replace(entry, path=masker.text(entry.path), error=masker.text(entry.error))


def utc_now() -> datetime:
    """Now, with the zone."""
    return datetime.now(timezone.utc)


def new_run_id() -> str:
    """``<UTC second>-<8 random hex digits>``: sorts by time."""
    return f"{utc_now():%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
