"""hydra-zen: the same line turns the recording on, and paths in builds() are tracked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flexlock_hydra.hooks.job.job_view import task_name
from tests.conftest import Project, read_lock

pytestmark = pytest.mark.hydra

ZEN = '''
from pathlib import Path

import hydra
from hydra_zen import MISSING, builds, launch, make_config, store, zen


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


@contextmanager
def timed() -> Iterator[None]:
    """A decorator of another module, as its calls are."""
    yield


@timed()
def decorated(cfg: object) -> None:
    """A task."""


def test_a_decorated_task_is_where_it_was_written() -> None:
    """The file of a task is its own, not the decorator's."""
    assert task_name(decorated) == (f"{__name__}:decorated", Path(__file__))


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


@pytest.mark.parametrize(("multirun", "values"), [("False", [1]), ("True", [1, 2])])
def test_launch_with_an_override(project: Project, multirun: str, values: list[int]) -> None:
    """The override turns it on for a config that says nothing of it; each job has its own lock."""
    project.write(
        "app.py",
        f"{ZEN}\n"
        "Plain = make_config(text=builds(load, path='${snapshot:data/table.csv}'), lr=0.1)\n"
        f"launch(Plain, zen(task), version_base='1.3', multirun={multirun}, overrides="
        f"['hydra/callbacks=flexlock', 'lr={','.join(map(str, values))}'])\n",
    )
    project.app()
    locks = [read_lock(path) for path in project.locks()]
    assert [lock["run"]["result"] for lock in locks] == [{"n": 8, "lr": lr} for lr in values]
    assert {lock["data"]["text.path"]["path"] for lock in locks} == {"data/table.csv"}
    assert {lock["unresolved"]["text"]["path"] for lock in locks} == {"${snapshot:data/table.csv}"}
    assert len({lock["job"].get("sweep", {}).get("id") for lock in locks}) == 1


STORED = ZEN + """
for name in ("table", "other"):
    path = f"${{snapshot:data/{name}.csv,{name}}}"
    store(builds(load, path=path), group="text", name=name)
store(
    make_config(
        lr=0.1,
        text=MISSING,
        hydra_defaults=["_self_", {"text": "table"}, {"override /hydra/callbacks": "flexlock"}],
    ),
    name="stored",
)

if __name__ == "__main__":
    store.add_to_hydra_store()
    zen(task).hydra_main(config_name="stored", version_base="1.3", config_path=None)
"""


def test_groups_of_a_store(project: Project) -> None:
    """A sweep over a stored group: each job's lock has its own choice and input, and reruns."""
    project.write("app.py", STORED)
    project.write("data/other.csv", "1234")
    project.commit("zen")
    project.app("-m", "text=table,other", "hydra.sweep.dir=multirun/s")
    table, other = (read_lock(project.path(f"multirun/s/{n}/run.lock")) for n in (0, 1))
    assert [lock["job"]["choices"]["text"] for lock in (table, other)] == ["table", "other"]
    assert (table["data"]["table"]["size"], other["data"]["other"]["size"]) == (8, 4)
    assert (list(table["data"]), list(other["data"])) == (["table"], ["other"])
    assert project.flexlock("rerun", "multirun/s/1", "--json").json["verdict"] == "identical"
