"""Where a pull goes, which parts it brings, how files are linked, how it is taken up again."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, contents, read_lock
from tests.support.recorded import objects, push, tree


@pytest.fixture
def tag(recorded: Project) -> str:
    """The tag of ``outputs/a``, pushed."""
    return str(push(recorded)["tag"])


def pull(project: Project, tag: str, *words: str, check: bool = True) -> dict[str, Any]:
    """Pull into ``x`` beside the project; the command's JSON."""
    done = project.flexlock(
        "pull", tag, "--from", "origin.git", "--into", "x", "--json", *words,
        cwd=project.root.parent, check=check,
    )
    document: dict[str, Any] = done.json
    return document


def files(project: Project) -> dict[str, str]:
    """What was pulled."""
    return contents(project.root.parent / "x")


# Where


def test_on_a_branch(recorded: Project, tag: str) -> None:
    """A pulled folder is on a branch of its own, clean, with the git remote as origin."""
    done = pull(recorded, tag)
    into = recorded.root.parent / "x"
    assert recorded.git("symbolic-ref", "--short", "HEAD", cwd=into) == done["branch"]
    assert recorded.git("status", "--porcelain", cwd=into) == ""
    assert recorded.git("remote", "get-url", "origin", cwd=into).endswith("origin.git")


def test_into_this_clean_repository(recorded: Project, tag: str) -> None:
    """``--into .`` goes to a branch of the repository; data is put beside what is there."""
    recorded.git("stash", "-q", "-u")
    shutil.rmtree(recorded.path("outputs"))
    done = recorded.flexlock("pull", tag, "--into", ".", "--json").json
    assert recorded.git("branch", "--show-current") == done["branch"]
    assert recorded.path("outputs/a/model.txt").read_text().endswith("lr=0.2")
    assert recorded.path("data/table.csv").read_text() == "a,b\n1,2\n"
    recorded.git("checkout", "-q", "main")
    assert not recorded.path("new.py").exists()


@pytest.mark.parametrize("obstacle", ["edited code", "other data"])
def test_nothing_of_the_users_is_overwritten(recorded: Project, tag: str, obstacle: str) -> None:
    """A repository with changes, or other files where data belongs, is refused as it is."""
    if obstacle == "other data":
        recorded.git("stash", "-q", "-u")
        shutil.rmtree(recorded.path("outputs"))
    recorded.write("data/table.csv", "mine\n")
    before = tree(recorded.root)
    done = recorded.flexlock("pull", tag, "--into", ".", check=False)
    assert done.code == 2
    assert ("app.py" if obstacle == "edited code" else "data/table.csv") in done.err
    after = tree(recorded.root)
    assert {name: after[name] for name in before} == before
    assert recorded.git("branch", "--show-current") == "main"


def test_a_run_that_is_here_is_not_pulled_over(recorded: Project, tag: str) -> None:
    """Where the run was made its lock is the user's: git would take it along to the branch."""
    recorded.git("stash", "-q", "-u")
    before = tree(recorded.root)
    done = recorded.flexlock("pull", tag, "--into", ".", check=False)
    assert done.code == 2 and "outputs/a/run.lock" in done.err and "--worktree" in done.err
    assert {name: tree(recorded.root)[name] for name in before} == before


def test_back_from_another_branch(recorded: Project, tag: str) -> None:
    """A pull into a repository whose user went elsewhere meanwhile goes to the branch again."""
    recorded.git("stash", "-q", "-u")
    shutil.rmtree(recorded.path("outputs"))
    branch = recorded.flexlock("pull", tag, "--into", ".", "--json").json["branch"]
    recorded.git("checkout", "-q", "main")
    recorded.flexlock("pull", tag, "--into", ".")
    assert recorded.git("branch", "--show-current") == branch
    assert recorded.git("status", "--porcelain") == ""


def test_a_pulled_project_pushes_where_it_came_from(recorded: Project, tmp_path: Path) -> None:
    """Without further configuration its data remote is the tag's own, in both layouts."""
    for layout in ("shared", "tag"):
        tag = str(push(recorded, "--layout", layout)["tag"])
        pull(recorded, tag)
        recorded.env.pop("FLEXLOCK_REMOTE")
        again = recorded.flexlock(
            "push", "outputs/a", "--layout", layout, "--json", cwd=tmp_path / "x"
        ).json
        assert (again["remote"], again["sent_objects"]) == (str(tmp_path / "store"), 0)
        recorded.env["FLEXLOCK_REMOTE"] = str(tmp_path / "store")
        recorded.flexlock("rm", tag, "--yes")
        shutil.rmtree(tmp_path / "x")


def test_data_that_moved(recorded: Project, tag: str, tmp_path: Path) -> None:
    """``--remote`` says where the data is by now."""
    shutil.move(tmp_path / "store", tmp_path / "moved")
    assert pull(recorded, tag, "--remote", str(tmp_path / "moved"))["missing"] == []


# Which parts


def test_only_what_is_named(recorded: Project, tag: str) -> None:
    """``--only``: the data of these names; a name that nothing has is an error with a list."""
    pull(recorded, tag, "--only", "table")
    assert "data/table.csv" in files(recorded) and "app.py" in files(recorded)
    assert not any(name.startswith("data/set") for name in files(recorded))
    assert "outputs/a/model.txt" not in files(recorded)
    done = recorded.flexlock(
        "pull", tag, "--from", "origin.git", "--into", "y", "--only", "tabel",
        cwd=recorded.root.parent, check=False,
    )
    assert done.code == 2 and "before, outputs, set, table" in done.err


