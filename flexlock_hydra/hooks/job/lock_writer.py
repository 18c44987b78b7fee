"""The lock of a run in progress, its file, and its parts without secrets."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import LockError
from flexlock_hydra.ports.open_folder import HeldFolder
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import PARTIAL, CodeState, DataEntry, Job, RunLock


@dataclass(eq=False, kw_only=True)
class WrittenLock:
    """A lock as far as it is known, and its file; safe to use from several threads.

    Args:
        folder: the output directory.
        masker: takes secrets out of the warnings.
        follows: whether the folder is followed to where the task moves it.
    """

    folder: Path
    lock: RunLock
    masker: Masker
    saved: RunLock | None = None  # the lock as it was last written
    mutex: threading.RLock = field(default_factory=threading.RLock)
    follows: bool = False
    held: HeldFolder | None = None  # the folder, once there is a lock in it

    @property
    def path(self) -> Path:
        """The run.lock."""
        return self.folder / layout.LOCK

    def warn(self, *texts: str) -> None:
        """Add warnings to the lock, each text once, without secrets."""
        masked = [self.masker.text(text) for text in texts]
        with self.mutex:
            warnings = tuple(dict.fromkeys((*self.lock.warnings, *masked)))
            self.lock = replace(self.lock, warnings=warnings)

    def record_repos(self, states: Mapping[str, CodeState]) -> None:
        """Add repositories to the lock, without secrets; known ones get their new state."""
        masked = {name: masked_code(state, self.masker) for name, state in states.items()}
        self.lock = replace(self.lock, repos={**self.lock.repos, **masked})

    def code_differs(self, name: str, reasons: Iterable[str], completeness: str = PARTIAL) -> None:
        """Add reasons why the recorded code of a repository is not all that the job read."""
        with self.mutex:
            if (state := self.lock.repos.get(name)) is not None:
                self.record_repos({name: state.with_reasons(reasons, completeness)})

    def write(self) -> None:
        """Write the lock; under another name, where a later run has taken the folder.

        Raises:
            OSError: the folder cannot be written to.
        """
        with self.mutex:
            self.follow_folder()
            self.folder.mkdir(parents=True, exist_ok=True)  # the task may have removed it
            with lockfile.alone(self.folder):
                path = self._path_to_write()  # first: it may add warnings to the lock
                lockfile.write(self.lock, path)
            self.saved = self.lock
            if self.follows and self.held is None:
                self.held = HeldFolder(self.folder)

    def follow_folder(self) -> None:
        """Go to where the task moved the folder with the lock, if it did."""
        if self.held is None or self.held.is_at(self.folder):
            return
        found = self.held.place() or self._copied_to()
        if found is not None:
            self.held.release()
            self.folder, self.held = found, HeldFolder(found)

    def _copied_to(self) -> Path | None:
        """A folder with this run's lock: what is moved to another disk is copied."""
        if self.folder.exists():
            return None
        likely = chain(self.locks_written(), find_locks_beside(self.folder))
        return next(
            (path.parent for path in likely if lockfile.read_head(path) == self._head()), None
        )

    def locks_written(self) -> Iterable[Path]:
        """Locks that the task wrote itself, as far as that is known: it may have copied this."""
        return ()

    def _head(self) -> tuple[str, str]:
        return self.lock.run.started, self.lock.run.id

    def owns_folder(self) -> bool:
        """Whether the folder's lock is this run's, or there is none any more."""
        head = lockfile.read_head(self.path)
        return head[1] == self.lock.run.id if head else not self.path.exists()

    def _path_to_write(self) -> Path:
        """Where the lock goes; a lock of another run that stands there is left whole."""
        if self.saved is None:
            aside = move_aside(
                self.path, lambda path: lockfile.read_lock(path).run.id, layout.superseded_lock
            )
            if aside is not None:
                self.warn(f"an earlier run wrote here: its lock is now {aside.name}")
        elif not self.owns_folder():
            self.warn("a later run writes to the same folder: the outputs are of both")
            return self.folder / layout.superseded_lock(self.lock.run.id)
        return self.path


def find_locks_beside(folder: Path) -> Iterator[Path]:
    """The locks in the folders beside one that is gone."""
    with contextlib.suppress(OSError), os.scandir(folder.parent) as entries:
        for entry in entries:
            path = Path(entry.path, layout.LOCK)
            if path.is_file():
                yield path


def move_aside(
    path: Path, read_id: Callable[[Path], str], name_of: Callable[[str], str]
) -> Path | None:
    """Move the lock of an earlier run or sweep aside, so that nothing is overwritten.

    Args:
        read_id: reads the id from a lock; one that it cannot read gets a new id.
        name_of: what a lock that is moved aside is called, by its id.

    Returns:
        Where the lock is now; None where there was none.
    """
    if not path.exists():
        return None
    try:
        old = read_id(path)
    except LockError:
        old = layout.new_run_id()
    aside = path.with_name(name_of(old))
    os.replace(path, aside)
    return aside


def masked_lock(lock: RunLock, masker: Masker) -> RunLock:
    """A lock without secrets in all that the user's config, command or code gave."""
    config, unresolved = masker.mask([lock.config, lock.unresolved])
    variables = masker.mask(lock.environment.variables)
    return replace(
        lock,
        config=config,
        unresolved=unresolved,
        environment=replace(lock.environment, variables=variables),
        job=_masked_job(lock.job, masker),
        repos={name: masked_code(state, masker) for name, state in lock.repos.items()},
        data={name: masked_entry(entry, masker) for name, entry in lock.data.items()},
        warnings=tuple(map(masker.text, lock.warnings)),
    )


def masked_code(code: CodeState, masker: Masker) -> CodeState:
    """A repository's state without secrets in its remote's URL or in what is said of it."""
    remote = code.remote and masker.text(code.remote)
    return replace(code, remote=remote, reasons=tuple(map(masker.text, code.reasons)))


def masked_entry(entry: DataEntry, masker: Masker) -> DataEntry:
    """An input without secrets, where it could not be recorded; else its path must stay true."""
    if entry.error is None:
        return entry
    return replace(entry, path=masker.text(entry.path), error=masker.text(entry.error))


def _masked_job(job: Job, masker: Masker) -> Job:
    """A job without secrets in its overrides, choices, config sources, arguments and patterns."""
    given, command = job.overrides, job.command
    task, hydra = (tuple(map(masker.assignment, each)) for each in (given.task, given.hydra))
    return replace(
        job,
        overrides=replace(given, task=task, hydra=hydra),
        choices=masker.mask(job.choices),
        config_sources=tuple(masker.mask(list(job.config_sources))),
        command=replace(
            command,
            argv=tuple(masker.arguments(command.argv)),
            runner=command.runner and tuple(masker.arguments(command.runner)),
        ),
        volatile=job.volatile and tuple(map(masker.text, job.volatile)),
    )
