"""A home that may not be looked into, as of ``docker run --user``: all is recorded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Done, Project

pytestmark = pytest.mark.hydra


def run(project: Project, *words: str | Path, check: bool = True) -> Done:
    """Start something without root's right to look anywhere."""
    given = [*map(str, words)]
    if os.geteuid() == 0:
        given = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *given]
    return project.call(*given, check=check)


@pytest.fixture
def closed(project: Project, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the home, or the home, that nobody may search."""
    home = Path(project.env["HOME"])
    place = home / request.param
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0)
    yield place
    place.chmod(0o755)


@pytest.mark.parametrize("closed", [".config", ".config/git", ".cache", ""], indirect=True)
def test_the_code_is_recorded(closed: Path, project: Project) -> None:
    """With the edits of the working tree, whatever of the user's own settings is out of reach."""
    project.write("app.py", f"{project.path('app.py').read_text()}# edited\n")
    project.write("data/large.bin", b"0" * 5_000_000)
    done = run(project, project.python, "app.py", "hydra.run.dir=outputs/a",
               "table=${snapshot:data/large.bin}")
    lock = project.lock()
    main = lock["repos"]["main"]

    assert (lock["run"]["status"], lock["warnings"]) == ("completed", [])
    assert (main["completeness"], main["dirty"]) == ("exact", ["app.py"])
    assert lock["data"]["table"]["hash"]["md5"] == "6f7181eaae920c885d9f275943a17afa"
    assert "Error" not in done.err


@pytest.mark.slow
@pytest.mark.parametrize("closed", [".config"], indirect=True)
def test_the_commands_work(closed: Path, project: Project, store: Path) -> None:
    """What was recorded can be verified, run again and pushed."""
    project.app("hydra.run.dir=outputs/a")
    closed.chmod(0)
    for words in (["verify", "outputs/a"], ["rerun", "outputs/a"],
                  ["push", "outputs/a", "--remote", str(store)]):
        done = run(project, project.python, "-m", "flexlock_hydra", *words, check=False)
        assert done.code == 0, (words, done.err)
