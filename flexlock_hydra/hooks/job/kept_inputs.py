"""The inputs of a job that it changes itself: their bytes are kept, as they were before."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.capture.data.as_recorded import before_change
from flexlock_hydra.capture.data.digest import DataSummary, walk_files
from flexlock_hydra.capture.data.hash_worker import HashAnswer, HashTask
from flexlock_hydra.capture.data.lock_files import is_lock_file
from flexlock_hydra.capture.data.walk import NEVER_DATA
from flexlock_hydra.capture.reads.audit_hook import Access, Watch
from flexlock_hydra.capture.reads.kept_files import KeptFiles
from flexlock_hydra.capture.reads.tool_paths import (
    is_secret_by_name, is_tools_own, of_the_system
)
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.job.hashed_data import InputLook, hash_index
from flexlock_hydra.record import layout
from flexlock_hydra.record.wording import some_of

if TYPE_CHECKING:
    from flexlock_hydra.hooks.job.recorded_inputs import RecordedInputs
    from flexlock_hydra.record.model import DataEntry


def keeper(run: RecordedInputs, watch: Watch, named: Collection[str]) -> KeptFiles:
    """What keeps the inputs of a run: those in its lock, those read so far.

    Args:
        named: absolute paths that the config names for reading: what is opened for both below
            one is read.
    """
    inputs = _RunInputs(run, watch, frozenset(named))

    def folder() -> str:
        run.follow_folder()
        return str(run.folder.absolute() / layout.KEPT / run.lock.run.id)

    return KeptFiles(
        folder, inputs.place, inputs.has, run.since,
        lambda path: watch.access(path) is Access.WRITTEN
    )


def keep_own(run: RecordedInputs, kept: KeptFiles, path: str) -> None:
    """Keep what of an input lies in the job's own output directory: it is about to write there."""
    place, own = os.path.realpath(path), os.path.realpath(run.folder)
    if os.path.isfile(path) and place.startswith(f"{own}{os.sep}"):
        kept.keep(path)
        return
    inside = os.path.relpath(own, place)
    if f"{place}{os.sep}".startswith(f"{own}{os.sep}"):
        top = path
    elif inside.split(os.sep)[0] != "..":
        top = os.path.join(path, inside)
    else:
        return
    for up, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name not in NEVER_DATA]
        for name in names:
            if not layout.is_own_file(name):
                kept.keep(os.path.join(up, name))


def kept_folder(run: RecordedInputs, entry: DataEntry) -> Path:
    """Where the bytes of an input are kept, if any are."""
    return run.folder / layout.kept_path(run.lock.run.id, entry.place)


def summarize_kept(run: RecordedInputs, entry: DataEntry, task: HashTask) -> HashAnswer | None:
    """What an input was before the job changed it; None where nothing of it was kept."""
    place = kept_folder(run, entry)
    if not place.exists():
        return None
    with hash_index() as index:
        found, _ = before_change(
            Path(task.path), task.leave_out, index=index, kept=place, since=run.since
        )
    return HashAnswer(DataSummary(found.md5, found.size, found.nfiles, "", found.skipped))


def judge_changed(run: RecordedInputs, look: InputLook, names: str) -> None:
    """Say of an input that is not what it was at the job's start whether its bytes are kept.

    Args:
        look: at its start.
        names: the files that changed, in words.
    """
    kept, key, task = run.kept, look.key, look.task
    entry, since = run.lock.data[key], task.since
    if kept is None:
        run.warn(f"data {key} changed during the job, its hash is of the start: {names}")
        return
    place, late = kept_folder(run, entry), tuple[str, ...]()
    is_late = bool(look.answer and look.answer.summary and look.answer.summary.late)
    try:
        with hash_index() as index:
            found, late = before_change(
                Path(task.path), task.leave_out, index=index, kept=place, since=since
            )
        if found.md5 == entry.md5:
            if place.exists():
                which = [*walk_files(place)] if place.is_dir() else [place.name]
                run.warn(
                    f"data {key} was changed by the job itself, its bytes as they were are kept: "
                    f"{some_of(sorted(which))}"
                )
            return
        if is_late and all(kept.is_new(os.path.join(task.path, name)) for name in late):
            # The hash was of what the job had changed by then.
            run.complete_anew(key, HashAnswer(DataSummary(found.md5, found.size, found.nfiles, "")))
            return
    except DataError:  # a file that was not kept, or gone: named below
        pass
    files = [os.path.join(task.path, name) for name in late] or [task.path]
    files = [path for path in files if not kept.is_new(path)]
    run.name_unrecorded(
        (path, kept.failed.get(path, "it changed during the job, unseen"), entry.config_key)
        for path in files
    )
    run.warn(
        f"data {key} changed during the job, its hash is of the start, and a push sends what "
        f"the job left: {names}"
    )


