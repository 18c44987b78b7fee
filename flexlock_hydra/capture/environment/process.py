"""The process of a job, and whether it still lives."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from flexlock_hydra.ports.scheduler.scheduler import is_queued
from flexlock_hydra.record.model import INTERRUPTED, RUNNING, Process, RunLock

# Slurm, PBS, LSF, SGE, Cobalt, OAR, Flux, Ray, Kubernetes (the downward API's usual names), AWS
# Batch, SageMaker, Vertex AI, Azure ML, torchrun
_SCHEDULER_VARIABLES = (
    *("SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"),
    *("SLURM_RESTART_COUNT", "SLURM_PROCID", "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_ARRAYID"),
    *("LSB_JOBID", "LSB_JOBINDEX", "JOB_ID", "SGE_TASK_ID", "COBALT_JOBID", "OAR_JOB_ID"),
    *("FLUX_JOB_ID", "RAY_JOB_ID", "POD_NAMESPACE", "POD_NAME", "POD_UID"),
    *("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ARRAY_INDEX"),
    *("TRAINING_JOB_NAME", "CLOUD_ML_JOB_ID", "AZUREML_RUN_ID", "TORCHELASTIC_RUN_ID"),
)

_EXITING = 0x4  # PF_EXITING, of the flags in proc(5)

# What SGE says of a job that is in no array, and Ray of a worker that it started in advance
_NO_IDS = ("", "undefined", "f" * 8)

UNKNOWN = "unknown"
"""The status that a reader gives to a run that cannot be judged; no lock has it."""


def this_process() -> Process:
    """What a run.lock says of this process, with the scheduler's variables in its environment."""
    scheduler = {
        name.lower(): value
        for name in _SCHEDULER_VARIABLES
        if (value := os.environ.get(name, "")) not in _NO_IDS
    }
    return replace(_identity_of(os.getpid()), scheduler=scheduler or None)


@lru_cache(maxsize=1)
def _identity_of(pid: int) -> Process:
    """Host and identity of a process, read once; a fork has another id, so it is read anew."""
    return Process(
        host=socket.gethostname(),
        pid=pid,
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        start_ticks=_start_ticks(pid),
    )


def started_ns() -> int | None:
    """When this process started, nanoseconds since the epoch, to 10 ms; None if not known."""
    ticks = _start_ticks(os.getpid())
    if not ticks:
        return None
    since_boot = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.time_ns() - since_boot + ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def judge(lock: RunLock) -> RunLock:
    """The lock with its status as judged now: a killed process cannot write its end.

    A run that cannot be judged from here stays as it was written, see :func:`status_now`.
    """
    if lock.run.status != RUNNING:
        return lock
    return ended(lock) if is_alive(lock.run.process) is False else lock


def ended(lock: RunLock) -> RunLock:
    """The lock of a run that is known to have ended, whoever wrote that down or not."""
    if lock.run.status != RUNNING:
        return lock
    return replace(lock, run=replace(lock.run, status=INTERRUPTED))


def status_now(lock: RunLock) -> str:
    """The status of a judged lock; ``unknown`` where nobody here can tell if it still runs."""
    if lock.run.status == RUNNING and is_alive(lock.run.process) is None:
        return UNKNOWN
    return lock.run.status


def is_alive(process: Process) -> bool | None:
    """Whether the process runs now; None where that cannot be told from here.

    On another host the scheduler is asked, where it is at hand.
    """
    if process.host != socket.gethostname():
        return is_queued(process.scheduler or {})
    # A pid means a process only until the machine or the container starts anew.
    if process.boot_id and (now := _boot_id()) and now != process.boot_id:
        return False
    if process.pid_namespace and process.pid_namespace != _pid_namespace():
        return None
    return _is_alive_here(process)


def is_above(process: Process) -> bool:
    """Whether a living process started this one, at any depth."""
    here = _identity_of(os.getpid())
    where = attrgetter("host", "boot_id", "pid_namespace")
    if where(process) != where(here) or process.pid not in _ancestors():
        return False
    return _is_alive_here(process) is True


def _is_alive_here(process: Process) -> bool | None:
    """Whether a process of this machine and namespace runs; None where that is not known."""
    ticks = _start_ticks(process.pid)
    if ticks == 0:
        return False
    # The kernel gives the number of a process that ended to another one: its start tells.
    if ticks is not None and process.start_ticks is not None:
        return ticks == process.start_ticks  # else its pid was given to another process
    if os.name == "nt":  # there, signal 0 is Ctrl-C
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and another user's
        pass
    return True


def _ancestors() -> list[int]:
    """The parent of this process, its parent, and so on; without /proc the first alone."""
    found = [os.getppid()]
    while (stat := _stat(found[-1])) and (parent := int(stat[1])) and parent not in found:
        found.append(parent)
    return found


def _boot_id() -> str | None:
    """The kernel's id of this start of the machine; None where there is no /proc."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    """The number of the namespace that this process's ids are of, as a container has its own."""
    try:
        return os.readlink("/proc/self/ns/pid").removeprefix("pid:").strip("[]")
    except OSError:
        return None


def _start_ticks(pid: int) -> int | None:
    """Clock ticks from boot to a process's start; 0 of one that ends, and of a zombie.

    What waits for a process may hear of its end before it is a zombie: its files are
    closed first.
    """
    stat = _stat(pid)
    if stat is None:
        return None
    is_over = stat[0] in "ZX" or int(stat[6]) & _EXITING
    return 0 if is_over else int(stat[19])


def _stat(pid: int) -> list[str] | None:
    """Fields 3 (state) and on of /proc/PID/stat, see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
