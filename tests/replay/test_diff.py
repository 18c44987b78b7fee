"""``diff`` names what differs between two runs, wherever they lie, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project
from tests.support.recorded import push

SECTIONS = ["config", "code", "data", "environment", "result", "outputs"]


def diff(project: Project, old: str, new: str, *words: str) -> dict[str, Any]:
    """The command's JSON."""
    done = project.flexlock("diff", old, new, "--json", *words, check=False)
    assert done.code in (0, 1), done.err
    document: dict[str, Any] = done.json
    differs = any(s[kind] for s in map(document.get, SECTIONS) if s for kind in _KINDS)
    assert done.code == differs
    return document


_KINDS = ("added", "removed", "changed")


def test_every_section(recorded: Project) -> None:
    """Config by key, code by file, data, packages, result with its delta, outputs: by name."""
    again = recorded.path("outputs/b")
    shutil.copytree(recorded.path("outputs/a"), again)
    lock = yaml.safe_load((again / "run.lock").read_text())
    lock["environment"]["packages"]["numpy"] = "99.0"
    lock["run"]["result"] = 0.5
    lock["data"]["table"] |= {"hash": {"md5": "0" * 32}, "size": 9}
    lock["config"] |= {"new": [1], "lr": 0.2 + 1e-9}
    (again / "run.lock").write_text(yaml.safe_dump(lock))
    found = diff(recorded, "outputs/a", "outputs/b")
    assert list(found) == SECTIONS
    assert found["config"]["changed"] == {"lr": {"old": 0.2, "new": 0.200000001}}
    assert found["config"]["added"] == {"new[0]": 1}
    assert found["environment"]["changed"]["numpy"]["new"] == "99.0" or (
        found["environment"]["added"] == {"numpy": "99.0"}
    )
    assert found["result"]["changed"]["result"] == {
        "old": 0.2, "new": 0.5, "delta": 0.3, "percent": 150.0
    }
    assert found["data"]["details"]["table"]["new"]["size"] == 9
    assert not any(found["code"][kind] or found["outputs"][kind] for kind in _KINDS)


def test_what_is_masked_is_not_called_equal(recorded: Project) -> None:
    """Of secrets both sides hold the mask alone: that is said, and is no difference."""
    for name in "bc":
        shutil.copytree(recorded.path("outputs/a"), recorded.path(f"outputs/{name}"))
        path = recorded.path(f"outputs/{name}/run.lock")
        lock = yaml.safe_load(path.read_text())
        lock["config"]["db"] = {"password": "***"}
        path.write_text(yaml.safe_dump(lock))
    done = recorded.flexlock("diff", "outputs/b", "outputs/c")
    assert "warning: masked, so not compared: db.password" in done.err


def test_how_runs_ended(recorded: Project) -> None:
    """A run that failed is told from one that did not, beside what they returned."""
    again = recorded.path("outputs/b")
    shutil.copytree(recorded.path("outputs/a"), again)
    lock = yaml.safe_load((again / "run.lock").read_text())
    lock["run"] |= {"status": "failed", "result": None}
    lock["run"]["error"] = {"type": "KeyError", "message": "'x'", "traceback": ""}
    (again / "run.lock").write_text(yaml.safe_dump(lock))
    found = diff(recorded, "outputs/a", "outputs/b")["result"]
    assert found["changed"] == {"run.status": {"old": "completed", "new": "failed"}}
    assert found["added"] == {"run.error": "KeyError: 'x'"} and found["removed"] == {"result": 0.2}
    said = recorded.flexlock("diff", "outputs/a", "outputs/b", check=False).out
    assert "run.status: completed -> failed" in said


def test_objects_lie_elsewhere_in_memory(recorded: Project) -> None:
    """A result that is an object is the same wherever it was."""
    for name, address in (("b", "0x7f00"), ("c", "0x7faa")):
        shutil.copytree(recorded.path("outputs/a"), recorded.path(f"outputs/{name}"))
        path = recorded.path(f"outputs/{name}/run.lock")
        lock = yaml.safe_load(path.read_text())
        lock["run"]["result"] = {"repr": f"<app.Model object at {address}>"}
        path.write_text(yaml.safe_dump(lock))
    assert not any(diff(recorded, "outputs/b", "outputs/c")["result"][kind] for kind in _KINDS)


def test_code_as_files_and_as_a_patch(recorded: Project, tmp_path: Path) -> None:
    """Code differs by file; the patch, applied to the old code, gives the new."""
    found = diff(recorded, "outputs/pre", "outputs/a", "--patch")
    assert set(found["code"]["changed"]) == {"app.py"} and set(found["code"]["added"]) == {"new.py"}
    locks = [yaml.safe_load(recorded.path(f"outputs/{name}/run.lock").read_text())
             for name in ("pre", "a")]
    trees = [lock["repos"]["main"]["commit"] for lock in locks]
    recorded.git("worktree", "add", "-q", str(tmp_path / "old"), trees[0])
    patch = tmp_path / "x.patch"
    patch.write_text(found["patch"])
    recorded.git("apply", "--index", str(patch), cwd=tmp_path / "old")
    tree = recorded.git("write-tree", cwd=tmp_path / "old")
    assert tree == recorded.git("rev-parse", f"{trees[1]}^{{tree}}")
    shown = recorded.flexlock("diff", "outputs/pre", "outputs/a", "--patch", check=False).out
    assert "+# edited" in shown and "+x = 1" in shown


def test_runs_of_other_repositories(recorded: Project, tmp_path: Path) -> None:
    """A run may lie in another project, or be a tag that only a git remote has."""
    tag = push(recorded)["tag"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    origin, project = tmp_path / "origin.git", recorded.root
    here = Project(elsewhere, recorded.env)
    assert not any(
        section[kind]
        for section in diff(here, f"{origin}#{tag}", f"{project}#outputs/a").values()
        for kind in _KINDS
    )
    found = diff(here, f"{project}#outputs/pre", f"{origin}#{tag}", "--patch")
    assert set(found["code"]["changed"]) == {"app.py"} and "+# edited" in found["patch"]
    assert found["config"]["changed"]["lr"] == {"old": 0.1, "new": 0.2}


@pytest.mark.parametrize(
    "place", ["ext::sh -c touch%20ran", "--upload-pack=touch ran", "/no/such/place"]
)
def test_hostile_places(recorded: Project, place: str) -> None:
    """What stands before # runs no program; it is refused with what to type."""
    done = recorded.flexlock(
        "diff", "outputs/a", f"{place}#flexlock/app/20261122T101500Z-00000001", check=False
    )
    assert done.code == 2 and not recorded.path("ran").exists()


def test_hostile_locks(recorded: Project) -> None:
    """Names and values of a lock steer no terminal."""
    again = recorded.path("outputs/b")
    shutil.copytree(recorded.path("outputs/a"), again)
    lock = yaml.safe_load((again / "run.lock").read_text())
    lock["config"] |= {"\x1b[2Jkey": "\x1b]0;title\x07", "lr": "\u202e"}
    lock["environment"]["packages"]["\x1b[31m"] = "1\r\n2"
    (again / "run.lock").write_text(yaml.safe_dump(lock))
    done = recorded.flexlock("diff", "outputs/a", "outputs/b", check=False)
    assert done.code == 1 and "key" in done.out
    assert not {"\x1b", "\x07", "\r", "\u202e"} & {*done.out, *done.err}
