"""Whether inputs and outputs are what a lock says, and what can be told where they are not."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.runs.places import places_now
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled
from flexlock_hydra.archive.tag.collect import look_at_input, resized_outputs, written_late
from flexlock_hydra.archive.tag.later import later_inputs
from flexlock_hydra.archive.tag.listings import LostListingError, read_listing
from flexlock_hydra.capture.data.as_recorded import During
from flexlock_hydra.capture.data.digest import DataSummary, digest, summarize
from flexlock_hydra.capture.data.entry import passed_over
from flexlock_hydra.capture.data.hash_index import HashIndex
from flexlock_hydra.capture.data.names import names_in
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.capture.lineage.staleness import nanoseconds
from flexlock_hydra.errors import DataError, FlexlockError, RemoteError
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record.model import DataEntry, Outputs
from flexlock_hydra.record.wording import some_of

_CACHE = Path(".dvc", "cache")
_GREW = "files that are new since the job's start are no part of it"


@dataclass(frozen=True)
class _Recorded:
    """What a lock says of a file or a folder."""

    entry: DataEntry | Outputs
    leave_out: LeaveOut | None
    since: str
    """When it was looked at."""


@dataclass(frozen=True)
class CurrentContents:
    """Looks at files and folders, at each once."""

    index: HashIndex
    seen: dict[tuple[Path, tuple[str, ...]], DataSummary | DataError] = field(default_factory=dict)

    def input(self, run: RecordedRun, name: str, entry: DataEntry, *, urls: bool) -> Check:
        """Whether an input is unchanged."""
        name = f"data {name}"
        if entry.is_url:
            return _check_url(name, entry, ask=urls)
        if entry.md5 is None:
            why = entry.error or "the run ended before it was hashed"
            return Check(name, False, f"{entry.path} was not recorded: {why}")
        recorded = _Recorded(entry, passed_over(entry), run.lock.run.started)
        reasons, is_whole = [], True
        for path in places_now(run, entry.place):
            if not os.path.lexists(path):
                continue
            key = (path, (*entry.parts, *(entry.files or ())))
            if key not in self.seen:
                self.seen[key] = self._summarize(path, recorded.leave_out)
            reason = self._differs(run, path, recorded, self.seen[key])
            if not reason:
                return Check(name, True)
            whole = reason.startswith(("changed", "cannot"))
            is_whole = is_whole and whole
            reasons.append(f"{entry.path}{'' if whole else ':'} {reason}")
        gone = f"{entry.path} is missing; recorded as {entry.md5}"
        fine = self._put_back(run, name, entry) if is_whole else None
        return fine or Check(name, False, [*reasons, gone][0])

    def _put_back(self, run: RecordedRun, name: str, entry: DataEntry) -> Check | None:
        """What can be said of an input that the job itself changed; None where it did not."""
        try:
            for path in places_now(run, entry.place):
                found = look_at_input(run, entry, path, self.index)
                if found is None or not (found.digest.md5 == entry.md5 or found.later):
                    continue
                if found.later:
                    which = some_of([str(path / each) if each else str(path)
                                     for each in found.later], 10)
                    return Check(name, False, f"{entry.path} was changed by the job itself, and "
                                 f"what it read is not kept: {which}")
                what = some_of([each or entry.path for each in found.aside], 10)
                note = f"changed by the job itself; the recorded bytes are kept: {what}"
                return Check(name, True, note=note if found.aside else _GREW)
        except DataError:
            return None
        if later_inputs(run).get(name.removeprefix("data ")):
            return Check(name, False, f"{entry.path} is the later version that the job left; the "
                         "tag holds no other")
        return None

    def outputs(self, run: RecordedRun) -> Check:
        """Whether the output directory holds what it held at the job's end."""
        outputs = run.lock.outputs
        if outputs is None:
            return Check("outputs", True, "none were recorded")
        ended = run.lock.run.ended or run.lock.run.started
        recorded = _Recorded(outputs, outputs.leaves_out, ended)
        found = self._summarize(run.folder, outputs.leaves_out)
        resized = [f"{name} had {size} bytes" for name, size in resized_outputs(run, outputs)]
        reason = self._differs(run, run.folder, recorded, found) or "; ".join(resized)
        return Check("outputs", not reason, reason)

    def _summarize(self, path: Path, leave_out: LeaveOut | None) -> DataSummary | DataError:
        try:
            return summarize(path, leave_out, index=self.index)
        except DataError as error:
            return error

    def _differs(
        self, run: RecordedRun, path: Path, recorded: _Recorded, found: DataSummary | DataError
    ) -> str:
        """How a file or a folder differs from its record, in words; empty where it does not."""
        if isinstance(found, DataError):
            return f"cannot be looked at: {found}"
        entry = recorded.entry
        if found.md5 == entry.md5:
            return "; ".join((*_lost_of(path, entry), *_renamed_in(run, path, entry)))
        which = self._which(run, path, recorded)
        said = f"changed: recorded {_described(entry)}, now {_described(found)}"
        return f"{said}; {which}" if which else said

    def _which(self, run: RecordedRun, path: Path, recorded: _Recorded) -> str:
        """Which files of a folder changed, where that can be told.

        The lock holds the hash of a folder's listing alone. The listing itself may be in
        DVC's cache or on a data remote that is a folder; without it, times tell.
        """
        md5 = recorded.entry.md5 or ""
        if not md5.endswith(".dir"):
            return ""
        try:
            listing = _find_listing(run, md5)
            if listing is not None:
                files = digest(path, recorded.leave_out, self.index).files
                return _compare_listings(listing, {name: file.md5 for name, file in files.items()})
            return written_late(run, path, recorded.leave_out, recorded.since)
        except FlexlockError:
            return ""


