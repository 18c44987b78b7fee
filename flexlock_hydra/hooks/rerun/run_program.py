"""Run a script or module as Python does, in a process that has prepared something for it."""

from __future__ import annotations

import os
import runpy
import sys


def run_program(words: list[str]) -> None:
    """Run ``-m MODULE ARGUMENTS`` or ``SCRIPT ARGUMENTS`` as ``__main__``."""
    if words[0] == "-m":
        sys.argv = words[1:]
        # As `python -m` has it.
        sys.path[0] = os.getcwd()
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        # As `python SCRIPT` has it.
        sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")
