"""A profiler, a tracer or a debugger runs the app: the app is what is recorded."""

from __future__ import annotations

import cProfile
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.hydra


@pytest.mark.parametrize(("words", "module"), [
    ("-m cProfile -o prof.out app.py", None),
    ("-m cProfile -o prof.out -m app", "app"),
    ("-O -W ignore -m cProfile -o prof.out app.py", None),
])
def test_the_app_is_recorded_and_not_what_runs_it(
    words: str, module: str | None, project: Project
) -> None:
    """Script, module, task and repository are the app's; the words before it are kept."""
    *runner, last = words.split()
    project.call(project.python, *runner, last, "hydra.run.dir=outputs/a")
    lock = project.lock()
    command = lock["job"]["command"]

    assert (command.get("module"), command["file"]) == (module, "app.py")
    assert command["task"] == "app:main"
    assert command["runner"] == runner[:-1] if runner[-1] == "-m" else runner
    assert command["argv"][1:] == ["hydra.run.dir=outputs/a"]
    assert lock["repos"]["main"]["head"] == project.git("rev-parse", "HEAD")
    assert lock["repos"]["main"]["completeness"] == "exact"


def test_a_plain_start_has_no_runner(project: Project) -> None:
    """An app that Python itself runs has no words before it."""
    project.app()
    assert "runner" not in project.lock()["job"]["command"]


def test_an_app_in_a_debugger(project: Project) -> None:
    """``python -m pdb`` runs the app; the lock says so."""
    subprocess.run(
        [project.python, "-m", "pdb", "app.py"], cwd=project.root, env=project.env, check=True,
        input="c\nq\n", capture_output=True, text=True, timeout=60,
    )
    command = project.lock()["job"]["command"]
    assert (command["file"], command["runner"]) == ("app.py", ["-m", "pdb"])


def python_in_a_repository(project: Project, tmp_path: Path) -> Project:
    """A repository around installed packages, as ~/.pyenv is one, with a profiler in it."""
    home = Project(tmp_path / "pyenv", project.env)
    site = home.path("lib/python3/site-packages")
    home.write("lib/python3/site-packages/prof.py", Path(cProfile.__file__).read_bytes())
    home.git("init", "-q", "-b", "main")
    home.commit("Python")
    project.env["PYTHONPATH"] = str(site)
    return home


@pytest.mark.parametrize("words", [["-m", "prof", "app.py"], ["-m", "prof", "-m", "app"]])
def test_a_repository_around_python_is_none_of_the_job(
    words: list[str], project: Project, tmp_path: Path
) -> None:
    """The profiler's own repository is not recorded, and no ref is written there."""
    home = python_in_a_repository(project, tmp_path)
    project.call(project.python, *words)

    assert project.lock()["repos"]["main"]["head"] == project.git("rev-parse", "HEAD")
    assert home.git("for-each-ref", "refs/flexlock") == ""
    assert project.git("for-each-ref", "refs/flexlock") != ""


def test_an_installed_program_counts_by_its_task(project: Project, tmp_path: Path) -> None:
    """Started from elsewhere, a program beside Python records the repository of its task."""
    home = python_in_a_repository(project, tmp_path)
    program = home.write("lib/python3/site-packages/fit.py", "from app import main\nmain()\n")
    project.env["PYTHONPATH"] += f":{project.root}"
    project.write("conf/__init__.py", "")
    project.commit("a package of configs")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    project.call(project.python, program, f"table={project.path('data/table.csv')}", cwd=elsewhere)
    lock = Project(elsewhere, project.env).lock()

    assert lock["repos"]["main"]["head"] == project.git("rev-parse", "HEAD")
    assert lock["job"]["command"]["task"] == "app:main"
    assert home.git("for-each-ref", "refs/flexlock") == ""


def test_an_ignored_script_is_named_in_a_profiler_as_well(project: Project) -> None:
    """What git ignores and the profiler ran is no exact code."""
    project.write("local.py", project.path("app.py").read_bytes())
    project.write(".gitignore", project.path(".gitignore").read_text() + "local.py\n")
    project.commit("ignore")
    project.call(project.python, "-m", "cProfile", "-o", "outputs/prof", "local.py")
    main = project.lock()["repos"]["main"]

    assert main["completeness"] == "partial"
    assert main["reasons"] == ["ignored local.py was imported"]
