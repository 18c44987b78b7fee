"""Find and check what a run and its predecessors recorded, where it lies now."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from flexlock_hydra.archive.runs.find import (
    RecordedRun,
    is_pulled,
    load_run,
    original_root,
    run_locks_below,
)
from flexlock_hydra.archive.tag.plan import Piece, is_under
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest, digest_bytes, of_files
from flexlock_hydra.capture.data.globs import outside
from flexlock_hydra.capture.data.hash_index import HashIndex
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.capture.lineage.staleness import written_since
from flexlock_hydra.errors import DataError, PushError, RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, DataEntry, Outputs, Predecessor

OUTPUTS = "outputs"


def predecessors(run: RecordedRun) -> list[RecordedRun]:
    """The runs that this one stands on, the newest first.

    Raises:
        RunNotFoundError: the lock of one is gone. PushError: it is not the recorded one.
    """
    graph = sorted(run.lock.prevs.items(), reverse=True)
    return [predecessor(run, run_id, prev) for run_id, prev in graph]


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
        for name, entry in run.lock.data.items():
            at_root = _at_root(entry)
            if entry.is_url or ((inherited or at_root) and self.trees.hold(run, entry)):
                continue
            if at_root:
                raise DataError(
                    f"data {name}: what {entry.path} matches in the project's own folder and "
                    "git does not track cannot travel",
                    hint="Put it into a folder, or under git, and run the job again.",
                )
            yield self._input(run, name, entry)
        if self.outputs and run.lock.outputs is not None:
            yield self._output(run, run.lock.outputs)

    def _input(self, run: RecordedRun, name: str, entry: DataEntry) -> Piece:
        foreign = Path(entry.place).is_absolute() or run.root != self.home
        absolute = posixpath.join(original_root(run.lock), entry.place)
        restored = layout.fsroot_path(absolute) if foreign else entry.place
        path, found = locate(run, name, entry, self.index)
        partial = entry.base is not None
        return Piece(run.lock.run.id, name, restored, found, path, partial=partial)

    def _output(self, run: RecordedRun, recorded: Outputs) -> Piece:
        return Piece(
            run.lock.run.id,
            OUTPUTS,
            restore_path(run.folder, self.home),
            digest_outputs(run, recorded, self.index),
            run.folder,
            frozenset((*recorded.left_out, *(recorded.unhashed or ()))),
            partial=recorded.only is not None,
        )


def digest_outputs(run: RecordedRun, recorded: Outputs, index: HashIndex | None = None) -> Digest:
    """The outputs of a run, hashed again and equal to their record.

    Raises:
        DataError: the folder is gone or unreadable, or holds something else by now.
    """
    found = digest(run.folder, recorded.leaves_out, index)
    resized = {
        name: f"{size} bytes"
        for name, size in (recorded.unhashed or {}).items()
        if _size(run.folder / name) != size
    }
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


def written_late(
    run: RecordedRun, path: Path, leave_out: LeaveOut | None, moment: str
) -> str:
    """Which files below a folder were written after a recorded time, as far as theirs tell.

    Raises:
        DataError: it cannot be looked at.
    """
    if is_pulled(run.root):  # the times are those of the pull
        return ""
    late = written_since(path, leave_out, moment)
    return f"written since: {late}" if late else ""


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def restore_path(path: Path, root: Path) -> str:
    """Where a file or folder comes back, relative to the restored root."""
    recorded = record_path(path, root)
    return layout.fsroot_path(recorded) if Path(recorded).is_absolute() else recorded


def places(run: RecordedRun, recorded: str) -> list[Path]:
    """Where a recorded path may lie: its own place, or where a pull brought it.

    In a pulled project, a path of the original machine is only looked for below it.
    """
    absolute = posixpath.join(original_root(run.lock), recorded)
    restored = [
        run.root / layout.other_version_path(run.lock.run.id, _inside(recorded)),
        run.root / layout.fsroot_path(absolute),
    ]
    if Path(recorded).is_absolute() and is_pulled(run.root):
        return restored
    return [run.root / recorded, *restored]


def moved_places(run: RecordedRun, recorded: str) -> Iterator[Path]:
    """Where a path in a predecessor's folder is by now, whose recorded name leads elsewhere.

    The folder was renamed since, or the name is a link that was set anew. This looks through
    all runs of the project.
    """
    for run_id, prev in run.lock.prevs.items():
        if not is_under(recorded, prev.path):
            continue
        for _, known, lock in run_locks_below(run.root):
            if known == run_id:
                yield lock.parent / posixpath.relpath(recorded, prev.path)


def locate(
    run: RecordedRun, name: str, entry: DataEntry, index: HashIndex | None = None
) -> tuple[Path, Digest]:
    """An input of a run where it lies now, equal to its record.

    Raises:
        DataError: missing, changed, or never recorded.
    """
    if entry.md5 is None:
        raise DataError(
            f"data {name} ({entry.path}) was not recorded: "
            f"{entry.error or 'the job ended before it was hashed'}",
            hint="Put it in place and run the job again.",
        )
    found = None
    for path in chain(places(run, entry.place), moved_places(run, entry.place)):
        if path.exists():
            found = digest(path, outside(entry.parts), index)
            if found.md5 == entry.md5:
                return path, found
    if found is None:
        raise DataError(
            f"data {name}: {entry.path} is missing; recorded as {entry.md5}",
            hint="Put it back, or pull the run from its tag.",
        )
    raise DataError(
        f"data {name}: {entry.path} changed since the run: "
        f"recorded {entry.md5}, now {found.md5}",
        hint="Put the recorded version back, or run the job again with this one.",
    )


def _at_root(entry: DataEntry) -> bool:
    """Whether a pattern is matched in the project's own folder."""
    return entry.base == "."


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
        place = "" if _at_root(entry) else entry.place
        files = self.files(run.repo, code.commit, lambda path: not place or is_under(path, place))
        if set(files) == {place}:
            return files[place].md5 == entry.md5
        passed_over = outside(entry.parts)
        below = {path[len(place) + 1 if place else 0:]: file for path, file in files.items()}
        if passed_over is not None:
            below = {name: file for name, file in below.items() if not passed_over(name)}
        return bool(below) and of_files(below).md5 == entry.md5


