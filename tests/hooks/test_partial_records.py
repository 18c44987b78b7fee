"""A record that lacks what the job read says so: in the job, at a push, in each verdict."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project, add_origin, read_lock, with_callback

pytestmark = pytest.mark.hydra

APP = """
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    texts = [Path(path).read_text() for path in cfg.paths]
    Path(HydraConfig.get().runtime.output_dir, "all.txt").write_text("".join(texts))


if __name__ == "__main__":
    main()
"""
SLOW = """
    import time

    part = Path(HydraConfig.get().runtime.output_dir, "part.txt")
    while not Path("data/stop").exists():
        part.write_text("x")
        time.sleep(0.005)
"""
STRICT = "hydra.callbacks.flexlock.strict="


@pytest.fixture
def app(project: Project, tmp_path: Path) -> Project:
    """A project whose job reads what it is given: some data, and a file that is a secret."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("paths: []\nlr: 1\n"))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    project.write("data/a.csv", "a\n")
    project.write("data/b.csv", "b\n")
    project.write("data/.env", "A=1\n")
    project.commit("app")
    add_origin(project, tmp_path / "origin.git")
    return project


def test_the_line_at_the_jobs_end(app: Project) -> None:
    """With strict=warn one line tells what nobody marked, what is not recorded, what to write."""
    done = app.app("paths=[data/a.csv,data/.env]", f"{STRICT}warn")
    (line,) = [line for line in done.out.splitlines() if "flexlock" in line]
    assert "recorded without a mark: paths[0]; read and not recorded: data/.env; " in line
    assert "write paths[1]: ${snapshot:data/.env}" in line
    assert "inputs.exclude=[.env]" in line
    left_out = ["hydra.callbacks.flexlock.inputs.exclude=[.env]", f"{STRICT}warn"]
    done = app.app("paths=[data/a.csv,data/.env]", *left_out)
    assert "not recorded" not in done.out
    assert app.lock()["completeness"] == {"code": "exact", "data": "exact"}


def test_strict_all_fails_loudly(app: Project) -> None:
    """The job has run and its lock is whole; the process says what is missing, and exits with 2."""
    done = app.app("paths=[data/.env]", f"{STRICT}all", check=False)
    assert (done.code, app.lock()["run"]["status"]) == (2, "completed")
    assert "flexlock-hydra: read and not recorded: data/.env\n" in done.err
    assert app.app("paths=[data/a.csv]", f"{STRICT}all").code == 0


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_each_job_of_a_sweep(app: Project, launcher: str) -> None:
    """Each has its own inputs and its own gaps, also where the next one runs in its process."""
    app.app(
        "-m", f"hydra/launcher={launcher}", "paths=[data/a.csv],[data/b.csv],[data/.env]",
        f"{STRICT}all",
    )
    locks = {lock["job"]["num"]: lock for lock in map(read_lock, app.locks())}
    found = {
        num: ([each["path"] for each in lock["data"].values()], lock["completeness"]["data"])
        for num, lock in locks.items()
    }
    assert found == {
        0: (["data/a.csv"], "exact"), 1: (["data/b.csv"], "exact"), 2: ([], "partial"),
    }


def test_a_push_and_verdicts_say_it(app: Project, store: Path, tmp_path: Path) -> None:
    """In the first line of a push, in its JSON, in the manifest, in each verdict."""
    app.app("paths=[data/a.csv,data/.env]", "hydra.run.dir=outputs/a")
    done = app.flexlock("push", "outputs/a", "--remote", store)
    first = "data partial: the run read what its record does not hold: data/.env"
    assert done.out.splitlines()[0] == first
    said = app.flexlock("push", "outputs/a", "--remote", store, "--json").json
    partial = {"code": "exact", "data": "partial"}
    assert (said["completeness"], said["unrecorded"]) == (partial, ["data/.env"])
    message = app.git("tag", "-l", "--format=%(contents:body)", said["tag"])
    assert json.loads(message)["completeness"] == partial
    again = app.flexlock("reproduce", said["tag"], "--into", tmp_path / "x", check=False)
    assert again.out.splitlines()[-1].endswith(", recorded in part: data partial")
    shown = " ".join(app.flexlock("show", said["tag"]).out.split())
    assert "differs on" in shown and "recorded in part: data partial" in shown


def test_what_another_run_still_writes(app: Project) -> None:
    """Its file is no input, and is named with the run that writes it."""
    app.write("slow.py", APP.replace("    texts =", SLOW + "    texts ="))
    words = [app.python, "slow.py", "hydra.run.dir=outputs/slow"]
    with subprocess.Popen(words, cwd=app.root, env=app.env) as slow:
        while not app.path("outputs/slow/part.txt").exists():
            assert slow.poll() is None
            time.sleep(0.01)
        app.app("paths=[outputs/slow/part.txt]", "hydra.run.dir=outputs/fast")
        app.write("data/stop", "")
        assert slow.wait(60) == 0
    other = read_lock(app.path("outputs/slow/run.lock"))["run"]["id"]
    (gap,) = read_lock(app.path("outputs/fast/run.lock"))["unrecorded"]
    assert (gap["path"], gap["why"]) == (
        "outputs/slow/part.txt", f"run {other} still writes it"
    )


def test_a_record_from_before(app: Project, store: Path) -> None:
    """A lock that says neither how its inputs were found nor how complete it is travels as ever."""
    app.app("paths=['${snapshot:data/a.csv}']", "hydra.run.dir=outputs/a")
    path = app.path("outputs/a/run.lock")
    plain = yaml.safe_load(path.read_bytes())
    del plain["completeness"]
    for entry in plain["data"].values():
        del entry["how"]
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    said = app.flexlock("push", "outputs/a", "--remote", store, "--json").json
    assert said["completeness"] == {"code": "exact", "data": "exact"}
    assert app.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"
