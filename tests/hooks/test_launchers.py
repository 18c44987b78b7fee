"""Jobs that launchers start, in one process and in many: each leaves its own, right lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock

pytestmark = pytest.mark.hydra

APP = '''
import os
import sys
import time
from pathlib import Path

import hydra


def wait_for(*numbers):
    """Until the jobs before have ended: what ends a job may end those beside it."""
    locks = [Path(f"multirun/s/{number}/run.lock") for number in numbers]
    while not all(lock.exists() and "ended:" in lock.read_text() for lock in locks):
        time.sleep(0.05)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if cfg.lr == 2:
        raise ValueError("two")
    if cfg.lr in (3, 4):
        wait_for(0, 1)
    if cfg.lr == 3:
        sys.exit(3)
    if cfg.lr == 4:
        os.kill(os.getpid(), 9)
    time.sleep(cfg.get("nap", 0))
    return cfg.lr


if __name__ == "__main__":
    if "hydra/launcher=submitit_local" in sys.argv:
        import submitit
        submitit.Job._results_timeout_s = 1  # it waits so long for what a lost process returns
    main()
'''
LAUNCHERS = {
    "basic": ("hydra/launcher=basic",),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=3"),
    "submitit": ("hydra/launcher=submitit_local",),
}


def sweep(project: Project, *overrides: str, **env: str) -> list[dict[str, Any]]:
    """The locks of a sweep, by the number of their jobs."""
    project.write("app.py", APP)
    project.commit("app")
    project.app("-m", "hydra.sweep.dir=multirun/s", *overrides, check=False, **env)
    folders = sorted(project.path("multirun/s").glob("*/run.lock"), key=lambda p: p.parent.name)
    return [read_lock(path) for path in folders]


def ends(project: Project, *numbers: int) -> list[str]:
    """How the jobs of a sweep ended, as show tells it."""
    return [
        project.flexlock("show", f"multirun/s/{n}", "--json").json["run"]["status"]
        for n in numbers
    ]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_jobs_that_fail_and_exit(project: Project, launcher: str) -> None:
    """Each job's lock says how that job ended, and names its own config and number."""
    locks = sweep(project, *LAUNCHERS[launcher], "lr=1,2,3")
    assert [lock["run"]["status"] for lock in locks] == ["completed", "failed", "failed"]
    assert [lock["run"].get("error", {}).get("type") for lock in locks] == [
        None, "ValueError", "SystemExit"
    ]
    assert [lock["config"]["lr"] for lock in locks] == [1, 2, 3]
    assert [lock["job"]["num"] for lock in locks] == [0, 1, 2]
    assert len({lock["job"]["sweep"]["id"] for lock in locks}) == 1
    assert len({lock["repos"]["main"]["commit"] for lock in locks}) == 1


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_job_that_is_killed(project: Project, launcher: str) -> None:
    """Those before keep their end; the killed one reads as interrupted."""
    sweep(project, *LAUNCHERS[launcher], "lr=1,5,4")
    assert ends(project, 0, 1, 2) == ["completed", "completed", "interrupted"]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_code_is_observed_once(project: Project, launcher: str, tmp_path: Path) -> None:
    """Workers carry what the main process saw: they call git no more than a check for ignored."""
    calls = tmp_path / "calls"
    tools = tmp_path / "tools"
    tools.mkdir()
    git = tools / "git"
    real = project.call("sh", "-c", "command -v git").out.strip()
    git.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {real} "$@"\n')
    git.chmod(0o755)
    path = f"{tools}:{project.env['PATH']}"
    locks = sweep(project, *LAUNCHERS[launcher], "lr=1,5,6", PATH=path)
    assert len(locks) == 3
    asked = [line for line in calls.read_text().splitlines() if "ls-files -v -s" in line]
    assert len(asked) == 1


def test_optuna(project: Project) -> None:
    """A sweeper that chooses its values: a lock for each of its jobs, with the value it got."""
    locks = sweep(
        project, "hydra/sweeper=optuna", "hydra/sweeper/sampler=random",
        "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1", "+x=interval(0,1)", "lr=1",
        "hydra.sweeper.storage=null",
    )
    assert len({lock["config"]["x"] for lock in locks}) == 3
