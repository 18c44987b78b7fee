"""The process of a job: who it is, and whether it still lives."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flexlock_hydra.capture.environment import process
from flexlock_hydra.record.model import (
    STATUSES,
    Command,
    Environment,
    Job,
    Process,
    Run,
    RunLock,
)

CAPTURE = (
    "import json, sys\n"
    "from flexlock_hydra.capture.environment import process\n"
    "print(json.dumps(process.this_process().to_dict()), flush=True)\n"
    "sys.stdin.read()\n"
)


def lock_of(owner: Process, status: str = "running") -> RunLock:
    """A lock of a run in a process."""
    return RunLock(
        run=Run(
            id="20261122T101500Z-3f9c2a7b",
            status=status,
            started="2026-11-22T10:15:00+00:00",
            process=owner,
        ),
        job=Job(name="train", command=Command(executable="python", argv=(), cwd="/")),
        environment=Environment(python="3.11.7", implementation="CPython", platform="Linux"),
    )


def judged(owner: Process) -> str:
    """What a running lock of a process reads as."""
    return process.judge(lock_of(owner)).run.status


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Another process of this package, which waits."""
    with subprocess.Popen(
        [sys.executable, "-c", CAPTURE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        if started.poll() is None:
            started.kill()


def owner_of(child: subprocess.Popen[str]) -> Process:
    """A process as it described itself."""
    assert child.stdout is not None
    return Process.parse(json.loads(child.stdout.readline()))


# Capture


def test_this_process() -> None:
    """Host, pid, the boot and the start of this process are recorded."""
    found = process.this_process()

    assert (found.host, found.pid) == (socket.gethostname(), os.getpid())
    assert found.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert found.start_ticks == int(Path("/proc/self/stat").read_text().split()[21])


def test_a_name_with_brackets_does_not_mislead(tmp_path: Path) -> None:
    """The start is read right for a program whose name holds spaces and brackets."""
    program = tmp_path / "a) S 1 (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as started:
        try:
            wait_for_name(started.pid, "a) S 1 (b")
            ticks = int(stat_of(started.pid).rpartition(")")[2].split()[19])
            owner = replace(process.this_process(), pid=started.pid, start_ticks=ticks)

            assert judged(owner) == "running"
            assert judged(replace(owner, start_ticks=ticks + 1)) == "interrupted"
        finally:
            started.kill()


def stat_of(pid: int) -> str:
    """The kernel's line about a process."""
    return Path(f"/proc/{pid}/stat").read_text()


def wait_for_name(pid: int, name: str) -> None:
    """Wait until a started program has taken over its process."""
    wait_until(lambda: f"({name})" in stat_of(pid))


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait for something of another process, at most ten seconds."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(("name", "key"), [
    ("SLURM_JOB_ID", "slurm_job_id"), ("SLURM_ARRAY_TASK_ID", "slurm_array_task_id"),
    ("PBS_JOBID", "pbs_jobid"), ("LSB_JOBID", "lsb_jobid"), ("POD_NAME", "pod_name"),
    ("TRAINING_JOB_NAME", "training_job_name"), ("CLOUD_ML_JOB_ID", "cloud_ml_job_id"),
    ("AWS_BATCH_JOB_ID", "aws_batch_job_id"), ("JOB_ID", "job_id"),
])
def test_the_scheduler_is_named(name: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id that a scheduler gave the job is recorded under its own name."""
    for other in process._SCHEDULER_VARIABLES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "99")

    assert process.this_process().scheduler == {key: "99"}


def test_without_a_scheduler_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a scheduler, or with a variable that says nothing, none is recorded."""
    for name in process._SCHEDULER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "")
    monkeypatch.setenv("SGE_TASK_ID", "undefined")
    monkeypatch.setenv("RAY_JOB_ID", "ffffffff")

    assert process.this_process().scheduler is None


# Judgement


def test_a_living_process_is_running(child: subprocess.Popen[str]) -> None:
    """A run whose process lives stays running."""
    assert judged(owner_of(child)) == "running"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_process_was_interrupted(how: signal.Signals, child: subprocess.Popen[str]) -> None:
    """A run whose process was killed and is gone reads as interrupted."""
    owner = owner_of(child)
    child.send_signal(how)
    child.wait()

    assert judged(owner) == "interrupted"


def test_a_zombie_was_interrupted(child: subprocess.Popen[str]) -> None:
    """A killed process that nobody has waited for yet is dead all the same."""
    owner = owner_of(child)
    child.kill()
    wait_until(lambda: stat_of(child.pid).rpartition(")")[2].split()[0] == "Z")

    assert judged(owner) == "interrupted"


