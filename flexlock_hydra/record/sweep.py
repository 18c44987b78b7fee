"""What a sweep was: sweep.lock, format 1."""

from __future__ import annotations

from pathlib import Path

from flexlock_hydra.errors import LockError
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.codec import Json, Node
from flexlock_hydra.record.model import FORMAT, Process, check_status
from flexlock_hydra.record.validate import check_path, check_run_ids


class SweepJob(Node):
    """A job of a sweep, as its run.lock tells: ``lock`` is the sha256 of that file.

    ``path`` is the job's output directory seen from the sweep's, ``duration`` in seconds.
    A result of more than 1,000 characters of JSON stands in the job's lock alone.
    """

    num: int | None = None
    overrides: tuple[str, ...] = ()
    run: str
    path: str
    status: str
    duration: float | None = None
    result: Json = None
    lock: str

    def __post_init__(self) -> None:
        check_run_ids(self.run, where="run ")
        check_path(self.path)
        check_status(self.status)


class SweepLock(Node):
    """A sweep.lock, whole: ``process`` is the one that launches the jobs."""

    format: int = FORMAT
    id: str
    status: str
    started: str
    ended: str | None = None
    process: Process
    job: str
    launcher: str | None = None
    sweeper: str | None = None
    overrides: tuple[str, ...] = ()
    njobs: int = 0
    jobs: tuple[SweepJob, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_run_ids(self.id, where="id ")
        check_status(self.status)


def read_sweep_lock(path: Path) -> SweepLock:
    """The lock in a file.

    Raises:
        LockError: damaged, unreadable, or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from error
    return lockfile.parse_kind(
        SweepLock, content, str(path), "Remove it: the jobs' own locks hold all that it says."
    )
