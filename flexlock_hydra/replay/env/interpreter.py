"""Whether an interpreter can run a recorded job, and what is installed for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.environment import packages
from flexlock_hydra.errors import RerunError

_PROBE = """
import json, platform, sys
import hydra.main
import flexlock_hydra.hooks.callback
import hydra_plugins.flexlock_hydra.search_path
from flexlock_hydra.capture.environment.packages import packages
path = [entry for entry in sys.path if entry]
print(json.dumps([
    platform.python_implementation(), platform.python_version(), path, dict(packages(path)),
]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python in which a job can run, and the distributions that it finds."""

    python: str
    implementation: str
    version: str
    path: tuple[str, ...]
    packages: Mapping[str, str]


def interpreter(given: str) -> Interpreter:
    """Start an interpreter and see what it has.

    Args:
        given: a path, the name of a program, or the folder of an environment.

    Raises:
        RerunError: there is none, or Hydra or this package cannot be imported there.
    """
    python = _program(given)
    with tempfile.TemporaryDirectory() as empty:  # it imports from where it is started
        try:
            done = subprocess.run(
                [python, "-c", _PROBE], cwd=empty, capture_output=True, encoding="utf-8",
                errors="replace", stdin=subprocess.DEVNULL, check=False,
            )
        except OSError as error:
            raise RerunError(f"{python} cannot be started: {error}") from error
    try:
        implementation, version, path, found = json.loads(done.stdout.strip().split("\n")[-1])
    except ValueError as error:
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RerunError(
            f"{python} cannot run a recorded job: {said}",
            hint=f"Install it there: {python} -m pip install {packages.OWN}",
        ) from error
    return Interpreter(python, implementation, version, tuple(path), found)


def _program(given: str) -> str:
    """The path of an interpreter; a link stays one, as an environment's is told by its place."""
    folder = Path(given).expanduser()
    if folder.is_dir():
        inside = python_of(folder)
        if inside.exists():
            return str(inside.absolute())
    found = shutil.which(os.path.expanduser(given))
    if found is None:
        raise RerunError(
            f"no interpreter {given}",
            hint="Name a program or an environment's folder: --python .venv",
        )
    return os.path.abspath(found)


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
