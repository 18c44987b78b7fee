"""What a job reads and nobody marked is recorded, or named as what is not."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock, with_callback

pytestmark = pytest.mark.hydra

APP = """
import os
import sys
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def read(*paths):
    return sum(len(Path(path).read_bytes()) for path in paths)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    exec(cfg.do, {**globals(), "cfg": cfg, "out": out})
    (out / "done.txt").write_text("done")


if __name__ == "__main__":
    main()
"""
TWO_THREADS = """
import threading
from pathlib import Path

from hydra import compose, initialize
from hydra._internal.callbacks import Callbacks
from hydra.core.utils import run_job
from hydra.types import HydraContext

together = threading.Barrier(2)


def task(cfg):
    together.wait()
    Path(cfg.table).read_text()
    together.wait()


def job(config):
    callbacks = Callbacks(config)
    callbacks.on_run_start(config=config, config_name="config")
    context = HydraContext(config_loader=None, callbacks=callbacks)
    run_job(task, config, "hydra.run.dir", None, context, configure_logging=False)


with initialize(version_base=None, config_path="conf"):
    configs = [
        compose("config", [f"table={table}", f"hydra.run.dir=outputs/{number}", "hydra.job.name=x"],
                return_hydra_config=True)
        for number, table in enumerate(("data/a.csv", "data/set/1.txt"))
    ]
threads = [threading.Thread(target=job, args=[config]) for config in configs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
WAIT_FOR_A_HASH = """
def wait_for_a_hash():
    import sqlite3, time
    from flexlock_hydra.capture.data.hash_index import index_path

    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if sqlite3.connect(index_path()).execute("select count(*) from files").fetchone()[0]:
                return
        except sqlite3.Error:
            pass
        time.sleep(0.05)
    raise TimeoutError("nothing was hashed")


@hydra"""
CONFIG = "do: pass\ntable: null\nfolder: null\n"


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose job runs a line of Python; git ignores its data."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback(CONFIG))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\nwandb/\n*.db\n")
    for name in ("data/a.csv", "data/set/1.txt", "data/set/2.txt", "data/set/sub/3.txt"):
        project.write(name, f"{name}\n")
    project.write("tracked.csv", "tracked\n")
    project.commit("app")
    return project


def run(app: Project, do: str, *more: str, silent: bool = True) -> dict[str, Any]:
    """The lock of a job that ran a line of Python."""
    done = app.app(f"do='{do}'", f"hydra.run.dir=outputs/{len(app.locks())}", *more)
    assert not silent or (done.out, done.err) == ("", "")
    return app.lock()


def observed(lock: dict[str, Any]) -> dict[str, Any]:
    """The inputs that nobody marked: key -> path, and the files where they are not all."""
    return {
        key: (entry["path"], *entry.get("files", ()))
        for key, entry in lock["data"].items()
        if entry["how"] == "observed"
    }


def unrecorded(lock: dict[str, Any]) -> dict[str, str]:
    """What was read and is not recorded: path -> why."""
    return {each["path"]: each["why"] for each in lock.get("unrecorded", ())}


# What is an input


def test_files_by_the_keys_that_name_them(app: Project) -> None:
    """A file that the config names, one that it does not, and a part of a named folder."""
    line = 'read(cfg.table, cfg.folder + "/1.txt", cfg.folder + "/sub/3.txt", "data/b.bin")'
    app.write("data/b.bin", "b")
    lock = run(app, line, "table=data/a.csv", "folder=data/set")
    assert observed(lock) == {
        "table": ("data/a.csv",),
        "folder": ("data/set", "1.txt", "sub/3.txt"),
        "data/b.bin": ("data/b.bin",),
    }
    assert lock["data"]["table"] == {
        "path": "data/a.csv",
        "how": "observed",
        "hash": {"md5": "f0abaaaef5d91f7cab5235d6ed24c788"},
        "size": 11,
        "nfiles": 1,
        "config_key": "table",
    }
    assert (lock["data"]["folder"]["nfiles"], lock["data"]["folder"]["config_key"]) == (2, "folder")
    assert lock["completeness"] == {"code": "exact", "data": "exact"}
    assert "unrecorded" not in lock


