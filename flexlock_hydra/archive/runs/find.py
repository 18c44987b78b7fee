"""Find a run: by folder, lock file, id, prefix of an id, ``@latest``, tag or FOLDER#NAME."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.errors import CodeError, LockError, RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile, sweep
from flexlock_hydra.record.model import RUNNING, RunLock
from flexlock_hydra.record.sweep import SweepLock

LATEST = "@latest"
_NAMED = 10
"""Runs that are named where a prefix fits more."""
_ID_PREFIX = re.compile(r"\d{4}[0-9TZ]*(-[0-9a-f]*)?")


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
        """Write what is known now, unless the sweep's own process may still do so.

        Raises:
            OSError: the folder cannot be written to.
        """
        if self.lock != self.recorded and self.lock.status != RUNNING:
            lockfile.write(self.lock, self.path)


def find_run(name: str | Path, start: Path | None = None) -> RecordedRun:
    """The run that a name means, seen from the folder ``start``; FOLDER#NAME: from that one.

    Raises:
        RunNotFoundError: there is none, or a prefix that fits several.
        LockError: its lock cannot be read.
    """
    start = Path.cwd() if start is None else start
    path = start / os.path.expanduser(name)
    lock = _lock_at(path)
    if lock is not None:
        return load_run(lock)
    place, _, there = str(name).rpartition("#")
    if place and there and (folder := start / os.path.expanduser(place)).is_dir():
        return find_run(there, folder)
    root = _search_root(start)
    tag = layout.parse_tag(str(name))
    if str(name) == LATEST:
        return load_run(_latest(root))
    try:
        if tag:
            return _by_tag(root, str(name).removeprefix("refs/tags/"), tag[1])
        if _ID_PREFIX.fullmatch(str(name)):
            return load_run(_by_id(root, str(name), str(name)))
    except RunNotFoundError:
        if sweep := find_sweep(name, start):
            raise _names_a_sweep(name, sweep, start) from None
        raise
    if path.is_dir():
        jobs = sorted(
            os.path.join(name, lock.parent.relative_to(path)) for *_, lock in run_locks_below(path)
        )
        below = f"Name one of the {len(jobs)} runs below it: {', '.join(jobs[:5])}"
        raise RunNotFoundError(
            f"no {layout.LOCK} in {path}",
            hint=below if jobs else "Name a run's output directory or its id.",
        )
    raise RunNotFoundError(
        f"no run {name}", hint=f"Name an output directory, a run.lock, a run id or {LATEST}."
    )


def find_sweep(name: str | Path, start: Path | None = None) -> RecordedSweep | None:
    """The sweep that a name means: its folder, lock, id or tag; None where it means none.

    A folder that holds a run.lock as well is that run's.

    Raises:
        LockError: its lock cannot be read.
    """
    start = Path.cwd() if start is None else start
    path = start / os.path.expanduser(name)
    if not layout.is_sweep_lock(path.name):
        path = path / layout.SWEEP_LOCK
    if os.path.isfile(path) and not (path.parent / layout.LOCK).exists():
        return _load_sweep(path)
    tag = layout.parse_tag(str(name))
    sweep_id = tag[1] if tag else str(name)
    if not layout.RUN_ID.fullmatch(sweep_id):
        return None
    for path in find_files(_search_root(start), layout.is_sweep_lock):
        if lockfile.has_id(path, sweep_id):
            return _load_sweep(path)
    return None


def _load_sweep(path: Path) -> RecordedSweep:
    from flexlock_hydra.capture.lineage.sweep_jobs import observe

    path = path.absolute()
    recorded = sweep.read_sweep_lock(path)
    return RecordedSweep(path, recorded, observe(recorded, path.parent))


def _lock_at(path: Path) -> Path | None:
    """The lock that a path is or holds."""
    try:
        if path.is_dir():
            return path / layout.LOCK if (path / layout.LOCK).exists() else None
        return path if path.is_file() else None
    except OSError as error:
        raise RunNotFoundError(
            f"{str(path)[:200]} cannot be looked at: {error.strerror}", hint="Check its name."
        ) from error


def load_run(path: Path, near: GitRepo | None = None) -> RecordedRun:
    """The run of a lock file; ``near`` is a repository that it probably lies in."""
    path = path.absolute()
    content = lockfile.read_content(path)
    lock = process.judge(lockfile.parse_lock(content, where=str(path)))
    repo = near if near and _is_in(path, near.root) else GitRepo.find(path.parent)
    repo = repo or _recorded_repo(lock)
    root = repo.root if repo else path.parent
    if is_pulled(root) and process.is_alive(lock.run.process) is None:
        lock = process.ended(lock)  # only runs that have ended are pushed
    return RecordedRun(path, lock, root, repo, content)


def _is_in(path: Path, root: Path) -> bool:
    """Whether a repository's root is the nearest one above a path, without asking git."""
    for folder in path.parents:
        if folder == root:
            return True
        if os.path.lexists(folder / ".git"):
            return False
    return False


def is_pulled(root: Path) -> bool:
    """Whether a project was restored from a tag."""
    return (root / layout.METAFILES).is_dir()


