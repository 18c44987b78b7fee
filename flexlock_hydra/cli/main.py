"""The entry point, and what is answered without loading any command.

click takes as long to import as Python to start three times, so ``--help`` and ``--version``
alone are answered here. This module imports what Python has loaded anyway, and nothing else.
"""

from __future__ import annotations

import gc
import os
import sys

from flexlock_hydra import __version__
from flexlock_hydra.cli.commands import COMPLETE_VARIABLE, PROGRAM, help_page

_WIDTH = 80


def main(program: str = "") -> None:
    """Run the command line of this process; the console script's entry point.

    Args:
        program: how it was started, for the usage line; the script's name without it.
    """
    program = program or os.path.basename(sys.argv[0])
    try:
        said = _said_at_once(program, sys.argv[1:])
        if said is not None:
            print(said, flush=True)
            sys.exit()
        gc.disable()  # until all is imported, which stays to the end: the group turns it on again
        from flexlock_hydra.cli.group import run

        run(program)
    except BrokenPipeError:
        # what is left in the buffer would fail once more, and be told, at the end of Python
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _said_at_once(program: str, words: list[str]) -> str | None:
    """The answer to ``--version`` or ``--help``; None where click must give it."""
    if COMPLETE_VARIABLE in os.environ:
        return None
    if words == ["--version"]:
        return f"{PROGRAM}, version {__version__}"
    if words in (["--help"], ["-h"]) and _is_wide():
        return help_page(program)
    return None


def _is_wide() -> bool:
    """Whether click would lay out text for 80 columns, the most that it takes."""
    if asked := os.environ.get("COLUMNS"):
        return asked.isdigit() and int(asked) >= _WIDTH
    try:
        return os.get_terminal_size().columns >= _WIDTH
    except OSError:  # no terminal
        return True