def test_a_folder_that_was_read_whole(app: Project) -> None:
    """It has the hash that the same folder has with a mark, and names no files."""
    line = "[read(path) for path in Path(cfg.folder).rglob(\"*.txt\")]"
    lock = run(app, line, "folder=data/set")
    marked = run(app, "pass", "folder=${snapshot:data/set}")
    assert observed(lock) == {"folder": ("data/set",)}
    assert lock["data"]["folder"]["hash"] == marked["data"]["folder"]["hash"]
    assert marked["data"]["folder"]["how"] == "marked"


def test_many_files_that_no_key_names_are_one_input(app: Project) -> None:
    """Of a folder that the code itself names the files have one entry together."""
    for number in range(40):
        app.write(f"data/many/{number // 10}/{number}.txt", str(number))
    lock = run(app, "[read(path) for path in Path(\"data/many\").rglob(\"*.txt\")]")
    assert observed(lock) == {"data/many": ("data/many",)}
    assert lock["data"]["data/many"]["nfiles"] == 40


@pytest.mark.parametrize("how", ["fork", "pool"])
def test_forked_children(app: Project, how: str) -> None:
    """What a forked child reads is the job's input, whether it ends as it should or not."""
    lines = {
        "fork": "os.fork() or (read(\"data/a.csv\"), os._exit(1)); os.wait()",
        "pool": "import multiprocessing as m; "
        "p = m.get_context(\"fork\").Pool(2); p.map(read, [\"data/a.csv\"]); p.terminate()",
    }
    assert observed(run(app, lines[how])) == {"data/a.csv": ("data/a.csv",)}


def test_chdir_and_dots(app: Project) -> None:
    """Paths count from where the job runs at that moment; dots and links lead where they lead."""
    app.path("data/link.csv").symlink_to("a.csv")
    lines = "os.chdir(\"data\"); read(\"set/../a.csv\", \"set/1.txt\"); read(\"link.csv\")"
    lock = run(app, lines, "hydra.job.chdir=false")
    assert observed(lock) == {
        key: (key,) for key in ("data/a.csv", "data/set/1.txt", "data/link.csv")
    }


def test_a_link_that_git_tracks(app: Project, tmp_path: Path) -> None:
    """A snapshot holds the link alone: what it leads to is recorded by its bytes."""
    (tmp_path / "far.csv").write_text("far")
    app.path("near.csv").symlink_to(tmp_path / "far.csv")
    app.path("same.csv").symlink_to("tracked.csv")
    app.commit("links")
    lock = run(app, "read(\"near.csv\", \"same.csv\")")
    assert observed(lock) == {"near.csv": ("near.csv",)}
    assert lock["data"]["near.csv"]["size"] == 3


def test_libraries_that_read_in_c(app: Project) -> None:
    """Nobody sees them read: what the config names counts, and files of their kind in a folder."""
    table = app.path("data/set/t.parquet")
    app.call(
        app.python, "-c",
        "import pyarrow as a, pyarrow.parquet as p;"
        f"p.write_table(a.table({{'x': [1]}}), r'{table}')",
    )
    line = "import pyarrow.parquet as p; p.read_table({})"
    named = run(app, line.format("cfg.table"), "table=data/set/t.parquet")
    assert observed(named) == {"table": ("data/set/t.parquet",)}
    inside = line.format("cfg.folder + \"/t.parquet\"") + "; read(cfg.folder + \"/1.txt\")"
    assert observed(run(app, inside, "folder=data/set")) == {
        "folder": ("data/set", "1.txt", "t.parquet")
    }


def test_a_folder_that_nobody_saw_read(app: Project) -> None:
    """A folder that the config names is taken whole where its reader is no Python."""
    line = "import subprocess; subprocess.run([\"cat\", cfg.folder + \"/1.txt\"], stdout=-3)"
    lock = run(app, line, "folder=data/set")
    assert observed(lock) == {"folder": ("data/set",)}
    assert lock["data"]["folder"]["nfiles"] == 3


