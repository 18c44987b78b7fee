"""Processes and threads that a job starts: one lock, written by the job alone."""

from __future__ import annotations

import pytest

from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.tracking import Owner, PathCollector
from tests.conftest import Project, read_lock

pytestmark = pytest.mark.hydra

CHILDREN = '''
import multiprocessing
import os
import sys
import threading

import hydra
from flexlock_hydra import snapshot


def touch(path):
    return path.upper()


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if (pid := os.fork()) == 0:
        cfg.table
        sys.exit(5)  # leaves through run_job and atexit, as a job's own exit would
    assert os.waitpid(pid, 0)[1] >> 8 == 5
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            assert pool.map(touch, ["a"]) == ["A"]
        worker = context.Process(target=touch, args=("a",))
        worker.start()
        worker.join()
    slow = multiprocessing.get_context("fork").Process(target=threading.Event().wait)
    slow.start()
    slow.terminate()
    slow.join()
    assert slow.exitcode == -15
    thread = threading.Thread(target=snapshot, kwargs={"data": {"late": "data/table.csv"}})
    thread.start()
    thread.join()
    return "parent"


if __name__ == "__main__":
    main()
'''

TERMINATED = '''
import os
import signal
import time

import hydra


def ends(pid):
    """Whether a process ends in time."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return False


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    for _ in range(50):
        if (pid := os.fork()) == 0:
            time.sleep(60)
        os.kill(pid, signal.SIGTERM)
        assert ends(pid)


if __name__ == "__main__":
    main()
'''

RANKS = '''
import os
import subprocess
import sys

import hydra
from flexlock_hydra import snapshot
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if os.environ.get("CHILD"):
        snapshot(data={"child": "app.py"})
        open(cfg.table).read()
        return "child"
    folder = HydraConfig.get().runtime.output_dir
    same = [sys.executable, "app.py", f"hydra.run.dir={folder}", "hydra.job.name=rank"]
    for more in ({"LOCAL_RANK": "1"}, {"RANK": "3", "WORLD_SIZE": "4"}, {}):
        before = open(folder + "/run.lock").read()
        subprocess.run(same, env={**os.environ, "CHILD": "1", **more}, check=True)
        assert open(folder + "/run.lock").read() == before
    return "first"


if __name__ == "__main__":
    main()
'''


def test_children_leave_the_lock_alone(project: Project) -> None:
    """Forked and spawned processes neither end nor change the run; a thread adds to it."""
    project.write("app.py", CHILDREN)
    project.app("hydra.run.dir=outputs/a")
    lock = read_lock(project.path("outputs/a/run.lock"))
    assert (lock["run"]["status"], lock["run"]["result"]) == ("completed", "parent")
    assert list(lock["data"]) == ["table", "late"]
    assert list(project.path("outputs/a").glob("*run.*lock*")) == [project.newest()]


def test_children_that_are_ended_at_once(project: Project) -> None:
    """SIGTERM ends a forked child however early it comes."""
    project.write("app.py", TERMINATED)
    project.app()
    assert project.lock()["run"]["status"] == "completed"


def test_further_ranks_record_nothing(project: Project) -> None:
    """The same app started again for other ranks, or below its job, leaves the lock alone."""
    project.write("app.py", RANKS)
    project.app("hydra.run.dir=outputs/a")
    assert [path.parent.name for path in project.locks()] == ["a"]
    lock = project.lock()
    assert (lock["run"]["result"], list(lock["data"])) == ("first", ["table"])
    assert list(project.path("outputs/a").glob("run.*.lock")) == []


def test_a_rank_alone_in_a_variable_is_a_run(project: Project) -> None:
    """``RANK`` without ``WORLD_SIZE`` is anybody's name: the job is recorded."""
    project.app(RANK="8", LOCAL_RANK="0")
    assert project.lock()["run"]["status"] == "completed"


def test_no_rank_at_all_is_a_run(project: Project) -> None:
    """``LOCAL_RANK=-1`` says that nothing is distributed: the job is recorded."""
    project.app(LOCAL_RANK="-1")
    assert project.lock()["run"]["status"] == "completed"


