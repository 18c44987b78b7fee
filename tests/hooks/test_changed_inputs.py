"""What a job changes of its inputs is kept before it does, or named as what is not."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.capture.data.digest import digest
from tests.conftest import Project, with_callback

pytestmark = pytest.mark.hydra

APP = """
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def read(path):
    return Path(path).read_text()


def write(path, text="changed"):
    Path(path).write_text(text)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    exec(cfg.do, {**globals(), "cfg": cfg, "out": out})


if __name__ == "__main__":
    main()
"""
CONFIG = "do: pass\nset: ${snapshot:data/set}\ntable: null\n"
OLD = {"1.txt": "1", "2.txt": "2", "sub/3.txt": "3"}
"""What the marked folder holds at first."""


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose job runs a line of Python, with a marked folder."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback(CONFIG))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    for name, text in OLD.items():
        project.write(f"data/set/{name}", text)
    project.write("data/a.txt", "a")
    project.commit("app")
    return project


def run(app: Project, do: str, *more: str) -> dict[str, Any]:
    """The lock of a job that ran a line of Python."""
    done = app.app(f"do='{do}'", "hydra.run.dir=outputs/a", *more)
    assert (done.out, done.err) == ("", "")
    return app.lock()


def kept(app: Project, folder: str = "outputs/a") -> dict[str, str]:
    """What was kept: its path in the project -> text."""
    top = app.path(f"{folder}/.flexlock/kept")
    paths = [path for path in top.rglob("*") if path.is_file() and path.name != ".gitignore"]
    return {"/".join(path.relative_to(top).parts[1:]): path.read_text() for path in paths}


def verified(app: Project, folder: str = "outputs/a") -> str:
    """What a look at a run says of its inputs; the run is as recorded."""
    return app.flexlock("verify", folder, "--no-environment").out


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ('write("data/set/1.txt")', ["1.txt"]),
        ('open("data/set/1.txt", "a").write("x")', ["1.txt"]),
        ('open("data/set/../set/1.txt", "r+").write("x")', ["1.txt"]),
        ('os.truncate("data/set/1.txt", 0)', ["1.txt"]),
        ('os.remove("data/set/1.txt")', ["1.txt"]),
        ('write("new"); os.replace("new", "data/set/1.txt")', ["1.txt"]),
        ('os.rename("data/set/1.txt", "data/set/9.txt"); write("data/set/9.txt")', ["1.txt"]),
        ('shutil.rmtree("data/set")', sorted(OLD)),
        ('os.rename("data/set", "data/other"); write("data/other/1.txt")', sorted(OLD)),
        ('os.chdir("data"); write("set/1.txt")', ["1.txt"]),
        ('os.symlink("set", "data/link"); write("data/link/1.txt")', ["1.txt"]),
        ('os.fork() or (write("data/set/1.txt"), os._exit(1)); os.wait()', ["1.txt"]),
    ],
)
def test_before_it_changes(app: Project, line: str, names: list[str]) -> None:
    """However Python changes a file of a marked folder, its earlier bytes are kept and found."""
    lock = run(app, line)
    assert kept(app) == {f"data/set/{name}": OLD[name] for name in names}
    assert lock["completeness"]["data"] == "exact"
    assert "changed by the job itself; the recorded bytes are kept" in verified(app)


@pytest.mark.parametrize("forked", [False, True])
def test_unmarked(app: Project, forked: bool) -> None:
    """A file that was read first, and one that the config names, are inputs as they were."""
    line = 'read("data/a.txt"); read(cfg.table); {}'
    both = 'write("data/a.txt"), write(cfg.table)'
    forks = f"os.fork() or ({both}, os._exit(0)); os.wait()"
    lock = run(app, line.format(forks if forked else both), "table=data/set/2.txt", "set=null")
    assert {key: each["how"] for key, each in lock["data"].items()} == {
        "table": "observed", "data/a.txt": "observed",
    }
    assert kept(app) == {"data/a.txt": "a", "data/set/2.txt": "2"}
    assert verified(app).count("the recorded bytes are kept") == 2


def test_what_stays_as_it_was_takes_no_place(app: Project) -> None:
    """A database that is only read, and a checkpoint in the output directory that is only read."""
    with sqlite3.connect(app.path("data/my.db")) as database:
        database.execute("create table t (x)")
    database.close()
    app.write("outputs/a/last.txt", "1")
    line = 'sqlite3.connect("data/my.db").execute("select * from t"); read(cfg.table)'
    lock = run(app, line, "table='${snapshot:outputs/a/last.txt}'")
    assert {key: each["how"] for key, each in lock["data"].items()} == {
        "set": "marked", "table": "marked", "data/my.db": "observed",
    }
    assert not app.path("outputs/a/.flexlock").exists()
    assert lock["warnings"] == []


def test_what_another_program_changes(app: Project, store: Path) -> None:
    """Nobody sees it in time: it is named, and the push sends the later version and says so."""
    lock = run(app, 'subprocess.run(["cp", "data/a.txt", "data/set/1.txt"])')
    assert [(each["path"], each["why"]) for each in lock["unrecorded"]] == [
        ("data/set/1.txt", "it changed during the job, unseen")
    ]
    assert lock["completeness"]["data"] == "partial"
    done = app.flexlock("push", "outputs/a", "--remote", store)
    assert "later version: the run changed it, and what it read is not kept: data/set/1.txt" \
        in done.out


def test_what_the_job_adds(app: Project, store: Path) -> None:
    """A cache that it leaves in a folder that it lists is no part of that folder."""
    line = '[read(path) for path in sorted(Path("data/set").glob("*.txt"))]; ' \
        'write("data/set/labels.cache"); os.listdir("data/set")'
    lock = run(app, line, "table=data/set", "set=null")
    assert lock["data"]["table"]["files"] == ["1.txt", "2.txt"]
    assert lock["data"]["table"]["listed"]
    assert "verified" in verified(app)
    pushed = app.flexlock("push", "outputs/a", "--remote", store, "--json").json
    assert pushed["later"] == []


def test_too_large_and_unmarked(app: Project) -> None:
    """What a job reads and overwrites, and is too large to be kept, is named with the reason."""
    with open(app.path("data/big"), "wb") as file:
        file.truncate((64 << 20) + 1)
    lock = run(app, 'open("data/big", "rb").read(1); write("data/big")', "set=null")
    assert [(each["path"], each["why"]) for each in lock["unrecorded"]] == [
        ("data/big", "the job changed it, and it is larger than what is kept, 64 MB")
    ]


def test_an_earlier_attempt(app: Project, store: Path) -> None:
    """The lock that moved aside still leads to what that attempt had read."""
    app.write("outputs/a/last.txt", "1")
    line = 'text = read(cfg.table); write(cfg.table, text + "1")'
    first = run(app, line, "table='${snapshot:outputs/a/last.txt}'")["run"]["id"]
    run(app, line, "table='${snapshot:outputs/a/last.txt}'")
    assert len([*app.path("outputs/a/.flexlock/kept").rglob("last.txt")]) == 2
    pushed = app.flexlock("push", first, "--remote", store, "--no-outputs", "--json").json
    assert pushed["later"] == []
    sent = {path.read_text() for path in (store / "files").rglob("*") if path.stat().st_size == 1}
    assert "1" in sent


def test_a_folder_that_the_job_moves(app: Project) -> None:
    """What was kept goes along with the output directory."""
    line = 'write("data/set/1.txt"); os.rename(out, out.with_name("b")); write("data/set/2.txt")'
    run(app, line)
    assert kept(app, "outputs/b") == {"data/set/1.txt": "1", "data/set/2.txt": "2"}
    assert not app.path("outputs/a").exists()
    assert "the recorded bytes are kept" in verified(app, "outputs/b")


@pytest.mark.parametrize("given", ["'${snapshot:outputs/a/last.txt}'", "outputs/a/last.txt"])
def test_in_the_output_directory(app: Project, given: str) -> None:
    """What lies there is kept at the start: who writes checkpoints in C is not seen."""
    app.write("outputs/a/last.txt", "1")
    run(app, 'read(cfg.table); subprocess.run(["cp", "data/a.txt", cfg.table])', f"table={given}")
    assert kept(app) == {"outputs/a/last.txt": "1"}
    assert "the recorded bytes are kept: outputs/a/last.txt" in verified(app)


def test_changed_before_it_is_hashed(app: Project) -> None:
    """What is hashed beside the job has the hash of the start, whatever the job does first."""
    for number in range(400):
        app.write(f"data/set/many/{number}.txt", str(number))
    before = digest(app.path("data/set")).md5
    line = 'write("data/set/labels.cache"); write("data/set/many/399.txt"); write("data/set/1.txt")'
    lock = run(app, line)
    assert lock["data"]["set"]["hash"] == {"md5": before}
    assert not [text for text in lock["warnings"] if "before it was hashed" in text]
    assert lock["completeness"]["data"] == "exact"
    assert "the recorded bytes are kept" in verified(app)