def test_a_listing_that_decides(app: Project) -> None:
    """Of a folder that the job lists and reads in part, another name in it is a difference."""
    line = "read(cfg.folder + \"/\" + sorted(os.listdir(cfg.folder))[0])"
    first = run(app, line, "folder=data/set")
    assert observed(first) == {"folder": ("data/set", "1.txt")}
    assert set(first["data"]["folder"]["listed"]) == {"."}
    assert app.flexlock("verify", "outputs/0").code == 0
    app.write("data/set/9.txt", "9")
    done = app.flexlock("verify", "outputs/0", check=False)
    assert (done.code, "the names in data/set changed" in done.out) == (1, True)
    run(app, line, "folder=data/set")
    found = app.flexlock("diff", "outputs/0", "outputs/1", "--json", check=False).json
    assert list(found["data"]["changed"]) == ["folder"]


@pytest.mark.parametrize("folder", ["null", "data"])
def test_what_is_large_is_hashed_while_the_job_runs(app: Project, folder: str) -> None:
    """When the job ends, the index knows what it read, alone or in a folder that a key names."""
    app.write("data/big.bin", b"x" * (20 << 20))
    old = time.time() - 60  # a file that changed a moment ago is not trusted to stay as it is
    os.utime(app.path("data/big.bin"), (old, old))
    time.sleep(2.1)
    line = "read(\"data/big.bin\"); wait_for_a_hash()"
    app.write("app.py", APP.replace("@hydra", WAIT_FOR_A_HASH))
    app.commit("wait")
    lock = run(app, line, f"folder={folder}")
    assert [each["size"] for each in lock["data"].values()] == [20 << 20]


def test_an_earlier_run_is_a_predecessor(app: Project) -> None:
    """Its folder needs no mark: the lock in it or above it says where the data came from."""
    first = run(app, "(out / \"model\").mkdir(); (out / \"model/m.bin\").write_text(\"m\")")
    lock = run(app, "read(cfg.folder + \"/model/m.bin\")", "folder=outputs/0")
    assert observed(lock) == {"folder": ("outputs/0", "model/m.bin")}
    assert lock["prevs"][first["run"]["id"]]["via"] == ["folder"]
    other = run(app, "read(\"outputs/0/model/m.bin\")")
    assert other["prevs"][first["run"]["id"]]["via"] == ["outputs/0/model/m.bin"]


# What is none


def test_code_outputs_and_tools_are_no_inputs(app: Project) -> None:
    """Neither the snapshot's files nor the job's own, nor those of trackers and caches."""
    app.write("wandb/run-1/config.yaml", "a: 1")
    app.write("data/__pycache__/x.pyc", "x")
    line = (
        "read(\"tracked.csv\", \"app.py\", \"conf/config.yaml\", \"wandb/run-1/config.yaml\","
        " \"data/__pycache__/x.pyc\", os.__file__, \"/etc/hostname\", \".git/HEAD\");"
        "(out / \"own\").write_text(\"x\"); read(out / \"own\"); import json.tool"
    )
    lock = run(app, line)
    assert lock["data"] == {}
    assert lock["completeness"] == {"code": "exact", "data": "exact"}


def test_what_the_job_wrote_is_no_input(app: Project) -> None:
    """Files that it wrote before it read them, itself or by another program, and databases."""
    line = (
        "import subprocess, sqlite3; Path(\"data/new\").write_text(\"x\"); read(\"data/new\");"
        "subprocess.run([\"cp\", \"data/a.csv\", \"data/copy\"]); read(\"data/copy\");"
        "sqlite3.connect(\"my.db\").execute(\"create table t(x)\")"
    )
    assert observed(run(app, line)) == {}
    assert observed(run(app, "open(cfg.table, \"w\").write(\"1\")", "table=data/new")) == {}


def test_what_lies_outside(app: Project, tmp_path: Path) -> None:
    """It is an input where the config names it or a folder above it; else it is named."""
    for name in ("named/x", "named/y", "alone.csv", "other.csv"):
        path = tmp_path / "far" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    far = tmp_path / "far"
    line = f"read(cfg.folder + \"/x\", cfg.table, \"{far}/other.csv\")"
    lock = run(app, line, f"folder={far}/named", f"table={far}/alone.csv")
    assert observed(lock) == {"folder": (f"{far}/named", "x"), "table": (f"{far}/alone.csv",)}
    assert lock["unrecorded"] == [{
        "path": f"{far}/other.csv",
        "why": "it lies outside of the project, and no key of the config names it",
        "size": 9,
    }]
    assert lock["completeness"] == {"code": "exact", "data": "partial"}
    assert f"{far}/other.csv" in app.flexlock("show", "@latest").out.replace("\n", "")


