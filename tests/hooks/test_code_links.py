"""Code that is read through symbolic links: exact where the snapshot brings it back, else named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, fingerprint

pytestmark = pytest.mark.hydra


@pytest.fixture
def linked(project: Project, tmp_path: Path) -> Project:
    """A project that imports ``helper``; what that is, each test decides. Beside it: shared/."""
    project.write("app.py", f"import helper\n{project.path('app.py').read_text()}".replace(
        '"lr": cfg.lr', '"lr": cfg.lr, "helper": helper.value'))
    project.write("lib/helper.py", "value = 1\n")
    project.write("local/helper.py", "value = 1\n")
    project.write(".gitignore", project.path(".gitignore").read_text() + "/local/\n")
    for name in ("helper.py", "pkg/__init__.py"):
        place = tmp_path / "shared" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("value = 1\n")
    (tmp_path / "shared/extra.yaml").write_text("extra: 1\n")
    return project


def put(project: Project, name: str, target: str | Path) -> None:
    """Commit a link."""
    place = project.path(name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    project.commit("link")


def code(project: Project, *words: str, cwd: Path | None = None) -> dict[str, Any]:
    """Run the app; what the lock says of the code."""
    if cwd is None:
        project.app(*words)
    else:
        project.call(project.python, *words, cwd=cwd)
    main: dict[str, Any] = project.lock()["repos"]["main"]
    return main


def test_a_relative_link_to_a_tracked_file_is_exact(linked: Project) -> None:
    """Link and file are both in the tree: a checkout has them as they are."""
    put(linked, "helper.py", "lib/helper.py")
    linked.write("lib/helper.py", "value = 2\n")
    main = code(linked)
    assert (main["completeness"], main["reasons"]) == ("exact", [])
    assert linked.git("show", f"{main['commit']}:lib/helper.py") == "value = 2"


def test_links_to_links_and_to_folders_inside_are_exact(linked: Project) -> None:
    """A package folder reached by two relative links is in the tree as well."""
    linked.write("lib/real/__init__.py", "value = 1\n")
    put(linked, "lib/second", "real")
    put(linked, "helper", "lib/second")
    assert code(linked)["reasons"] == []


@pytest.mark.parametrize(("name", "target", "reason"), [
    ("helper.py", "../shared/helper.py", "{name}, read as code, is a link to {target}: "
     "that is in no snapshot"),
    ("helper", "{tmp}/shared/pkg", "{name}, read as code, is a link to {target}, "
     "a place on this machine"),
    ("helper.py", "{tmp}/project/lib/helper.py", "{name}, read as code, is a link to {target}, "
     "a place on this machine"),
])
def test_a_module_from_elsewhere_is_named(
    name: str, target: str, reason: str, linked: Project, tmp_path: Path
) -> None:
    """A module or package that a link brings from outside, or by an absolute path, is a gap."""
    target = target.format(tmp=tmp_path)
    put(linked, name, target)
    before = fingerprint(linked.root)
    main = code(linked)
    assert main["completeness"] == "partial"
    assert main["reasons"] == [reason.format(name=name, target=target)]
    after = fingerprint(linked.root)
    assert {key: after[key] for key in before} == before


def test_an_ignored_file_behind_a_link_is_named(linked: Project) -> None:
    """What git ignores is in no snapshot, whatever link leads to it."""
    put(linked, "helper.py", "local/helper.py")
    assert code(linked)["reasons"] == [
        "helper.py, read as code, is a link to local/helper.py: that is in no snapshot",
        "ignored local/helper.py was imported",
    ]


def test_an_ignored_link_is_named(linked: Project) -> None:
    """The file is tracked; the link that leads to it is not."""
    linked.write(".gitignore", linked.path(".gitignore").read_text() + "/helper.py\n")
    put(linked, "helper.py", "lib/helper.py")
    assert code(linked)["reasons"] == [
        "helper.py, read as code, is a link to lib/helper.py, and in no snapshot"
    ]


def test_a_file_in_another_repository_counts_if_that_is_recorded(
    linked: Project, tmp_path: Path
) -> None:
    """A relative link into a repository beside this one is exact once that is recorded too."""
    other = Project(tmp_path / "other", linked.env)
    other.write("helper.py", "value = 1\n")
    other.git("init", "-q", "-b", "main")
    other.commit("other")
    put(linked, "helper.py", "../other/helper.py")
    assert code(linked)["completeness"] == "partial"
    assert code(linked, "hydra.callbacks.flexlock.repos=../other")["reasons"] == []


@pytest.mark.parametrize(("name", "words"), [
    ("conf/extra.yaml", ["+extra=1"]),
    ("conf/group", ["+group=extra"]),
])
def test_a_config_behind_a_link_is_named(
    name: str, words: list[str], linked: Project, tmp_path: Path
) -> None:
    """A config file and a folder of a group: Hydra follows both."""
    linked.write("helper.py", "value = 1\n")
    target = tmp_path / "shared" / ("extra.yaml" if name.endswith("yaml") else "")
    put(linked, name, target)
    reasons = code(linked, *words)["reasons"]
    assert reasons == [f"{name}, read as code, is a link to {target}, a place on this machine"]


def test_a_config_folder_that_is_a_link_is_named(linked: Project, tmp_path: Path) -> None:
    """The folder lies outside of the repository, and the reason says where."""
    linked.write("helper.py", "value = 1\n")
    outside = tmp_path / "configs"
    linked.path("conf").rename(outside)
    put(linked, "conf", outside)
    reasons = code(linked)["reasons"]
    assert reasons == [
        f"config folder {linked.path('conf')}, by a link {outside}, is outside the repository",
        f"conf, read as code, is a link to {outside}, a place on this machine"
    ]


def test_a_loop_of_links_among_configs_ends(linked: Project) -> None:
    """Links in the config folder that lead back to it are followed once."""
    linked.write("helper.py", "value = 1\n")
    linked.path("conf/self").symlink_to(".")
    put(linked, "conf/up", "..")
    assert code(linked)["reasons"] == []


def test_a_script_that_is_a_link_is_named(linked: Project, tmp_path: Path) -> None:
    """``python app.py`` runs what the link leads to."""
    linked.write("helper.py", "value = 1\n")
    (tmp_path / "shared/helper.py").unlink()
    outside = tmp_path / "shared/app.py"
    linked.path("app.py").rename(outside)
    put(linked, "app.py", outside)
    linked.env["PYTHONPATH"] = str(linked.root)
    assert code(linked)["reasons"] == [
        f"app.py, read as code, is a link to {outside}, a place on this machine"
    ]


def test_strict_refuses_a_script_behind_a_link(linked: Project, tmp_path: Path) -> None:
    """``strict=code`` runs nothing whose modules came through such a link."""
    put(linked, "helper.py", "../shared/helper.py")
    done = linked.app("hydra.callbacks.flexlock.strict=code", check=False)
    assert done.code == 2 and "helper.py, read as code, is a link" in done.err


def test_modules_are_known_in_a_checkout_behind_a_link(linked: Project, tmp_path: Path) -> None:
    """Started by a path that goes through a link above the repository, modules are its code."""
    linked.write("helper.py", "value = 1\n")
    linked.write(".gitignore", linked.path(".gitignore").read_text() + "/helper.py\n")
    linked.commit("ignore")
    (tmp_path / "alias").symlink_to(tmp_path)
    main = code(linked, str(tmp_path / "alias/project/app.py"), cwd=linked.root)
    assert main["reasons"] == ["ignored helper.py was imported"]


def test_a_link_among_jobs_of_a_sweep(linked: Project) -> None:
    """Each job's lock names it, in workers as well."""
    put(linked, "helper.py", "../shared/helper.py")
    linked.app("-m", "lr=1,2")
    for path in linked.locks():
        text = json.dumps(path.read_text())
        assert "helper.py, read as code, is a link to ../shared/helper.py" in text


def test_why_names_the_gap_and_not_chance(linked: Project, tmp_path: Path) -> None:
    """Results differ by a file behind a link: no word of chance."""
    put(linked, "helper.py", "../shared/helper.py")
    linked.app("hydra.run.dir=outputs/a")
    (tmp_path / "shared/helper.py").write_text("value = 20\n")
    linked.app("hydra.run.dir=outputs/b")
    said = linked.flexlock("why", "outputs/a", "outputs/b", check=False).out
    assert "not all of the code was recorded: helper.py, read as code, is a link" in said
    assert "deterministic" not in said


def test_data_links_are_no_code(linked: Project, tmp_path: Path) -> None:
    """A link that nothing reads as code leaves the code exact."""
    linked.write("helper.py", "value = 1\n")
    os.symlink(tmp_path / "shared", linked.path("stuff"))
    linked.commit("stuff")
    assert code(linked)["reasons"] == []
