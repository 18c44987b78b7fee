"""A rerun never reads the present files of the original checkout through links of the code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock

pytestmark = pytest.mark.hydra


@pytest.fixture
def app(project: Project) -> Project:
    """An app that returns what helper.py says; lib/helper.py is there to be linked to."""
    project.write("app.py", f"import helper\n{project.path('app.py').read_text()}".replace(
        '"lr": cfg.lr', '"helper": helper.value'))
    project.write("lib/helper.py", "value = 'then'\n")
    return project


def link(project: Project, name: str, target: str | Path) -> None:
    """Commit a link and run the app."""
    project.path(name).symlink_to(target)
    project.commit("link")
    project.app("hydra.run.dir=outputs/a")


def rerun(project: Project, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run it again; the command's JSON and the new lock."""
    done = project.flexlock("rerun", "outputs/a", "--json", *words, check=False)
    assert done.code in (0, 1), done.err
    return done.json, read_lock(Path(done.json["path"], "run.lock"))


@pytest.mark.parametrize("through", ["project", "alias"])
def test_an_absolute_link_leads_to_the_recorded_file(
    through: str, app: Project, tmp_path: Path
) -> None:
    """It leads to the same place in the rerun's tree, also where its path goes through a link."""
    (tmp_path / "alias").symlink_to(app.root)
    link(app, "helper.py", tmp_path / through / "lib/helper.py")
    app.write("lib/helper.py", "value = 'now'\n")
    document, lock = rerun(app)
    assert lock["run"]["result"]["helper"] == "then"
    assert document["verdict"] == "identical" and "written" not in document
    assert app.path("helper.py").readlink() == tmp_path / through / "lib/helper.py"
    assert lock["repos"]["main"]["dirty"] == ["helper.py"]


def test_a_rerun_of_a_rerun(app: Project) -> None:
    """The link of the first rerun's tree is one that the second one's can follow."""
    link(app, "helper.py", app.path("lib/helper.py"))
    app.write("lib/helper.py", "value = 'now'\n")
    document, _ = rerun(app)
    done = app.flexlock("rerun", document["path"], "--json", check=False)
    assert done.code == 0, done.err
    assert read_lock(Path(done.json["path"], "run.lock"))["run"]["result"]["helper"] == "then"


def test_an_ignored_file_is_not_read(app: Project) -> None:
    """What the record does not hold is missing in the rerun: it does not come from the checkout."""
    app.write("local/helper.py", "value = 'then'\n")
    app.write(".gitignore", app.path(".gitignore").read_text() + "/local/\n")
    link(app, "helper.py", app.path("local/helper.py"))
    app.write("local/helper.py", "value = 'now'\n")
    done = app.flexlock("rerun", "outputs/a", "--json", check=False)
    assert done.code == 2
    assert "No module named 'helper'" in done.err


def test_a_link_in_a_repository_beside(app: Project, tmp_path: Path) -> None:
    """A recorded repository's link into the main one leads into the main one's worktree."""
    other = Project(tmp_path / "other", app.env)
    other.write("src/said.py", "")
    other.path("src/helper.py").symlink_to(app.path("lib/helper.py"))
    other.git("init", "-q", "-b", "main")
    other.commit("other")
    app.env["PYTHONPATH"] = str(other.path("src"))
    app.commit("app")
    app.app("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.repos=../other")
    del app.env["PYTHONPATH"]
    app.write("lib/helper.py", "value = 'now'\n")
    _, lock = rerun(app)
    assert lock["run"]["result"]["helper"] == "then"


def test_a_data_folder_that_is_a_link(app: Project) -> None:
    """Recorded data takes the place of a tracked link to where it lay in the checkout."""
    app.write("helper.py", "value = 'then'\n")
    shutil.move(app.path("data"), app.path("outputs/store"))
    app.write(".gitignore", "outputs/\nmultirun/\n")
    link(app, "data", app.path("outputs/store"))
    document, _ = rerun(app)
    assert document["verdict"] == "identical"
    assert app.path("data").is_symlink()
