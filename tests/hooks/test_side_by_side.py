"""Jobs that run at the same time in one repository do not answer for each other's files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock, with_callback

pytestmark = pytest.mark.hydra

APP = """
import os, time
from pathlib import Path

import hydra


def write(path):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text("x")


def wait(path):
    for _ in range(3000):
        if Path(path).exists():
            return
        time.sleep(0.02)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    exec(cfg.do)


main()
"""
ALONE = "written outside of the output directory, neither recorded nor pushed: "
PERHAPS = (
    "written outside of the output directory, by this job or another one at the same time, "
    "neither recorded nor pushed: "
)


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose job runs a line of Python; of an output directory git tracks a file."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("do: pass\n"))
    project.write("results/b/.gitkeep", "")
    project.commit("app")
    return project


def start(project: Project, folder: str, do: str, *words: str) -> subprocess.Popen[bytes]:
    """Start the app, and wait until its task runs."""
    sign = f"../{folder.replace('/', '-')}.runs"
    kind = "sweep" if words else "run"
    running = subprocess.Popen(
        [project.python, "app.py", *words, f"do=\"write('{sign}'); {do}\"",
         f"hydra.{kind}.dir={folder}"],
        cwd=project.root, env=project.env,
    )
    deadline = time.monotonic() + 60
    while not project.path(sign).exists():
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.02)
    return running


def go(project: Project, name: str, *running: subprocess.Popen[bytes]) -> None:
    """Let jobs that wait for a file go on, and wait for their end."""
    project.path(f"../{name}").touch()
    assert [each.wait(60) for each in running] == [0] * len(running)


def said(lock: Path) -> Any:
    """The warnings of a lock."""
    return read_lock(lock)["warnings"]


def test_jobs_side_by_side_are_not_blamed_for_each_other(app: Project) -> None:
    """What may be either's is said so in both, and no output directory of the other's is named."""
    first = start(app, "results/a", "write('samples/a'); wait('../go')")
    app.app("do=\"write('samples/b'); write('results/b/model.bin')\"", "hydra.run.dir=results/b")
    go(app, "go", first)
    assert [text.split("; ")[0] for text in said(app.path("results/b/run.lock"))] == [
        f"{PERHAPS}samples/b"  # the other file was there before
    ]
    assert [text.split("; ")[0] for text in said(app.path("results/a/run.lock"))] == [
        f"{PERHAPS}samples/ (2 files)"
    ]


def test_who_came_while_a_job_ran_and_left_after_it_counts(app: Project) -> None:
    """The one that started first, and ended first, had company as well."""
    first = start(app, "outputs/a", "write('samples/a'); wait('../a.go')")
    second = start(app, "outputs/b", "wait('../b.go'); write('samples/b')")
    go(app, "a.go", first)
    go(app, "b.go", second)
    for name in ("a", "b"):
        assert said(app.path(f"outputs/{name}/run.lock"))[0].startswith(PERHAPS)


def test_a_job_after_others_is_alone(app: Project) -> None:
    """Jobs that ended before, one of them killed, are no company: what is found is its own."""
    app.app("hydra.run.dir=outputs/before")
    killed = start(app, "outputs/killed", "wait('../never')")
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    for name in ("one", "two"):
        app.app(f"do=\"write('samples/{name}')\"", f"hydra.run.dir=outputs/{name}")
        assert said(app.path(f"outputs/{name}/run.lock"))[0].startswith(f"{ALONE}samples/{name};")


def test_a_sweep_beside_a_job(app: Project) -> None:
    """Neither is told the other's files as its own; a sweep's own jobs are no company."""
    alone = ["-m", "hydra.sweep.dir=multirun/alone", "+n=1,2"]
    app.app(*alone, "do=\"write(f'samples/{cfg.n}')\"")
    text = app.path("multirun/alone/sweep.lock").read_text().replace("\n  ", " ")
    assert f"{ALONE}samples/ (2 files)" in text
    sweep = start(app, "multirun/x", "wait('../go')", "-m", "+n=1,2")
    app.app("do=\"write('more/a')\"", "hydra.run.dir=outputs/a")
    go(app, "go", sweep)
    assert said(app.path("outputs/a/run.lock"))[0].startswith(f"{PERHAPS}more/a;")
    assert PERHAPS in app.path("multirun/x/sweep.lock").read_text().replace("\n  ", " ")