def test_secrets_are_named_and_go_nowhere(app: Project, store: Path) -> None:
    """What looks like one by its name or in its content is neither hashed nor pushed."""
    token = "ghp_" + "a1B2" * 10
    app.write("data/.env", "A=1")
    app.write("data/service.yaml", f"github: {token}\n")
    app.write("data/plain.yaml", "github: none\n")
    names = ("data/.env", "data/service.yaml", "data/plain.yaml")
    lock = run(app, f"read(*{names})".replace("'", '"'))
    assert observed(lock) == {"data/plain.yaml": ("data/plain.yaml",)}
    assert unrecorded(lock) == {
        "data/.env": "it looks like a secret by its name",
        "data/service.yaml": "it shows what looks like a secret, line 1: GitHub, ghp_***",
    }
    app.flexlock("push", "@latest", "--remote", store)
    sent = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert token.encode() not in sent


@pytest.mark.skipif(sys.platform != "linux", reason="a file system that takes any bytes")
def test_hostile_names(app: Project) -> None:
    """Line breaks and quotes travel; a name that is not UTF-8 is named, and no lock is lost."""
    app.write("data/a\n\"b\" #.csv", "x")
    lock = run(app, "[read(path) for path in Path(\"data\").glob(\"a*b*\")]")
    assert observed(lock) == {"data/a\n\"b\" #.csv": ("data/a\n\"b\" #.csv",)}
    assert app.flexlock("rerun", "outputs/0", "--json").json["verdict"] == "identical"
    Path(os.fsdecode(bytes(app.root) + b"/data/odd\xff.bin")).write_text("x")
    lock = run(app, "[read(path) for path in Path(\"data\").glob(\"odd*\")]")
    assert unrecorded(lock) == {
        "data/odd\\xff.bin": "its name is not UTF-8: it could not be restored elsewhere"
    }


def test_jobs_in_threads_of_one_process(app: Project) -> None:
    """What one job's thread reads is no input of the job beside it."""
    app.write("both.py", TWO_THREADS)
    app.call(app.python, "both.py")
    locks = {read_lock(path)["config"]["table"]: read_lock(path) for path in app.locks()}
    assert {table: observed(lock) for table, lock in locks.items()} == {
        name: {"table": (name,)} for name in ("data/a.csv", "data/set/1.txt")
    }


# What the user says


def test_exclude_limits_and_marks_alone(app: Project) -> None:
    """Globs take inputs away; what is beyond a limit, or lacks the mark it needs, is named."""
    flexlock = "hydra.callbacks.flexlock"
    line = "read(\"data/a.csv\", \"data/set/1.txt\")"
    assert observed(run(app, line, f"{flexlock}.inputs.exclude=[set]")) == {
        "data/a.csv": ("data/a.csv",)
    }
    few = run(app, line, f"{flexlock}.max_input_files=1")
    assert observed(few) == {"data/a.csv": ("data/a.csv",)}
    assert "max_input_files=1" in unrecorded(few)["data/set/1.txt"]
    none = run(app, line, f"{flexlock}.max_input_gb=0")
    assert set(unrecorded(none)) == {"data/a.csv", "data/set/1.txt"}
    marked = run(app, line, f"{flexlock}.inputs=marked", "table=${snapshot:data/a.csv}")
    assert (observed(marked), marked["data"]["table"]["how"]) == ({}, "marked")
    assert unrecorded(marked) == {"data/set/1.txt": "nobody marked it, and inputs=marked"}


@pytest.mark.parametrize("wrong", ["inputs=all", "inputs.exclude=x", "max_input_gb=many"])
def test_wrong_values_are_refused(app: Project, wrong: str) -> None:
    """Before the app starts."""
    done = app.app(f"hydra.callbacks.flexlock.{wrong}", check=False)
    assert done.code == 1
    assert wrong.partition(".")[0].partition("=")[0] in done.err
    assert not app.locks()
