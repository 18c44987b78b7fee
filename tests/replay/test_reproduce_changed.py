"""Runs that change what they read come back elsewhere with what they had read."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, add_origin, with_callback
from tests.support.recorded import manifest

pytestmark = pytest.mark.hydra

APP = """
import json
import os
import sqlite3
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def read(path):
    return Path(path).read_text()


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    found = {}
    exec(read("steps.py"), {**globals(), "cfg": cfg, "out": out, "found": found})
    (out / "found.json").write_text(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main()
"""
CONFIG = """
set: ${snapshot:data/set}
db: ${snapshot:data/my.db}
named: data/named.json
lr: 1
"""
STEPS = """
import os
import sqlite3
from pathlib import Path
database = sqlite3.connect(cfg.db)
found["rows"] = [row[0] for row in database.execute("select x from t order by x")]
database.execute("insert into t values (?)", [len(found["rows"])])
database.commit()
found["set"] = {name: read(f"{cfg.set}/{name}") for name in sorted(os.listdir(cfg.set))
                if name.endswith(".txt")}
Path(cfg.set, "labels.cache.tmp").write_text("made")
os.replace(f"{cfg.set}/labels.cache.tmp", f"{cfg.set}/labels.cache")
Path(cfg.set, "sub/lock.mdb").write_text(str(os.getpid()))
Path(cfg.set, "1.txt").write_text("1 changed")
os.remove(f"{cfg.set}/2.txt")
Path(cfg.set, "new").write_text("3 replaced")
os.replace(f"{cfg.set}/new", f"{cfg.set}/3.txt")
os.fork() or (Path(cfg.set, "4.txt").write_text("4 changed by a child"), os._exit(0))
os.wait()
found["named"] = read(cfg.named)
Path(cfg.named).write_text("another")
found["hard"] = read("data/hard.txt")
with open("data/hard.txt", "a") as file:
    file.write("more")
"""


def write_project(project: Project, tmp_path: Path, steps: str = STEPS) -> Path:
    """The app and its data; the folder of the data remote."""
    project.write("app.py", APP)
    project.write("steps.py", steps)
    project.write("conf/config.yaml", with_callback(CONFIG))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    write_data(project)
    project.commit("app")
    add_origin(project, tmp_path / "origin.git")
    return tmp_path / "store"


def write_data(project: Project) -> None:
    """The data as it is before any job."""
    for number in range(1, 6):
        project.write(f"data/set/{number}.txt", str(number))
    for name in ("set/sub/data.mdb", "set/sub/lock.mdb", "named.json", "hard.txt"):
        project.write(f"data/{name}", name)
    with sqlite3.connect(project.path("data/my.db")) as database:
        database.execute("create table t (x)")
        database.execute("insert into t values (7)")
    database.close()


def elsewhere(project: Project, tmp_path: Path, run: str, store: Path) -> dict[str, Any]:
    """Push a run, take everything of the project away, and reproduce it."""
    pushed = project.flexlock("push", run, "--remote", store, "--json").json
    content = manifest(project, pushed["tag"])
    shutil.move(project.root, tmp_path / "gone")
    done = project.flexlock(
        "reproduce", pushed["tag"], "--from", tmp_path / "origin.git", "--into", tmp_path / "x",
        "--json", cwd=tmp_path, check=False,
    ).json
    return {**done, "pushed": pushed, "manifest": content}


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "joblib"])
def test_every_way_to_change_an_input(project: Project, tmp_path: Path, sweep: bool) -> None:
    """A database, files written, removed and replaced, by a child too, caches and lock files."""
    store = write_project(project, tmp_path)
    if sweep:
        project.app("-m", "lr=1", "hydra/launcher=joblib", "hydra.sweep.dir=outputs/a")
    else:
        project.app("hydra.run.dir=outputs/a")
    lock = project.lock()
    assert lock["completeness"] == {"code": "exact", "data": "exact"}
    assert {key: each["how"] for key, each in lock["data"].items()} == {
        "set": "marked", "db": "marked", "named": "observed", "data/hard.txt": "observed",
    }
    said = project.flexlock("verify", "outputs/a/0" if sweep else "outputs/a").out
    assert said.count("changed by the job itself; the recorded bytes are kept") == 4
    done = elsewhere(project, tmp_path, "outputs/a", store)
    assert done["verdict"] == "identical"
    assert "later" not in done["manifest"]
    project.dvc("pull", cwd=tmp_path / "x")


RESUME = """
last = Path(cfg.resume or out / "last.json")
n = json.loads(last.read_text()) if last.exists() else 0
(out / "last.json").write_text(json.dumps(n + 1))
(out / f"epoch{n}.txt").write_text(str(n))
found["n"] = n
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["marked", "named", "found"])
def test_resumed_in_one_folder(project: Project, tmp_path: Path, how: str) -> None:
    """Each attempt reads what the one before it left in the same folder, and writes it anew."""
    store = write_project(project, tmp_path, RESUME)
    project.write("conf/config.yaml", with_callback("resume: null\nx: 0\n"))
    project.commit("resume")
    path = "outputs/exp/last.json"
    given = {"marked": f"resume='${{snapshot:{path}}}'", "named": f"resume={path}", "found": "x=1"}
    key = path if how == "found" else "resume"
    project.app("hydra.run.dir=outputs/exp")
    first = project.lock()["run"]["id"]
    for attempt in (1, 2):
        project.app("hydra.run.dir=outputs/exp", given[how])
        lock = project.lock()
        assert {name: each["how"] for name, each in lock["data"].items()} == {
            key: "marked" if how == "marked" else "observed"
        }
        assert "epoch0.txt" in lock["outputs"]["earlier"]
        kept = project.path(f"outputs/exp/.flexlock/kept/{lock['run']['id']}/{path}")
        assert json.loads(kept.read_text()) == attempt
    assert not project.path(f"outputs/exp/.flexlock/kept/{first}").exists()
    assert project.flexlock("rerun", "outputs/exp", "--json").json["verdict"] == "identical"
    done = elsewhere(project, tmp_path, "outputs/exp", store)
    assert (done["verdict"], done["identical"]) == ("identical", 3)
    last = tmp_path / "x/outputs/exp/last.json"
    assert json.loads(last.read_text()) == 3
    assert project.flexlock("verify", "outputs/exp", cwd=tmp_path / "x").code == 0


