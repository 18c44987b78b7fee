"""The data of one run: inputs, hashed at once or beside the job, and outputs, at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.capture.data.digest import DataSummary, fingerprint, summarize, walk_files
from flexlock_hydra.capture.data.hash_worker import HashAnswer, HashTask, HashWorker, identify
from flexlock_hydra.capture.data.read_data import Limits
from flexlock_hydra.capture.data.walk import TooLargeError
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config.options import OutputSelection
from flexlock_hydra.record.model import Outputs, is_left_out

if TYPE_CHECKING:  # SQLite is loaded where something is large
    from flexlock_hydra.capture.data.hash_index import HashIndex

URL_PATIENCE = 10.0
"""Seconds that a job's end waits for servers at most."""
FAILED_PATIENCE = 30.0
"""Seconds that the end of a failed job waits for hashes: its user waits for the error."""
_ahead = count(-1, -1)  # numbers of looks that no input asked for
_MOST_EARLIER = 10_000  # files of an output directory that are looked at for an earlier run's
_CHEAP = 64 * 1024**2  # bytes that are read again to tell a changed file from a changed stat
_AT_ONCE = Limits(files=256, size=4 * 1024**2)  # what is hashed without the index, and read again


@dataclass(frozen=True)
class InputLook:
    """An input that is to be hashed, and its hash once that is known.

    The number tells an answer to an earlier look at the same key from one to this.
    """

    number: int
    key: str
    task: HashTask
    answer: HashAnswer | None = None


@dataclass
class Inputs:
    """The inputs of a run and their hashes; what is large is hashed by worker processes.

    ``files`` and ``size`` (bytes) are what may still be hashed at once; all the inputs of
    a run share them, so that a thousand small ones do not add up.
    """

    files: int = _AT_ONCE.files
    size: int = _AT_ONCE.size
    looks: dict[str, InputLook] = field(default_factory=dict)
    workers: dict[bool, HashWorker] = field(default_factory=dict)  # one for files, one for URLs
    number: int = 0  # of the last look

    def look(self, key: str, task: HashTask, *, wait: bool) -> HashAnswer | None:
        """Hash an input; None where that goes on beside the job.

        Args:
            wait: hash it here, however long that takes.

        Raises:
            DataError: it is missing or cannot be read.
        """
        self.number += 1
        answer = None if task.is_url and not wait else self._hash_at_once(task)
        if answer is None and wait:
            answer = _identify_with_index(task)
        self.looks[key] = InputLook(self.number, key, task, answer)
        if answer is None:
            self._worker(is_url=task.is_url).ask(self.number, task)
        elif answer.error:
            raise DataError(answer.error)
        return answer

    def hash_ahead(
        self, task: HashTask, found: Callable[[list[tuple[int, HashAnswer]]], None]
    ) -> None:
        """Have something hashed that may turn out to be an input: then the index knows it."""
        worker = self._worker(is_url=False)
        worker.ask(next(_ahead), task)
        worker.listen(found)

    def listen(self, found: Callable[[list[tuple[int, HashAnswer]]], None]) -> None:
        """Have a function called, from another thread, with each hash that the workers find."""
        for worker in self.workers.values():
            worker.listen(found)

    def current(self, answers: list[tuple[int, HashAnswer]]) -> list[tuple[str, HashAnswer]]:
        """Answers of the workers by the inputs' keys; of inputs that were dropped none."""
        by_number = {look.number: look for look in self.looks.values()}
        known = [(by_number[number], answer) for number, answer in answers if number in by_number]
        self.looks |= {look.key: replace(look, answer=answer) for look, answer in known}
        return [(look.key, answer) for look, answer in known]

    def finish(self, patience: float | None) -> list[tuple[str, HashAnswer | None]]:
        """Wait for the hashes that are missing, then end the workers.

        Args:
            patience: seconds to wait; None for as long as it takes.

        Returns:
            The inputs that had no answer yet by their keys, with None where there still is none.
        """
        try:
            self._wait_for_workers(patience)
        finally:
            for worker in self.workers.values():
                worker.stop()
        missing = [look for look in self.looks.values() if look.answer is None]
        if patience is None:
            # Nobody was impatient: the worker must have died.
            for look in missing:
                if not look.task.is_url:
                    answer = _identify_with_index(look.task)
                    self.looks[look.key] = replace(look, answer=answer)
        return [(look.key, self.looks[look.key].answer) for look in missing]

    def changed(self, asked: int) -> Iterator[tuple[InputLook, str]]:
        """Yield the looks at inputs that changed since the start, with names of files.

        What changed before it was hashed is among them: the hash is then not of the start.

        Args:
            asked: the number of the last look that counts; what came later was hashed just now.
        """
        for look in self.looks.values():
            task, found = look.task, look.answer and look.answer.summary
            if not found or look.number > asked:
                continue
            try:
                now, late = fingerprint(Path(task.path), task.leave_out, since=task.since)
            except DataError as error:
                yield look, str(error)
                continue
            if found.late:
                yield look, found.late
            elif now != found.fingerprint and not self._is_same(task, found):
                yield look, late or "files are gone"

    def _worker(self, *, is_url: bool) -> HashWorker:
        if is_url not in self.workers:
            from flexlock_hydra.capture.data.hash_index import index_path

            self.workers[is_url] = HashWorker(str(index_path()), is_url)
        return self.workers[is_url]

    def _hash_at_once(self, task: HashTask) -> HashAnswer | None:
        limits = Limits(self.files, self.size)
        try:
            found = summarize(Path(task.path), task.leave_out, since=task.since, limits=limits)
        except TooLargeError:
            return None
        # All inputs draw on one budget, so that a thousand small ones do not add up.
        self.files = max(self.files - found.nfiles, 0)
        self.size -= found.size
        return HashAnswer(found)

    def _wait_for_workers(self, patience: float | None) -> None:
        # The time that files take counts: servers answer meanwhile.
        end = time.monotonic() + URL_PATIENCE
        if False in self.workers:
            self.workers[False].wait(patience)
        if True in self.workers:
            left = max(0.0, end - time.monotonic())
            self.workers[True].wait(left if patience is None else min(left, patience))

    def _is_same(self, task: HashTask, found: DataSummary) -> bool:
        """Whether only stats changed (a new link to a file, its mode), as far as is cheap."""
        # A job that ends must not read large data again: a changed stat counts as a change.
        if found.size > _CHEAP:
            return False
        again = _identify_with_index(task).summary
        return again is not None and again.md5 == found.md5


