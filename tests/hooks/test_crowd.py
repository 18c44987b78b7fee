"""Many jobs of one repository at the same time: none disturbs another, none is lost."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.record import lockfile
from tests.conftest import Done, Project, read_lock, read_plain

CROWD = '''
import gc
import os
import sys
import traceback
from pathlib import Path

import flexlock_hydra.hooks.job.recorder
from hydra import compose, initialize
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import run_job
from hydra.types import HydraContext


def task(cfg):
    return Path(cfg.table).read_text()


def job(config):
    """What Hydra does with a config that it has composed."""
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name="config")
    context = HydraContext(config_loader=None, callbacks=callbacks)
    run_job(task, config, "hydra.run.dir", None, context, configure_logging=False)


def child(gate, door, config, number, folder):
    """A job's process, from the moment that the gate is closed on the other side."""
    os.close(door)
    os.read(gate, 1)
    config.lr = number
    config.hydra.run.dir = folder.format(number)
    try:
        job(config)
        sys.exit()
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def crowd(config, size, folder):
    """Start as many processes from this one, let them all go at once; their exit codes."""
    gate, door = os.pipe()
    pids = []
    for number in range(size):
        if (pid := os.fork()) == 0:
            child(gate, door, config, number, folder)
        pids.append(pid)
    os.close(door)
    return [os.waitpid(pid, 0)[1] for pid in pids]


if __name__ == "__main__":
    with initialize(version_base=None, config_path="conf"):
        config = compose("config", ["hydra.job.name=app"], return_hydra_config=True)
    gc.disable()
    os.nice(10)  # the tests beside this one have deadlines
    sys.exit(any(crowd(config, int(sys.argv[1]), sys.argv[2])))
'''


def start_crowd(project: Project, size: int, folder: str) -> Done:
    """Jobs at once, of code that no commit holds."""
    project.write("app.py", CROWD)
    project.commit("crowd")
    project.write("new.py", "x = 1")
    return project.call(project.python, "app.py", str(size), folder)


def one_commit(project: Project, locks: list[dict[str, Any]]) -> str:
    """The commit that all locks name: dirty code, one ref, no complaint."""
    states = [lock["repos"]["main"] for lock in locks]
    commit: str
    (commit,) = {state["commit"] for state in states}
    assert {(*state["dirty"], state["completeness"]) for state in states} == {("new.py", "exact")}
    refs = project.git("for-each-ref", "--format=%(objectname)", "refs/flexlock").splitlines()
    assert refs == [commit]
    assert "new.py" in project.git("ls-tree", "--name-only", commit).splitlines()
    project.git("fsck", "--strict", "--no-dangling")
    return commit


@pytest.mark.slow
def test_two_hundred_jobs_at_once(project: Project) -> None:
    """Each ends with its own whole lock; all share one snapshot; git's locks are in no way."""
    done = start_crowd(project, 200, "outputs/{}")
    assert done.err == ""
    locks = [read_lock(project.path(f"outputs/{n}/run.lock")) for n in range(200)]
    assert [lock["config"]["lr"] for lock in locks] == list(range(200))
    assert {lock["run"]["status"] for lock in locks} == {"completed"}
    assert {tuple(lock.get("warnings", ())) for lock in locks} == {()}
    assert {lock["data"]["table"]["size"] for lock in locks} == {8}
    assert len({lock["run"]["id"] for lock in locks}) == 200
    one_commit(project, locks)
    left = [path.name for path in project.path(".git").rglob("*.lock")]
    assert left == []


@pytest.mark.hydra
def test_twenty_jobs_at_once_in_one_folder(project: Project) -> None:
    """Every one of them leaves a lock: the last in its place, the others aside."""
    start_crowd(project, 20, "outputs/same")
    paths = sorted(project.path("outputs/same").glob("run*.lock"))
    locks = [read_lock(path) for path in paths]
    assert sorted(lock["config"]["lr"] for lock in locks) == list(range(20))
    assert {lock["run"]["status"] for lock in locks} == {"completed"}
    assert len({read_plain(path)["run"]["id"] for path in paths}) == 20
    one_commit(project, locks)


def test_a_folder_that_somebody_keeps(tmp_path: Path) -> None:
    """Whoever holds a folder for too long is not waited for, and its holder may write again."""
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with lockfile.alone(tmp_path, patience=0.1), lockfile.alone(tmp_path):
        lockfile.write_bytes(tmp_path / "run.lock", b"mine")
    fcntl.flock(held, fcntl.LOCK_UN)
    with lockfile.alone(tmp_path), pytest.raises(BlockingIOError):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(held)
