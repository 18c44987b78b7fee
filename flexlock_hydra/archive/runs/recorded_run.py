"""A recorded run or sweep: its lock as read from the disk, its project, its other repositories."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import CodeError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, CodeState, RunLock
from flexlock_hydra.record.sweep import SweepLock, read_sweep_lock


@dataclass(frozen=True)
class RecordedRun:
    """A run's lock, judged as of now, and the project that it lies in."""

    path: Path
    lock: RunLock
    root: Path
    repo: GitRepo | None
    content: bytes = field(repr=False)
    """The lock's own bytes, as they were read."""
    tag: str | None = None
    """The tag in whose tree the lock was found; None where it lies in its folder."""

    @property
    def folder(self) -> Path:
        """The output directory."""
        return self.path.parent

    def require_repo(self) -> GitRepo:
        """The project's repository.

        Raises:
            CodeError: the run does not lie in one.
        """
        if self.repo is None:
            raise CodeError(
                f"{self.path} is in no git repository",
                hint="A run needs one for its code: git init, commit, run again.",
            )
        return self.repo


@dataclass(frozen=True)
class RecordedSweep:
    """A sweep's lock as it was written, and as its jobs are now."""

    path: Path
    recorded: SweepLock
    lock: SweepLock

    @property
    def folder(self) -> Path:
        """The sweep's directory."""
        return self.path.parent

    def save(self) -> None:
        """Write what its jobs are now, unless the sweep's own process may still do so.

        Raises:
            OSError: the folder cannot be written to.
        """
        if self.lock != self.recorded and self.lock.status != RUNNING:
            lockfile.write(self.lock, self.path)


def load_run(path: Path, near: GitRepo | None = None) -> RecordedRun:
    """Read the run of a lock file.

    Args:
        near: a repository that it probably lies in; git is not asked where it does.

    Raises:
        RunNotFoundError: there is no such file. LockError: it cannot be read.
    """
    path = path.absolute()
    content = lockfile.read_content(path)
    lock = process.judge(lockfile.parse_lock(content, where=str(path)))
    repo = near if near and _is_in(path, near.root) else GitRepo.find(path.parent)
    repo = repo or _recorded_repo(lock)
    root = repo.root if repo else path.parent
    if is_pulled(root) and process.is_alive(lock.run.process) is None:
        lock = process.ended(lock)  # only runs that have ended are pushed
    return RecordedRun(path, lock, root, repo, content)


def load_sweep(path: Path) -> RecordedSweep:
    """Read the sweep of a lock file, and look at its jobs.

    Raises:
        LockError: it cannot be read.
    """
    from flexlock_hydra.capture.lineage.sweep_jobs import observe

    path = path.absolute()
    recorded = read_sweep_lock(path)
    return RecordedSweep(path, recorded, observe(recorded, path.parent))


def locks_in_tag(repo: GitRepo, tag: str) -> dict[str, bytes]:
    """Path -> content, of the runs' locks that the tree of a tag holds."""
    tree = repo.ls_tree(f"refs/tags/{tag}^{{commit}}")
    paths = {e.oid: path for path, e in tree.items() if layout.is_lock(posixpath.basename(path))}
    return {paths[oid]: content for oid, content in repo.read_blobs([*paths])}


def is_pulled(root: Path) -> bool:
    """Whether a project was restored from a tag."""
    return (root / layout.METAFILES).is_dir()


def original_root(lock: RunLock) -> str:
    """The project's root on the machine where the run was recorded."""
    cwd = lock.job.command.cwd
    return posixpath.normpath(posixpath.join(cwd, lock.code.path)) if lock.code else cwd


def _is_in(path: Path, root: Path) -> bool:
    """Whether a repository's root is the nearest one above a path, without asking git."""
    roots = (up for up in path.parents if up == root or os.path.lexists(up / ".git"))
    return next(roots, None) == root


def _recorded_repo(lock: RunLock) -> GitRepo | None:
    """The repository that the job ran in, of a lock that was written outside of it."""
    place = Path(original_root(lock))
    repo = GitRepo.find(place) if lock.code and place.is_dir() else None
    # Another project may have moved to this path since: the commit tells.
    return repo if repo and lock.code and repo.has_object(lock.code.commit) else None


@dataclass(frozen=True)
class ExtraRepo:
    """A repository of a run that is not the main one."""

    name: str
    state: CodeState
    original: str
    """Its root on the machine where the run was recorded."""
    inside: str | None
    """Its place below the main one's root; None where it lies outside."""

    @property
    def restored(self) -> str:
        """Where it comes back in a restored project, relative to the root."""
        if self.inside is not None:
            return self.inside
        folder = re.sub(r"[^\w.-]+|^\.+", "-", self.name, flags=re.ASCII)
        return f"{layout.REPOS}/{folder}"


def extra_repos(lock: RunLock) -> list[ExtraRepo]:
    """The repositories of a lock beside the main one, outer ones before those inside them."""
    above, found = f"{original_root(lock)}/", []
    for name, state in lock.repos.items():
        if state is not lock.code:
            place = posixpath.normpath(posixpath.join(lock.job.command.cwd, state.path))
            inside = place.removeprefix(above) if place.startswith(above) else None
            found.append(ExtraRepo(name, state, place, inside))
    return sorted(found, key=lambda each: each.original.count("/"))


def store_of(run: RecordedRun, each: ExtraRepo) -> GitRepo | None:
    """A repository here that holds the commit: its own, the restored one, or the main one."""
    folders = [run.root / each.restored, run.root]
    if each.inside is None and not is_pulled(run.root):
        folders = [Path(each.original), *folders]
    for folder in filter(Path.is_dir, folders):
        repo = GitRepo.find(folder)
        if repo is not None and repo.has_object(f"{each.state.commit}^{{tree}}"):
            return repo
    return None