def settle(run: RecordedInputs) -> None:
    """Give back the place of what the job did not change, and of what is no input after all."""
    if run.kept is not None:
        root, data = str(run.places.root), run.lock.data.values()
        inputs = {os.path.normpath(os.path.join(root, each.place)) for each in data}
        real = {os.path.realpath(path) for path in inputs}
        run.kept.drop(lambda path: inputs.isdisjoint(_with_folders_above(os.path.normpath(path)))
                      and real.isdisjoint(_with_folders_above(os.path.realpath(path))))


class _RunInputs:
    """Tells which files are inputs, while the lock grows."""

    def __init__(self, run: RecordedInputs, watch: Watch, named: frozenset[str]) -> None:
        self.run, self.watch, self.named = run, watch, named
        self.known: dict[str, str] = {}
        self.real: dict[str, str] = {}  # folders, without links
        self.seen: object = None

    def has(self, path: str) -> bool:
        """Whether a file or a folder is an input, as far as that is known now."""
        if is_lock_file(path):
            return False
        if self._inside(path) is not None:
            return True
        access, path = self.watch.access(path), os.path.normpath(path)
        if is_tools_own(path) or is_secret_by_name(path) or of_the_system()(path):
            return False
        own = os.path.realpath(self.run.folder)
        is_named = any(up in self.named for up in _with_folders_above(path))
        return access is Access.READ or (
            is_named and access is None and not self._real(path).startswith(f"{own}{os.sep}")
        )

    def place(self, path: str) -> str:
        """The place of a file among what is kept: by the input that it belongs to, or its own."""
        found = self._inside(path)
        return self._below(*found) if found else self._below(
            self.run.places.record(Path(os.path.normpath(path))), ""
        )

    def _inside(self, path: str) -> tuple[str, str] | None:
        """The recorded input that a path belongs to, and what it is called in that."""
        path = os.path.normpath(path)
        for name in dict.fromkeys((path, self._real(path))):
            for up in _with_folders_above(name):
                if up in self._recorded():
                    return self._recorded()[up], name[len(up) + 1:]
        return None

    def _real(self, path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in self.real:
            self.real[folder] = os.path.realpath(folder)
        real = os.path.join(self.real[folder], name)
        return os.path.realpath(path) if os.path.islink(real) else real

    def _recorded(self) -> dict[str, str]:
        """Absolute paths of the inputs in the lock -> as they are written there."""
        data = self.run.lock.data
        if data is not self.seen:
            root = str(self.run.places.root)
            self.known = {}
            for entry in data.values():
                if not entry.is_url:
                    path = os.path.normpath(os.path.join(root, entry.place))
                    self.known.setdefault(os.path.realpath(path), entry.place)
                    self.known[path] = entry.place
            self.seen = data
        return self.known

    def _below(self, recorded: str, rel: str) -> str:
        """A path below the keeper's folder."""
        start = layout.kept_path(self.run.lock.run.id, recorded)
        start = start.removeprefix(f"{layout.KEPT}/{self.run.lock.run.id}/")
        return os.path.join(start, rel) if rel else start


def _with_folders_above(path: str) -> list[str]:
    found = [path]
    while (path := path.rpartition(os.sep)[0]):
        found.append(path)
    return found
