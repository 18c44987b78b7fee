"""Where a rerun takes place: the recorded code in a worktree, the recorded data in it.

The job writes its output directory where it was: below the worktree, at the recorded path.
What a program makes of the two (relative paths, ``../data``) is then as it was. When the job
has ended, the folder moves to where it shall stay.
"""

from __future__ import annotations

import hashlib
import posixpath
import shutil
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.pull.fetch_objects import HashFetcher
from flexlock_hydra.archive.runs.places import find_predecessor_lock, original_folder, places_now
from flexlock_hydra.archive.runs.recorded_run import (
    RecordedRun, extra_repos, original_root, store_of
)
from flexlock_hydra.archive.tag.collect import CommitTrees, locate_input
from flexlock_hydra.archive.tag.later import later_inputs
from flexlock_hydra.capture.data.as_recorded import FoundData
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest, digest_bytes, digest_file
from flexlock_hydra.capture.data.entry import passed_over
from flexlock_hydra.capture.data.paths import relocated
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.errors import CodeError, DataError, LockError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.status import written_files
from flexlock_hydra.ports.git.worktrees import temporary_worktree
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import DataEntry
from flexlock_hydra.record.relative_path import is_under
from flexlock_hydra.replay.rerun import stage_recovery
from flexlock_hydra.replay.rerun.stage_links import turn_links

COPIED = 256 << 20
"""Bytes of inputs that a rerun copies; beyond them, inputs are links to the recorded data."""


@dataclass(frozen=True)
class Stage:
    """A temporary worktree, ready for a job, and what it must know of it."""

    root: Path
    scratch: Path
    output: Path
    """Where the job writes its output directory."""
    repos: Mapping[str, Path]
    """The further repositories outside of the main one: name -> folder."""
    moves: Mapping[str, str]
    """Paths of the original machine -> where they are now."""
    placed: Container[str] = frozenset()
    """The inputs in the worktree, relative to it."""

    def moved(self, path: str) -> str | None:
        """Where an absolute path of the original machine is now; None where unknown."""
        return relocated(path, self.moves)

    def keep(self, target: Path) -> None:
        """Move the output directory to where it shall stay."""
        output = self.output if self.output.exists() else self._moved_output()
        if output is not None and output != target:
            if target.exists():
                target.rmdir()
            shutil.move(output, target)

    def _moved_output(self) -> Path | None:
        """Where the job moved its output directory to, by the lock in it."""
        beside = (self.output.parent, self.root)
        for lock in (path for folder in beside for path in find_files(folder, layout.is_lock)):
            with suppress(LockError):
                if lockfile.read_lock(lock).job.output_dir == str(self.output):
                    return lock.parent
        return None

    def keep_others(self, beside: Path) -> tuple[str, ...]:
        """Move what the job wrote into the worktree, and not as outputs; its relative paths."""
        found = [path for path in written_files(self.root) if path not in self.placed]
        for path in found:
            place = beside / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(self.root / path, place)
        return tuple(found)


@contextmanager
def stage(
    run: RecordedRun,
    target: Path,
    *,
    commit: str | None = None,
    fresh: Mapping[str, RecordedRun] | None = None,
) -> Iterator[Stage]:
    """Set up the code and the data of a run; nothing is left of it at the end.

    Args:
        target: the new output directory, which stands for the original one; the stage is
            made beside it, on a disk with room for what the job writes.
        commit: other code than the recorded.
        fresh: reruns of predecessors by their ids, whose outputs are taken for theirs.

    Raises:
        CodeError: a commit is not here. DataError: data is neither here as it was recorded
            nor on a remote.
    """
    repo = run.require_repo()
    code = recorded_commit(run, repo)
    with (
        _stages_beside(target) as folder,
        temporary_worktree(repo, commit or code, folder / "tree" / repo.root.name) as tree,
        _further_repos(run, tree.root, folder) as placed,
    ):
        inputs = _Inputs(run, tree.root, folder, fresh or {}, same_code=not commit)
        inputs.placed |= _turn_links(run, repo, commit or code, tree.root, placed)
        output = _output(run, tree.root) or target
        moves = {
            original_root(run.lock): str(tree.root),
            original_folder(run): str(output),
            **inputs.place(),
        }
        if output != target:
            stage_recovery.note(folder, output, target)
        yield Stage(tree.root, folder, output, placed, moves, inputs.placed)


