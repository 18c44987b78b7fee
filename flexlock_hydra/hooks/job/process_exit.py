"""The process ends before its runs do: by exit or by a signal, and in children that it forks."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import NoReturn

from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.job.active_run import ActiveRun, active_runs, late_writers
from flexlock_hydra.ports.hydra_internals import job_frames
from flexlock_hydra.record.model import INTERRUPTED

_CAUGHT = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_last: set[Callable[[], None]] = set()
_held = threading.local()


def enter_run(run: ActiveRun) -> None:
    """Make a run the one that paths are recorded in; the exit ends it, should nobody before."""
    _register_exit()
    tracking.enter_sink(run)


def at_exit(function: Callable[[], None]) -> None:
    """Have a function called when the process ends, after every run's own end."""
    _register_exit()
    _last.add(function)


def stop_process(reason: str, hint: str) -> NoReturn:
    """End the process, exit code 2: an Exception would become a warning of Hydra's.

    Raises:
        SystemExit: always.
    """
    sys.stderr.write(f"flexlock-hydra: {reason}\n{hint}\n")
    raise SystemExit(2)


def catch_signals() -> None:
    """Handle the signals that would kill the process, for as long as a job runs.

    Only where nobody else handles them, and in the main thread: elsewhere Python refuses.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    _notice_forks()
    for number in _CAUGHT:
        # A handler of the user's or of a launcher decides itself what ends.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _on_signal)


def release_signals() -> None:
    """Put the default handlers back, where nobody put another in the place of ours since."""
    if threading.current_thread() is threading.main_thread():
        for number in _CAUGHT:
            if signal.getsignal(number) is _on_signal:
                signal.signal(number, signal.SIG_DFL)


def _on_signal(number: int, _: FrameType | None) -> None:
    """Write the end of every run, then die of the signal as if it had not been caught."""
    # First: a second signal kills at once, should the record hang.
    signal.signal(number, signal.SIG_DFL)
    try:
        _interrupt()
    finally:
        os.kill(os.getpid(), number)


def _hold() -> None:
    """Before a fork: let signals wait, for a child loses one that Python has not handled yet."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT)


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _forget_parent() -> None:
    """In a forked child: its parent's jobs and handlers are none of its own."""
    job_frames.forget_jobs()
    release_signals()
    _release()


@cache  # once a process, as the next one
def _notice_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forget_parent)


@cache
def _register_exit() -> None:
    atexit.register(_at_exit)


def _at_exit() -> None:
    """End the runs that nobody ended, and look again at those that something may have added to."""
    _interrupt()
    for run in late_writers:
        # A forked child inherits the list, and must not write its parent's locks.
        if run.owner.pid == os.getpid():
            run.settle()
    # Last: a sweep's lock is built from those of its jobs.
    for function in _last:
        function()


def _interrupt() -> None:
    for run in active_runs():
        run.finish(INTERRUPTED)
