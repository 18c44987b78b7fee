"""Batch schedulers: what each tells of a job that ran on another machine, asked by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flexlock_hydra.ports.scheduler.slurm import Slurm


class Scheduler(Protocol):
    """What a scheduler must tell. To add one, write a class and name it in ``SCHEDULERS``."""

    def is_queued(self, job_id: str) -> bool | None:
        """Whether a job waits or runs.

        None where the scheduler is not at hand, does not answer in a few seconds, or does not
        know: a reader of runs neither waits for it nor fails.
        """


SCHEDULERS: Mapping[str, Scheduler] = {"slurm_job_id": Slurm()}
"""By the name under which a run.lock's ``process.scheduler`` has the id of a job."""


def is_queued(recorded: Mapping[str, str]) -> bool | None:
    """Whether the job that a process was recorded in waits or runs.

    Args:
        recorded: a run.lock's ``process.scheduler``: environment variables in small letters.

    Returns:
        None where that cannot be told from here, and for a scheduler that nobody knows.
    """
    for name, scheduler in SCHEDULERS.items():
        if name in recorded:
            return scheduler.is_queued(recorded[name])
    return None
