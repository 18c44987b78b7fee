"""A sweep begins and ends, in the process that launches its jobs: sweep.lock."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, read_write

from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.lineage import sweep_jobs
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import LockError
from flexlock_hydra.hooks.config.survey import to_plain
from flexlock_hydra.hooks.config.values import folder_at
from flexlock_hydra.hooks.job.job_view import job_name
from flexlock_hydra.hooks.job.lock_writer import move_aside
from flexlock_hydra.hooks.job.process_exit import at_exit
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import INTERRUPTED, RUNNING, Sweep
from flexlock_hydra.record.sweep import SweepLock, read_sweep_lock

log = logging.getLogger("flexlock_hydra")

_open: dict[str, SweepLock] = {}  # sweeps of this process that have not ended, by their folders


def dir_of_sweep(config: DictConfig) -> Path:
    """The folder of a sweep.

    A resolver of the user's that Hydra would call several times for it is called once: the
    config gets its value.

    Raises:
        OmegaConfBaseException: it cannot be resolved.
    """
    folder = folder_at(config, "hydra.sweep.dir")
    if folder is None:
        folder = str(config.hydra.sweep.dir)
        with read_write(config.hydra.sweep):
            config.hydra.sweep.dir = folder
    return Path(folder).absolute()


def begin_sweep(identity: Sweep, config: DictConfig, masker: Masker) -> None:
    """Write the lock of a sweep that starts; that of an earlier sweep in its folder is moved aside.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder = Path(identity.dir)
    choices = to_plain(config.hydra.runtime.choices)
    overrides = to_plain(config.hydra.overrides.task)
    lock = SweepLock(
        id=identity.id,
        status=RUNNING,
        started=layout.utc_now().isoformat(),
        process=process.this_process(),
        job=job_name(config),
        launcher=_choice(choices, "launcher"),
        sweeper=_choice(choices, "sweeper"),
        overrides=tuple(masker.assignment(str(text)) for text in overrides),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with lockfile.alone(folder):
        move_aside(
            folder / layout.SWEEP_LOCK,
            lambda path: read_sweep_lock(path).id,
            layout.superseded_sweep_lock,
        )
        lockfile.write(lock, folder / layout.SWEEP_LOCK)
    _open[identity.dir] = lock
    at_exit(_cut_off)


def end_sweep(sweep_dir: str, status: str, warnings: Iterable[str] = ()) -> None:
    """Write the lock of a sweep that ended, built from its jobs' locks.

    Args:
        status: what it is where no job failed or was interrupted.
        warnings: what else is to be told of it.
    """
    lock = _open.pop(sweep_dir, None)
    if lock is None:
        return
    folder = Path(sweep_dir)
    seen = sweep_jobs.observe(lock, folder)
    seen = replace(
        seen,
        status=sweep_jobs.outcome(seen.jobs, status),
        ended=layout.utc_now().isoformat(),
        warnings=(*seen.warnings, *warnings),
    )
    try:
        with lockfile.alone(folder):
            lockfile.write(seen, _path_at_end(folder, lock.id))
    except OSError as error:  # there is no record left that could name it
        log.warning("%s of %s not written: %s", layout.SWEEP_LOCK, folder, error)


def _cut_off() -> None:
    """End the sweeps that are open at exit: Hydra 1.3 calls no hook where a job failed."""
    for folder, lock in list(_open.items()):
        # A forked child inherits the sweeps of its parent.
        if lock.process.pid == os.getpid():
            end_sweep(folder, INTERRUPTED)


def _choice(choices: Mapping[str, Any], name: str) -> str | None:
    choice = choices.get(f"hydra/{name}")
    return None if choice is None else str(choice)


def _path_at_end(folder: Path, sweep_id: str) -> Path:
    """Where the lock of a sweep that ends goes: aside, where a later sweep has taken the folder."""
    path = folder / layout.SWEEP_LOCK
    with contextlib.suppress(LockError):
        if read_sweep_lock(path).id != sweep_id:
            return folder / layout.superseded_sweep_lock(sweep_id)
    return path
