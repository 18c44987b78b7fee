"""Runs a script that calls hydra-zen's ``launch``, for a rerun of one of its jobs.

``python -m flexlock_hydra.hooks.launch_again [-m MODULE | SCRIPT] [ARGUMENTS...]``

Such a script has no command line of Hydra's to give overrides to. It is run as it was; the
call of ``launch`` that composes the recorded config gets the recorded overrides, and its job
is the rerun. Calls before it run as the script says, in the rerun's own worktree.
"""

from __future__ import annotations

import functools
import os
import runpy
import sys
from typing import Any

from flexlock_hydra.hooks.again import OtherConfigError, read_notes
from flexlock_hydra.hooks.begin import task_name


class Launch:
    """Stands for hydra-zen's ``launch`` until the recorded job was run."""

    def __init__(self, launch: Any, notes: Any) -> None:
        self.launch = launch
        self.notes = notes
        self.other: tuple[str, ...] = ()
        functools.update_wrapper(self, launch)

    def __call__(self, config: Any, task_function: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the recorded job, if this is it, and end; else what the script asks for."""
        if task_name(task_function)[0] != self.notes["task"]:
            return self.launch(config, task_function, *args, **kwargs)
        fixed = {key: kwargs[key] for key in _NOT_OVERRIDES if key in kwargs}
        try:
            self.launch(config, task_function, self.notes["overrides"], **fixed)
        except OtherConfigError as error:
            self.other = error.keys
            return self.launch(config, task_function, *args, **kwargs)
        raise SystemExit(0)


_NOT_OVERRIDES = (
    *("version_base", "to_dictconfig", "config_name", "job_name", "with_log_configuration"),
    "execution_whitelist",
)
"""What launch takes beside overrides; ``multirun`` is off in a rerun."""


def main() -> None:
    """Run the script that the command line names."""
    import hydra_zen
    import hydra_zen._launch as module

    launch = Launch(module.launch, read_notes())
    hydra_zen.launch = module.launch = launch
    try:
        _run(sys.argv[1:])
    finally:
        if launch.other:
            sys.stderr.write(
                "flexlock-hydra: a config that the script launches is not the recorded one: "
                f"{', '.join(launch.other)}\n"
            )


def _run(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    main()