def test_a_process_that_is_ending_was_interrupted() -> None:
    """Who is told of the end by a closed pipe judges right, although it is not over yet."""
    keep = (
        "import os, sys, time\nsys.stdin.read = lambda: time.sleep(60)\n"
        "kept = os.memfd_create('large')\nos.dup2(kept, 0)\nos.close(kept)\n"
        "os.write(0, bytes(400_000_000))\n"  # to close it takes a while
    )
    with subprocess.Popen(
        [sys.executable, "-c", keep + CAPTURE], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        owner = owner_of(child)
        child.kill()
        child.stdout.read()

        assert judged(owner) == "interrupted"


def test_a_stopped_process_is_running(child: subprocess.Popen[str]) -> None:
    """A process that is only stopped may go on: it is running."""
    owner = owner_of(child)
    child.send_signal(signal.SIGSTOP)
    wait_until(lambda: stat_of(child.pid).rpartition(")")[2].split()[0] == "T")

    assert judged(owner) == "running"


def test_a_reused_pid_is_another_process() -> None:
    """A living process of the same pid that started at another time is not the run's."""
    owner = process.this_process()
    assert owner.start_ticks is not None

    assert judged(replace(owner, start_ticks=owner.start_ticks - 1)) == "interrupted"


def test_another_boot_ended_it() -> None:
    """A run from before the machine was started again was interrupted."""
    owner = replace(process.this_process(), boot_id="4d9e2b6f-0000-4000-8000-000000000000")

    assert judged(owner) == "interrupted"


@pytest.mark.parametrize("change", [{}, {"pid": 2**22 + 1}, {"boot_id": "x"}, {"start_ticks": 1}])
def test_another_host_cannot_be_judged(change: dict[str, int | str]) -> None:
    """A run of another machine stays as it was written, whatever lives here."""
    owner = Process.parse({**process.this_process().to_dict(), "host": "node7", **change})

    assert judged(owner) == "running"
    assert process.is_alive(owner) is None


@pytest.mark.parametrize("known", ["boot_id", "start_ticks", "neither"])
def test_a_lock_from_where_less_is_known(known: str, child: subprocess.Popen[str]) -> None:
    """Without boot or start a living pid is running and a dead one interrupted."""
    whole = owner_of(child)
    owner = Process(host=whole.host, pid=whole.pid)
    if known == "boot_id":
        owner = replace(owner, boot_id=whole.boot_id)
    if known == "start_ticks":
        owner = replace(owner, start_ticks=whole.start_ticks)
    before = judged(owner)
    child.kill()
    child.wait()

    assert (before, judged(owner)) == ("running", "interrupted")


def test_a_zombie_is_dead_where_less_is_known(child: subprocess.Popen[str]) -> None:
    """A zombie is dead for a lock without the start of its process, too."""
    whole = owner_of(child)
    child.kill()
    wait_until(lambda: stat_of(child.pid).rpartition(")")[2].split()[0] == "Z")

    assert judged(Process(host=whole.host, pid=whole.pid)) == "interrupted"


def test_a_process_of_another_user_is_alive() -> None:
    """The first process of the machine, which nobody may signal, is running."""
    owner = Process(host=socket.gethostname(), pid=1)

    assert judged(owner) == "running"


OF_ANOTHER_USER = """
import os, socket
from flexlock_hydra.capture.environment import process
from flexlock_hydra.record.model import Process
os.setuid(65534)
print(process.is_alive(Process(host=socket.gethostname(), pid=int(os.environ["PID"]))))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_process_that_may_not_be_signalled_is_alive() -> None:
    """Where a lock says a pid alone, one that belongs to another user lives."""
    env = {**os.environ, "PID": str(os.getpid())}
    words = [sys.executable, "-c", OF_ANOTHER_USER]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True"]


IS_ABOVE = """
import json, sys
from flexlock_hydra.capture.environment import process
from flexlock_hydra.record.model import Process
print(*(process.is_above(Process.parse(plain)) for plain in json.loads(sys.argv[1])))
"""


@pytest.mark.parametrize("between", [[], ["sh", "-c", '"$@"; exit $?', "sh"]])
def test_a_process_above_is_known(between: list[str]) -> None:
    """A parent and its parent are above a process; none of another host, boot or start is."""
    here = process.this_process()
    assert here.start_ticks is not None
    owners = [
        here,
        replace(here, host="node7"),
        replace(here, boot_id="4d9e2b6f-0000-4000-8000-000000000000"),
        replace(here, pid_namespace="1"),
        replace(here, start_ticks=here.start_ticks - 1),
    ]
    words = [sys.executable, "-c", IS_ABOVE, json.dumps([each.to_dict() for each in owners])]
    done = subprocess.run([*between, *words], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["True", *["False"] * 4]


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "running"])
def test_an_ended_run_keeps_its_status(status: str) -> None:
    """A run that wrote its end is not judged again."""
    dead = replace(process.this_process(), boot_id="another")
    lock = lock_of(dead, status)

    assert process.judge(lock) == lock


def test_judging_changes_the_status_alone() -> None:
    """Everything else of an interrupted lock is as it was written."""
    lock = lock_of(replace(process.this_process(), boot_id="another"))
    again = process.judge(lock)

    assert replace(again, run=replace(again.run, status="running")) == lock
