"""Hashing beside the job: nobody waits, nothing is lost, nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.capture.data.digest import digest
from flexlock_hydra.capture.data.hash_worker import HashTask, HashWorker
from tests.conftest import WAIT_FOR_A_SIGNAL, Project, read_lock, read_plain

pytestmark = pytest.mark.hydra

APP = '''
import os, sys, time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
import yaml


def lock():
    folder = Path(HydraConfig.get().runtime.output_dir)
    return yaml.safe_load((folder / "run.lock").read_bytes())


def helpers():
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()]


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    Path(".ready").write_text(" ".join(map(str, helpers())))
BODY


if __name__ == "__main__":
    main()
'''
LARGE = 300 * 1024**2
"""Bytes of a sparse file: most of a second of hashing, no disk."""
ENDLESS = 1 << 40


UNTIL_HASHED = """
path = Path(HydraConfig.get().runtime.output_dir, "run.lock")
while b"md5: " not in path.read_bytes():
    time.sleep(0.01)
"""
"""In a task, wait for the hash of the large file."""


@pytest.fixture
def large(project: Project) -> Project:
    """A project whose table takes a while to hash."""
    os.truncate(project.path("data/table.csv"), LARGE)
    return project


def task(project: Project, body: str) -> None:
    """Give the project's app this body."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    project.write("app.py", APP.replace("BODY", lines))


