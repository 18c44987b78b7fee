"""How a job ends, whatever ends it.

Callbacks hear of a task's return and of its exceptions; what else ends it is heard of from
Hydra's own frame (:mod:`flexlock_hydra.ports.hydra_internals.job_frames`). A signal that would
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
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.hooks.config.options import CallbackOptions, Strict
from flexlock_hydra.hooks.job import code_watch
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.process_exit import catch_signals, release_signals, stop_process
from flexlock_hydra.ports.hydra_internals import job_frames
from flexlock_hydra.ports.hydra_internals.job_frames import JobOver
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import (
    COMPLETED, FAILED, INTERRUPTED, OBSERVED, Failure, Unrecorded
)
from flexlock_hydra.record.wording import some_of

# Characters of JSON above which a result is kept as the beginning of its repr, and elements of an
# array above which it is.
_RESULT_LIMIT, _ARRAY_LIMIT = 100_000, 1000
# Characters of an error's message and traceback that are kept, and of what is masked beyond a cut
_MESSAGE_LIMIT, _TRACEBACK_LIMIT, _CUT_EDGE = 10_000, 100_000, 5_000
_NAMED = 3  # inputs that a line on the log names

# The push is a process of its own, for no job loads DVC. The project's folder is taken from the
# path before anything is imported from it.
_PUSH = "import sys; sys.path.remove(''); from flexlock_hydra.cli.main import main; main()"

# Shows the first items of what is long, and all of a text: a part of a secret looks like none.
_short = reprlib.Repr()
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 50
_short.maxstring = _short.maxother = _short.maxlong = _RESULT_LIMIT

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


def watch(then: JobOver) -> None:
    """Call a function at the end of the Hydra job that this is called from, and handle signals.

    It gets the exception that ends the job, None where none is in flight. To be called from
    a callback of the job; anywhere else nothing is watched.
    """

    def end(error: BaseException | None) -> None:
        try:
            then(error)
        except Exception as problem:  # as for Hydra's callbacks: what ends the job gets through
            log.warning("the end of a job could not be recorded: %s", problem)
        if not job_frames.jobs_run():
            release_signals()

    if job_frames.call_when_job_is_over(end):
        catch_signals()


def finish_job(run: ActiveRun, end: End, options: CallbackOptions, *, closely: bool) -> None:
    """Write a job's end, then push it where the user wants that.

    The outputs of a run that was cut off are not hashed: whoever pressed Ctrl-C waits.

    Args:
        closely: whether git looks at every file once more, not only at those that were read.

    Raises:
        KeyboardInterrupt: it came while hashes were waited for; the lock is written.
    """
    warned = len(run.lock.warnings)
    run.record_used_repos()
    try:
        # Git looks at the code while what is not hashed yet is waited for.
        with code_watch.asked_again(run, closely=closely) as asked:
            run.follow_folder()  # first: what was read there is no input
            run.stop(end.status)
            if (view := run.view) is not None:
                if options.outputs.enabled and end.status != INTERRUPTED:
                    from flexlock_hydra.hooks.job.hashed_data import OutputFolder

                    folder = OutputFolder(run.folder, options.outputs, view.log_files())
                    run.record_outputs(folder)
                code_watch.look_again(run, view, asked)
    finally:
        run.finish(end.status, error=end.error, result=end.result)
    log_warnings(run, options.strict, after=warned)
    _say_inputs(run, options.strict)
    if options.push and end.status != INTERRUPTED and type(run) is ActiveRun:
        push_ended_run(run)


def log_warnings(run: ActiveRun, strict: Strict, after: int = 0) -> None:
    """Log the warnings of a lock from one on, unless the user wants them in the lock alone."""
    if strict is not Strict.off:
        for text in run.lock.warnings[after:]:
            log.warning(text)


def _say_inputs(run: ActiveRun, strict: Strict) -> None:
    """Log in one line which inputs nobody marked, which are not recorded, and what to write.

    Raises:
        SystemExit: with ``strict=all``, something that a single job read is not recorded.
    """
    lock, view = run.lock, run.view
    observed = [name for name, each in lock.data.items() if each.how == OBSERVED]
    gaps = lock.unrecorded or ()
    if strict is Strict.off or view is None or not (observed or gaps):
        return
    said = [f"recorded without a mark: {some_of(observed, _NAMED)}"] if observed else []
    if gaps:
        said.append(f"read and not recorded: {some_of([each.path for each in gaps], _NAMED)}")
    text, advice = run.masker.text("; ".join(said)), _advice(gaps[0]) if gaps else ""
    if gaps and strict is Strict.all and lock.job.sweep is None:
        stop_process(text, advice)  # not in a sweep: an exit would end the other jobs with it
    log.log(logging.WARNING if gaps else logging.INFO, f"{text}; {advice}" if gaps else text)


def _advice(gap: Unrecorded) -> str:
    """What to put into the config, so that a file is recorded, or is no input."""
    key = gap.config_key or "data"
    return (
        f"to record it write {key}: ${{snapshot:{gap.path}}}, to leave it out "
        f"hydra.callbacks.flexlock.inputs.exclude=[{PurePath(gap.path).name}]"
    )


def push_ended_run(run: ActiveRun) -> None:
    """Push a run whose end is written; a failure is logged, and becomes a warning in its lock.

    A rerun is not pushed: whoever wants that does it by hand.
    """
    if run.lock.run.parent is not None:
        return
    wrong = _run_push(run)
    if wrong is None:
        run.outputs = None  # what is pushed is the record: nothing is hashed again at exit
        return
    text = f"{layout.NOT_PUSHED}{wrong}"
    run.warn(text)
    log.warning(text)
    try:
        run.write()
    except OSError as error:
        log.warning("%s cannot be written: %s", run.path, error.strerror)


def _run_push(run: ActiveRun) -> str | None:
    """Run ``flexlock push`` on a run; what went wrong in words, None where nothing did."""
    cwd = Path(run.lock.job.command.cwd)
    command = [sys.executable, "-c", _PUSH, "--quiet", "push", str(run.path.absolute())]
    # With it Python puts no '' on the path, which the program takes away.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    try:
        done = subprocess.run(
            command,
            cwd=cwd if cwd.is_dir() else run.folder,
            env=environment,
            # Nobody is there to answer what git or a remote might ask.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        return f"{sys.executable} cannot be started: {error.strerror}"
    if done.returncode == 0:
        log.debug("pushed %s", run.lock.tag)
        return None
    said = " ".join(done.stderr.decode("utf-8", "replace").split())
    return said.removeprefix("error: ") or f"exit code {done.returncode}"


def _failure(error: BaseException, masker: Masker) -> Failure:
    lines = _safely(lambda each: "".join(traceback.format_exception(each)), error)
    return Failure(
        type=type(error).__name__,
        message=_bounded(_safely(str, error), masker, _MESSAGE_LIMIT),
        traceback=_bounded(lines, masker, _TRACEBACK_LIMIT),
    )


def _bounded(text: str, masker: Masker, most: int) -> str:
    """A text without secrets; of a long one the beginning and the end, and how much is left out.

    To find secrets in a text of 50 MB would take longer than many a job.
    """
    if len(text) <= most:
        return masker.text(text)
    # A part of a secret looks like none: at both cuts more is masked than is kept.
    head = masker.text(text[:most // 2 + _CUT_EDGE])[:-_CUT_EDGE]
    tail = masker.text(text[-most // 2 - _CUT_EDGE:])[_CUT_EDGE:]
    return f"{head}\n[{len(text) - most:,} characters left out]\n{tail}"


def _safely(render: Callable[[Any], str], value: Any) -> str:
    """A value as a user's own ``__str__`` or ``__repr__`` shows it, or that these raised."""
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
    """A path as its text; a number or a small array, of NumPy or a tensor, as Python's own."""
    if isinstance(value, PurePath):
        return str(value)
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    is_dated = getattr(kind, "kind", "") in ("M", "m")  # whose numbers say nothing
    if isinstance(shape, tuple) and math.prod(shape) <= _ARRAY_LIMIT and not is_dated:
        plain: Json = value.tolist()
        return plain
    raise TypeError