THREADS = '''
import threading
from pathlib import Path

from hydra import compose, initialize
from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import run_job
from hydra.types import HydraContext
from omegaconf import open_dict, read_write

both = threading.Barrier(2)


def task(cfg):
    both.wait()
    Path(cfg.out, "x").write_text(Path(cfg.table).read_text())
    both.wait()
    if cfg.lr == 2:
        raise SystemExit(2)
    return cfg.lr


def job(config, callbacks):
    context = HydraContext(config_loader=None, callbacks=callbacks)
    try:
        run_job(task, config, "hydra.run.dir", None, context, configure_logging=False)
    except SystemExit:
        pass


with initialize(version_base=None, config_path="conf"):
    configs = [
        compose("config", [f"lr={n}", f"+out=outputs/{n}", f"hydra.run.dir=outputs/{n}",
                           f"table=${{snapshot:data/{n}.csv}}", "hydra.job.name=app",
                           "hydra/job_logging=none", "hydra/hydra_logging=none"],
                return_hydra_config=True)
        for n in (1, 2)
    ]
threads = [threading.Thread(target=job, args=(c, Callbacks(c))) for c in configs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
'''


def test_jobs_in_threads(project: Project) -> None:
    """Two jobs at once in one process: each lock has its own config, data and end."""
    project.write("data/1.csv", "1")
    project.write("data/2.csv", "22")
    project.write("app.py", THREADS)
    project.app()
    one, two = (read_lock(project.path(f"outputs/{n}/run.lock")) for n in (1, 2))
    assert [lock["data"]["table"]["size"] for lock in (one, two)] == [1, 2]
    assert [lock["config"]["lr"] for lock in (one, two)] == [1, 2]
    assert (one["run"]["status"], one["run"]["result"]) == ("completed", 1)
    assert (two["run"]["status"], two["run"]["error"]["message"]) == ("failed", "2")


def test_a_thread_of_several_jobs_is_of_none() -> None:
    """A further thread adds to the one job that runs; of several it could be any's."""
    jobs = [PathCollector(owner=Owner(thread=number)) for number in (1, 2)]
    found: list[object] = []
    for job in jobs:
        tracking.enter_sink(job)
        found.append(tracking.current())
    for job in jobs:
        tracking.leave_sink(job)
        found.append(tracking.current())
    assert found == [jobs[0], None, jobs[1], None]


NESTED = '''
import sys

import hydra
from hydra import compose, initialize
from hydra.core.global_hydra import GlobalHydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def inner(cfg):
    cfg.table
    if cfg.lr == 3:
        sys.exit(3)
    return "inner"


@hydra.main(version_base=None, config_path="conf", config_name="config")
def outer(cfg):
    GlobalHydra.instance().clear()
    with initialize(version_base=None, config_path="conf"):
        compose("config", ["table=${snapshot:data/composed.csv}"])
    for lr in (2, 3):
        GlobalHydra.instance().clear()
        sys.argv[1:] = [f"lr={lr}", f"hydra.run.dir=outputs/inner{lr}"]
        try:
            inner()
        except SystemExit:
            pass
    from flexlock_hydra import snapshot
    snapshot(data={"late": "app.py"})
    return "outer"


outer()
'''


@pytest.mark.parametrize(("ending", "status"), [
    ("sys.exit(3)", "failed"),
    ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", "interrupted"),
])
def test_an_outer_run_ends_after_the_inner(ending: str, status: str, project: Project) -> None:
    """When the job inside is over, the end of the outer one is still noticed."""
    source = NESTED.replace('return "outer"', ending)
    project.write("app.py", f"import os\nimport signal\nimport time\n{source}")
    project.app("hydra.run.dir=outputs/outer", check=False)
    run = read_lock(project.path("outputs/outer/run.lock"))["run"]
    assert (run["status"], "ended" in run) == (status, True)


def test_nested_runs(project: Project) -> None:
    """A job inside a job has its own lock and end; the outer one goes on with its own."""
    project.write("app.py", NESTED)
    project.app("hydra.run.dir=outputs/outer")
    folders = [project.path("outputs") / name for name in ("outer", "inner2", "inner3")]
    locks = [read_lock(folder / "run.lock") for folder in folders]
    statuses = [lock["run"]["status"] for lock in locks]
    assert statuses == ["completed", "completed", "failed"]
    assert [list(lock["data"]) for lock in locks] == [["table", "late"], ["table"], ["table"]]
