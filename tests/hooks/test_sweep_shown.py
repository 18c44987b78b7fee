"""sweep.lock as it is built of locks, shown and read."""

from __future__ import annotations

import os
import time
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema
import pytest

from flexlock_hydra.archive.runs.find import find_sweep
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.lineage import sweep_jobs
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import Sweep
from flexlock_hydra.record.sweep import SweepJob, SweepLock, read_sweep_lock
from tests.conftest import Done, Project
from tests.hooks.test_sweep import schema, validate
from tests.record.test_schema import accepts
from tests.support.lineages import lock_of, run_id

# What is built of locks


def new_sweep(folder: Path) -> SweepLock:
    """The lock of a sweep that this process runs, written."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = SweepLock(
        id=run_id(500), status="running", started="2026-11-22T10:15:00+00:00",
        process=process.this_process(), job="train", overrides=("lr=range(3)",),
    )
    lockfile.write(lock, folder / layout.SWEEP_LOCK)
    return lock


def new_job(folder: Path, number: int, name: str = layout.LOCK, **changes: Any) -> Path:
    """The n-th job of that sweep, its lock written into a folder of its own."""
    lock = lock_of(number)
    job = replace(lock.job, num=number, sweep=Sweep(id=run_id(500), dir=str(folder)))
    path = folder / str(number) / name
    path.parent.mkdir(exist_ok=True)
    lockfile.write(replace(lock, **{"job": job, **changes}), path)
    return path


def test_a_job_that_ran_twice_is_there_twice(tmp_path: Path) -> None:
    """Where a job's number repeats, the lock that was moved aside counts too."""
    lock = new_sweep(tmp_path)
    new_job(tmp_path, 1)
    again = lock_of(2)
    job = replace(again.job, num=1, sweep=Sweep(id=lock.id, dir=str(tmp_path)))
    lockfile.write(
        replace(again, job=job), tmp_path / "1" / layout.superseded_lock(run_id(2))
    )

    assert [(job.num, job.run) for job in sweep_jobs.observe(lock, tmp_path).jobs] == [
        (1, run_id(1)), (1, run_id(2))
    ]


def test_runs_of_others_are_none_of_its_jobs(tmp_path: Path) -> None:
    """A lock in the sweep's folder of another sweep, or of none, is passed over."""
    lock = new_sweep(tmp_path)
    new_job(tmp_path, 1, job=lock_of(1).job)
    new_job(tmp_path, 2, job=replace(lock_of(1).job, sweep=Sweep(id=run_id(6), dir=".")))

    assert sweep_jobs.observe(lock, tmp_path) == lock


def test_a_job_whose_folder_is_gone_stays(tmp_path: Path) -> None:
    """What is known of a job is not lost with its folder."""
    path = new_job(tmp_path, 1)
    seen = sweep_jobs.observe(new_sweep(tmp_path), tmp_path)
    path.unlink()

    assert sweep_jobs.observe(seen, tmp_path) == seen


def test_a_damaged_job_is_named(tmp_path: Path) -> None:
    """A job's lock that cannot be read is a warning; the others are listed."""
    lock = new_sweep(tmp_path)
    new_job(tmp_path, 1)
    new_job(tmp_path, 2).write_text("format: 2\n")
    seen = sweep_jobs.observe(lock, tmp_path)

    assert [job.num for job in seen.jobs] == [1]
    assert seen.warnings == (
        f"{tmp_path}/2/run.lock: format 2 is newer than this version reads (1)",
    )


def test_a_large_result_stays_in_the_jobs_lock(tmp_path: Path) -> None:
    """A result of more than 1,000 characters is not copied."""
    run = replace(lock_of(1).run, result="x" * 2000)
    new_job(tmp_path, 1, run=run)

    assert sweep_jobs.observe(new_sweep(tmp_path), tmp_path).jobs[0].result is None


def test_a_thousand_jobs_in_time(tmp_path: Path) -> None:
    """A thousand locks become a sweep.lock in a second, here at most four of CPU."""
    config = {f"key{n}": f"a value of usual length, number {n}" for n in range(50)}
    lock = new_sweep(tmp_path)
    content = lockfile.dumps(
        replace(
            lock_of(0), config=config, unresolved=config,
            job=replace(lock_of(0).job, sweep=Sweep(id=lock.id, dir=".")),
        )
    )
    for number in range(1000):
        (tmp_path / str(number)).mkdir()
        mine = content.replace(run_id(0).encode(), run_id(number).encode())
        (tmp_path / str(number) / "run.lock").write_bytes(mine)
    start = time.process_time()
    lockfile.write(sweep_jobs.observe(lock, tmp_path), tmp_path / layout.SWEEP_LOCK)
    took = time.process_time() - start

    assert read_sweep_lock(tmp_path / layout.SWEEP_LOCK).njobs == 1000
    assert took < 4


