"""A rerun starts what the user started: Python's options, the profiler, and no debugger."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.replay.rerun.runner import Runner, split_options
from tests.conftest import CONFIG, Project, read_lock

pytestmark = pytest.mark.hydra

APP = '''
import sys

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    return {"debug": __debug__, "dev": sys.flags.dev_mode, "profiled": "PROFILER" in sys.modules}


if __name__ == "__main__":
    main()
'''
PROFILER = '''
import runpy
import sys

sys.modules["PROFILER"] = sys
open(sys.argv[1], "w").write("profile")
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
'''


@pytest.fixture
def app(project: Project) -> Project:
    """An app that tells how it was started, and a profiler that is part of the project."""
    project.write("app.py", APP)
    project.write("tools/profiler.py", PROFILER)
    project.write("conf/config.yaml", CONFIG)
    project.commit("app")
    return project


def rerun(project: Project, *words: str | Path) -> tuple[dict[str, Any], str]:
    """Start the app with words before it, and run it again; the second lock, and what was said."""
    project.call(project.python, *words, "app.py", "hydra.run.dir=outputs/a")
    done = project.flexlock("rerun", "outputs/a", "--json", check=False)
    return read_lock(Path(done.json["path"], "run.lock")), done.err


def test_options_of_python(app: Project) -> None:
    """Asserts that were off are off again, and so is what ``-X`` and ``-W`` say."""
    lock, _ = rerun(app, "-O", "-X", "dev", "-W", "ignore")
    assert lock["run"]["result"] == {"debug": False, "dev": True, "profiled": False}
    assert lock["job"]["command"]["runner"] == ["-O", "-Xdev", "-Wignore"]


def test_a_profiler_runs_again(app: Project) -> None:
    """What it writes comes to lie beside the rerun's outputs, not where the first one wrote."""
    lock, _ = rerun(app, "-m", "cProfile", "-o", "first.prof")
    assert lock["job"]["command"]["runner"] == ["-m", "cProfile", "-o", "first.prof"]
    again = Path(lock["job"]["output_dir"])
    assert not again.exists() and app.path("first.prof").exists()
    assert [*app.root.glob("outputs/reruns/*/1.written/first.prof")]


def test_a_profiler_of_the_project(app: Project) -> None:
    """A script of the project that runs another one is started as it was recorded."""
    lock, _ = rerun(app, "tools/profiler.py", "first.txt")
    assert lock["run"]["result"]["profiled"] is True


@pytest.mark.parametrize("place", ["../first.prof", "{tmp}/first.prof"])
def test_a_profile_elsewhere_is_not_overwritten(
    place: str, app: Project, tmp_path: Path
) -> None:
    """A profiler that would write outside of the rerun is left out, and that is said."""
    place = place.format(tmp=tmp_path)
    lock, said = rerun(app, "tools/profiler.py", place)
    assert lock["run"]["result"]["profiled"] is False
    assert f"profiler is left out: {place} leads out of the rerun" in said


def test_a_profiler_that_is_not_here_is_left_out(app: Project, tmp_path: Path) -> None:
    """The app runs without one that this environment lacks, and that is said."""
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "lineprof.py").write_text(PROFILER)
    app.env["PYTHONPATH"] = str(site)
    app.call(app.python, "-m", "lineprof", "p.txt", "app.py", "hydra.run.dir=outputs/a")
    del app.env["PYTHONPATH"]
    done = app.flexlock("rerun", "outputs/a", "--json", check=False)
    assert "lineprof is left out: it is not installed for" in done.err
    assert read_lock(app.newest())["run"]["status"] == "completed"


def test_a_debugger_does_not_run_again(app: Project) -> None:
    """Nobody is there to type: the app runs without it, and that is said."""
    subprocess.run(
        [app.python, "-m", "pdb", "app.py", "hydra.run.dir=outputs/a"], cwd=app.root, env=app.env,
        input="c\nq\n", capture_output=True, text=True, timeout=60, check=True,
    )
    done = app.flexlock("rerun", "outputs/a", "--json")
    assert "pdb is left out" in done.err
    assert done.json["verdict"] == "identical"


def test_trace_takes_the_name_of_a_module() -> None:
    """``python -m trace --module app``: there the module's name has no ``-m`` before it."""
    words = ("-m", "trace", "--count", "--module")
    assert Runner(words=words).start("python", ["-m", "app"]) == ["python", *words, "app"]
    alone = Runner(words=words[:2]).start("python", ["app.py"])
    assert alone == ["python", "-m", "trace", "app.py"]


@pytest.mark.parametrize(("words", "options", "rest"), [
    (["-OO", "-u"], ("-O", "-O", "-u"), ()),
    (["-IEsSO"], ("-O",), ()),
    (["-Om", "cProfile", "-o", "x"], ("-O",), ("-m", "cProfile", "-o", "x")),
    (["-mcProfile"], (), ("-m", "cProfile")),
    (["-bWerror", "-X", "utf8=1", "tool", "-X"], ("-b", "-Werror", "-Xutf8=1"), ("tool", "-X")),
    (["--check-hash-based-pycs", "always", "tool"], (), ("tool",)),
    (["-X"], ("-X",), ()),
])
def test_python_s_own_options(
    words: list[str], options: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    """They end where Python says that they end; those that hide the recorded code go."""
    assert split_options(words) == (options, rest)
