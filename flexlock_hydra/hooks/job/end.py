"""How a job ends, whatever ends it.

Callbacks hear of a task's return and of its exceptions; what else ends it is heard of from
Hydra's own frame (:mod:`flexlock_hydra.hooks.hydra_internals.job_frames`). A signal that would
kill the process is caught where nobody else catches it. What is left, a kill, is judged by
whoever reads the lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import reprlib
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.hooks.hydra_internals import job_frames
from flexlock_hydra.hooks.hydra_internals.job_frames import JobOver
from flexlock_hydra.hooks.job import active_run
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import COMPLETED, FAILED, INTERRUPTED, Failure

_RESULT_LIMIT = 100_000
"""Characters of JSON above which a result is kept as the beginning of its repr."""
_ARRAY_LIMIT = 1000
"""Elements of an array above which it is kept so."""

_short = reprlib.Repr()
"""Shows the first items of what is long, and all of a text: a part of a secret looks like none."""
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 50
_short.maxstring = _short.maxother = _short.maxlong = _RESULT_LIMIT

_SIGNALS = ("SIGTERM", "SIGHUP")

_held = threading.local()
_forks_are_noticed = False

log = logging.getLogger("flexlock_hydra")


@dataclass(frozen=True)
class End:
    """How a job ended: its status, what it raised, what it returned."""

    status: str
    error: Failure | None = None
    result: Json = None

    @classmethod
    def by_return(cls, value: Any, masker: Masker) -> End:
        """The end of a task that returned a value."""
        return cls(COMPLETED, result=_result(value, masker))

    @classmethod
    def by_error(cls, error: BaseException, masker: Masker) -> End:
        """The end of a task that an exception left; ``sys.exit()`` is no failure."""
        if isinstance(error, KeyboardInterrupt):
            return cls(INTERRUPTED)
        if isinstance(error, SystemExit) and error.code in (None, 0):
            return cls(COMPLETED)
        return cls(FAILED, error=_failure(error, masker))


def watch(told: JobOver) -> None:
    """Call ``told`` at the end of the Hydra job that this is called from.

    It gets the exception that ends the job, None where none is in flight. To be called from
    a callback of the job; anywhere else nothing is watched.
    """

    def end(error: BaseException | None) -> None:
        try:
            told(error)
        except Exception as problem:  # as for Hydra's callbacks: what ends the job gets through
            log.warning("the end of a job could not be recorded: %s", problem)
        if not job_frames.jobs_run():
            _release_signals()

    if job_frames.call_when_job_is_over(end):
        _catch_signals()


def _catch_signals() -> None:
    """Handle what would end the process now, only where it does and Python lets us."""
    global _forks_are_noticed
    if threading.current_thread() is not threading.main_thread():
        return
    if not _forks_are_noticed and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forget)
        _forks_are_noticed = True
    for number in _numbers():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _on_signal)


def _release_signals() -> None:
    """Give back the handlers that are still ours."""
    if threading.current_thread() is threading.main_thread():
        for number in _numbers():
            if signal.getsignal(number) is _on_signal:
                signal.signal(number, signal.SIG_DFL)


def _on_signal(number: int, _: FrameType | None) -> None:
    """Write the end of every run, then die of the signal as if it had not been caught."""
    signal.signal(number, signal.SIG_DFL)
    try:
        active_run.interrupt()
    finally:
        os.kill(os.getpid(), number)


def _hold() -> None:
    """Before a fork: let signals wait, for a child loses one that Python has not handled yet."""
    _held.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _numbers())


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _held.mask)


def _forget() -> None:
    """In a forked child: its parent's jobs and handlers are none of its own."""
    job_frames.forget_jobs()
    _release_signals()
    _release()


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]


def _failure(error: BaseException, masker: Masker) -> Failure:
    return Failure(
        type=type(error).__name__,
        message=masker.text(_safely(str, error)),
        traceback=masker.text(_safely(_format_traceback, error)),
    )


def _format_traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _safely(render: Callable[[Any], str], value: Any) -> str:
    """What a user's own ``__str__`` or ``__repr__`` says, or that it raised."""
    try:
        return str(render(value))
    except Exception as error:  # the user's code runs here
        return f"<{type(value).__name__}: {type(error).__name__} while it was shown>"


def _result(value: Any, masker: Masker) -> Json:
    if value is None:
        return None
    with contextlib.suppress(Exception):  # no JSON, or the user's code that runs here refuses
        text = json.dumps(value, default=_as_json)
        if len(text) <= _RESULT_LIMIT:
            return masker.mask(json.loads(text))
    return {"repr": masker.text(_safely(_short.repr, value)[:_RESULT_LIMIT])[:1000]}


def _as_json(value: Any) -> Json:
    """A path as its text; a number or a small array, of NumPy or a tensor, as Python's own.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(value, PurePath):
        return str(value)
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    is_dated = getattr(kind, "kind", "") in ("M", "m")  # whose numbers say nothing
    if isinstance(shape, tuple) and math.prod(shape) <= _ARRAY_LIMIT and not is_dated:
        plain: Json = value.tolist()
        return plain
    raise TypeError
