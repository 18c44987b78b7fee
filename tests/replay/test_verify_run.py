"""``verify RUN``: each thing that is not as recorded stands by name on a line of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, fingerprint, read_plain
from tests.support.recorded import push

pytestmark = pytest.mark.hydra


def verified(project: Project, *words: str, code: int = 0, **options: Any) -> list[str]:
    """What ``verify`` says is wrong or could not be verified, a line each."""
    done = project.flexlock("verify", *words, check=False, **options)
    assert done.code == code, f"{done.out}\n{done.err}"
    return [line for line in done.out.splitlines() if not line.startswith("verified: ")]


def test_an_unchanged_run(recorded: Project) -> None:
    """Where nothing changed one line says so, and how much was looked at."""
    done = recorded.flexlock("verify", "outputs/a")
    assert done.out.startswith("verified: ") and done.out.count("\n") == 1
    checks = recorded.flexlock("verify", "outputs/a", "--json").json["checks"]
    names = [check["name"] for check in checks]
    assert names[:6] == ["run", "code", "data table", "data set", "data before", names[5]]
    assert names[5].startswith("predecessor app ")
    assert names[6:8] == ["outputs", "environment python"]
    assert all(set(check) == {"name", "ok", "reason"} and check["ok"] for check in checks)


def edit(project: Project, name: str, content: str) -> None:
    """Write other bytes; the file is there already."""
    assert project.path(name).exists()
    project.write(name, content)


def damage(project: Project) -> str:
    """Overwrite an object of the snapshot: the edited script."""
    commit = read_plain(project.path("outputs/a/run.lock"))["repos"]["main"]["commit"]
    oid = project.git("rev-parse", f"{commit}:app.py")
    path = project.path(f".git/objects/{oid[:2]}/{oid[2:]}")
    path.chmod(0o644)
    shutil.copy(next(p for p in path.parent.parent.glob("??/*") if p != path), path)
    return "code app.py"


def forget(project: Project) -> str:
    """Remove the snapshot commit."""
    commit = read_plain(project.path("outputs/a/run.lock"))["repos"]["main"]["commit"]
    project.path(f".git/objects/{commit[:2]}/{commit[2:]}").unlink()
    return f"code: commit {commit} is missing"


Break = Callable[[Project], Any]


@pytest.mark.parametrize(("change", "said"), [
    (lambda p: edit(p, "data/table.csv", "other"), "data table: data/table.csv changed: recorded"),
    (lambda p: p.path("data/table.csv").unlink(), "data table: data/table.csv is missing"),
    (lambda p: edit(p, "data/set/sub/x.bin", "x"), "data set: data/set changed"),
    (lambda p: p.path("data/set/run.sh").chmod(0o644), "data set: data/set: run.sh is not exec"),
    (lambda p: shutil.rmtree(p.path("data/set/empty")), "data set: data/set: the empty folder em"),
    (lambda p: edit(p, "outputs/a/model.txt", "x"), "outputs: changed: recorded"),
    (lambda p: p.write("outputs/a/new.txt", "x"), "outputs: changed"),
    (lambda p: p.path("outputs/a/model.txt").unlink(), "outputs: changed"),
    (damage, ""),
    (forget, ""),
])
def test_what_changed_is_named(change: Break, said: str, recorded: Project) -> None:
    """A change of code, data or outputs is one line, with what was recorded and what is."""
    told = change(recorded)
    lines = verified(recorded, "outputs/a", code=1)
    assert len(lines) == 1, lines
    assert lines[0].startswith(said or told)


def test_an_input_that_is_a_program(recorded: Project) -> None:
    """A file that was executable and is not any more is told, though its bytes are the same."""
    recorded.app("hydra.run.dir=outputs/e", "table=${snapshot:data/set/run.sh,tool}", "folder=null")
    recorded.path("data/set/run.sh").chmod(0o644)
    assert verified(recorded, "outputs/e", code=1) == [
        "data tool: data/set/run.sh: it is not executable any more"
    ]


def test_a_lock_of_a_predecessor_that_changed(recorded: Project) -> None:
    """A predecessor's lock with other bytes is named, and so is the folder that it lay in."""
    path = recorded.path("outputs/pre/run.lock")
    path.write_bytes(path.read_bytes() + b"# more\n")
    lines = verified(recorded, "outputs/a", code=1)
    assert any(line.startswith("predecessor app ") and "changed" in line for line in lines)
    path.unlink()
    lines = verified(recorded, "outputs/a", code=1)
    assert any(line.startswith("predecessor app ") and "not in" in line for line in lines)


def test_several_things_are_several_lines(recorded: Project) -> None:
    """Everything that is wrong is named, each on a line of its own."""
    recorded.write("data/table.csv", "other")
    recorded.write("outputs/a/model.txt", "other")
    recorded.path("data/set/run.sh").chmod(0o644)
    lines = verified(recorded, "outputs/a", code=1)
    assert [line.partition(":")[0] for line in lines] == ["data table", "data set", "outputs"]
    checks = recorded.flexlock("verify", "outputs/a", "--json", check=False).json["checks"]
    assert [c["name"] for c in checks if not c["ok"]] == ["data table", "data set", "outputs"]


