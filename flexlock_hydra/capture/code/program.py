"""What was started: the script or module, and what stands before it on the command line."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from site import getuserbase

from flexlock_hydra.capture.code.imports import is_installed
from flexlock_hydra.ports.hydra_internals.app_start import main_in_progress
from flexlock_hydra.record import layout


@dataclass(frozen=True)
class Program:
    """The script or module that runs as ``__main__``, whoever started it."""

    file: Path | None = None
    module: str | None = None
    """Its name, where Python was given one."""
    runner: tuple[str, ...] = ()
    """The words between Python and it: ``-O``, ``-m cProfile -o prof``."""

    @classmethod
    def running(cls) -> Program:
        """The program of this process.

        A profiler, a tracer or a debugger may be what Python itself calls ``__main__``: it runs
        the user's code under that name without a module of its own. The stack tells them apart.
        """
        names = main_in_progress()
        file, spec = names.get("__file__"), names.get("__spec__")
        path = Path(os.path.abspath(file)) if isinstance(file, str) else None
        module = getattr(spec, "name", None)
        return cls(path, module, _without_own(_runner(path, module)))


def is_installed_program(script: Path) -> bool:
    """Whether an installer put a script where it is, or it is Python's own."""
    scripts = "Scripts" if os.name == "nt" else "bin"
    prefixes = (sys.prefix, sys.base_prefix, getuserbase())
    folders = {os.path.join(prefix, scripts) for prefix in prefixes if prefix}
    folders.add(os.path.dirname(sys.executable))
    return is_installed(str(script)) or str(script.parent) in folders


def _without_own(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words without the program of this package that runs an app in some reruns."""
    own = (words.index(name) for name in (layout.LAUNCH_AGAIN, layout.MAIN_AGAIN) if name in words)
    return words[:next(own, len(words) + 1) - 1]


def _runner(file: Path | None, module: str | None) -> tuple[str, ...]:
    """What of the command line stands before the program; nothing where it cannot be told."""
    words, given = sys.orig_argv[1:], sys.argv[1:]
    head = words[:len(words) - len(given)]
    if not head or words[len(head):] != given:  # the app changed its arguments
        return ()
    *before, last = head
    if module and last in (module, module.removesuffix(".__main__")):
        return tuple(before[:-1] if before[-1:] == ["-m"] else before)
    if file and os.path.abspath(last) in (str(file), str(file.parent)):
        return tuple(before)
    return ()
