"""A script that starts several Hydra apps: a rerun runs the one that was recorded, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock

pytestmark = [pytest.mark.hydra, pytest.mark.slow]

APP = '''
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def record(name, cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    with open(out / "said.txt", "a") as file:
        file.write(f"{name} {cfg.lr}\\n")
    return name


@hydra.main(version_base=None, config_path="conf", config_name="config")
def first(cfg):
    return record("first", cfg)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def second(cfg):
    return record("second", cfg)


def task(cfg):
    return record(f"task of {cfg.name}", cfg)


if __name__ == "__main__":
    CALLS
    print("the end")
'''
CONFIG = "defaults: [_self_, override /hydra/callbacks: flexlock]\nlr: 1\nname: config\n"
ONE = "sys.argv[1:] = ['hydra.run.dir=outputs/{}'{}]; {}()"


def calls(*made: tuple[str, str, str]) -> str:
    """The calls of a script: task, output directory, further overrides."""
    return "\n    ".join(ONE.format(where, more, task) for task, where, more in made)


def committed(project: Project, text: str) -> None:
    """Commit a script with such calls."""
    project.write("app.py", APP.replace("CALLS", text))
    project.write("conf/config.yaml", CONFIG)
    project.write("conf/other.yaml", CONFIG.replace("name: config", "name: other"))
    project.commit("app")


def several(project: Project, text: str) -> None:
    """Commit and run a script that starts several apps."""
    committed(project, text)
    project.app()


def again(project: Project, run: str, *words: str) -> tuple[dict[str, Any], str]:
    """Rerun a run: the command's JSON, and what its output directory says."""
    done = project.flexlock("rerun", run, "--json", *words, check=False)
    assert done.code in (0, 1), done.err
    return done.json, Path(done.json["path"], "said.txt").read_text()


TWO = calls(("first", "a", ""), ("second", "b", ""), ("second", "c", ", 'lr=3'"))


def test_the_recorded_app_runs_alone(project: Project) -> None:
    """Whichever of the three runs it was, nothing of the others is in its rerun's folder."""
    several(project, TWO)
    for run, said in (("a", "first 1\n"), ("b", "second 1\n"), ("c", "second 3\n")):
        document, found = again(project, f"outputs/{run}")
        assert found == said
        assert document["verdict"] == "identical"
        folder = Path(document["path"])
        assert [name for name in os.listdir(folder) if name.endswith(".lock")] == ["run.lock"]
        command = read_lock(folder / "run.lock")["job"]["command"]
        recorded = read_lock(project.path(f"outputs/{run}/run.lock"))["job"]["command"]
        assert command["task"] == recorded["task"]
        # The record of a rerun names the app alone, not the program that chose it.
        assert "runner" not in command
    assert again(project, document["path"])[1] == "second 3\n"


def test_one_task_with_two_configs(project: Project) -> None:
    """The config's name tells two apps with the same task apart."""
    several(project, "for name in ('config', 'other'):\n"
            "        sys.argv[1:] = [f'hydra.run.dir=outputs/{name}']\n"
            "        hydra.main(version_base=None, config_path='conf', config_name=name)(task)()")
    assert again(project, "outputs/other")[1] == "task of other 1\n"
    assert again(project, "outputs/config")[1] == "task of config 1\n"


def test_as_a_module(project: Project) -> None:
    """``python -m app`` is run again as a module."""
    committed(project, TWO)
    project.call(project.python, "-m", "app")
    lock = read_lock(project.path("outputs/b/run.lock"))
    assert lock["job"]["command"]["module"] == "app"
    assert again(project, "outputs/b")[1] == "second 1\n"


def test_an_app_that_a_job_starts_is_part_of_it(project: Project) -> None:
    """A nested app runs in the rerun as it did, in a folder of its own."""
    several(project, "from hydra.core.global_hydra import GlobalHydra\n"
            "    def inner(cfg):\n"
            "        Path('inner.txt').write_text('ran')\n"
            "    def outer(cfg):\n"
            "        record('outer', cfg)\n"
            "        GlobalHydra.instance().clear()\n"
            "        sys.argv[1:] = ['hydra.run.dir=outputs/inner']\n"
            "        hydra.main('conf', 'other', None)(inner)()\n"
            "    sys.argv[1:] = ['hydra.run.dir=outputs/outer']\n"
            "    hydra.main(version_base=None, config_path='conf', config_name='config')(outer)()")
    document, _ = again(project, "outputs/outer")
    assert (Path(document["path"]).with_name("1.written") / "inner.txt").exists()


def test_an_app_that_is_gone_is_said(project: Project) -> None:
    """With code that starts no such app nothing runs, and the task is named."""
    several(project, TWO)
    project.write("app.py", APP.replace("CALLS", calls(("first", "a", ""))))
    done = project.flexlock("rerun", "outputs/b", "--current-code", check=False)
    assert done.code == 2
    assert "the script starts no app app:second with the config config" in done.err
    assert "the end" in done.err  # what stands after the apps is part of the program


def test_a_job_of_a_sweep_in_workers(project: Project) -> None:
    """A worker's record names the task as the script does, and its rerun finds it."""
    committed(project, "second()")
    project.app("-m", "lr=1,2", "hydra/launcher=joblib", "hydra.sweep.dir=multirun/s")
    project.write("app.py", APP.replace("CALLS", "first()\n    second()"))
    lock = read_lock(project.path("multirun/s/1/run.lock"))
    assert lock["job"]["command"]["task"] == "app:second"
    assert again(project, "multirun/s/1", "--current-code")[1] == "second 2\n"
