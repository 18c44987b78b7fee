"""The inputs in the lock of a run in progress: recorded, completed by hashes, dropped again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.capture.reads.audit_hook import unwatched
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.job.lock_writer import WrittenLock, masked_entry
from flexlock_hydra.hooks.rerun.notes import Relocation
from flexlock_hydra.record.model import (
    COMPLETED, FAILED, INTERRUPTED, MARKED, OBSERVED, RUNNING, DataEntry, Unrecorded
)

if TYPE_CHECKING:  # loaded where there is something to hash
    from flexlock_hydra.capture.data.digest import Digest
    from flexlock_hydra.capture.data.entry import FolderPart
    from flexlock_hydra.capture.data.hash_worker import HashAnswer, HashTask
    from flexlock_hydra.capture.reads.kept_files import KeptFiles
    from flexlock_hydra.hooks.job.hashed_data import Inputs

MISSING_DATA_HINT = "Put it there, or run with hydra.callbacks.flexlock.strict=code"


@dataclass(eq=False, kw_only=True)
class RecordedInputs(WrittenLock):
    """A lock whose inputs are recorded as the config, the task and the hash workers name them.

    Args:
        places: the folders that paths are relative to.
        raise_on_data: whether an input that cannot be recorded is an error (``strict=all``).
        relocate: in a rerun, where the paths of the original machine lie here.
    """

    places: Places
    raise_on_data: bool = False
    relocate: Relocation = Relocation()
    scanning: bool = False  # whether the config is walked: then no path is computed anew
    looked: Inputs | None = None  # `inputs`, None before the first one
    cut_off: bool = False  # whether Ctrl-C ended the wait for hashes
    since: int = field(default_factory=time.time_ns)  # when the run began, ns since the epoch
    kept: KeptFiles | None = None  # of inputs that the job changes, as they were before

    @property
    def inputs(self) -> Inputs:
        """The inputs that are hashed now or beside the job, made where the first one is named."""
        from flexlock_hydra.hooks.job.hashed_data import Inputs

        self.looked = self.looked or Inputs()
        return self.looked

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Record a path that the config names, once; then return ``original``, else the path.

        In a rerun elsewhere, a path of the original machine becomes its place here.

        Raises:
            DataError: it cannot be recorded, and ``strict=all``.
        """
        moved = self.relocate(given, config_key)
        with self.mutex:
            if not self._is_recorded(moved, name, config_key):
                self.add_data(self._free_key(moved, name, config_key), moved, config_key)
                if not self.scanning:
                    self.write()
            self._raise_if_strict(moved)
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
        """Put an input and its predecessors into the lock; what is large is hashed beside the job.

        Args:
            key: of the entry; one that stands there already is replaced.
            given: the path as the user writes it.
            config_key: the key of the config that names it.
            how: what made it an input.
            part: what of a folder is the input; None: all of it.
            wait: hash it here and now, whatever its size.
        """
        from flexlock_hydra.capture.data.entry import WHOLE, describe
        from flexlock_hydra.capture.data.hash_worker import HashAnswer
        from flexlock_hydra.hooks.job.hashed_data import lies_inside

        with self.mutex, unwatched():
            self.drop_data(key)
            part = part or WHOLE
            recorded, task = describe(
                given, self.places, config_key, time.time_ns(), how=how, part=part
            )
            # Nobody ends a run that is recorded as completed, so there is no later to hash in.
            wait |= self.lock.run.status != RUNNING or (self.raise_on_data and bool(task.parts))
            try:
                answer = self._kept_answer(recorded, task) or self.inputs.look(key, task, wait=wait)
                if not task.is_url:
                    known = answer.summary.digest if answer and answer.summary else None
                    self.add_prevs(task.path, via=key, found=known, files=part.files)
            except DataError as error:
                answer = HashAnswer(error=str(error))
            self._set_entry(key, recorded)
            if answer is not None:
                self.complete(key, answer)
            if lies_inside(self.folder, task):
                self.warn(
                    f"data {key}: the job's own output directory lies in it, what the job writes "
                    "there is no part of it; name a folder without it, or another hydra.run.dir"
                )
            if self.kept is not None and not task.is_url:
                from flexlock_hydra.hooks.job.kept_inputs import keep_own

                keep_own(self, self.kept, task.path)

    def _kept_answer(self, recorded: DataEntry, task: HashTask) -> HashAnswer | None:
        """What an input that nobody marked was before the job changed it, if it was kept."""
        if self.kept is None or recorded.how != OBSERVED or task.is_url:
            return None
        from flexlock_hydra.hooks.job.kept_inputs import summarize_kept

        return summarize_kept(self, recorded, task)

    def name_unrecorded(self, gaps: Iterable[tuple[str, str, str | None]]) -> None:
        """Name files that the job read and of which the record does not hold the bytes.

        Args:
            gaps: absolute path, why, and the key of the config that names it.
        """
        found = [
            Unrecorded(path=self.places.record(Path(path)), why=why, config_key=key,
                       size=os.stat(path).st_size if os.path.isfile(path) else None)
            for path, why, key in gaps
        ]
        with self.mutex:
            there = self.lock.unrecorded or ()
            new = [each for each in found if each.path not in {one.path for one in there}]
            self.lock = replace(self.lock, unrecorded=(*there, *new) or None)

    def hash_ahead(self, folder: str, name: str) -> None:
        """Have a large file hashed beside the job that may turn out to be an input.

        Args:
            folder: the folder that it will be hashed with, by which the index knows it.
            name: the file, relative to it; empty where the path is the file.
        """
        from flexlock_hydra.capture.data.hash_worker import HashTask

        with self.mutex:
            task = HashTask(folder, files=(name,) if name else ())
            self.inputs.hash_ahead(task, self._on_answers)

    def drop_data(self, key: str) -> None:
        """Take an input, and predecessors that no other input leads to, out of the lock."""
        with self.mutex:
            if self.looked is not None:
                self.looked.looks.pop(key, None)  # a hash of it that comes later is ignored
            if key in self.lock.data:
                from flexlock_hydra.capture.lineage import predecessors

                data = {name: kept for name, kept in self.lock.data.items() if name != key}
                prevs = predecessors.without_via(self.lock.prevs, key)
                self.lock = replace(self.lock, data=data, prevs=prevs)

    def add_prevs(
        self, given: str, via: str, found: Digest | None = None, files: tuple[str, ...] = ()
    ) -> bool:
        """Record the runs that wrote a path as predecessors; whether there are any.

        Args:
            via: the key of the input that leads to them.
            found: the hash of what lies there, where it is known already.
            files: of a folder, those that were read.
        """
        from flexlock_hydra.capture.lineage import find_locks

        path = self.places.locate(given)
        reader = find_locks.Reader(self.lock.run.id, self.path, self.places.root)
        locks, left_out = find_locks.find_locks(path, reader, found, files)
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
        """Write the lock as it is now; from then on, whenever a hash comes from beside the job."""
        with self.mutex:
            super().write()
            if self.looked is not None:
                self.looked.listen(self._on_answers)

    def complete(self, key: str, answer: HashAnswer) -> None:
        """Put what was found of an input into its entry."""
        from flexlock_hydra.capture.data.entry import filled

        entry = masked_entry(filled(self.lock.data[key], answer), self.masker)
        self._set_entry(key, entry)
        if entry.error:
            self.warn(f"data {key}: {entry.error}")
        if found := answer.summary:
            self.warn(*found.warnings)
            if found.late:
                self.warn(f"{_late(key)}: {found.late}")

    def complete_anew(self, key: str, answer: HashAnswer) -> None:
        """Take back what was said of an input that changed before it was hashed."""
        said = tuple(text for text in self.lock.warnings if not text.startswith(_late(key)))
        self.lock = replace(self.lock, warnings=said)
        self.complete(key, answer)

    def _set_entry(self, key: str, entry: DataEntry) -> None:
        self.lock = replace(self.lock, data={**self.lock.data, key: entry})

    def _on_answers(self, answers: list[tuple[int, HashAnswer]]) -> None:
        """Write hashes that a worker found: a job that is killed later still has them."""
        with self.mutex:
            found = self.inputs.current(answers)
            for key, answer in found:
                self.complete(key, answer)
            if not found:  # it was hashed ahead
                return
            with contextlib.suppress(OSError):  # the write at the job's end shows what is wrong
                self.write()

    def end_inputs(self, status: str, asked: int) -> None:
        """Complete the entries that still lack a hash, and name inputs that changed meanwhile.

        A completed job waits as long as it takes, a failed one not very long, and one
        that was cut off not at all.

        Args:
            asked: the number of the last look at an input while the job went on.
        """
        if self.looked is None:
            return
        from flexlock_hydra.hooks.job.hashed_data import FAILED_PATIENCE

        self.looked.listen(self._on_answers)  # to what was found at the end, too
        patience = {COMPLETED: None, FAILED: FAILED_PATIENCE}.get(status, 0.0)
        try:
            late = self.looked.finish(patience)
        except KeyboardInterrupt:
            # What is not hashed by now is named as such: Ctrl-C ends the wait, not the record.
            late, self.cut_off = self.looked.finish(0.0), True
        for key, answer in late:
            if answer is not None:
                self.complete(key, answer)
            elif self.lock.data[key].is_url:
                self.warn(f"data {key}: no answer in time from {self.lock.data[key].path}")
            else:
                self.warn(f"data {key}: not hashed: the job ended before")
        if status != INTERRUPTED:
            from flexlock_hydra.hooks.job.kept_inputs import judge_changed

            for look, names in [*self.looked.changed(asked)]:
                judge_changed(self, look, names)

    def free_key(self, key: str) -> str:
        """The key, or the first numbered one that no input has."""
        if key not in self.lock.data:
            return key
        number = next(n for n in range(2, 1 << 30) if f"{key}#{n}" not in self.lock.data)
        return f"{key}#{number}"

    def _is_recorded(self, given: str, name: str | None, config_key: str) -> bool:
        """Whether the lock has a path under its key already, or under the key with a number."""
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
        numbered = self.free_key(key)
        if name:
            self.warn(
                f"data key {key} names two paths: {taken.path} and {given}; "
                f"the second is recorded as {numbered}"
            )
        return numbered

    def _raise_if_strict(self, given: str) -> None:
        if not self.raise_on_data or self.scanning:
            return
        path = self.places.written(given)
        for key, kept in self.lock.data.items():
            if kept.path == path and kept.error:
                raise DataError(f"data {key}: {kept.error}", hint=MISSING_DATA_HINT)


def _late(key: str) -> str:
    return f"data {key} changed after the job's start, before it was hashed"
