"""The runs that a run stands on, each with the lock that was recorded."""

from __future__ import annotations

import hashlib

from flexlock_hydra.archive.runs.places import predecessor_locks
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, load_run, locks_in_tag
from flexlock_hydra.errors import PushError, RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import RUNNING


def load_predecessors(run: RecordedRun) -> list[RecordedRun]:
    """The runs that a run stands on, the newest first.

    Raises:
        RunNotFoundError: the lock of one is gone. PushError: it is not the recorded one.
    """
    return [load_predecessor(run, run_id) for run_id in sorted(run.lock.prevs, reverse=True)]


def load_predecessor(run: RecordedRun, run_id: str) -> RecordedRun:
    """A run that another one stands on: its lock lies in a folder, or in the other one's tag.

    Raises:
        RunNotFoundError: it is gone. PushError: it is not the recorded one.
    """
    prev = run.lock.prevs[run_id]
    if run.tag is not None and run.repo is not None:
        return _load_from_tag(run, run.repo, run.tag, run_id)
    for path in predecessor_locks(run, run_id):
        found = load_run(path, near=run.repo)
        if found.lock.run.id != run_id:
            continue
        sha256 = sha256_of(found.content)
        if prev.status != RUNNING and sha256 != prev.lock:  # a running one's lock was not final
            raise PushError(
                f"the run.lock of predecessor {run_id} in {path.parent} changed since: "
                f"recorded {prev.lock}, now {sha256}",
                hint="Put the recorded one back, or run the job again on this one.",
            )
        return found
    raise RunNotFoundError(
        f"the run.lock of predecessor {prev.job} {run_id} is not in {prev.path}",
        hint="Put that run's folder back, or pull it from its tag.",
    )


def sha256_of(content: bytes) -> str:
    """The hash of a lock's bytes, as the locks of later runs name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _load_from_tag(run: RecordedRun, repo: GitRepo, tag: str, run_id: str) -> RecordedRun:
    prev = run.lock.prevs[run_id]
    for path, content in locks_in_tag(repo, tag).items():
        if sha256_of(content) == prev.lock:
            lock = lockfile.parse_lock(content, f"{tag}:{path}")
            return RecordedRun(run.root / path, lock, run.root, repo, content, tag)
    raise RunNotFoundError(f"tag {tag} does not hold the run.lock of {prev.job} {run_id}")
