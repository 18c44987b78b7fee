"""Another version of Python on this machine: ``interpreters.py 3.10`` prints where it is.

On PATH, or among those of pyenv; where there is none it says so, and ends with 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def find_interpreter(version: str) -> str | None:
    """The first interpreter of a version that runs; None where there is none."""
    question = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    for place in _places(version):
        try:
            done = subprocess.run([place, *question], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.stdout.strip() == version:  # a shim of pyenv's runs nothing that is not chosen
            return place
    return None


def _places(version: str) -> Iterator[str]:
    if found := shutil.which(f"python{version}"):
        yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{version}.*/bin/python"), reverse=True))


if __name__ == "__main__":
    if place := find_interpreter(sys.argv[1]):
        print(place)
    else:
        sys.exit(f"without Python {sys.argv[1]}, the journeys on it are left out")