@dataclass
class OutputFolder:
    """An output directory and what was found in it.

    Args:
        folder: the directory.
        selection: which of its files are hashed.
        left_out: files below it that others write to after the job, logs.
    """

    folder: Path
    selection: OutputSelection
    left_out: Iterable[str] = ()
    found: DataSummary | None = None

    def observe(self) -> tuple[Outputs, tuple[str, ...]]:
        """Hash the files; the lock's section of outputs, and warnings of what is not in it.

        Raises:
            DataError: something there cannot be read.
        """
        self.left_out = frozenset(self.left_out)
        where, largest = (self.folder, self._leaves_out), self.selection.largest
        try:
            found = summarize(*where, largest=largest, hollow=True, limits=_AT_ONCE)
        except TooLargeError:
            with hash_index() as index:
                found = summarize(*where, largest=largest, hollow=True, index=index)
        self.found = found
        section = Outputs(
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
        return section, found.warnings

    def unchanged_since(self, since: int) -> tuple[str, ...]:
        """The first thousands of the files that nothing wrote to since a time, ns since the epoch.

        Raises:
            OSError: the folder cannot be listed.
        """
        found = []
        for name in islice(walk_files(self.folder), _MOST_EARLIER):
            with suppress(OSError):
                if os.stat(self.folder / name).st_ctime_ns < since and not self._leaves_out(name):
                    found.append(name)
        return tuple(sorted(found))

    def has_changed(self) -> bool:
        """Whether something wrote to the files since they were hashed.

        Raises:
            DataError: something there cannot be read.
        """
        if self.found is None:
            return False
        largest = self.selection.largest
        now, _ = fingerprint(self.folder, self._leaves_out, since=0, largest=largest, hollow=True)
        return now != self.found.fingerprint

    def _leaves_out(self, name: str) -> bool:
        return is_left_out(name, frozenset(self.left_out), self.selection.only)


def lies_inside(folder: Path, task: HashTask) -> bool:
    """Whether a folder lies inside of an input."""
    path = os.path.realpath(task.path)
    name = os.path.relpath(os.path.realpath(folder), path) + "/"
    if task.is_url or name.startswith("..") or os.path.isabs(name):
        return False
    return task.leave_out is None or not task.leave_out(name)


def hash_index() -> HashIndex:
    """The index of hashed files, open; SQLite is loaded with it."""
    from flexlock_hydra.capture.data import hash_index

    return hash_index.HashIndex.open(hash_index.index_path())


def _identify_with_index(task: HashTask) -> HashAnswer:
    with hash_index() as index:
        return identify(task, index)
