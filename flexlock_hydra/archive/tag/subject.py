"""What one tag stands for: a run, or a sweep with all its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flexlock_hydra.archive.runs.find import find_run, find_sweep
from flexlock_hydra.archive.runs.places import locks_in, restored_path
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep, load_run
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.errors import CodeError, LockError, PushError, RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, CodeState


@dataclass(frozen=True)
class Subject:
    """A run or a sweep that can be pushed."""

    id: str
    job: str
    path: Path
    """Where the run.lock or sweep.lock lies."""
    content: bytes
    """The bytes of that lock, as they were read."""
    runs: tuple[RecordedRun, ...]
    """The first one's code is what the tag's tree shows."""
    repo: GitRepo
    is_sweep: bool = False

    @property
    def tag(self) -> str:
        """The name of its git tag."""
        return layout.tag_name(self.job, self.id)

    @property
    def root(self) -> Path:
        """The root of its project."""
        return self.runs[0].root

    @property
    def code(self) -> CodeState:
        """The snapshot that the tag's tree shows."""
        code = self.runs[0].lock.code
        assert code is not None  # subject_of refuses a run without
        return code

    @property
    def date(self) -> str:
        """When its last run ended, or started where nobody wrote the end, as git's date."""
        return max(_date(run) for run in self.runs)


def find_subject(name: str | Path, start: Path | None = None) -> RecordedRun | RecordedSweep:
    """The run or the sweep that a name means.

    Raises:
        RunNotFoundError, LockError: see :mod:`flexlock_hydra.archive.runs.find`.
    """
    return find_sweep(name, start) or find_run(name, start)


def subject_of(found: RecordedRun | RecordedSweep) -> Subject:
    """What a tag of it stands for.

    Raises:
        PushError: it still runs, or has no job. CodeError: its code was not recorded.
    """
    runs = (found,) if isinstance(found, RecordedRun) else jobs_of(found)
    for run in runs:
        _require_pushable(run)
    repo = runs[0].require_repo()
    if isinstance(found, RecordedRun):
        lock = found.lock
        return Subject(lock.run.id, lock.job.name, found.path, found.content, runs, repo)
    if found.lock.status == RUNNING:
        raise PushError(
            f"sweep {found.lock.id} is still running", hint="Push it when it has ended."
        )
    content = lockfile.read_content(found.path)
    return Subject(found.lock.id, found.lock.job, found.path, content, runs, repo, is_sweep=True)


def jobs_of(sweep: RecordedSweep) -> tuple[RecordedRun, ...]:
    """The runs of a sweep, in the order of their numbers.

    Raises:
        RunNotFoundError: the lock of one is gone. PushError: it has none.
    """
    runs: list[RecordedRun] = []
    near = GitRepo.find(sweep.folder)
    for job in sweep.lock.jobs:
        folder = sweep.folder / job.path
        locks = (load_run(path, near) for path in locks_in(folder, job.run))
        found = next((run for run in locks if run.lock.run.id == job.run), None)
        if found is None:
            raise RunNotFoundError(
                f"job {job.num} of sweep {sweep.lock.id} has no {layout.LOCK} in {folder}",
                hint="Put its folder back; or push the jobs that are there, one by one.",
            )
        runs.append(found)
    if not runs:
        raise PushError(f"sweep {sweep.lock.id} has no job", hint="Run it again.")
    return tuple(runs)


def lock_path(path: Path, root: Path) -> str:
    """Where a lock comes back, relative to the restored root."""
    return f"{restored_path(record_path(path.parent, root))}/{path.name}".removeprefix("./")


def _require_pushable(run: RecordedRun) -> None:
    if run.lock.run.status == RUNNING:
        raise PushError(
            f"run {run.lock.run.id} is still running", hint="Push it when it has ended."
        )
    if run.lock.code is None:
        raise CodeError(
            f"the code of run {run.lock.run.id} was not recorded: "
            f"{'; '.join(run.lock.warnings) or 'no git repository'}",
            hint="Put the project under git (git init) and run the job again.",
        )


def _date(run: RecordedRun) -> str:
    text = run.lock.run.ended or run.lock.run.started
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LockError(
            f"{run.path}: {text!r:.60} is no time", hint="Run the job again."
        ) from error
    return f"{int(moment.timestamp())} +0000"
