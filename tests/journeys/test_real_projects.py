"""What real projects do: packages, submodules, config folders, odd places, overlaps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CONFIG, Project, read_lock

FINDER = '''
import importlib.util
import sys


class Finder:
    """What setuptools installs for an editable package: no entry of sys.path."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "library":
            return importlib.util.spec_from_file_location(name, {file!r})


sys.meta_path.append(Finder)
'''


@pytest.mark.hydra
def test_rerun_takes_an_editable_package_from_the_snapshot(project: Project) -> None:
    """A package that a finder brings is run again as it was, not as it is by now."""
    project.write("src/library.py", "NAME = 1\n")
    site = project.root.parent / "site"
    site.mkdir()
    file = str(project.path("src/library.py"))
    (site / "sitecustomize.py").write_text(FINDER.format(file=file))
    source = project.path("app.py").read_text()
    project.write("app.py", "from library import NAME\n" + source.replace("lr={cfg.lr}", "{NAME}"))
    project.commit("library")
    project.app("hydra.run.dir=outputs/a", PYTHONPATH=str(site))
    assert "src" in project.lock()["job"]["command"]["import_paths"]
    project.write("src/library.py", "NAME = 2\n")
    again = project.flexlock("rerun", "outputs/a", "--json", PYTHONPATH=str(site))
    assert again.json["verdict"] == "identical"


@pytest.mark.hydra
def test_data_outside_by_a_relative_path(
    project: Project, origin: Path, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """A relative path that leads out of the project is found again elsewhere."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "t.csv").write_text("far away")
    project.app("table='${snapshot:../far/t.csv,table}'", "hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    gone()
    (tmp_path / "far" / "t.csv").unlink()
    project.flexlock("pull", tag, "--from", origin, "--into", tmp_path / "x", cwd=tmp_path)
    assert project.flexlock("rerun", "@latest", "--json", cwd=tmp_path / "x").json["identical"] == 2


@pytest.mark.hydra
def test_started_from_elsewhere_with_outputs_elsewhere(
    project: Project, store: Path, tmp_path: Path
) -> None:
    """Neither the working directory nor the outputs need lie in the repository."""
    data = project.path("data/table.csv")
    project.call(
        sys.executable, project.path("app.py"), f"hydra.run.dir={tmp_path}/out",
        f"table='${{snapshot:{data},table}}'", cwd=tmp_path,
    )
    pushed = project.flexlock("push", tmp_path / "out", "--remote", store, "--json", cwd=tmp_path)
    assert pushed.json["tag"]
    assert project.flexlock(
        "rerun", tmp_path / "out", "--json", cwd=tmp_path
    ).json["identical"] == 2


@pytest.mark.hydra
@pytest.mark.parametrize("flag", ["--config-dir", "--config-path"])
def test_a_config_folder_outside_is_named(project: Project, tmp_path: Path, flag: str) -> None:
    """A config that the repository does not hold makes the code partial."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "other.yaml").write_text(CONFIG)
    project.app(flag, str(tmp_path / "far"), "--config-name", "other")
    main = project.lock()["repos"]["main"]
    assert main["reasons"] == [f"config folder {tmp_path}/far is outside the repository"]


@pytest.mark.hydra
def test_an_ignored_module_is_named(project: Project) -> None:
    """Code that git ignores and the job imported makes the snapshot partial."""
    project.write(".gitignore", "outputs/\ndata/\nlib/\n")
    project.write("lib/m.py", "x = 1\n")
    project.write("app.py", "import lib.m\n" + project.path("app.py").read_text())
    project.commit("imports")
    project.app()
    main = project.lock()["repos"]["main"]
    assert (main["completeness"], main["reasons"]) == ("partial", ["ignored lib/m.py was imported"])


@pytest.mark.hydra
def test_variables_that_hold_secrets_are_masked(project: Project, store: Path) -> None:
    """A secret that the config reads from a variable of any name reaches no lock."""
    project.write("conf/config.yaml", CONFIG + "api_key: ${oc.env:MINE}\n")
    project.app("hydra.run.dir=outputs/a", MINE="s3cr3t-value")
    assert "s3cr3t-value" not in project.path("outputs/a/run.lock").read_text()


def test_hydras_own_files_with_secrets_are_named_by_a_push(project: Project, store: Path) -> None:
    """Hydra writes overrides in clear: a push says which of its files show a secret."""
    project.app("+password=hunter22", "hydra.run.dir=outputs/a")
    said = project.flexlock("push", "outputs/a", "--remote", store).err
    assert "outputs/a/.hydra/config.yaml" in said and "--no-outputs" in said


@pytest.mark.hydra
def test_a_run_without_recorded_outputs_runs_again(project: Project) -> None:
    """Nothing to compare with is no reason not to run."""
    project.app("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.outputs=false")
    done = project.flexlock("rerun", "outputs/a")
    assert "no output files to compare; result and status are the same" in done.out
    assert done.out.endswith("identical: 0 files\n")


@pytest.mark.hydra
def test_overlapping_runs_in_one_folder_lose_no_lock(project: Project) -> None:
    """A run that ends after a later one took its folder writes its lock aside."""
    source = project.path("app.py").read_text()
    project.write("app.py", source.replace("text =", "import time; time.sleep(cfg.lr)\n    text ="))
    words = [sys.executable, "app.py", "hydra.run.dir=outputs/same"]
    slow = subprocess.Popen([*words, "lr=4"], cwd=project.root, env=project.env)
    while not project.path("outputs/same/run.lock").exists():
        assert slow.poll() is None
    project.app("hydra.run.dir=outputs/same", "lr=0")
    assert slow.wait() == 0
    locks = [read_lock(path) for path in project.path("outputs/same").glob("run*.lock")]
    assert {lock["config"]["lr"]: lock["run"]["status"] for lock in locks} == {
        4: "completed", 0: "completed"
    }


def test_pushed_first_to_one_remote_then_to_another(
    project: Project, origin: Path, tmp_path: Path
) -> None:
    """A tag that never left this repository gives way to a push elsewhere."""
    project.app("hydra.run.dir=outputs/a")
    project.git("remote", "rename", "origin", "later")
    first = project.flexlock("push", "outputs/a", "--remote", tmp_path / "one", "--json").json
    second = project.flexlock(
        "push", "outputs/a", "--remote", tmp_path / "two", "--git-remote", "later", "--json"
    ).json
    assert first["git_remote"] is None
    assert second["sent_objects"] == first["objects"]
    assert project.git("ls-remote", "later", f"refs/tags/{first['tag']}")


def test_a_rejected_tag_is_not_left_behind(project: Project, origin: Path, store: Path) -> None:
    """Where the git remote refuses the tag, there is none here either."""
    hook = origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    project.app("hydra.run.dir=outputs/a")
    done = project.flexlock("push", "outputs/a", "--remote", store, check=False)
    assert done.code == 2 and "not today" in done.err
    assert project.git("tag") == ""
    hook.unlink()
    again = project.flexlock("push", "outputs/a", "--remote", store, "--json").json
    assert again["sent_objects"] == 0


@pytest.mark.hydra
def test_another_config_is_refused_before_the_job_runs(project: Project) -> None:
    """When Hydra composes something else than was recorded, the keys are named."""
    project.write("conf/config.yaml", CONFIG + "seed: 1\n")
    project.app("hydra.run.dir=outputs/a")
    lock = project.path("outputs/a/run.lock")
    lock.write_text(lock.read_text().replace("seed: 1", "seed: 2"))
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2
    assert "this config is not the recorded one: seed" in done.err
    assert not project.path("outputs/reruns").exists() or not list(
        project.path("outputs/reruns").rglob("run.lock")
    )


@pytest.mark.hydra
def test_a_sweep_folder_names_its_jobs(project: Project) -> None:
    """A folder above runs is no run, and says which are below it."""
    project.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s")
    project.path("multirun/s/sweep.lock").unlink()
    done = project.flexlock("push", "multirun/s", check=False)
    assert done.code == 2
    assert "2 runs below it: multirun/s/0, multirun/s/1" in done.err


def test_remotes_by_relative_paths(
    project: Project, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """A data remote and a git remote given relative to the project are found from anywhere."""
    project.git("init", "-q", "--bare", "../bare.git")
    project.git("remote", "add", "origin", "../bare.git")
    project.app("hydra.run.dir=outputs/a")
    pushed = project.flexlock("push", "outputs/a", "--remote", "../store", "--json").json
    assert (pushed["remote"], pushed["git_remote"]) == (str(store), str(tmp_path / "bare.git"))
    deep = tmp_path / "far" / "away"
    project.flexlock("pull", pushed["tag"], "--into", deep)
    gone()
    plain = tmp_path / "plain"
    project.git("clone", "-q", "--branch", pushed["tag"], str(tmp_path / "bare.git"), str(plain),
                cwd=tmp_path)
    project.dvc("pull", cwd=plain)
    for restored in (deep, plain):
        assert project.flexlock("rerun", "@latest", "--json", cwd=restored).json["identical"] == 2
