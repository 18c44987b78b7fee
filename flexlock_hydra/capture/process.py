"""The process of a job, and whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

from flexlock_hydra.record.model import INTERRUPTED, RUNNING, Process, RunLock

_SCHEDULER_VARIABLES = (
    *("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    *("SLURM_RESTART_COUNT", "SLURM_PROCID", "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_ARRAYID"),
    *("LSB_JOBID", "LSB_JOBINDEX", "JOB_ID", "SGE_TASK_ID", "COBALT_JOBID", "OAR_JOB_ID"),
    *("FLUX_JOB_ID", "RAY_JOB_ID", "POD_NAMESPACE", "POD_NAME", "POD_UID"),
    *("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ARRAY_INDEX"),
    *("TRAINING_JOB_NAME", "CLOUD_ML_JOB_ID", "AZUREML_RUN_ID", "TORCHELASTIC_RUN_ID"),
)
"""Slurm, PBS, LSF, SGE, Cobalt, OAR, Flux, Ray, Kubernetes (the downward API's usual names),
AWS Batch, SageMaker, Vertex AI, Azure ML, torchrun."""

_NO_IDS = ("", "undefined")  # SGE says so of a job that is in no array


def capture() -> Process:
    """This process."""
    scheduler = {
        name.lower(): value
        for name in _SCHEDULER_VARIABLES
        if (value := os.environ.get(name, "")) not in _NO_IDS
    }
    pid = os.getpid()
    return Process(
        host=socket.gethostname(),
        pid=pid,
        boot_id=_boot_id(),
        start_ticks=_start_ticks(pid),
        scheduler=scheduler or None,
    )


def judge(lock: RunLock) -> RunLock:
    """The lock with its status as judged now: a killed process cannot write its end.

    A run of another host stays as it was written: from here nobody can tell.
    """
    return ended(lock) if is_alive(lock.run.process) is False else lock


def ended(lock: RunLock) -> RunLock:
    """The lock of a run that is known to have ended, whoever wrote that down or not."""
    if lock.run.status != RUNNING:
        return lock
    return replace(lock, run=replace(lock.run, status=INTERRUPTED))


def is_alive(process: Process) -> bool | None:
    """Whether the process runs now; None where that cannot be told from here."""
    if process.host != socket.gethostname():
        return None
    if process.boot_id and (now := _boot_id()) and now != process.boot_id:
        return False
    ticks = _start_ticks(process.pid)
    if ticks == 0:
        return False
    if ticks is not None and process.start_ticks is not None:
        return ticks == process.start_ticks
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _start_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)): clock ticks since boot; of a zombie 0."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] in "ZX" else int(fields[19])