def start(project: Project, *overrides: str) -> subprocess.Popen[bytes]:
    """Start the app, and wait until its task runs."""
    process = subprocess.Popen(
        [project.python, "app.py", *overrides],
        cwd=project.root,
        env=project.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    until(lambda: project.path(".ready").exists() and project.path(".ready").read_text() != "")
    return process


def until(true: Any, seconds: float = 30) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def helper_pids(project: Project) -> list[int]:
    """The processes that hash for the task that runs."""
    return [int(pid) for pid in project.path(".ready").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_large_input_is_hashed_while_the_job_runs(large: Project) -> None:
    """The lock names a large input at once, gets its hash during the job, and keeps it."""
    task(large, """
first = lock()["data"]["table"]
for _ in range(1000):
    time.sleep(0.02)
    if "hash" in lock()["data"]["table"]:
        break
return [first, lock()["data"]["table"]["hash"], lock()["run"]["status"]]
""")
    done = large.app()
    lock = large.lock()
    first, during, status = lock["run"]["result"]

    assert first == {"path": "data/table.csv", "how": "marked", "config_key": "table"}
    assert status == "running"
    assert lock["data"]["table"]["hash"] == during
    assert during == {"md5": digest(large.path("data/table.csv")).md5}
    assert lock["warnings"] == []
    assert (done.out, done.err) == ("", "")
    assert not any(is_running(pid) for pid in helper_pids(large))


def test_the_end_of_a_short_job_waits_for_the_rest(large: Project) -> None:
    """A job that ends at once still has the hash of a large input."""
    task(large, "return 1")
    large.app()

    assert large.lock()["data"]["table"]["size"] == LARGE
    assert "hash" in large.lock()["data"]["table"]


def test_a_second_run_knows_the_hash(large: Project) -> None:
    """An input that did not change is not read again; without an index it is."""
    task(large, UNTIL_HASHED + """
facts = Path(f"/proc/{helpers()[0]}/io").read_text().split()
return int(facts[facts.index("rchar:") + 1])
""")
    old = time.time() - 10
    os.utime(large.path("data/table.csv"), (old, old))
    time.sleep(2.1)  # its change time has to be older than a clock's grain
    large.app("hydra.run.dir=outputs/1")
    large.app("hydra.run.dir=outputs/2")
    large.app("hydra.run.dir=outputs/3", FLEXLOCK_CACHE="/proc/none")

    locks = [read_lock(large.path(f"outputs/{n}/run.lock")) for n in (1, 2, 3)]
    assert len({json.dumps(lock["data"]) for lock in locks}) == 1
    assert [lock["run"]["result"] >= LARGE for lock in locks] == [True, False, True]


def test_a_killed_job_leaves_no_helper(large: Project) -> None:
    """After kill -9 of the job, its helper ends by itself."""
    os.truncate(large.path("data/table.csv"), ENDLESS)
    task(large, "time.sleep(100)")
    process = start(large)
    (helper,) = helper_pids(large)
    assert is_running(helper)
    process.kill()
    process.wait()

    until(lambda: not is_running(helper), 10)


def test_a_killed_job_leaves_no_helper_beside_a_forked_child(large: Project) -> None:
    """The helper ends with the job, though a child of the job holds the pipe to it."""
    os.truncate(large.path("data/table.csv"), ENDLESS)
    task(large, """
if os.fork() == 0:
    time.sleep(15)
    os._exit(0)
Path("forked").touch()
time.sleep(100)
""")
    process = start(large)
    helper = helper_pids(large)[0]
    until(large.path("forked").exists)
    process.kill()
    process.wait()

    until(lambda: not is_running(helper), 10)
    os.killpg(process.pid, signal.SIGKILL)


def test_a_killed_job_has_the_hashes_that_were_known(large: Project) -> None:
    """A lock left at running by kill -9 has the hash of what was read until then."""
    task(large, "time.sleep(100)")
    process = start(large)
    until(lambda: "hash" in read_plain(large.newest())["data"]["table"])
    process.kill()
    process.wait()

    assert large.lock()["run"]["status"] == "running"
    assert large.lock()["data"]["table"]["size"] == LARGE


def test_a_killed_helper_is_done_without(large: Project) -> None:
    """When the helper is killed, the job's own process hashes at the job's end."""
    task(large, "os.kill(helpers()[0], 9)\ntime.sleep(0.1)\nreturn len(helpers())")
    done = large.app()
    lock = large.lock()

    assert lock["data"]["table"]["hash"] == {"md5": digest(large.path("data/table.csv")).md5}
    assert lock["run"]["result"] == 0  # reaped: no zombie
    assert lock["warnings"] == []
    assert done.err == ""


def test_a_helper_that_is_gone_is_not_waited_for(project: Project) -> None:
    """What is asked for after its end is left unanswered at once."""
    helper = HashWorker(str(project.path("index")))
    helper.ask(1, HashTask(str(project.path("data/table.csv"))))
    helper.listen(lambda answers: None)
    helper.wait(30)
    assert helper.process is not None and helper.thread is not None
    helper.process.kill()
    helper.thread.join()
    helper.ask(2, HashTask(str(project.path("app.py"))))
    began = time.monotonic()
    helper.wait(30)
    helper.stop()

    assert time.monotonic() - began < 10
    assert list(helper.waiting) == [2]


@pytest.mark.parametrize(("name", "value"), [
    ("frozen", True), ("executable", ""), ("executable", "/nowhere/python"),
])
def test_a_helper_that_cannot_start(
    name: str, value: object, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an interpreter (a frozen program has none) nothing is started or waited for."""
    monkeypatch.setattr(sys, name, value, raising=False)
    helper = HashWorker(str(project.path("index")))
    helper.ask(1, HashTask(str(project.path("app.py"))))

    assert helper.process is None
    assert list(helper.waiting) == [1]


def test_an_interrupted_job_waits_for_nothing(large: Project) -> None:
    """Ctrl-C ends the job at once; the lock says what was not hashed."""
    os.truncate(large.path("data/table.csv"), ENDLESS)
    task(large, WAIT_FOR_A_SIGNAL)
    process = start(large)
    (helper,) = helper_pids(large)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)
    lock = large.lock()

    assert time.monotonic() - began < 10
    assert lock["run"]["status"] == "interrupted"
    assert lock["data"]["table"] == {
        "path": "data/table.csv", "how": "marked", "config_key": "table"
    }
    assert "data table: not hashed: the job ended before" in lock["warnings"]
    assert not is_running(helper)


def test_a_failed_job_does_not_wait_for_long(large: Project) -> None:
    """The user hears of an error soon; the lock says what was not hashed until then."""
    os.truncate(large.path("data/table.csv"), ENDLESS)
    task(large, """
from flexlock_hydra.hooks.job import hashed_data
hashed_data.FAILED_PATIENCE = 0.1
raise ValueError
""")
    assert large.app(check=False).code == 1
    lock = large.lock()

    assert lock["run"]["status"] == "failed"
    assert "data table: not hashed: the job ended before" in lock["warnings"]


def test_ctrl_c_while_the_end_waits(large: Project) -> None:
    """Ctrl-C while hashes are waited for gives up on them, not on the record.

    The wait is no part of the task's duration.
    """
    os.truncate(large.path("data/table.csv"), ENDLESS)
    task(large, "return 1")
    process = start(large)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(30)

    assert large.lock()["run"]["status"] == "completed"
    assert large.lock()["run"]["duration"] < 3
    assert "data table: not hashed: the job ended before" in large.lock()["warnings"]


def test_a_forked_child_does_nothing(large: Project) -> None:
    """A child that the job forks while a hash is pending neither hangs nor writes."""
    task(large, """
pid = os.fork()
if pid == 0:
    str(cfg.table)
    sys.exit(3)
return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
""")
    done = large.app(PYTHONWARNINGS="ignore")

    assert large.lock()["run"]["result"] == 3
    assert "hash" in large.lock()["data"]["table"]
    assert len(large.locks()) == 1
    assert done.err == ""


def test_data_that_the_job_names_late(project: Project) -> None:
    """Large data that the config names only during the job is hashed as well."""
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "name: none\n")
    task(project, """
with open("data/late", "wb") as file:
    file.truncate(20 * 1024**2)
import flexlock_hydra
flexlock_hydra.snapshot(data={"late": "data/late"})
""")
    project.app()

    assert project.lock()["data"]["late"]["hash"]["md5"] == digest(project.path("data/late")).md5


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("Path('data/a.csv').write_text('changed')", "a.csv"),
        ("Path('data/new.csv').write_text('new')", ""),
        ("Path('data/a.csv').unlink()", "a.csv"),
        ("i = os.stat('data/a.csv'); Path('data/a.csv').write_text('2');"
         "os.utime('data/a.csv', ns=(1, i.st_mtime_ns))", "a.csv"),
    ],
)
def test_data_that_changes_during_the_job(project: Project, body: str, names: str) -> None:
    """Changed and deleted files of an input are named; the hash is that of the start."""
    project.write("data/a.csv", "1")
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "d: ${snapshot:data}\n")
    before = digest(project.path("data")).md5
    task(project, body)
    project.app()

    assert project.lock()["data"]["d"]["hash"] == {"md5": before}
    said = f"data d was changed by the job itself, its bytes as they were are kept: {names}"
    assert project.lock()["warnings"] == ([said] if names else [])
    kept = [path for path in project.root.rglob("a.csv") if ".flexlock" in path.parts]
    assert [path.read_text() for path in kept] == (["1"] if names else [])


@pytest.mark.parametrize("body", ["Path('data/a.csv').chmod(0o600)", "os.utime('data/a.csv')",
                                  "os.link('data/a.csv', '.other')"])
def test_equal_bytes_are_no_change(project: Project, body: str) -> None:
    """A new mode, date or link of a file is no change of the data."""
    project.write("data/a.csv", "1")
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "d: ${snapshot:data}\n")
    task(project, body)
    project.app()

    assert project.lock()["warnings"] == []


def test_an_output_directory_inside_of_an_input(project: Project) -> None:
    """An input in which the job's own output directory lies is named."""
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "d: ${snapshot:data}\nhydra: {run: {dir: data/out}}\n")
    task(project, "return 1")
    project.app()

    said = project.lock()["warnings"]
    assert any(text.startswith("data d: the job's own output directory lies in") for text in said)


def test_a_busy_job_keeps_its_processor(large: Project) -> None:
    """The job's own process does none of the hashing, and what does yields to it."""
    os.truncate(large.path("data/table.csv"), 1 << 30)
    task(large, """
began = time.process_time()
""" + UNTIL_HASHED + """
return [time.process_time() - began, os.getpriority(os.PRIO_PROCESS, helpers()[0])]
""")
    large.app()
    seconds, niceness = large.lock()["run"]["result"]

    assert niceness == 19
    assert seconds < 0.5  # of more than a second's work
