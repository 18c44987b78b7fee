"""hydra-zen: the same line turns the recording on, and paths in builds() are tracked."""

from __future__ import annotations

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.hydra

ZEN = '''
from pathlib import Path

import hydra
from hydra_zen import builds, launch, make_config, store, zen


def load(path):
    return Path(path).read_text()


def task(text, lr):
    return {"n": len(text), "lr": lr}


Config = make_config(
    text=builds(load, path="${snapshot:data/table.csv}"),
    lr=0.1,
    hydra_defaults=["_self_", {"override /hydra/callbacks": "flexlock"}],
)
store(Config, name="config")
'''


def test_zen_main(project: Project) -> None:
    """``zen(task)`` under hydra.main is recorded, pushed and run again."""
    project.write(
        "app.py",
        ZEN + "\nif __name__ == '__main__':\n    store.add_to_hydra_store()\n"
        "    zen(task).hydra_main(config_name='config', version_base='1.3', config_path=None)\n",
    )
    project.commit("zen")
    project.app("lr=3", "hydra.run.dir=outputs/a")
    lock = project.lock()
    assert lock["run"]["result"] == {"n": 8, "lr": 3}
    assert lock["data"]["text.path"]["size"] == 8
    assert lock["job"]["command"]["task"] == "app:task"
    assert project.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"


@pytest.mark.parametrize(("multirun", "locks"), [("False", 1), ("True", 2)])
def test_launch(project: Project, multirun: str, locks: int) -> None:
    """``launch`` records single runs and sweeps."""
    lr = "1,2" if multirun == "True" else "1"
    project.write(
        "app.py",
        ZEN + f"\nif __name__ == '__main__':\n    launch(Config, zen(task), version_base='1.3',"
        f" multirun={multirun}, overrides=['lr={lr}'])\n",
    )
    project.app()
    assert len(project.locks()) == locks
    assert project.lock()["data"]["text.path"]["path"] == "data/table.csv"
