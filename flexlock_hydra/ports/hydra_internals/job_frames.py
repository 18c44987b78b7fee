"""Hydra's ``run_job``, read from its frame: the task's config, and that the job is over.

Callbacks hear of a task's return and of its exceptions; of SystemExit and KeyboardInterrupt
Hydra 1.3 tells them nothing. But ``run_job`` puts the HydraConfig singleton back in a
``finally``: in the process and thread of the job, with the exception still in flight. That
assignment is watched while a job runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobRuntime

from flexlock_hydra.ports.hydra_internals.app_start import call_in_progress

JobOver = Callable[["BaseException | None"], None]

_waiting: dict[FrameType, JobOver] = {}  # frames of jobs that run, and who is called at the end
_mutex = threading.Lock()


class _WatchedConfig(HydraConfig):
    """HydraConfig while a job runs: it notices who assigns it."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "cfg":
            _notice(sys._getframe(1), sys.exc_info()[1])


def call_when_job_is_over(then: JobOver) -> bool:
    """Have a function called at the end of the Hydra job that this is called from.

    It gets the exception that ends the job, None where none is in flight. False where this is
    called from anywhere but a callback of a job: then nothing is watched.

    Seen on both; 1.3 calls no ``on_job_end`` for Ctrl-C and SystemExit, 1.4 does.
    """
    frame = _frame_of_job()
    if frame is None:
        return False
    with _mutex:
        _waiting[frame] = then
        # Only the class can be exchanged: others hold the instance, and a user's own
        # assignments to it must go on to work.
        HydraConfig.instance().__class__ = _WatchedConfig
    return True


def jobs_run() -> bool:
    """Whether a job is watched that is not over."""
    return bool(_waiting)


def forget_jobs() -> None:
    """In a forked child: the parent's jobs do not end here."""
    _waiting.clear()


@contextmanager
def hydra_config_of(config: Any) -> Iterator[None]:
    """Have ``${hydra:...}`` read a config while the block runs, before Hydra has it do so.

    Seen on both; Hydra's own ``set_config`` copies the node, and makes it read-only, which the
    other callbacks of a run's start do not expect.
    """
    instance: Any = HydraConfig.instance()
    before, instance.cfg = instance.cfg, config
    try:
        yield
    finally:
        instance.cfg = before


def name_of_app() -> str:
    """The name that Hydra gives a job where the config gives none; seen on both."""
    return str(JobRuntime.instance().get("name"))


def config_of_task() -> Any:
    """The config that the task will get, a copy of the callbacks'; None where it is not known.

    Seen on both; ``on_job_start`` is given the other copy.
    """
    frame = _frame_of_job()
    return frame and frame.f_locals.get("task_cfg")


def returned_or_raised(job_return: JobReturn) -> Any:
    """What the task returned, or the exception that left it.

    Seen on both; the public ``return_value`` raises it, and prints to stderr.
    """
    return job_return._return_value


def _frame_of_job() -> FrameType | None:
    """The nearest call of Hydra's run_job, which 1.4 splits in two."""
    return call_in_progress("hydra.core.utils", ["run_job", "_run_job"])


def _notice(frame: FrameType, error: BaseException | None) -> None:
    """A job's own frame assigns the config once: at the end (the start is set_config's)."""
    with _mutex:
        then = _waiting.pop(frame, None)
        if not _waiting:
            HydraConfig.instance().__class__ = HydraConfig
    if then is not None:
        then(error)
