"""The table of commands, and the page of help that is made of it; it loads nothing."""

from __future__ import annotations

PROGRAM = "flexlock-hydra"
COMPLETE_VARIABLE = "_FLEXLOCK_HYDRA_COMPLETE"
"""Tells the program that a shell asks; click derives the name from the program's."""

ABOUT = """\
  Reproducible Hydra runs: record, push, pull, run again, compare.

  RUN is an output directory, a run.lock, a run id or a unique prefix of one,
  @latest, or a tag (flexlock/<job name>/<run id>).

  Exit codes: 0 fine, 1 differs, 2 an error with a way on, 3 a bug of ours,
  130 interrupted.
"""

OPTIONS = {
    "--version": "Show the version and exit.",
    "-C DIR": "Run as if started in DIR.",
    "-q, --quiet": "Print results and errors only.",
    "-v, --verbose": "Show each git command and transfer.",
    "--debug": "Show a traceback when a command fails.",
    "-h, --help": "Show this message and exit.",
}

COMMANDS = {
    "show": ("inspect.show", "Show what was recorded of RUN."),
    "ls": ("inspect.ls", "List runs, or what was pushed."),
    "diff": ("inspect.diff", "Compare two runs."),
    "why": ("inspect.why", "Tell why the results of two runs differ."),
    "graph": ("inspect.graph", "Draw what a run stands on."),
    "push": ("transfer.push", "Push RUN: a git tag, its data on a DVC remote."),
    "pull": ("transfer.pull", "Restore a pushed run: code, data and locks."),
    "rerun": ("replay.rerun", "Run RUN again, and compare the outputs."),
    "reproduce": ("replay.reproduce", "Restore TAG, run it again, and give a verdict."),
    "verify": ("inspect.verify", "Check that a run is still what was recorded."),
    "rm": ("transfer.rm", "Delete TAG from the remotes."),
    "gc": ("transfer.gc", "Delete what no tag needs from the data remote."),
    "doctor": ("doctor", "Check that everything that runs stand on works."),
    "remote": ("transfer.remote", "Set up where the data of pushed runs goes."),
    "completion": ("completion", "Print a shell's completion script."),
}
"""Name -> its module below this folder, and what the help says of it."""


def help_page(program: str) -> str:
    """What ``--help`` prints on 80 columns, as click lays it out."""
    rows = {"Options": OPTIONS, "Commands": {name: said for name, (_, said) in COMMANDS.items()}}
    parts = [f"Usage: {program} [OPTIONS] COMMAND [ARGS]...\n", ABOUT]
    for title, texts in rows.items():
        width = max(map(len, texts))
        lines = (f"  {name.ljust(width)}  {said}\n" for name, said in texts.items())
        parts.append(f"{title}:\n{''.join(lines)}")
    return "\n".join(parts).rstrip("\n")