def test_without_outputs_and_without_data(recorded: Project, tag: str) -> None:
    """``--no-outputs`` brings inputs, among them a predecessor's output; ``--no-data`` none."""
    pull(recorded, tag, "--no-outputs")
    assert "outputs/pre/model.txt" in files(recorded)
    assert "outputs/a/model.txt" not in files(recorded)
    shutil.rmtree(recorded.root.parent / "x")
    assert pull(recorded, tag, "--no-data")["restored"] == 0
    assert {"app.py", "outputs/a/run.lock"} <= set(files(recorded))
    assert "data/table.csv" not in files(recorded)


# Links


@pytest.mark.parametrize("kind", ["hardlink", "symlink", "reflink", "copy"])
@pytest.mark.parametrize("cached", [False, True])
def test_kinds_of_links(recorded: Project, tag: str, kind: str, cached: bool) -> None:
    """Files come as links into a cache or into a data remote that is a folder, checked."""
    outside = recorded.root.parent
    words = ["--link", kind, *(["--cache", "cache"] if cached else [])]
    done = pull(recorded, tag, *words)
    there = outside / "x/outputs/a/model.txt"
    origin = objects(outside / ("cache" if cached else "store"))
    md5 = files(recorded)["outputs/a/model.txt"]
    assert there.read_text().endswith("lr=0.2") and done["missing"] == []
    if kind == "symlink":
        assert os.readlink(there) == str(origin[md5])
    if kind == "hardlink":
        assert there.stat().st_ino == origin[md5].stat().st_ino
    if kind in ("symlink", "hardlink"):
        assert stat.S_IMODE(there.stat().st_mode) == 0o444
        assert any("before you change it" in text for text in done["warnings"])
    else:
        there.write_text("changed")
        assert origin[md5].read_text().endswith("lr=0.2")
    assert tree(outside / "x/data/set")["run.sh"].startswith("x ")
    assert pull(recorded, tag, *words, check=False)["restored"] == 0


def test_a_damaged_cache_is_not_linked(recorded: Project, tag: str) -> None:
    """What somebody wrote through a link is noticed, and fetched anew."""
    outside = recorded.root.parent
    pull(recorded, tag, "--cache", "cache", "--link", "symlink")
    md5 = read_lock(recorded.path("outputs/a/run.lock"))["data"]["table"]["hash"]["md5"]
    poisoned = objects(outside / "cache")[md5]
    poisoned.chmod(0o644)
    poisoned.write_text("a,b\n6,6\n")
    shutil.rmtree(outside / "x")
    assert pull(recorded, tag, "--cache", "cache", "--link", "symlink")["missing"] == []
    assert (outside / "x/data/table.csv").read_text() == "a,b\n1,2\n"


# Taken up again


def test_what_is_missing_is_said_and_fetched_later(recorded: Project, tag: str) -> None:
    """Exit 1 and a list, in the folder too; the same command finishes when it is there again."""
    outside = recorded.root.parent
    md5 = read_lock(recorded.path("outputs/a/run.lock"))["data"]["table"]["hash"]["md5"]
    lost = objects(outside / "store")[md5]
    lost.rename(outside / "aside")
    done = recorded.flexlock(
        "pull", tag, "--from", "origin.git", "--into", "x", cwd=outside, check=False
    )
    assert done.code == 1 and "missing: data/table.csv: missing on the remote" in done.err
    note = outside / "x/.flexlock/MISSING"
    assert "data/table.csv" in note.read_text()
    assert recorded.git("status", "--porcelain", cwd=outside / "x") == ""
    assert (outside / "x/outputs/a/model.txt").exists()
    (outside / "aside").rename(lost)
    finished = pull(recorded, tag)
    assert (finished["restored"], finished["missing"]) == (1, [])
    assert not note.exists() and (outside / "x/data/table.csv").exists()


def test_a_second_pull_leaves_edits_alone(recorded: Project, tag: str) -> None:
    """Code that was edited stays; data that was changed is named, not overwritten."""
    pull(recorded, tag)
    outside = recorded.root.parent
    (outside / "x/app.py").write_text("mine")
    (outside / "x/data/table.csv").write_text("mine")
    (outside / "x/outputs/a/model.txt").unlink()
    done = pull(recorded, tag, check=False)
    assert done["restored"] == 1
    assert done["missing"] == [
        "data/table.csv: another file is there; move it away and pull again"
    ]
    assert (outside / "x/app.py").read_text() == "mine"


def test_a_data_remote_that_is_gone(recorded: Project, tag: str) -> None:
    """A clear error, and no folder that looks like a run."""
    shutil.move(recorded.root.parent / "store", recorded.root.parent / "away")
    done = recorded.flexlock(
        "pull", tag, "--from", "origin.git", "--into", "x", cwd=recorded.root.parent, check=False
    )
    assert done.code == 2 and "is not here" in done.err
    assert not (recorded.root.parent / "x").exists()


def test_a_disk_that_is_too_small(recorded: Project, tag: str, tmp_path: Path) -> None:
    """What does not fit is refused before anything of it is written."""
    small = tmp_path / "small"
    small.mkdir()
    recorded.call("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small))
    try:
        done = recorded.flexlock(
            "pull", tag, "--from", "origin.git", "--into", small / "x", cwd=tmp_path, check=False
        )
        assert done.code == 2 and "has room for" in done.err and "--only NAME" in done.err
    finally:
        recorded.call("umount", str(small))
