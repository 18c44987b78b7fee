"""Clocks that are wrong, here or on the remote, delete nothing and block nobody."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from tests.archive.test_races import WRONG_CLOCK, YEAR
from tests.conftest import Project
from tests.support.recorded import objects, push
from tests.support.trouble import needed, require_complete


def with_wrong_clock(project: Project, seconds: int) -> None:
    """Let Python's clock be wrong in all processes of a project; the disk's is right."""
    project.write("../clock/sitecustomize.py", WRONG_CLOCK.format(seconds=seconds))
    clock = str(project.root.with_name("clock"))
    project.env["PYTHONPATH"] = os.pathsep.join([clock, project.env.get("PYTHONPATH", "")])
    now = float(project.call(project.python, "-c", "import time; print(time.time())").out)
    assert abs(now - time.time() - seconds) < 600


@pytest.mark.parametrize("years", [1, -1])
def test_a_clock_that_is_a_year_wrong(recorded: Project, tmp_path: Path, years: int) -> None:
    """The age of an object is by the remote's clock: what is young there is not collected."""
    bare, store = tmp_path / "origin.git", tmp_path / "store"
    with_wrong_clock(recorded, years * YEAR)
    tag = push(recorded)["tag"]
    young, old = store / "files/md5/00/young", store / "files/md5/00/old"
    for path in (young, old):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"nobody needs it")
    os.utime(old, (0, time.time() - 7200))
    done = recorded.flexlock("gc", "--yes", "--min-age", "1h", "--json").json
    assert (done["objects"], young.exists(), old.exists()) == (1, True, False)
    assert require_complete(bare) == [tag]
    assert recorded.flexlock("verify", tag, "--remote", "--full").code == 0
    recorded.flexlock("pull", tag, "--into", tmp_path / "x")


@pytest.mark.parametrize("years", [1, -1])
def test_a_remote_whose_times_are_a_year_wrong(
    recorded: Project, tmp_path: Path, years: int
) -> None:
    """Objects of another time: those that a tag needs stay, and a push sends none again."""
    store = tmp_path / "store"
    tag = push(recorded)["tag"]
    stray = store / "files/md5/00/stray"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"nobody needs it")
    for path in store.rglob("*"):
        os.utime(path, (0, time.time() + years * YEAR))
    recorded.flexlock("gc", "--yes", "--min-age", "1h")
    assert stray.exists() == (years > 0)
    assert require_complete(tmp_path / "origin.git") == [tag]
    assert push(recorded)["sent_objects"] == 0
    assert recorded.flexlock("verify", tag, "--remote").code == 0
    recorded.flexlock("rm", tag, "--yes")
    assert set(objects(store)) <= {"00stray"}


def test_a_run_of_the_future(recorded: Project, tmp_path: Path) -> None:
    """A run whose clock was years ahead is pushed, pulled and pushed again like any other."""
    lock = recorded.path("outputs/a/run.lock")
    lock.write_text(re.sub(r'(started|ended): "\d{4}-', r'\1: "2093-', lock.read_text()))
    assert 'started: "2093' in lock.read_text()
    tag = push(recorded)["tag"]
    bare = tmp_path / "origin.git"
    assert require_complete(bare) == [tag]
    assert "2093" in recorded.git("for-each-ref", "--format=%(taggerdate)", "refs/tags")
    recorded.flexlock("pull", tag, "--into", tmp_path / "x")
    again = recorded.flexlock("push", "outputs/a", "--json", cwd=tmp_path / "x").json
    assert (again["tag"], again["sent_objects"]) == (tag, 0)
    assert needed(bare, tag)[1] == set(objects(tmp_path / "store"))