def predecessor(run: RecordedRun, run_id: str, prev: Predecessor) -> RecordedRun:
    """A run that another one stands on: its lock lies beside, or in the other one's tag.

    Raises:
        RunNotFoundError: it is gone. PushError: it is not the recorded one.
    """
    if run.tag is not None and run.repo is not None:
        return _in_tag(run, run.repo, run.tag, run_id, prev)
    for folder in chain(places(run, prev.path), moved_places(run, prev.path)):
        for name in (layout.LOCK, layout.superseded_lock(run_id)):
            if (folder / name).is_file():
                found = load_run(folder / name, near=run.repo)
                if found.lock.run.id == run_id:
                    sha256 = hashlib.sha256(found.content).hexdigest()
                    _check_lock(run_id, prev, f"sha256:{sha256}", folder)
                    return found
    raise RunNotFoundError(
        f"the run.lock of predecessor {prev.job} {run_id} is not in {prev.path}",
        hint="Put that run's folder back, or pull it from its tag.",
    )


def _in_tag(
    run: RecordedRun, repo: GitRepo, tag: str, run_id: str, prev: Predecessor
) -> RecordedRun:
    for path, entry in repo.ls_tree(f"refs/tags/{tag}^{{commit}}").items():
        if layout.is_lock(posixpath.basename(path)):
            ((_, content),) = repo.read_blobs([entry.oid])
            if f"sha256:{hashlib.sha256(content).hexdigest()}" == prev.lock:
                lock = lockfile.parse_lock(content, f"{tag}:{path}")
                return RecordedRun(run.root / path, lock, run.root, repo, content, tag)
    raise RunNotFoundError(f"tag {tag} does not hold the run.lock of {prev.job} {run_id}")


def _check_lock(run_id: str, prev: Predecessor, sha256: str, folder: Path) -> None:
    if prev.status != RUNNING and sha256 != prev.lock:
        raise PushError(
            f"the run.lock of predecessor {run_id} in {folder} changed since: "
            f"recorded {prev.lock}, now {sha256}",
            hint="Put the recorded one back, or run the job again on this one.",
        )


def _inside(recorded: str) -> str:
    return layout.fsroot_path(recorded) if Path(recorded).is_absolute() else recorded