@contextmanager
def _stages_beside(target: Path) -> Iterator[Path]:
    """A temporary folder beside another one, which the project's own git does not see."""
    stage_recovery.keep_lost(target.parent)
    with tempfile.TemporaryDirectory(prefix=stage_recovery.PREFIX, dir=target.parent) as name:
        Path(name, ".gitignore").write_text("*\n", encoding="utf-8")
        yield Path(name)


def _turn_links(
    run: RecordedRun, repo: GitRepo, commit: str, root: Path, placed: Mapping[str, Path]
) -> set[str]:
    """Let no link of the code lead into the original checkout; those below the root that did."""
    homes = {original_root(run.lock): root}
    others = [(each, placed.get(each.name, root / each.restored)) for each in extra_repos(run.lock)]
    homes |= {each.original: place for each, place in others}
    turned = turn_links(repo, commit, root, homes)
    for each, place in others:
        store = GitRepo.find(place)
        found = turn_links(store, each.state.commit, place, homes) if store else set()
        turned |= {posixpath.join(each.inside, path) for path in found if each.inside}
    return turned


def _output(run: RecordedRun, root: Path) -> Path | None:
    """The recorded output directory in the worktree; None where it lay outside, or was all."""
    inside = posixpath.relpath(original_folder(run), original_root(run.lock))
    parts = Path(inside).parts
    if not parts or {"..", ".git"} & {*parts} or Path(inside).is_absolute():
        return None
    above = [root.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
    return None if any(place.is_symlink() for place in above) else root / inside


def recorded_commit(run: RecordedRun, repo: GitRepo) -> str:
    """The snapshot of a run's code.

    Raises:
        CodeError: none was taken, or it is not here.
    """
    code = run.lock.code
    if code is None:
        raise CodeError(
            f"the code of run {run.lock.run.id} was not recorded",
            hint="Put the project under git and run the job again.",
        )
    if not repo.has_object(f"{code.commit}^{{tree}}"):
        raise CodeError(
            f"commit {code.commit} of run {run.lock.run.id} is not in {repo.root}",
            hint=f"Fetch it: git fetch REMOTE tag {run.lock.tag}",
        )
    return code.commit


@contextmanager
def _further_repos(run: RecordedRun, root: Path, scratch: Path) -> Iterator[dict[str, Path]]:
    """Check the run's other repositories out; those outside of the main one, by name."""
    placed = {}
    with ExitStack() as trees:
        for each in extra_repos(run.lock):
            store = store_of(run, each)
            if store is None:
                raise CodeError(
                    f"commit {each.state.commit} of repository {each.name} is not here",
                    hint=f"It was in {each.original}; or pull the run from its tag.",
                )
            place = root / each.inside if each.inside else scratch / each.restored
            place.parent.mkdir(parents=True, exist_ok=True)
            trees.enter_context(temporary_worktree(store, each.state.commit, place))
            if each.inside is None:
                placed[each.name] = place
        yield placed


@dataclass
class _Inputs:
    """Puts the recorded data where the job looks for it."""

    run: RecordedRun
    root: Path
    scratch: Path
    fresh: Mapping[str, RecordedRun]
    same_code: bool
    trees: CommitTrees = field(default_factory=CommitTrees)
    left: int = COPIED
    placed: set[str] = field(default_factory=set)

    def place(self) -> dict[str, str]:
        """Fill the worktree; the absolute paths that lie elsewhere now."""
        moves = {}
        for name, entry in self.run.lock.data.items():
            if entry.is_url:
                continue
            path, held = entry.place, self.trees.hold(self.run, entry)
            if held and self.same_code:
                continue
            found = self._find(name, entry, held)
            if Path(path).is_absolute():
                moves[path] = str(self._whole(name, found))
                continue
            for rel, file in found.digest.files.items():
                place, source = posixpath.join(path, rel) if rel else path, found.source_of(rel)
                self._put(place, source, file, is_copy=rel in found.aside)
            for empty in entry.empty or ():
                (self.root / path / empty).mkdir(parents=True, exist_ok=True)
        return moves | self._place_locks()

    def _find(self, name: str, entry: DataEntry, held: bool) -> FoundData:
        """An input: of a rerun before this, here, in the recorded code, or on a remote."""
        new = self._from_rerun(entry)
        if new is not None:
            return FoundData(new, digest(new, passed_over(entry)))
        if held:
            return FoundData(*self._from_code(entry))
        try:
            found = locate_input(self.run, name, entry)
            if not found.later:
                return found
        except DataError as error:
            if entry.md5 is None:
                raise
            problem, found = error, None
        try:
            return FoundData(*HashFetcher(self.run, self.scratch / "data").bring(entry.md5 or ""))
        except DataError as elsewhere:
            found = found or self._later(name, entry)
            if found is None:
                raise DataError(
                    f"{problem}; not found elsewhere: {elsewhere}", hint=problem.hint
                ) from problem
            return found

    def _later(self, name: str, entry: DataEntry) -> FoundData | None:
        """The later version of an input, where the run's tag says that it has that alone."""
        md5 = later_inputs(self.run).get(name)
        for path in places_now(self.run, entry.place) if md5 else ():
            if path.exists() and (found := digest(path, passed_over(entry))).md5 == md5:
                return FoundData(path, found)
        return None

    def _whole(self, name: str, found: FoundData) -> Path:
        """A path with all files of an input; a new one, where the bytes of some are kept aside.

        Of these it has copies: the job will write to them again.
        """
        if not found.aside:
            return found.path
        top = self.scratch / "kept" / hashlib.sha256(name.encode()).hexdigest() / found.path.name
        for rel in found.digest.files:
            place, source = top / rel if rel else top, found.source_of(rel)
            place.parent.mkdir(parents=True, exist_ok=True)
            if rel in found.aside:
                shutil.copy2(source, place)
            else:
                place.symlink_to(source.absolute())
        return top

    def _from_rerun(self, entry: DataEntry) -> Path | None:
        """The input's place in the output directory of a predecessor's rerun."""
        original = posixpath.join(original_root(self.run.lock), entry.place)
        for run_id, again in self.fresh.items():
            prev = self.run.lock.prevs[run_id].path
            above = posixpath.join(original_root(self.run.lock), prev)
            if is_under(original, above):
                return again.folder / posixpath.relpath(original, above)
        return None

    def _from_code(self, entry: DataEntry) -> tuple[Path, Digest]:
        """An input that the recorded commit holds, where other code is run."""
        assert self.run.repo is not None and self.run.lock.code is not None
        tree = self.trees.of(self.run.repo, self.run.lock.code.commit)
        path, folder = entry.place, self.scratch / "code"
        leaves = {p: e.oid for p, e in tree.items() if is_under(p, path)}
        contents = dict(self.run.repo.read_blobs(sorted(set(leaves.values()))))
        for leaf, oid in leaves.items():
            (folder / leaf).parent.mkdir(parents=True, exist_ok=True)
            (folder / leaf).write_bytes(contents[oid])
        files = {leaf[len(path) + 1:]: digest_bytes(contents[oid]) for leaf, oid in leaves.items()}
        return folder / path, Digest(entry.md5 or "", files)

    def _place_locks(self) -> dict[str, str]:
        """The locks of the predecessors, by which the job finds them again."""
        moves = {}
        for run_id, prev in self.run.lock.prevs.items():
            again = self.fresh.get(run_id)
            lock = again.path if again else find_predecessor_lock(self.run, run_id)
            if lock is None:
                continue
            if Path(prev.path).is_absolute():
                moves[prev.path] = str(lock.parent)
            else:
                self._put(f"{prev.path}/{layout.LOCK}", lock, digest_file(lock))
        return moves

    def _put(
        self, path: str, source: Path, file: FileDigest, *, is_copy: bool = False
    ) -> None:
        """The recorded bytes at a path, unless the code brought them itself.

        A copy, as long as there are not too many: the job may write to it.

        Args:
            is_copy: in any case: the job will write to it.
        """
        place = self.root / path
        self.placed.add(path)
        for up in reversed([self.root / up for up in Path(path).parents]):
            if up.is_symlink():
                up.unlink()
        if place.is_file() and not place.is_symlink() and digest_file(place) == file:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if is_copy or file.size <= self.left:
            self.left -= file.size
            shutil.copy2(source, place)
        else:
            place.symlink_to(source.absolute())
