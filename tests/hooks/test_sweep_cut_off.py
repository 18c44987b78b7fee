"""A sweep that is cut off: killed, interrupted, its workers left alone."""

from __future__ import annotations

import os
import signal

import pytest

from tests.conftest import Project, read_lock
from tests.hooks.test_sweep import FOLDER, apart, as_far_as, shown, start, sweep_lock, wait_for

__all__ = ["apart"]


# Cut off


@pytest.mark.hydra
def test_a_running_sweep_is_shown_and_left_alone(project: Project) -> None:
    """While its process lives the sweep is running, and ``show`` does not write its lock."""
    running = start(project)
    before = project.path("multirun/x/sweep.lock").read_bytes()
    seen = shown(project)
    after = project.path("multirun/x/sweep.lock").read_bytes()
    project.write("go", "")
    running.wait(timeout=60)

    assert seen["status"] == "running"
    assert [job["status"] for job in seen["jobs"]] == ["completed", "running"]
    assert before == after
    assert sweep_lock(project)["status"] == "completed"
    assert as_far_as(project) == [(0, "completed"), (1, "completed"), (2, "completed")]


@pytest.mark.hydra
def test_a_killed_sweep_reads_interrupted(project: Project) -> None:
    """A sweep whose process was killed is interrupted with its job, and written down so."""
    running = start(project)
    running.kill()
    running.wait(timeout=60)
    assert sweep_lock(project)["status"] == "running"
    seen = shown(project)

    assert seen["status"] == "interrupted"
    assert [job["status"] for job in seen["jobs"]] == ["completed", "interrupted"]
    assert sweep_lock(project)["jobs"] == seen["jobs"]
    assert shown(project) == seen


CRASHES = """
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Crashes(BasicSweeper):
    def sweep(self, arguments):
        raise RuntimeError("no trial")
"""


@pytest.mark.hydra
def test_a_sweeper_that_crashes(project: Project) -> None:
    """A sweep whose sweeper raised before its first job has not completed."""
    project.write("hydra_plugins/crashes/crashes.py", CRASHES)
    project.write("hydra_plugins/crashes/__init__.py", "")
    project.write("conf/hydra/sweeper/crashes.yaml", (
        "_target_: hydra_plugins.crashes.crashes.Crashes\nmax_batch_size: null\nparams: null\n"
    ))
    project.commit("a sweeper")
    done = project.app(
        "-m", "lr=1,2", "hydra/sweeper=crashes", "hydra.sweep.dir=multirun/x", check=False
    )
    assert done.code == 1 and "no trial" in done.err
    lock = sweep_lock(project)
    assert lock["status"] in ("failed", "interrupted") and lock["jobs"] == []


@pytest.mark.hydra
def test_an_interrupted_sweep_says_so_itself(project: Project) -> None:
    """Ctrl-C ends the sweep's lock at the process's exit, after its job's own."""
    running = start(project)
    running.send_signal(signal.SIGINT)
    running.wait(timeout=60)
    lock = sweep_lock(project)

    assert lock["status"] == "interrupted"
    assert [job["status"] for job in lock["jobs"]] == ["completed", "interrupted"]


@pytest.mark.hydra
def test_jobs_in_other_processes(apart: str, project: Project) -> None:
    """What workers wrote is in the sweep's lock, with a job that failed there."""
    project.app("-m", "lr=1,-2,3", FOLDER, apart, check=False)
    lock = sweep_lock(project)

    assert (lock["status"], lock["launcher"]) == ("failed", "apart")
    assert [job["status"] for job in lock["jobs"]] == ["completed", "failed", "completed"]


@pytest.mark.hydra
def test_workers_outlive_a_killed_launcher(apart: str, project: Project) -> None:
    """The sweep is interrupted, its jobs go on, and ``show`` sees each as it then is."""
    running = start(project, apart)
    wait_for(lambda: len(project.locks()) == 3)
    running.kill()
    running.wait(timeout=60)
    wait_for(lambda: as_far_as(project) == [(0, "completed"), (1, "running"), (2, "completed")])
    project.write("go", "")
    wait_for(lambda: as_far_as(project) == [(n, "completed") for n in range(3)])

    assert sweep_lock(project)["status"] == "interrupted"


@pytest.mark.hydra
def test_a_killed_worker_is_an_interrupted_job(apart: str, project: Project) -> None:
    """A job that was killed in its worker is interrupted; the others ended."""
    running = start(project, apart)
    wait_for(lambda: len(project.locks()) == 3)
    (worker,) = [
        lock["run"]["process"]["pid"]
        for lock in map(read_lock, project.locks())
        if lock["job"]["num"] == 1
    ]
    os.kill(worker, signal.SIGKILL)
    running.wait(timeout=60)
    lock = sweep_lock(project)

    assert [job["status"] for job in lock["jobs"]] == ["completed", "interrupted", "completed"]
    assert lock["status"] == "interrupted"
