"""Push a run when its job has ended, in a process of its own: no job ever loads DVC."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.record import layout

# The project's folder is taken from the path before anything is imported from it.
_PROGRAM = "import sys; sys.path.remove(''); from flexlock_hydra.cli.main import main; main()"

log = logging.getLogger("flexlock_hydra")


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
    command = [sys.executable, "-c", _PROGRAM, "--quiet", "push", str(run.path.absolute())]
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
