"""A job moves its output directory: its record goes along, whole, and stays one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CONFIG, Project, read_lock

pytestmark = pytest.mark.hydra

APP = '''
import os, shutil, subprocess, sys, time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    done = Path(f"{out}-done")
    (out / "model.txt").write_text("m")
    (out / "model.txt").read_text()
    MOVE
    return 1


if __name__ == "__main__":
    main()
    AFTER
'''
MOVES = {
    "rename": "out.rename(done); (done / 'model.txt').read_text()",
    "another folder": "shutil.move(out, out.parent.parent / 'results')",
    "a process": "subprocess.run(['mv', out, done], check=True)",
    "a copy": "shutil.copytree(out, done); shutil.rmtree(out)",
    "a copy far away": "shutil.copytree(out, 'results/far/away'); shutil.rmtree(out)",
    "twice": "out.rename(done); done.rename(f'{done}-again')",
    "and made anew": "out.rename(done); out.mkdir(); (out / 'new.txt').write_text('x')",
}


def app(project: Project, move: str, after: str = "pass") -> None:
    """Commit an app that moves its output directory."""
    project.write("app.py", APP.replace("MOVE", move).replace("AFTER", after))
    project.write("conf/config.yaml", CONFIG)
    project.write(".gitignore", project.path(".gitignore").read_text() + "/results/\n")
    project.commit("app")


def only_lock(project: Project) -> tuple[Path, dict[str, Any]]:
    """The one lock that there is."""
    paths = project.locks()
    assert len(paths) == 1
    return paths[0], read_lock(paths[0])


@pytest.mark.parametrize("how", MOVES)
def test_the_lock_goes_along(how: str, project: Project) -> None:
    """One lock, completed, beside the outputs that it records."""
    app(project, MOVES[how])
    done = project.app("hydra.run.dir=outputs/a/b")
    path, lock = only_lock(project)

    assert path.parent != project.path("outputs/a/b")
    assert lock["run"]["status"] == "completed"
    assert all("outputs/a/b/new.txt" in text for text in lock["warnings"])
    assert (path.parent / "model.txt").exists()
    assert lock["outputs"]["nfiles"] == 4  # Hydra's three
    assert set(lock["data"]) == {"table"} and "unrecorded" not in lock
    assert lock["job"]["output_dir"] == str(project.path("outputs/a/b"))
    assert (done.out, done.err) == ("", "")
    assert project.flexlock("verify", path.parent).code == 0


def test_moved_when_the_app_is_over(project: Project) -> None:
    """What the script moves after its task was ended is found as it is."""
    app(project, "pass", "shutil.move('outputs/a', 'results'); "
        "Path('results/late.txt').write_text('late')")
    project.app("hydra.run.dir=outputs/a")
    path, lock = only_lock(project)
    assert path == project.path("results/run.lock")
    assert lock["outputs"]["nfiles"] == 5


def test_a_job_that_fails_afterwards(project: Project) -> None:
    """The error is in the lock at the new place."""
    app(project, "out.rename(done); raise ValueError('after')")
    project.app("hydra.run.dir=outputs/a", check=False)
    path, lock = only_lock(project)
    assert path == project.path("outputs/a-done/run.lock")
    assert (lock["run"]["status"], lock["run"]["error"]["message"]) == ("failed", "after")


def test_a_job_that_removes_its_folder(project: Project) -> None:
    """There the lock is written where it was."""
    app(project, "shutil.rmtree(out)")
    project.app("hydra.run.dir=outputs/a")
    path, lock = only_lock(project)
    assert path == project.path("outputs/a/run.lock")
    assert lock["run"]["status"] == "completed"


def test_in_the_folder(project: Project) -> None:
    """A job that runs in its output directory may rename that."""
    app(project, "out.rename(done)")
    project.app("hydra.run.dir=outputs/a", "hydra.job.chdir=true",
                f"table=${{snapshot:{project.path('data/table.csv')}}}")
    path, lock = only_lock(project)
    assert path == project.path("outputs/a-done/run.lock")
    assert lock["run"]["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_jobs_of_a_sweep(launcher: str, project: Project) -> None:
    """Each renamed job is one of the sweep's."""
    app(project, "out.rename(out.with_name(f'lr={cfg.lr}'))")
    project.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s", f"hydra/launcher={launcher}")
    assert {path.parent.name for path in project.locks()} == {"lr=1", "lr=2"}
    assert {read_lock(path)["run"]["status"] for path in project.locks()} == {"completed"}
    sweep = project.flexlock("show", "multirun/s", "--json").json
    assert sorted(job["path"] for job in sweep["jobs"]) == ["lr=1", "lr=2"]


def test_a_signal_after_the_move(project: Project) -> None:
    """A job that is stopped is interrupted in the lock at the new place."""
    app(project, "out.rename(done); print('moved', flush=True); time.sleep(60)")
    with subprocess.Popen(
        [project.python, "app.py", "hydra.run.dir=outputs/a"], cwd=project.root, env=project.env,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
    path, lock = only_lock(project)
    assert path == project.path("outputs/a-done/run.lock")
    assert lock["run"]["status"] == "interrupted"


@pytest.mark.slow
def test_a_rerun_of_it(project: Project) -> None:
    """The rerun moves its folder as well, and its outputs come to where a rerun's belong."""
    app(project, "out.rename(done)")
    project.app("hydra.run.dir=outputs/a")
    before = sorted(os.listdir(project.path("outputs/a-done")))
    done = project.flexlock("rerun", "outputs/a-done", "--json")
    assert done.json["verdict"] == "identical" and done.json["identical"] == 1
    assert Path(done.json["path"], "model.txt").read_text() == "m"
    assert sorted(os.listdir(project.path("outputs/a-done"))) == before
    shutil.rmtree(done.json["path"])
    into = project.flexlock("rerun", "outputs/a-done", "--into", "results/x", "--json")
    assert into.json["path"] == str(project.path("results/x"))


def test_no_folder_stays_open(project: Project) -> None:
    """Jobs in one process, and records from a script, hold no folders open."""
    app(project, "pass")
    project.write("many.py", """
import os
from flexlock_hydra import snapshot
for n in range(20):
    snapshot({"n": n}, output_dir=f"outputs/{n}")
print(len(os.listdir("/proc/self/fd")))
""")
    assert int(project.call(project.python, "many.py").out) < 15
