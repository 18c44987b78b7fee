"""Jobs on a Ray cluster of two nodes: each lock tells what became of its job."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.conftest import Project, read_lock, read_plain

pytestmark = [pytest.mark.hydra, pytest.mark.slow]

CLUSTER = '''
import sys

from ray.cluster_utils import Cluster

node = {"num_cpus": 2, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
cluster.add_node(**node)
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
'''
APP = '''
import os
import time
from pathlib import Path

import hydra
import ray


def wait_for(*numbers):
    """Until the jobs before have ended: Ray ends those in progress where one is lost."""
    locks = [Path(f"multirun/s/{number}/run.lock") for number in numbers]
    while not all(lock.exists() and "ended:" in lock.read_text() for lock in locks):
        time.sleep(0.05)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    node = ray.get_runtime_context().get_node_id()
    Path(f"outputs/{node}").touch()
    if cfg.lr in (1, 2):  # they hold their node's processors until the other one has a job
        end = time.monotonic() + 30
        while len(os.listdir("outputs")) < 2 and time.monotonic() < end:
            time.sleep(0.05)
    if cfg.lr == 2:
        raise ValueError("two")
    if cfg.lr == 4:
        wait_for(0, 1, 2)
        os.kill(os.getpid(), 9)
    if cfg.lr == 5 and not list(Path("multirun/again/0").glob("run.*.lock")):
        os.kill(os.getpid(), 9)
    return node


if __name__ == "__main__":
    main()
'''


@pytest.fixture
def cluster(project: Project) -> Iterator[str]:
    """The address of a cluster of two nodes, two processors each, in the project's folder."""
    project.path("outputs").mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp") as short, subprocess.Popen(
        [project.python, "-c", CLUSTER], cwd=project.root, text=True,
        env={**project.env, "RAY_TMPDIR": short},  # its sockets' paths must be short
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    ) as process:
        assert process.stdin and process.stdout
        try:
            yield next(line for line in process.stdout if line.startswith("address")).split()[1]
        finally:
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def sweep(project: Project, cluster: str, folder: str, *overrides: str) -> None:
    """A sweep on the cluster; it may fail."""
    project.app(
        "-m", "hydra/launcher=ray", f"hydra.launcher.ray.init.address='{cluster}'",
        "+hydra.launcher.ray.init.object_store_memory=null", f"hydra.sweep.dir={folder}",
        *overrides, check=False,
    )


def status(project: Project, folder: str) -> str:
    """How show judges a job."""
    found: str = project.flexlock("show", folder, "--json").json["run"]["status"]
    return found


def test_jobs_on_two_nodes(project: Project, cluster: str) -> None:
    """Those that return, raise and are killed; then one that Ray runs again."""
    project.write("app.py", APP)
    project.commit("app")
    sweep(
        project, cluster, "multirun/s", "lr=1,2,3,4", "+hydra.launcher.ray.remote.max_retries=0"
    )
    locks = [read_lock(project.path(f"multirun/s/{n}/run.lock")) for n in range(4)]
    assert [lock["config"]["lr"] for lock in locks] == [1, 2, 3, 4]
    assert [status(project, f"multirun/s/{n}") for n in range(4)] == [
        "completed", "failed", "completed", "interrupted"
    ]
    assert len(list(project.path("outputs").iterdir())) == 2  # nodes
    assert locks[1]["run"]["error"]["type"] == "ValueError"
    assert {lock["repos"]["main"]["completeness"] for lock in locks} == {"exact"}
    assert {lock["data"]["table"]["size"] for lock in locks} == {8}
    schedulers = [lock["run"]["process"].get("scheduler", {}) for lock in locks]
    assert "ffffffff" not in {each.get("ray_job_id") for each in schedulers}
    whole = read_plain(project.path("multirun/s/sweep.lock"))
    assert [job["status"] for job in whole["jobs"]] == [
        "completed", "failed", "completed", "interrupted"
    ]

    sweep(project, cluster, "multirun/again", "lr=5")
    (before,) = project.path("multirun/again/0").glob("run.*.lock")
    again = read_lock(project.path("multirun/again/0/run.lock"))
    assert (read_lock(before)["run"]["status"], again["run"]["status"]) == ("running", "completed")
    assert f"its lock is now {before.name}" in again["warnings"][0]
