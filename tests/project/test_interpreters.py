"""Other versions of Python are found where they are, and only where they run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.interpreters import find_interpreter

SCRIPT = "#!/bin/sh\necho {said}\n"


def write_program(path: Path, said: str) -> Path:
    """A program that says something whatever it is asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SCRIPT.format(said=said))
    path.chmod(0o755)
    return path


def test_a_real_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of these tests is found by its version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (tmp_path / f"python{version}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_interpreter(version) == str(tmp_path / f"python{version}")


def test_one_that_does_not_run_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim of pyenv's that leads nowhere is none; the version that lies there is."""
    shim = write_program(tmp_path / "shims" / "python9.9", "command not found")
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_interpreter("9.9") is None
    there = write_program(tmp_path / "versions" / "9.9.1" / "bin" / "python", "9.9")
    assert find_interpreter("9.9") == str(there)