def run_locks_below(root: Path) -> Iterator[tuple[str, str, Path]]:
    """Every lock file of a run below a folder: ``(start, run id, path)``."""
    for path in find_files(root, layout.is_lock):
        if (head := lockfile.read_head(path)) is not None:
            yield (*head, path)


def _search_root(start: Path) -> Path:
    repo = GitRepo.find(start)
    return repo.root if repo else start


def _latest(root: Path) -> Path:
    found = max(run_locks_below(root), default=None)
    if found is None:
        raise RunNotFoundError(
            f"no run below {root}",
            hint="Run a Hydra app with hydra/callbacks=flexlock first, or name the folder of a run "
            "that lies elsewhere.",
        )
    return found[2]


def _by_tag(root: Path, tag: str, run_id: str) -> RecordedRun:
    """The run of a tag: its folder where it lies here, else the lock that the tag holds."""
    try:
        return load_run(_by_id(root, run_id, tag))
    except RunNotFoundError:
        repo = GitRepo.find(root)
        if repo is None or tag not in repo.tags(tag):
            raise
    path, content, lock = _lock_of_tag(repo, tag, run_id)
    return RecordedRun(root / path, process.judge(lock), root, repo, content, tag)


def _names_a_sweep(name: str | Path, sweep: RecordedSweep, start: Path) -> RunNotFoundError:
    jobs = [os.path.relpath(sweep.folder / job.path, start) for job in sweep.lock.jobs]
    return RunNotFoundError(
        f"{name} is a sweep of {len(jobs)} jobs",
        hint=f"Name one of them: {', '.join(jobs[:5])}; "
        "once it is pushed all run again with: flexlock-hydra reproduce TAG",
    )


def _lock_of_tag(repo: GitRepo, tag: str, run_id: str) -> tuple[str, bytes, RunLock]:
    """The lock of the run that a tag stands for, its path in the tag's tree and its bytes.

    Raises:
        RunNotFoundError: the tag holds none. LockError: it cannot be read.
    """
    tree = repo.ls_tree(f"refs/tags/{tag}^{{commit}}")
    paths = {e.oid: path for path, e in tree.items() if layout.is_lock(posixpath.basename(path))}
    for oid, content in repo.read_blobs([*paths]):
        if run_id.encode() in content:
            lock = lockfile.parse_lock(content, f"{tag}:{paths[oid]}")
            if lock.run.id == run_id:
                return paths[oid], content, lock
    if any(layout.is_sweep_lock(posixpath.basename(path)) for path in tree):
        raise RunNotFoundError(
            f"{tag} is the tag of a sweep, which does not lie here",
            hint="All its jobs run again with: flexlock-hydra reproduce TAG; "
            "they come here with: flexlock-hydra pull TAG",
        )
    raise RunNotFoundError(
        f"tag {tag} holds no lock of run {run_id}", hint="It was not made by a push."
    )


def _by_id(root: Path, prefix: str, name: str) -> Path:
    found = {
        run_id: path for _, run_id, path in run_locks_below(root) if run_id.startswith(prefix)
    }
    if not found:
        raise RunNotFoundError(
            f"no run {name} below {root}",
            hint="Name the folder of one that lies elsewhere. "
            "A pushed run comes here with: flexlock-hydra pull TAG; "
            "and runs again at once with: flexlock-hydra reproduce TAG",
        )
    if len(found) > 1:
        newest = sorted(found, reverse=True)
        lines = [_candidate(run_id, found[run_id]) for run_id in newest[:_NAMED]]
        if len(newest) > _NAMED:
            lines.append(f"and {len(newest) - _NAMED} more: flexlock-hydra ls")
        raise RunNotFoundError(
            "\n  ".join((f"{name} fits {len(found)} runs", *lines)),
            hint="Type more of the id.",
        )
    return next(iter(found.values()))


def _candidate(run_id: str, path: Path) -> str:
    """The id, job and start of one of the runs that a prefix fits."""
    try:
        lock = lockfile.read_lock(path)
    except (LockError, RunNotFoundError):
        return f"{run_id}  (its lock cannot be read)"
    job, started = (repr(text[:60])[1:-1] for text in (lock.job.name, lock.run.started[:19]))
    return f"{run_id}  {job}  {started.replace('T', ' ')} UTC"


def original_root(lock: RunLock) -> str:
    """The project's root on the machine where the run was recorded."""
    cwd = lock.job.command.cwd
    return posixpath.normpath(posixpath.join(cwd, lock.code.path)) if lock.code else cwd


def original_folder(run: RecordedRun) -> str:
    """The output directory on the machine where the run was recorded."""
    if run.lock.job.output_dir is not None:
        return run.lock.job.output_dir
    path = record_path(run.folder, run.root)
    outside = path.removeprefix(f"{layout.FSROOT}/")
    return posixpath.join(original_root(run.lock), path if outside == path else f"/{outside}")


def _recorded_repo(lock: RunLock) -> GitRepo | None:
    """The repository that the job ran in, of a lock that was written outside of it."""
    place = Path(original_root(lock))
    if lock.code is None or not place.is_dir():
        return None
    repo = GitRepo.find(place)
    return repo if repo and repo.has_object(lock.code.commit) else None
