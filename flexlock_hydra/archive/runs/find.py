"""Find a run: by folder, lock file, id, prefix of an id, ``@latest``, tag or FOLDER#NAME."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from flexlock_hydra.archive.runs.recorded_run import (
    RecordedRun, RecordedSweep, load_run, load_sweep, locks_in_tag
)
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.errors import LockError, RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RunLock

LATEST = "@latest"
_NAMED = 10  # runs that are named where a prefix fits more
_ID_PREFIX = re.compile(r"\d{4}[0-9TZ]*(-[0-9a-f]*)?")


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
        return load_sweep(path)
    tag = layout.parse_tag(str(name))
    sweep_id = tag[1] if tag else str(name)
    if not layout.RUN_ID.fullmatch(sweep_id):
        return None
    for path in find_files(_search_root(start), layout.is_sweep_lock):
        if lockfile.has_id(path, sweep_id):
            return load_sweep(path)
    return None


def _lock_at(path: Path) -> Path | None:
    try:
        if path.is_dir():
            return path / layout.LOCK if (path / layout.LOCK).exists() else None
        return path if path.is_file() else None
    except OSError as error:
        raise RunNotFoundError(
            f"{str(path)[:200]} cannot be looked at: {error.strerror}", hint="Check its name."
        ) from error


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
    """The lock of the run that a tag stands for, its path in the tag's tree and its bytes."""
    for path, content in locks_in_tag(repo, tag).items():
        if run_id.encode() in content:  # most are of other runs, and to parse one takes long
            lock = lockfile.parse_lock(content, f"{tag}:{path}")
            if lock.run.id == run_id:
                return path, content, lock
    tree = repo.ls_tree(f"refs/tags/{tag}^{{commit}}")
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
    found = {run_id: path for _, run_id, path in run_locks_below(root) if run_id.startswith(prefix)}
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
        text = "\n  ".join((f"{name} fits {len(found)} runs", *lines))
        raise RunNotFoundError(text, hint="Type more of the id.")
    return next(iter(found.values()))


def _candidate(run_id: str, path: Path) -> str:
    try:
        lock = lockfile.read_lock(path)
    except (LockError, RunNotFoundError):
        return f"{run_id}  (its lock cannot be read)"
    job, started = (repr(text[:60])[1:-1] for text in (lock.job.name, lock.run.started[:19]))
    return f"{run_id}  {job}  {started.replace('T', ' ')} UTC"
