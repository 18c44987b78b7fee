"""Predecessors: the runs that a job's data came from, as one flat graph."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from flexlock_hydra.capture.data import record_path
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import CodeRef, Predecessor, RunLock


@dataclass(frozen=True)
class Found:
    """A lock that stands at or above a piece of data."""

    folder: Path
    lock: RunLock
    sha256: str


def find_lock(path: Path, root: Path) -> Path | None:
    """The run.lock in ``path`` or in the nearest folder above it.

    The search ends at ``root``, and outside of it at the first repository's root.
    """
    for folder in (path, *path.parents):
        if (folder / layout.LOCK).is_file():
            return folder / layout.LOCK
        if folder == root or (folder / ".git").exists():
            return None
    return None


def read_found(path: Path) -> Found:
    """Read a lock together with its hash.

    Raises:
        LockError: damaged, unreadable or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from error
    lock = lockfile.loads(content, where=str(path))
    return Found(path.parent, lock, f"sha256:{hashlib.sha256(content).hexdigest()}")


def add(
    prevs: Mapping[str, Predecessor], found: Found, via: str, root: Path
) -> dict[str, Predecessor]:
    """The graph with a direct predecessor and all that it stands on put in."""
    run_id = found.lock.run.id
    known = prevs.get(run_id)
    reached = (*known.via, via) if known else (via,)
    direct = replace(
        _node(found, root), direct=True, via=tuple(dict.fromkeys(reached))
    )
    inherited = {
        key: replace(prev, direct=False, via=())
        for key, prev in found.lock.prevs.items()
        if key not in prevs
    }
    return {**inherited, **prevs, run_id: direct}


def without_via(prevs: Mapping[str, Predecessor], via: str) -> dict[str, Predecessor]:
    """The graph after a data entry was replaced or dropped: what it alone led to goes."""
    kept = {
        key: replace(prev, via=tuple(name for name in prev.via if name != via))
        for key, prev in prevs.items()
    }
    roots = [key for key, prev in kept.items() if prev.direct and prev.via]
    reachable = _reachable(kept, roots)
    return {
        key: replace(prev, direct=key in roots)
        for key, prev in kept.items()
        if key in reachable
    }


def _reachable(prevs: Mapping[str, Predecessor], roots: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        if key not in seen and key in prevs:
            seen.add(key)
            waiting.extend(prevs[key].prevs)
    return seen


def _node(found: Found, root: Path) -> Predecessor:
    lock = found.lock
    return Predecessor(
        job=lock.job.name,
        path=record_path(found.folder, root),
        direct=True,
        status=lock.run.status,
        lock=found.sha256,
        repos={
            name: CodeRef(commit=code.commit, tree=code.tree) for name, code in lock.repos.items()
        },
        data=lock.data,
        prevs=tuple(key for key, prev in lock.prevs.items() if prev.direct),
    )