def test_a_killed_job(project: Project, tmp_path: Path) -> None:
    """What it had changed by then is found by the lock of its start."""
    store = write_project(project, tmp_path, f"{STEPS}\nos.kill(os.getpid(), 9)\n")
    project.app("hydra.run.dir=outputs/a", check=False)
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    into = tmp_path / "x"
    project.flexlock("pull", tag, "--from", tmp_path / "origin.git", "--into", into, cwd=tmp_path)
    texts = {path.name: path.read_text() for path in (into / "data/set").glob("*.*")}
    assert texts == {f"{number}.txt": str(number) for number in range(1, 6)}
    database = sqlite3.connect(into / "data/my.db")
    assert [*database.execute("select x from t")] == [(7,)]
    database.close()


LATER = """
import time
while cfg.wait and "hash:" not in (out / "run.lock").read_text().partition("\\ndata:")[2]:
    time.sleep(0.05)
with open(cfg.db, "r+b") as file:
    found["first"] = file.read(1).decode()
    file.seek(0)
    file.write(b"z")
"""


@pytest.mark.parametrize("waits", [True, False], ids=["hashed", "changed first"])
def test_a_file_above_the_limit(project: Project, tmp_path: Path, waits: bool) -> None:
    """Its later version travels, and everything that speaks of the run says so."""
    store = write_project(project, tmp_path, LATER)
    project.write("conf/config.yaml", with_callback(
        f"db: ${{snapshot:data/big.bin}}\nwait: {waits}\n"
    ))
    project.commit("big")
    with open(project.path("data/big.bin"), "wb") as file:
        file.write(b"a")
        file.truncate((64 << 20) + 1)
    project.app("hydra.run.dir=outputs/a")
    lock = project.lock()
    assert lock["unrecorded"] == [{
        "path": "data/big.bin",
        "why": "it is larger than what is kept, 64 MB",
        "config_key": "db",
        "size": (64 << 20) + 1,
    }]
    assert lock["completeness"]["data"] == "partial"
    found = project.flexlock("verify", "outputs/a", check=False)
    assert not waits or (found.code, "what it read is not kept" in found.out) == (1, True)
    done = elsewhere(project, tmp_path, "outputs/a", store)
    assert done["pushed"]["later"] == done["manifest"]["later"] == ["data/big.bin"]
    assert done["kept"]["later"] == ["data/big.bin"]
    assert (done["verdict"], done["differ"]) == ("differs", ["found.json"])
    verified = project.flexlock("verify", "outputs/a", cwd=tmp_path / "x", check=False)
    assert not waits or "the later version that the job left" in verified.out


def test_a_change_after_the_run_is_still_refused(project: Project, tmp_path: Path) -> None:
    """What somebody else changed is no later version: the push says what to do."""
    store = write_project(project, tmp_path, "read(cfg.db)")
    project.write("conf/config.yaml", with_callback("db: ${snapshot:data/named.json}\n"))
    project.app("hydra.run.dir=outputs/a")
    assert not project.path("outputs/a/.flexlock").exists()
    project.write("data/named.json", "by hand")
    done = project.flexlock("push", "outputs/a", "--remote", store, check=False)
    assert (done.code, "changed since the run" in done.err) == (2, True)
