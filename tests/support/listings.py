"""Folders with many runs, made without running any."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import Overrides, RunLock
from tests.support.lineages import lock_of

PAST = time.time() - 3600


def run(
    number: int,
    *,
    job: str = "train",
    status: str = "completed",
    config: Any = None,
    result: Any = None,
    overrides: tuple[str, ...] = (),
    duration: float | None = 1.5,
) -> RunLock:
    """The n-th run, which started n seconds after the first."""
    lock = lock_of(number)
    started = f"2026-11-22T10:{number // 60:02d}:{number % 60:02d}.5+00:00"
    return replace(
        lock,
        run=replace(
            lock.run, status=status, started=started, duration=duration, result=result
        ),
        job=replace(lock.job, name=job, overrides=Overrides(task=overrides)),
        config=config,
    )


def put(root: Path, lock: RunLock, folder: str = "") -> Path:
    """Write a lock that has lain there for an hour."""
    path = root / (folder or f"outputs/{int(lock.run.id[-8:], 16)}") / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lockfile.write(lock, path)
    age(path)
    return path


def age(path: Path) -> None:
    """Set a file's modification time to an hour ago."""
    os.utime(path, (PAST, PAST))
