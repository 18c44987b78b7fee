"""Runs a script that calls hydra-zen's ``launch``, for a rerun of one of its jobs.

``python -m flexlock_hydra.hooks.zen_launch [-m MODULE | SCRIPT] [ARGUMENTS...]``

Such a script has no command line of Hydra's to give overrides to. It is run as it was; the
call of ``launch`` that composes the recorded config gets the recorded overrides, and its job
is the rerun. The calls before it are passed over. Where the script needs what they return,
it is run once more, and they too.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

from hydra.core.utils import JobReturn

from flexlock_hydra.hooks.job.job_view import task_name
from flexlock_hydra.hooks.rerun.config_check import OtherConfigError
from flexlock_hydra.hooks.rerun.notes import read_notes
from flexlock_hydra.hooks.rerun.run_program import run_program
from flexlock_hydra.ports.hydra_internals.app_start import launch_module
from flexlock_hydra.record import layout

_EVERY_CALL = "--every-call"
# What launch takes beside overrides; `multirun` is off in a rerun.
_NOT_OVERRIDES = (
    *("version_base", "to_dictconfig", "config_name", "job_name", "with_log_configuration"),
    "execution_whitelist",
)


class Launch:
    """Stands in for hydra-zen's ``launch``: runs the recorded job alone, with its overrides."""

    def __init__(self, launch: Any, notes: Any, *, every_call: bool) -> None:
        self.launch = launch
        self.notes = notes
        self.every_call = every_call
        self.passed_over = 0
        self.found = False
        self.other: tuple[str, ...] = ()
        functools.update_wrapper(self, launch)

    def __call__(self, config: Any, task_function: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the recorded job and end the process, if this call launches it; else pass it over."""
        if task_name(task_function)[0] == self.notes["task"]:
            self._try_recorded(config, task_function, kwargs)
        if self.every_call:
            return self.launch(config, task_function, *args, **kwargs)
        self.passed_over += 1
        return JobReturn()

    def _try_recorded(self, config: Any, task_function: Any, kwargs: Any) -> None:
        fixed = {key: kwargs[key] for key in _NOT_OVERRIDES if key in kwargs}
        self.found = True
        try:
            self.launch(config, task_function, self.notes["overrides"], **fixed)
        except OtherConfigError as error:
            self.found, self.other = False, error.keys
        else:
            raise SystemExit(0)


def run_script(words: list[str]) -> int:
    """Run a script with its launch replaced; the exit code, where the recorded job was not found.

    Args:
        words: the command line behind the module's name.
    """
    import hydra_zen

    every_call = words[0] == _EVERY_CALL
    module = launch_module()
    launch = Launch(module.launch, read_notes(), every_call=every_call)
    # Both: a script may import it from either.
    hydra_zen.launch = module.launch = launch
    try:
        run_program(words[every_call:])
    except Exception:
        # The script may have needed what a call that was passed over returns.
        if launch.found or not launch.passed_over:
            raise
    if launch.passed_over:
        again = [sys.executable, "-m", layout.LAUNCH_AGAIN, _EVERY_CALL, *words]
        return subprocess.call(again, cwd=launch.notes["started_in"])
    if not launch.found:
        what = f": {', '.join(launch.other)}" if launch.other else ""
        sys.stderr.write(
            f"flexlock-hydra: the script launches no job of the recorded config{what}\n"
        )
    return 2


if __name__ == "__main__":
    sys.exit(run_script(sys.argv[1:]))
