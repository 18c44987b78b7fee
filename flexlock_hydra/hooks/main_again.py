"""Of several Hydra apps that a script starts, a rerun runs the recorded one alone, once.

A script whose first app is the recorded one is started as it was, and what it starts afterwards is
passed over. Any other is run by this program, which passes over what comes before as well:

``python -m flexlock_hydra.hooks.main_again [-m MODULE | SCRIPT] [ARGUMENTS...]``
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.hooks.job.job_view import task_name
from flexlock_hydra.hooks.rerun.notes import read_notes
from flexlock_hydra.hooks.rerun.run_program import run_program
from flexlock_hydra.ports.hydra_internals.app_start import (
    AppCall, parse_app_arguments, replace_app_call
)

# Modules that run the workers of launchers: older records name them as the task's own.
_OF_WORKERS = ("joblib.", "submitit.", "ray.")

_choosing = False  # whether this process passes over other apps already


@dataclass
class OneApp:
    """Stands in for Hydra's start of an app: runs the recorded one, once, and passes over others.

    An app that a job starts is part of that job, and runs.
    """

    run: Callable[..., None]
    notes: Any
    found: bool = False

    def __call__(self, **how: Any) -> None:
        """Run an app, or pass it over; ``how`` is what Hydra's main calls this with."""
        name = how["args"].config_name or how["config_name"]
        if AppCall.in_progress() is None:
            if self.found or not is_recorded_app(how["task_function"], name, self.notes):
                return
            self.found = True
            # Whatever the script has made of its own: it may set them for each app.
            how["args"] = parse_app_arguments(self.notes["arguments"])
        # Hydra looks for the caller's file this many frames up, and there is one more.
        self.run(**{**how, "caller_stack_depth": how.get("caller_stack_depth", 2) + 1})


def choose_app() -> None:
    """When an app starts in a rerun: pass over those after it, or start again for another one.

    Raises:
        SystemExit: this one is not the recorded one; the script was run again, by this module.
    """
    call, notes = AppCall.in_progress(), read_notes()
    if call is None or call.is_nested or notes is None or not _is_own_process(notes):
        return
    if _choosing:
        return
    wanted = parse_app_arguments(notes["arguments"]).overrides
    if call.overrides != wanted or not is_recorded_app(call.task, call.config_name, notes):
        raise SystemExit(subprocess.call(notes["alone"], cwd=notes["started_in"]))
    _choose(notes, found=True)


def is_recorded_app(task: Any, config_name: str | None, notes: Any) -> bool:
    """Whether an app is the one that a rerun repeats, as far as its task and config tell."""
    now, recorded = task_name(task)[0], notes["task"]
    names = [name.removesuffix(".yaml") for name in (config_name, notes["config_name"]) if name]
    if len(set(names)) > 1:
        return False
    if now is None or recorded is None:
        return True
    (module, _, function), (before, _, was) = now.rpartition(":"), recorded.rpartition(":")
    same_module = module.rpartition(".")[2] == before.rpartition(".")[2]
    return bool(function == was) and (same_module or before.startswith(_OF_WORKERS))


def run_script_alone(words: list[str]) -> int:
    """Run a script, and of the apps that it starts the recorded one alone; 2 where it starts none.

    Args:
        words: the command line behind this module's name.
    """
    notes = read_notes()
    app = _choose(notes, found=False)
    run_program(words)
    if app is not None and not app.found:
        what = f"{notes['task']} with the config {notes['config_name']}"
        sys.stderr.write(f"flexlock-hydra: the script starts no app {what}, as the record has it\n")
        return 2
    return 0


def _choose(notes: Any, *, found: bool) -> OneApp | None:
    """Put the stand-in in place, once; None where it was."""
    global _choosing
    if _choosing:
        return None
    _choosing = True
    made: list[OneApp] = []

    def stand_in(run: Callable[..., None]) -> OneApp:
        made.append(OneApp(run, notes, found))
        return made[0]

    replace_app_call(stand_in)
    return made[0]


def _is_own_process(notes: Any) -> bool:
    """Whether the rerun started this process itself; what its job starts inherits the notes."""
    arguments = notes["arguments"]
    return bool(arguments) and sys.orig_argv[-len(arguments):] == arguments


if __name__ == "__main__":
    # By its own name: the plugin finds the same module, and in it that apps are chosen.
    from flexlock_hydra.hooks import main_again

    sys.exit(main_again.run_script_alone(sys.argv[1:]))
