"""The lock of a run in progress, the file that it is written to, and its parts without secrets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import PARTIAL, CodeState, DataEntry, Job, RunLock


@dataclass(eq=False, kw_only=True)
class WrittenLock:
    """A lock as it is known so far; what others may write at the same time is left alone.

    Args:
        folder: the output directory.
        masker: takes secrets out of what is said.
    """

    folder: Path
    lock: RunLock
    masker: Masker
    saved: RunLock | None = None
    """The lock as it was last written."""
    mutex: threading.RLock = field(default_factory=threading.RLock)

    @property
    def path(self) -> Path:
        """The run.lock."""
        return self.folder / layout.LOCK

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
                state = masked_code(state.with_reasons(reasons, completeness), self.masker)
                self.lock = replace(self.lock, repos={**self.lock.repos, name: state})

    def write(self) -> None:
        """Write the lock as it is now; aside, where a later run has taken the folder."""
        with self.mutex:
            self.folder.mkdir(parents=True, exist_ok=True)  # the task may have removed it
            with lockfile.alone(self.folder):
                place = self._place()  # first: it may add warnings to the lock
                lockfile.write(self.lock, place)
            self.saved = self.lock

    def owns_folder(self) -> bool:
        """Whether the folder's lock is this run's, or there is none any more."""
        head = lockfile.read_head(self.path)
        return head[1] == self.lock.run.id if head else not self.path.exists()

    def _place(self) -> Path:
        """Where the lock goes; that of an earlier run is moved aside: nothing is overwritten."""
        if self.saved is None:
            self._supersede()
        elif not self.owns_folder():
            self.warn("a later run writes to the same folder: the outputs are of both")
            return self.folder / layout.superseded_lock(self.lock.run.id)
        return self.path

    def _supersede(self) -> None:
        if not self.path.exists():
            return
        try:
            old = lockfile.read_lock(self.path).run.id
        except LockError:
            old = layout.new_run_id()
        aside = self.folder / layout.superseded_lock(old)
        os.replace(self.path, aside)
        self.warn(f"an earlier run wrote here: its lock is now {aside.name}")


def masked_code(code: CodeState, masker: Masker) -> CodeState:
    """A repository's state without secrets in its remote's URL or in what is said of it."""
    remote = code.remote and masker.text(code.remote)
    return replace(code, remote=remote, reasons=tuple(map(masker.text, code.reasons)))


def masked_entry(entry: DataEntry, masker: Masker) -> DataEntry:
    """An input without secrets, where it could not be recorded; else its path is needed."""
    if entry.error is None:
        return entry
    return replace(entry, path=masker.text(entry.path), error=masker.text(entry.error))


def masked_job(job: Job, masker: Masker) -> Job:
    """A job without secrets in what it was asked for."""
    overrides, command = job.overrides, job.command
    return replace(
        job,
        overrides=replace(
            overrides,
            task=tuple(map(masker.assignment, overrides.task)),
            hydra=tuple(map(masker.assignment, overrides.hydra)),
        ),
        choices=masker.mask(job.choices),
        config_sources=tuple(masker.mask(list(job.config_sources))),
        command=replace(command, argv=tuple(masker.arguments(command.argv))),
        volatile=job.volatile and tuple(map(masker.text, job.volatile)),
    )
