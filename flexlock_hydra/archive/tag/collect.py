"""Find and check what a run and its predecessors recorded, where it lies now."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.runs.places import places_now, restored_path
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled, original_root
from flexlock_hydra.archive.tag.plan import Piece
from flexlock_hydra.capture.data.as_recorded import During, FoundData, find_as_recorded
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest, digest_bytes, of_files
from flexlock_hydra.capture.data.entry import passed_over
from flexlock_hydra.capture.data.hash_index import HashIndex
from flexlock_hydra.capture.data.lock_files import without_locks
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.capture.lineage.staleness import nanoseconds, written_since
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import DataEntry, Outputs
from flexlock_hydra.record.relative_path import is_under, join_path

OUTPUTS = "outputs"


@dataclass(frozen=True)
class DataCollector:
    """Looks for what was recorded.

    Args:
        home: the root of the project that is restored.
        trees: the files of commits.
        index: knows the hashes of files that did not change since they were read.
        outputs: whether outputs are wanted.
    """

    home: Path
    trees: CommitTrees
    index: HashIndex | None = None
    outputs: bool = True

    def pieces(self, run: RecordedRun, *, inherited: bool = False) -> Iterator[Piece]:
        """The inputs and outputs of a run, each hashed again and equal to its record.

        ``inherited``: pass over inputs that the run's own commit holds: git brings them.

        Raises:
            DataError: missing, changed (both hashes are named), or never recorded.
        """
        inputs = [*self._inputs(run, inherited=inherited)]
        recorded = run.lock.outputs if self.outputs else None
        outputs = [self._outputs(run, recorded)] if recorded is not None else []
        # What the job read in its own output directory and wrote anew comes back beside it.
        own = [each for each in inputs if any(is_under(each.path, out.path) for out in outputs)]
        yield from (each for each in inputs if each not in own)
        yield from (*outputs, *own)

    def _inputs(self, run: RecordedRun, *, inherited: bool) -> Iterator[Piece]:
        for name, entry in run.lock.data.items():
            at_root = entry.base == "."  # a pattern is matched in the project's own folder
            if entry.is_url or ((inherited or at_root) and self.trees.hold(run, entry)):
                continue
            if at_root:
                raise DataError(
                    f"data {name}: what {entry.path} matches in the project's own folder and "
                    "git does not track cannot travel",
                    hint="Put it into a folder, or under git, and run the job again.",
                )
            yield self._input(run, name, entry)

    def _outputs(self, run: RecordedRun, recorded: Outputs) -> Piece:
        path = restored_path(record_path(run.folder, self.home))
        found = digest_outputs(run, recorded, self.index)
        left_out = frozenset((*recorded.left_out, *(recorded.unhashed or ())))
        partial = recorded.only is not None
        return Piece(run.lock.run.id, OUTPUTS, path, found, run.folder, left_out, partial)

    def _input(self, run: RecordedRun, name: str, entry: DataEntry) -> Piece:
        foreign = Path(entry.place).is_absolute() or run.root != self.home
        absolute = posixpath.join(original_root(run.lock), entry.place)
        restored = layout.fsroot_path(absolute) if foreign else entry.place
        found = locate_input(run, name, entry, self.index)
        # What changed before it could be hashed has the later version's hash, and the lock says so.
        gaps = {restored_path(each.path) for each in run.lock.unrecorded or ()}
        place = restored_path(entry.place)
        named = (rel for rel in found.digest.files if join_path(place, rel) in gaps)
        later = tuple(sorted({*found.later, *named}))
        partial = entry.base is not None or entry.files is not None
        return Piece(
            run.lock.run.id, name, restored, found.digest, found.path, partial=partial,
            aside=found.aside, later=later,
        )


def digest_outputs(run: RecordedRun, recorded: Outputs, index: HashIndex | None = None) -> Digest:
    """The outputs of a run, hashed again and equal to their record.

    Raises:
        DataError: the folder is gone or unreadable, or holds something else by now.
    """
    found = digest(run.folder, recorded.leaves_out, index)
    resized = {name: f"{size} bytes" for name, size in resized_outputs(run, recorded)}
    if resized:
        raise DataError(
            f"the outputs of {run.lock.run.id} in {run.folder} changed since the run: "
            f"recorded {resized!r:.200}",
            hint="Put them back, or push without the outputs: --no-outputs",
        )
    if found.md5 != recorded.md5:
        late = written_late(run, run.folder, recorded.leaves_out, run.lock.run.ended or "")
        raise DataError(
            f"the outputs of {run.lock.run.id} in {run.folder} changed since the run: "
            f"recorded {recorded.md5}, now {found.md5}{f'; {late}' if late else ''}",
            hint="Put them back, or push without the outputs: --no-outputs. A callback that writes "
            "when a job ends comes after flexlock: hydra/callbacks=[flexlock,other]",
        )
    return found


def written_late(run: RecordedRun, path: Path, leave_out: LeaveOut | None, moment: str) -> str:
    """Which files below a folder were written after a recorded time, as far as theirs tell.

    Raises:
        DataError: it cannot be looked at.
    """
    if is_pulled(run.root):  # the times are those of the pull
        return ""
    late = written_since(path, leave_out, moment)
    return f"written since: {late}" if late else ""


def resized_outputs(run: RecordedRun, recorded: Outputs) -> Iterator[tuple[str, int]]:
    """The outputs that were not hashed and have another size by now, with the recorded bytes."""
    for name, size in (recorded.unhashed or {}).items():
        with suppress(OSError, ValueError):  # the latter for a name that no file can have
            info = os.stat(run.folder / name)
            if info.st_size == size and stat.S_ISREG(info.st_mode):
                continue
        yield name, size


def locate_input(
    run: RecordedRun, name: str, entry: DataEntry, index: HashIndex | None = None
) -> FoundData:
    """An input of a run where it lies now, equal to its record.

    Of what the job itself changed the bytes that were kept are taken; where there are none, what
    the job left, and :attr:`FoundData.later` names it.

    Raises:
        DataError: missing, changed since the run, or never recorded.
    """
    if entry.md5 is None:
        raise DataError(
            f"data {name} ({entry.path}) was not recorded: "
            f"{entry.error or 'the job ended before it was hashed'}",
            hint="Put it in place and run the job again.",
        )
    changed = None
    for path in places_now(run, entry.place):
        found = look_at_input(run, entry, path, index)
        if found is not None and (found.digest.md5 == entry.md5 or found.later):
            return found
        changed = found or changed
    if changed is None:
        raise DataError(
            f"data {name}: {entry.path} is missing; recorded as {entry.md5}",
            hint="Put it back, or pull the run from its tag.",
        )
    raise DataError(
        f"data {name}: {entry.path} changed since the run: "
        f"recorded {entry.md5}, now {changed.digest.md5}",
        hint="Put the recorded version back, or run the job again with this one.",
    )


def look_at_input(
    run: RecordedRun, entry: DataEntry, path: Path, index: HashIndex | None = None
) -> FoundData | None:
    """What lies at a place that may be an input's, with what was kept; None where nothing does.

    Raises:
        DataError: it cannot be read.
    """
    kept = run.folder / layout.kept_path(run.lock.run.id, entry.place)
    if not path.exists() and not kept.exists():
        return None
    start, end = nanoseconds(run.lock.run.started), nanoseconds(run.lock.run.ended)
    # After a pull all times are those of the pull: later than a job that ended.
    unknown = start is None or (end is None and is_pulled(run.root))
    during = None if start is None or unknown else During(start, end)
    return find_as_recorded(
        path, entry.md5 or "", passed_over(entry), index=index, kept=kept, during=during
    )


@dataclass(frozen=True)
class CommitTrees:
    """The files of commits, each tree and each blob read once."""

    leaves: dict[str, dict[str, TreeEntry]] = field(default_factory=dict)
    digests: dict[str, FileDigest] = field(default_factory=dict)

    def of(self, repo: GitRepo, commit: str) -> dict[str, TreeEntry]:
        """Every leaf of a commit's tree: path -> entry."""
        if commit not in self.leaves:
            self.leaves[commit] = repo.ls_tree(commit)
        return self.leaves[commit]

    def files(
        self, repo: GitRepo, commit: str, wanted: Callable[[str], bool]
    ) -> dict[str, FileDigest]:
        """Path -> digest, of the regular files of a commit whose path is wanted."""
        chosen = {
            path: entry.oid
            for path, entry in self.of(repo, commit).items()
            if entry.mode.startswith("100") and wanted(path)
        }
        unread = sorted({oid for oid in chosen.values() if oid not in self.digests})
        for oid, content in repo.read_blobs(unread):
            self.digests[oid] = digest_bytes(content)
        return {path: self.digests[oid] for path, oid in chosen.items()}

    def hold(self, run: RecordedRun, entry: DataEntry) -> bool:
        """Whether a run's own commit holds an input, byte for byte as it was recorded."""
        code = run.lock.code
        if run.repo is None or code is None or not entry.md5:
            return False
        if code.commit not in self.leaves and not run.repo.has_object(f"{code.commit}^{{tree}}"):
            return False
        place = "" if entry.base == "." else entry.place
        files = self.files(run.repo, code.commit, lambda path: not place or is_under(path, place))
        if set(files) == {place}:
            return files[place].md5 == entry.md5
        left_out = passed_over(entry)
        below = {path[len(place) + 1 if place else 0:]: file for path, file in files.items()}
        if left_out is not None:
            below = {name: file for name, file in below.items() if not left_out(name)}
        data = without_locks(below)  # git may hold them, and no hash of ours does
        plain = {name: below[name] for name in data}
        return bool(below) and entry.md5 in (of_files(plain).md5, of_files(below).md5)