def _check_url(name: str, entry: DataEntry, *, ask: bool) -> Check:
    """What only a server has; it is asked on demand alone, for a lock may come from anybody."""
    if not ask or entry.remote is None:
        hint = "" if entry.remote is None else "; --urls asks its server again"
        return Check(name, True, f"{entry.path} is a URL{hint}")
    from flexlock_hydra.capture.data.url_identity import identify_url

    try:
        now = identify_url(entry.path)
    except DataError as error:
        return Check(name, False, str(error))
    changed = [
        f"{mark} was {value}, is {now[mark]}"
        for mark, value in entry.remote.items()
        if mark in now and now[mark] != value
    ]
    reason = f"{entry.path} changed: {', '.join(changed)}" if changed else ""
    return Check(name, not changed, reason)


def _lost_of(path: Path, entry: DataEntry | Outputs) -> Iterator[str]:
    """What DVC's hash does not hold and a lock does: modes, links, empty folders."""
    for name in (entry.executable or ()) if os.name != "nt" else ():
        with suppress(OSError, ValueError):  # a ValueError: a name that no file can have
            if not (path / name).stat().st_mode & stat.S_IXUSR:
                yield f"{'it' if name == '.' else name} is not executable any more"
    for name, target in (entry.links or {}).items():
        if not _leads_to(path / name, target):
            yield f"{name} is not the link to {target} any more"
    for name in entry.empty or ():
        if not os.path.isdir(path / name):
            yield f"the empty folder {name} is missing"


def _renamed_in(run: RecordedRun, path: Path, entry: DataEntry | Outputs) -> Iterator[str]:
    """Folders with other names than the job saw; a pull brings no more than was read."""
    if isinstance(entry, Outputs) or is_pulled(run.root):
        return
    start, end = nanoseconds(run.lock.run.started), nanoseconds(run.lock.run.ended)
    for folder, names in (entry.listed or {}).items():
        place = str(path / folder)
        if names_in(place) == names or start is None:
            continue
        if names_in(place, _made_during(place, During(start, end))) != names:
            yield f"the names in {posixpath.normpath(posixpath.join(entry.path, folder))} changed"


def _made_during(folder: str, during: During) -> set[str]:
    """Files of a folder that were written while the job ran."""
    found = set()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file() and during.has(entry.stat().st_mtime_ns):
                found.add(entry.path)
    return found


def _leads_to(path: Path, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except (OSError, ValueError):
        return False


def _described(found: DataEntry | Outputs | DataSummary) -> str:
    files = f"{found.nfiles} file{'' if found.nfiles == 1 else 's'}, "
    return f"{found.md5} ({files if str(found.md5).endswith('.dir') else ''}{found.size} bytes)"


def _find_listing(run: RecordedRun, oid: str) -> dict[str, str] | None:
    """The listing of a recorded folder, from a place on this machine that has it whole."""
    for store in _local_stores(run):
        with suppress(LostListingError, RemoteError):
            return read_listing(store, oid)
    return None


def _local_stores(run: RecordedRun) -> Iterator[Store]:
    """The project's DVC cache, and its data remote where that is a folder of this machine."""
    from flexlock_hydra.archive.remotes.choose import choose_remote

    yield open_store(RemoteSpec(str(run.root / _CACHE)))
    if run.repo is not None:
        spec = choose_remote(run.repo, None)
        if spec.is_local:
            yield open_store(spec)
            yield open_store(spec.below(run.lock.tag))


def _compare_listings(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    kinds = {
        "changed": sorted(name for name in old.keys() & new.keys() if old[name] != new[name]),
        "missing": sorted(old.keys() - new.keys()),
        "new": sorted(new.keys() - old.keys()),
    }
    return "; ".join(f"{kind}: {some_of(names, 10)}" for kind, names in kinds.items() if names)
