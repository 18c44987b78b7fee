"""What is huge is not recorded whole: it takes bounded time and size, and is named."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.hooks.job import end
from flexlock_hydra.ports.git import status
from tests.conftest import CONFIG, Project
from tests.support.trees import snapshot

APP = '''
import hydra
from pathlib import Path
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    WORK


main()
'''


def app(project: Project, work: str) -> None:
    """Commit an app that does one thing."""
    project.write("app.py", APP.replace("WORK", work))
    project.write("conf/config.yaml", CONFIG)
    project.commit("app")


@pytest.mark.usefixtures("own_home")
def test_too_many_untracked_files(project: Project) -> None:
    """Of 6,000 the fullest folder is left out and named; code in it, and other folders, are not."""
    for number in range(5_990):
        name = f"cache/{number // 500}/{number}.txt"
        project.path(name).parent.mkdir(parents=True, exist_ok=True)
        project.path(name).write_text("x")
    project.write("cache/code.py", "x = 1\n")
    for number in range(20):
        project.write(f"notes/{number}.txt", "x")
    state = snapshot(project.root)

    assert state.reasons == (
        "untracked cache/: 5,990 files (0 MB) left out, too many to be code: list them in "
        ".gitignore",
    )
    assert (len(state.dirty), state.completeness) == (21, "partial")
    assert "cache/code.py" in state.dirty


@pytest.mark.usefixtures("own_home")
def test_too_many_files_of_code(project: Project) -> None:
    """Not even modules are taken by the thousand; fewer than the limit are taken whatever."""
    for number in range(5_001):
        project.write(f"made/m{number}.py", "")
    assert snapshot(project.root).dirty == ()
    project.git("clean", "-qfd")
    for number in range(1_000):
        project.write(f"made/m{number}.py", "")
    assert len(snapshot(project.root).dirty) == 1_000


@pytest.mark.usefixtures("own_home")
def test_too_many_untracked_bytes(project: Project) -> None:
    """Files that are small enough each are too large together."""
    for number in range(30):
        project.write(f"big/{number}.bin", b"0" * 900_000)
    project.write("small/a.txt", "x")
    state = snapshot(project.root, Scope(size_limit=1_000_000))

    assert state.dirty == ("small/a.txt",)
    assert "big/: 30 files (27 MB) left out" in state.reasons[0]


@pytest.mark.usefixtures("own_home")
def test_git_that_takes_long(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look at untracked files that takes too long is ended and named; tracked edits are taken."""
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    slow.write_text('#!/bin/sh\nPATH=${PATH#*:}\ncase "$*" in *untracked-files=all*) sleep 60;; '
                    'esac\nexec git "$@"\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    project.write("app.py", "edited")
    project.write("new.py", "x")
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(status, "STATUS_PATIENCE", 1.0)
    state = snapshot(project.root)

    assert state.dirty == ("app.py",)
    assert "untracked files not looked for: git status in" in state.reasons[0]


@pytest.mark.hydra
@pytest.mark.parametrize("place", ["/", "{tmp}"])
def test_a_working_tree_elsewhere(place: str, project: Project, tmp_path: Path) -> None:
    """``core.worktree`` leads to a whole disk: the job runs, and what is wrong is named."""
    project.git("config", "core.worktree", place.format(tmp=tmp_path))
    project.app()
    lock = project.lock()
    assert lock["run"]["status"] == "completed" and lock["repos"] == {}
    assert "by core.worktree" in lock["warnings"][0] or "unset core.worktree" in lock["warnings"][0]


@pytest.mark.hydra
def test_a_sparse_output(project: Project) -> None:
    """Of a file of 1 TB that nobody wrote the size is recorded; a small one is hashed."""
    app(project, "open(out / 'huge', 'wb').truncate(1 << 40); "
        "open(out / 'small', 'wb').truncate(1 << 24)")
    project.app("hydra.run.dir=outputs/a")
    outputs = project.lock()["outputs"]
    assert outputs["unhashed"] == {"huge": 1 << 40}
    assert outputs["nfiles"] == 4
    assert "huge" in project.flexlock("show", "outputs/a").out
    assert project.flexlock("verify", "outputs/a").code == 0


@pytest.mark.hydra
def test_a_sparse_output_with_much_in_it(project: Project) -> None:
    """A file with holes of less than a gigabyte is hashed whole."""
    app(project, "f = open(out / 'f', 'wb'); f.seek(1 << 26); f.write(b'x'); f.close()")
    project.app("hydra.run.dir=outputs/a")
    assert "unhashed" not in project.lock()["outputs"]


@pytest.mark.hydra
def test_the_text_of_an_error_of_50_mb(project: Project) -> None:
    """Its beginning and its end are in the lock, and how much is not."""
    app(project, "raise ValueError('begin ' + 'x' * 50_000_000 + ' end')")
    project.app("hydra.run.dir=outputs/a", check=False)
    error = project.lock()["run"]["error"]

    assert error["message"].startswith("begin xxx") and error["message"].endswith("xxx end")
    assert "[49,990,010 characters left out]" in error["message"]
    assert error["traceback"].startswith("Traceback")
    assert project.path("outputs/a/run.lock").stat().st_size < 200_000


@pytest.mark.parametrize("place", range(0, 60, 7))
def test_no_part_of_a_secret_at_a_cut(place: int) -> None:
    """Wherever a cut falls in a secret, no part of that is left."""
    secret = "ghp_" + "AbCd1234" * 5
    text = "." * (5_000 - place) + secret + "." * 20_000 + secret + "." * (5_000 - place)
    found = end._bounded(text, Masker(), 10_000)

    assert "Cd12" not in found
    assert "characters left out" in found and len(found) < 10_100
