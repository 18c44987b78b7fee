"""The inputs of one run: hashed at once where they are small, else beside the job."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from flexlock_hydra.capture.data.digest import DataSummary, Limits, fingerprint, summarize
from flexlock_hydra.capture.data.hash_worker import HashAnswer, HashTask, HashWorker, identify
from flexlock_hydra.capture.data.walk import TooLargeError
from flexlock_hydra.errors import DataError

URL_PATIENCE = 10.0
"""Seconds that a job's end waits for servers at most."""
FAILED_PATIENCE = 30.0
"""Seconds that the end of a failed job waits for hashes: its user waits for the error."""
_CHEAP = 64 * 1024**2
"""Bytes that are read again to tell a changed file from a changed stat."""


@dataclass(frozen=True)
class InputLook:
    """One look at an input, by its number, and what came of it."""

    number: int
    key: str
    task: HashTask
    answer: HashAnswer | None = None


@dataclass
class Inputs:
    """What is known of a run's inputs, and who finds out the rest.

    ``files`` and ``size`` (bytes) are what may still be hashed at once; all the inputs of
    a run share them, so that a thousand small ones do not add up.
    """

    files: int = 256
    size: int = 4 * 1024**2
    looks: dict[str, InputLook] = field(default_factory=dict)
    helpers: dict[bool, HashWorker] = field(default_factory=dict)
    number: int = 0

    def look(self, key: str, task: HashTask, *, wait: bool) -> HashAnswer | None:
        """Identify an input; None where that goes on beside the job.

        Raises:
            DataError: it is missing or cannot be read.
        """
        self.number += 1
        look = InputLook(self.number, key, task)
        answer = None if task.is_url and not wait else self._at_once(task)
        if answer is None and wait:
            answer = _identify_here(task)
        self.looks[key] = InputLook(look.number, key, task, answer)
        if answer is None:
            self._helper(task.is_url).ask(look.number, task)
        elif answer.error:
            raise DataError(answer.error)
        return answer

    def forget(self, key: str) -> None:
        """Want no more of an input."""
        self.looks.pop(key, None)

    def listen(self, found: Callable[[list[tuple[int, HashAnswer]]], None]) -> None:
        """Call back, from another thread, with what is found beside the job."""
        for helper in self.helpers.values():
            helper.listen(found)

    def current(self, answers: list[tuple[int, HashAnswer]]) -> list[tuple[str, HashAnswer]]:
        """What answers say of inputs that still are what was asked for, by their keys."""
        by_number = {look.number: look for look in self.looks.values()}
        known = [
            replace(by_number[number], answer=answer)
            for number, answer in answers
            if number in by_number
        ]
        self.looks |= {look.key: look for look in known}
        return [(look.key, answer) for look in known if (answer := look.answer)]

    def finish(self, patience: float | None) -> list[tuple[str, HashAnswer | None]]:
        """Wait some seconds, or as long as it takes, for what is left; then end the helpers.

        Returns what is known now and was not before; None for what nobody waited for.
        """
        try:
            self._wait(patience)
        finally:
            for helper in self.helpers.values():
                helper.stop()
        return [
            # Where nobody was impatient, the helper must have died.
            (key, None if patience is not None or task.is_url else self._again(key, task))
            for key, task in [(look.key, look.task) for look in self.looks.values()]
            if self.looks[key].answer is None
        ]

    def changed(self) -> Iterator[tuple[str, str]]:
        """The inputs that are not what was hashed any more, each with files' names."""
        for key, look in self.looks.items():
            found = look.answer and look.answer.summary
            if not found:
                continue
            try:
                now, late = fingerprint(
                    Path(look.task.path), look.task.leave_out, since=look.task.since
                )
            except DataError as error:
                yield key, str(error)
                continue
            if now != found.fingerprint and not self._is_same(look.task, found):
                yield key, late or "files are gone"

    def _at_once(self, task: HashTask) -> HashAnswer | None:
        try:
            found = summarize(
                Path(task.path),
                task.leave_out,
                since=task.since,
                limits=Limits(self.files, self.size),
            )
        except TooLargeError:
            return None
        self.files = max(self.files - found.nfiles, 0)
        self.size -= found.size
        return HashAnswer(found)

    def _helper(self, with_packages: bool) -> HashWorker:
        if with_packages not in self.helpers:
            self.helpers[with_packages] = HashWorker(str(_index_path()), with_packages)
        return self.helpers[with_packages]

    def _wait(self, patience: float | None) -> None:
        end = time.monotonic() + URL_PATIENCE
        if False in self.helpers:
            self.helpers[False].wait(patience)
        if True in self.helpers:
            left = max(0.0, end - time.monotonic())
            self.helpers[True].wait(left if patience is None else min(left, patience))

    def _again(self, key: str, task: HashTask) -> HashAnswer:
        answer = _identify_here(task)
        self.looks[key] = replace(self.looks[key], answer=answer)
        return answer

    def _is_same(self, task: HashTask, found: DataSummary) -> bool:
        """Whether only stats changed (a new link to a file, its mode), as far as is cheap."""
        if found.size > _CHEAP:
            return False
        again = _identify_here(task).summary
        return again is not None and again.md5 == found.md5


def lies_inside(folder: Path, task: HashTask) -> bool:
    """Whether a folder lies inside of an input."""
    path = os.path.realpath(task.path)
    name = os.path.relpath(os.path.realpath(folder), path) + "/"
    if task.is_url or name.startswith("..") or os.path.isabs(name):
        return False
    return task.leave_out is None or not task.leave_out(name)


def _index_path() -> Path:
    from flexlock_hydra.capture.data.hash_index import index_path

    return index_path()


def _identify_here(task: HashTask) -> HashAnswer:
    from flexlock_hydra.capture.data.hash_index import HashIndex

    with HashIndex.open(_index_path()) as index:
        return identify(task, index)