def change_environment(project: Project) -> None:
    """As if the run had been recorded elsewhere."""
    path = project.path("outputs/a/run.lock")
    plain = yaml.safe_load(path.read_bytes())
    found = plain["environment"]
    found["python"] = "3.9.1"
    found["packages"]["click"] = "0.1"
    found["packages"]["not-there"] = "2.0"
    del found["packages"]["pyyaml"]
    path.write_text(yaml.safe_dump(plain, sort_keys=False))


def test_another_environment(recorded: Project) -> None:
    """Python and each package that is another, is gone or is new are named; or passed over."""
    change_environment(recorded)
    lines = verified(recorded, "outputs/a", code=1)
    assert lines[0].startswith("environment python: changed: recorded CPython 3.9.1, here CPython")
    assert lines[1].startswith("environment click: changed: recorded 0.1, here ")
    assert lines[2] == "environment not-there: removed: recorded 2.0"
    assert lines[3].startswith("environment pyyaml: added: ")
    assert len(lines) == 4
    assert verified(recorded, "outputs/a", "--no-environment") == []


def test_a_lock_file_that_changed(recorded: Project) -> None:
    """A lock file of the project with other packages is named."""
    recorded.write("requirements.txt", "numpy==1\n")
    recorded.app("hydra.run.dir=outputs/b")
    assert verified(recorded, "outputs/b") == []
    recorded.write("requirements.txt", "numpy==2\n")
    lines = verified(recorded, "outputs/b", code=1)
    assert [line.partition(":")[0] for line in lines] == ["environment requirements.txt"]


def test_all_runs_below_folders(recorded: Project) -> None:
    """--all looks at every run below, says which is wrong, and names a damaged lock."""
    assert "of 2 runs" in recorded.flexlock("verify", "--all").out
    recorded.write("outputs/a/model.txt", "other")
    recorded.write("outputs/c/run.lock", "format: 1\n")
    lines = verified(recorded, "--all", "outputs", code=1)
    assert [line.split(": ")[:2] for line in lines] == [
        ["outputs/a", "outputs"], ["outputs/c", "lock"],
    ]
    checks = recorded.flexlock("verify", "--all", "outputs", "--json", check=False).json["checks"]
    assert {check["run"] for check in checks} == {"outputs/a", "outputs/c", "outputs/pre"}
    assert verified(recorded, "--all", "nowhere", code=2) == []


def test_a_sweep(recorded: Project) -> None:
    """Of a sweep each job is verified."""
    recorded.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s")
    assert "of 2 runs" in recorded.flexlock("verify", "multirun/s").out
    recorded.write("multirun/s/1/model.txt", "other")
    lines = verified(recorded, "multirun/s", code=1)
    assert len(lines) == 1 and lines[0].startswith("multirun/s/1: outputs: changed")


def test_in_a_pulled_folder(recorded: Project, tmp_path: Path) -> None:
    """What was pulled verifies with nothing of the original left; a change there is named."""
    tag = push(recorded)["tag"]
    recorded.flexlock(
        "pull", tag, "--from", str(tmp_path / "origin.git"), "--into", str(tmp_path / "new"),
        cwd=tmp_path,
    )
    shutil.move(recorded.root, tmp_path / "away")
    there = Project(tmp_path / "new", recorded.env)
    assert verified(there, "outputs/a") == []
    assert verified(there, "outputs/pre") == []
    there.path("data/table.csv").unlink()
    there.write("data/table.csv", "other")
    lines = verified(there, "outputs/a", code=1)
    assert len(lines) == 1 and lines[0].startswith("data table: data/table.csv changed")


def test_a_tag_that_is_not_pulled(recorded: Project, tmp_path: Path) -> None:
    """Of a tag in a bare clone the data is missing by name, and it says what to type next."""
    tag = push(recorded)["tag"]
    recorded.git("clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / "clone"))
    there = Project(tmp_path / "clone", recorded.env)
    done = there.flexlock("verify", tag, check=False)
    assert done.code == 1 and "data table: data/table.csv is missing" in done.out
    assert f"{tag} is not pulled here: flexlock-hydra pull TAG" in done.err


def test_a_further_repository(recorded: Project, tmp_path: Path) -> None:
    """Of a named repository the recorded commit must be there too."""
    lib = Project(tmp_path / "lib", recorded.env)
    lib.write("lib.py", "x = 1\n")
    lib.git("init", "-q", "-b", "main")
    lib.commit("first")
    recorded.app("hydra.run.dir=outputs/l", "hydra.callbacks.flexlock.repos=../lib")
    assert verified(recorded, "outputs/l") == []
    shutil.move(lib.root, tmp_path / "gone")
    lines = verified(recorded, "outputs/l", code=1)
    assert len(lines) == 1 and lines[0].startswith("repository lib: ")


def test_nothing_is_written(recorded: Project) -> None:
    """Neither the run nor the repository is changed by a look."""
    recorded.write("data/set/sub/x.bin", bytes(range(256)))  # other times, the same bytes
    before = fingerprint(recorded.root)
    recorded.flexlock("verify", "--all")
    assert fingerprint(recorded.root) == before


def test_one_run_is_named(recorded: Project) -> None:
    """None or two runs without --all are a usage error."""
    for words in ([], ["outputs/a", "outputs/pre"]):
        done = recorded.flexlock("verify", *words, check=False)
        assert done.code == 2 and "--all" in done.err