# Shown


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """The folder of a sweep with two jobs whose own lock says that it ended."""
    folder = tmp_path / "sweep"
    lock = replace(new_sweep(folder), status="completed", ended="2026-11-22T10:16:00+00:00")
    lockfile.write(lock, folder / layout.SWEEP_LOCK)
    run = replace(lock_of(1).run, duration=1.25, result={"accuracy": 0.9531, "note": "x" * 90})
    overrides = replace(lock_of(1).job.overrides, task=("lr=0.1", f"name={'y' * 90}"))
    job = replace(
        lock_of(1).job, num=1, overrides=overrides, sweep=Sweep(id=lock.id, dir=".")
    )
    new_job(folder, 1, run=run, job=job)
    new_job(folder, 2)
    return folder


def show(folder: Path, *words: str | Path) -> Done:
    """Run ``show`` in a folder."""
    return Project(folder, dict(os.environ)).flexlock("show", *words)


def test_a_table_for_people(recorded: Path) -> None:
    """Number, status, duration, overrides and result of each job, in 80 columns."""
    lines = show(recorded, ".").out.splitlines()
    table = lines[lines.index("jobs") + 1:]

    assert "status     completed, 2 jobs: 2 completed" in lines
    rows = [line for line in table if line[2].isdigit()]
    assert [line.split()[:2] for line in rows] == [["1", "completed"], ["2", "completed"]]
    assert "1.2 s  lr=0.1 " in table[0]
    assert '  {"accuracy": 0.9531, ' in table[0]
    assert "".join(table).replace("accuracy", "").count("y") == 90
    assert all(len(line) <= 80 for line in table)


@pytest.mark.parametrize("name", [".", "sweep.lock", run_id(500)])
def test_the_names_of_a_sweep(name: str, recorded: Path) -> None:
    """A sweep is found by its folder, its lock and its id."""
    document = show(recorded, name, "--json").json

    assert validate(document)["id"] == run_id(500)
    assert document["path"] == str(recorded)


@pytest.mark.parametrize("name", ["1", run_id(1), f"{run_id(2)[:-1]}2"])
def test_a_job_of_a_sweep_is_a_run(name: str, recorded: Path) -> None:
    """Ids and folders of runs mean runs, beside a sweep too."""
    assert show(recorded, name).out.startswith("run ")


def test_a_folder_with_both_locks_is_the_runs(recorded: Path) -> None:
    """Where a run.lock stands beside a sweep.lock, the folder means the run."""
    lockfile.write(lock_of(9), recorded / layout.LOCK)

    assert find_sweep(recorded) is None


def test_show_writes_what_it_found_out(recorded: Path) -> None:
    """The lock on disk then lists the jobs; a second look changes no byte of it."""
    show(recorded, ".")
    path = recorded / layout.SWEEP_LOCK
    content, written = path.read_bytes(), path.stat().st_mtime_ns
    show(recorded, ".")

    assert read_sweep_lock(path).njobs == 2
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, written)


def test_a_folder_that_cannot_be_written_is_shown(recorded: Path) -> None:
    """Without the right to write the table is there, with a word of warning."""
    recorded.chmod(0o555)
    words = ["python", "-m", "flexlock_hydra", "show", str(recorded)]
    if os.geteuid() == 0:  # root writes anywhere until it gives that up
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    env = {**os.environ, "PATH": f"{Path(Project.python).parent}{os.pathsep}{os.environ['PATH']}"}
    done = Project(recorded.parent, env).call(*words)
    recorded.chmod(0o755)

    assert "2 jobs: 2 completed" in done.out
    assert "sweep.lock not written: Permission denied" in done.err


@pytest.mark.parametrize(("content", "reason"), [
    ("", "not a lock"), ("format: 2\n", "format 2 is newer"), ("a: [", "is damaged"),
    ("format: 1\nid: x\n", "status is missing"),
])
def test_a_damaged_sweep_lock_is_an_error(content: str, reason: str, tmp_path: Path) -> None:
    """A sweep.lock that cannot be read is named with what to do."""
    (tmp_path / "sweep.lock").write_text(content)
    with pytest.raises(LockError, match=reason) as caught:
        find_sweep(tmp_path)

    assert caught.value.hint


# The schema


@pytest.mark.parametrize("kind", [SweepLock, SweepJob])
def test_the_schema_says_what_the_model_says(kind: type) -> None:
    """Fields in their order, required ones, and the type of each are those of the model."""
    whole = schema()
    part = whole if kind is SweepLock else whole["$defs"][kind.__name__]
    known = [item for item in fields(kind) if item.name != "extra"]
    required = [
        item.name
        for item in known
        if item.name == "format" or item.default is MISSING and item.default_factory is MISSING
    ]
    hints = get_type_hints(kind)

    assert list(part["properties"]) == [item.name for item in known]
    assert part["required"] == required
    assert all(accepts(hints[key], value) for key, value in part["properties"].items())
    jsonschema.Draft202012Validator.check_schema(whole)


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    """A lock with keys of a later version comes back with them."""
    lock = new_sweep(tmp_path)
    lockfile.write(replace(lock, extra={"later": 1}), tmp_path / layout.SWEEP_LOCK)

    assert read_sweep_lock(tmp_path / layout.SWEEP_LOCK).extra == {"later": 1}
