"""Locks as plain data: the fullest, the smallest, and wrong ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flexlock_hydra.record.model import (
    CodeRef,
    CodeState,
    Command,
    Completeness,
    DataEntry,
    Environment,
    Failure,
    Job,
    Outputs,
    Overrides,
    Predecessor,
    Process,
    Run,
    RunLock,
    Sweep,
    Unrecorded,
)

RUN_ID = "20261122T101500Z-3f9c2a7b"
PREV_ID = "20261122T100000Z-77aa01bc"
OLDEST_ID = "20261120T080000Z-0badcafe"
SHA = "0123456789abcdef0123456789abcdef01234567"
MD5 = "8c7dd922ad47494fc02c388e12c00eac"
ENTRY = DataEntry(
    path="data/features.csv",
    how="overridden",
    hash={"md5": MD5},
    size=1048576,
    nfiles=1,
    config_key="training_data",
)
FULL = RunLock(
    run=Run(
        id=RUN_ID,
        status="failed",
        started="2026-11-22T10:15:00.123456+00:00",
        ended="2026-11-22T10:15:42.001002+00:00",
        duration=41.877546,
        process=Process(
            host="node7",
            pid=4711,
            boot_id="4d9e2b6f-0000-4000-8000-000000000000",
            start_ticks=12345,
            pid_namespace="pid:[4026531836]",
            scheduler={"slurm_job_id": "99"},
        ),
        error=Failure(type="ValueError", message="lr is -1", traceback="Traceback\n  ...\n"),
        result={"accuracy": 0.953, "classes": ["ä", None, True, 3]},
        parent=PREV_ID,
    ),
    job=Job(
        name="train",
        overrides=Overrides(task=("lr=0.1",), hydra=("hydra/callbacks=flexlock",)),
        choices={"model": "mlp", "hydra/env": None},
        config_name="train",
        config_sources=({"schema": "file", "path": "/home/ada/conf"},),
        num=3,
        sweep=Sweep(id="2026-11-22/10-15-00", dir="multirun/2026-11-22/10-15-00"),
        command=Command(
            executable="/usr/bin/python3",
            argv=("train.py", "lr=0.1"),
            cwd="/home/ada/project",
            module="pkg.train",
            file="train.py",
            task="train:main",
            runner=("-O", "-m", "cProfile"),
            call="hydra_zen.launch",
            import_paths=(".", "src"),
        ),
        hydra="1.3.8",
        id="99_3",
        volatile=("*.tmp", "metrics.json:step_time", "!*.log"),
        output_dir="/home/ada/project/multirun/3",
    ),
    config={"lr": 0.1, "table": "data/features.csv", "layers": [1, 2], "none": None},
    unresolved={"lr": 0.1, "table": "${snapshot:data/features.csv}"},
    repos={
        "main": CodeState(
            path=".",
            remote="https://example.org/team/project.git",
            branch="main",
            head=SHA,
            commit=SHA[::-1],
            tree=SHA,
            dirty=("new.py", "train.py"),
            completeness="partial",
            reasons=("submodule libs/x is dirty",),
            import_paths=("src",),
        )
    },
    data={"training_data": ENTRY},
    unrecorded=(Unrecorded(path=".env", why="a secret", config_key="env", size=3),),
    completeness=Completeness(code="partial", data="partial"),
    prevs={
        PREV_ID: Predecessor(
            job="preprocess",
            path="outputs/preprocess/2026-11-22/10-00-00",
            direct=True,
            via=("training_data",),
            status="completed",
            stale=("its input raw (/data/raw) has another size",),
            lock=f"sha256:{'ab' * 32}",
            repos={"main": CodeRef(commit=SHA, tree=SHA)},
            data={
                "raw": DataEntry(
                    path="/data/raw/*.csv",
                    given="~/raw/*.csv",
                    base="/data/raw",
                    files=("a.csv",),
                    listed={".": MD5},
                    executable=("run.sh",),
                    links={"a.csv": "../a.csv"},
                    empty=("none",),
                    error="/data/raw is missing",
                ),
                "url": DataEntry(path="https://example.org/x", remote={"etag": "ab", "size": "3"}),
            },
            prevs=(OLDEST_ID,),
        )
    },
    environment=Environment(
        python="3.11.7",
        implementation="CPython",
        platform="Linux-6.1-x86_64",
        libc="glibc 2.36",
        packages={"numpy": "2.3.1"},
        conda={"zlib": "1.3=h1_0 (conda-forge)"},
        lockfiles={"uv.lock": f"sha256:{'cd' * 32}"},
        cpu={"model": "EPYC", "count": 8, "affinity": 4, "quota": 1.5},
        memory={"total": 1 << 33, "limit": 1 << 32},
        gpu=({"name": "H100", "uuid": "GPU-1", "driver": "550.54"},),
        torch={"cuda": "12.4"},
        container={"engine": "podman", "image": "docker.io/a/b:1"},
        variables={"CUDA_VISIBLE_DEVICES": "0"},
    ),
    outputs=Outputs(
        path=".",
        hash={"md5": f"{MD5}.dir"},
        size=123456,
        nfiles=12,
        left_out=("app.log",),
        only=("*.pt", "app.log"),
        unhashed={"big.ckpt": 1 << 40},
        earlier=("epoch0.ckpt",),
        executable=("run.sh",),
        links={"last.pt": "best.pt"},
        empty=("plots",),
    ),
    warnings=("GPU not asked",),
)
MINIMAL = RunLock(
    run=Run(
        id=RUN_ID,
        status="running",
        started="2026-11-22T10:15:00+00:00",
        process=Process(host="node7", pid=4711),
    ),
    job=Job(name="train", command=Command(executable="python", argv=(), cwd="/")),
    environment=Environment(python="3.11.7", implementation="CPython", platform="Linux"),
)
BOTH = pytest.mark.parametrize("lock", [FULL, MINIMAL], ids=["full", "minimal"])


def plain_full() -> dict[str, Any]:
    """The full lock as plain data, free to be changed."""
    return copy.deepcopy(FULL.to_dict())


def put(plain: Any, place: str, value: Any) -> None:
    """Set, or with ``...`` remove, the value at a place such as ``run.process.pid``."""
    *above, last = place.split("/")
    for name in above:
        plain = plain[name]
    if value is ...:
        del plain[last]
    else:
        plain[last] = value


WRONG = {
    "run": (None, "run should be a mapping"),
    "run/id": (..., "run.id is missing"),
    "run/status": ("done", "run.status 'done' is none of running, completed, failed"),
    "run/started": (20261122, "run.started should be text"),
    "run/duration": ("long", "run.duration should be float"),
    "run/process": ([], "run.process should be a mapping"),
    "run/process/pid": ("4711", "run.process.pid should be a whole number"),
    "run/process/start_ticks": (True, "run.process.start_ticks should be a whole number"),
    "run/process/scheduler": ({"slurm": 99}, "run.process.scheduler.slurm should be text"),
    "run/error/type": (..., "run.error.type is missing"),
    "job/name": (3, "job.name should be text"),
    "job/overrides/task": ("lr=1", "job.overrides.task should be a list"),
    "job/command": (..., "job.command is missing"),
    "job/command/argv": (["a", 1], r"job.command.argv\[1\] should be text"),
    "job/choices": (["a"], "job.choices should be a mapping"),
    "repos": ([], "repos should be a mapping"),
    "repos/main": ("here", "repos.main should be a mapping"),
    "repos/main/commit": (..., "repos.main.commit is missing"),
    "repos/main/tree": (None, "repos.main.tree should be text"),
    "repos/main/dirty": ({"a": 1}, "repos.main.dirty should be a list"),
    "data/training_data/size": (1.5, "data.training_data.size should be a whole number"),
    "data/training_data/hash": ("md5", "data.training_data.hash should be a mapping"),
    "data/training_data/path": (..., "data.training_data.path is missing"),
    f"prevs/{PREV_ID}/direct": ("yes", f"prevs.{PREV_ID}.direct should be bool"),
    f"prevs/{PREV_ID}/data/raw": (7, f"prevs.{PREV_ID}.data.raw should be a mapping"),
    f"prevs/{PREV_ID}/repos/main/tree": (..., f"prevs.{PREV_ID}.repos.main.tree is missing"),
    "environment": (..., "environment is missing"),
    "environment/packages": ({"numpy": 2.3}, "environment.packages.numpy should be text"),
    "outputs/nfiles": ("12", "outputs.nfiles should be a whole number"),
    "warnings": ("one", "warnings should be a list"),
}
