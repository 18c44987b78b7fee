"""The key is marked, not the value: what an override puts in the place of a mark is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Project, read_lock, with_callback

pytestmark = pytest.mark.hydra


def by_how(lock: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The inputs: key -> path, and what made it one."""
    return {key: (entry["path"], entry["how"]) for key, entry in lock["data"].items()}


@pytest.fixture
def other(project: Project) -> Project:
    """A project with a second table, and a config group of which one option has no mark."""
    project.write("data/other.csv", "x,y\n")
    project.write("conf/source/marked.yaml", "path: ${snapshot:data/table.csv,source}\n")
    project.write("conf/source/plain.yaml", "path: data/other.csv\n")
    project.write("conf/grouped.yaml", with_callback(
        "table: ${source.path}\nlr: 1\n"
    ).replace("[_self_,", "[{source: marked}, _self_,"))
    project.commit("other")
    return project


def test_an_override(other: Project) -> None:
    """It has the name that the mark gives, also where the job does not read it."""
    other.app("table=data/other.csv")
    assert by_how(other.lock()) == {"table": ("data/other.csv", "overridden")}
    assert other.lock()["completeness"] == {"code": "exact", "data": "exact"}
    assert "overridden" in other.flexlock("show", "@latest").out
    other.app("lr=2")
    assert by_how(other.lock()) == {"table": ("data/table.csv", "marked")}
    other.app("table='${snapshot:data/other.csv}'")
    assert by_how(other.lock()) == {"table": ("data/other.csv", "marked")}


def test_an_option_of_a_group(other: Project) -> None:
    """A group whose default option is marked marks the key for its other options."""
    other.app("--config-name=grouped", "source=plain")
    assert by_how(other.lock()) == {"source": ("data/other.csv", "overridden")}
    other.app("--config-name=grouped")
    assert by_how(other.lock()) == {"source": ("data/table.csv", "marked")}


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_in_a_sweep(other: Project, launcher: str) -> None:
    """Each job records its own value, in the main process or in a worker."""
    other.app("-m", f"hydra/launcher={launcher}", "table=data/other.csv,data/table.csv")
    found = {lock["job"]["num"]: by_how(lock) for lock in map(read_lock, other.locks())}
    assert found == {
        0: {"table": ("data/other.csv", "overridden")},
        1: {"table": ("data/table.csv", "overridden")},
    }


def test_an_earlier_run_in_the_place_of_a_mark(other: Project) -> None:
    """The folder of a run, given by hand, is a predecessor, and travels with a push."""
    other.app("hydra.run.dir=outputs/first")
    first = other.lock()["run"]["id"]
    other.app("table=outputs/first/model.txt", "hydra.run.dir=outputs/second")
    lock = other.lock()
    assert by_how(lock) == {"table": ("outputs/first/model.txt", "overridden")}
    assert lock["prevs"][first]["direct"]


def test_strict_asks_for_the_data(other: Project) -> None:
    """What stands in the place of a mark must be there under strict=all."""
    done = other.app("table=data/none", "hydra.callbacks.flexlock.strict=all", check=False)
    assert (done.code, done.out) == (2, "")
    assert "data/none" in done.err
