"""Every program that makes environments keeps the promises that ``--env`` stands on."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from flexlock_hydra.errors import EnvironmentMakerError, RerunError
from flexlock_hydra.ports.environments.maker import MAKERS, EnvironmentMaker, find_maker
from flexlock_hydra.replay.env.interpreter import python_of

LOOK = """
import importlib.metadata, platform
print(platform.python_version(), *importlib.metadata.distributions())
"""


@pytest.fixture(params=MAKERS)
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> EnvironmentMaker:
    """Each of them, started in an empty folder."""
    return find_maker(request.param, tmp_path)


def test_an_environment_is_made_and_nothing_is_in_it(
    maker: EnvironmentMaker, tmp_path: Path
) -> None:
    """An environment of an interpreter's path is that Python's, and empty."""
    maker.make(tmp_path / "env", sys.executable)
    words = [str(python_of(tmp_path / "env")), "-c", LOOK]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert said.split() == [platform.python_version()]


def test_what_is_not_to_be_had_is_an_error(
    maker: EnvironmentMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such interpreter, no such distribution: an error in words that names the one of them."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(EnvironmentMakerError):
        maker.make(tmp_path / "none", str(tmp_path / "no-python"))
    maker.make(tmp_path / "env", sys.executable)
    python, lines = python_of(tmp_path / "env"), tmp_path / "lines.txt"
    lines.write_text("no-such-thing==1.0\n")
    with pytest.raises(EnvironmentMakerError) as caught:
        maker.install_listed(python, lines, indexes=(), only_try=True)
    said = str(caught.value)
    assert maker.mentioned(said, ["no-such-thing", "no-such", "other"]) == ["no-such-thing"]
    assert maker.cause(said) and "\n" not in maker.cause(said)


def test_interpreters_have_names(maker: EnvironmentMaker) -> None:
    """CPython is known by every maker; what nobody knows has no name."""
    assert "3.11.7" in (maker.name_python("CPython", "3.11.7") or "")
    assert "3.11.7" in maker.how_to_get("3.11.7")
    assert maker.name_python("Nonesuch", "3.11.7") is None
    assert find_maker(maker.name, Path.cwd()).name == maker.name


def test_a_maker_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Another name is refused with those that there are."""
    with pytest.raises(RerunError, match="no program nix") as caught:
        find_maker("nix", tmp_path)
    assert caught.value.hint == f"There is: {', '.join(MAKERS)}"
