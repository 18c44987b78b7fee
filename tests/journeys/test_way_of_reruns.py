"""The way through, from a rerun on: other values, remotes, the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint, read_lock


@pytest.mark.hydra
def test_a_changed_result_is_named(project: Project) -> None:
    """A job that is not reproducible differs, with the file named and exit 1."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py", source.replace("str(len(text))", "str(__import__('time').time_ns())")
    )
    project.app("hydra.run.dir=outputs/a")
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 1
    assert "differs: sub/n.txt" in done.out
    assert "identical: 1 file" in done.out


@pytest.mark.hydra
def test_rerun_with_another_value(project: Project) -> None:
    """An override of a rerun changes that one thing, and the diff says so."""
    project.app("hydra.run.dir=outputs/a", "lr=0.1")
    again = project.flexlock("rerun", "outputs/a", "lr=0.9", "--json", check=False)
    assert again.code == 1
    differ = project.flexlock("diff", "outputs/a", again.json["path"], "--json", check=False)
    assert differ.code == 1
    assert differ.json["config"]["changed"] == {"lr": {"old": 0.1, "new": 0.9}}
    assert differ.json["code"] == {"added": {}, "removed": {}, "changed": {}}
    assert set(differ.json["outputs"]["changed"]) == {"model.txt"}
    assert differ.json["result"]["changed"] == {
        "lr": {"old": 0.1, "new": 0.9, "delta": 0.8, "percent": 800.0}
    }


STARTER = '''
import os
import subprocess
import sys

import hydra
from hydra.core.global_hydra import GlobalHydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    inner = [f"lr={cfg.lr + 1}", "hydra.run.dir=" + os.environ["INNER"] + f"/{cfg.lr}"]
    if cfg.lr == 1:
        subprocess.run([sys.executable, "app.py", *inner], check=True)
    if cfg.lr == 2:
        GlobalHydra.instance().clear()
        sys.argv[1:] = inner
        main()
    return cfg.lr


if __name__ == "__main__":
    main()
'''


@pytest.mark.hydra
def test_a_rerun_that_starts_further_runs(project: Project, tmp_path: Path) -> None:
    """Only the job that was asked for is a rerun; those that it starts are runs as ever."""
    project.write("app.py", STARTER)
    project.commit("starter")
    project.app("lr=1", "hydra.run.dir=outputs/a", INNER=str(tmp_path / "first"))
    again = project.flexlock("rerun", "outputs/a", "--json", INNER=str(tmp_path / "again")).json
    assert again["verdict"] == "identical"
    first = read_lock(project.path("outputs/a/run.lock"))
    assert read_lock(Path(again["path"], "run.lock"))["run"]["parent"] == first["run"]["id"]
    for lr in (1, 2):
        inner = read_lock(tmp_path / f"again/{lr}/run.lock")
        assert (inner["run"]["status"], inner["config"]["lr"]) == ("completed", lr + 1)
        assert "parent" not in inner["run"]


@pytest.mark.hydra
def test_rerun_leaves_the_checkout_alone(project: Project) -> None:
    """A rerun runs the recorded code, wherever the checkout is by now."""
    project.app("hydra.run.dir=outputs/a")
    project.write("app.py", "raise SystemExit('the checkout has moved on')\n")
    project.write("conf/config.yaml", "nothing: 1\n")
    before = fingerprint(project.root)
    assert project.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"
    after = fingerprint(project.root)
    fresh = set(after) - set(before)
    assert {name: after[name] for name in before} == before
    assert all(name.startswith("outputs/reruns/") for name in fresh)


def test_default_remote_needs_no_set_up(project: Project, origin: Path) -> None:
    """Without any configuration the data goes to the user's own store."""
    project.app()
    pushed = project.flexlock("push", "@latest", "--json").json
    assert pushed["remote"].startswith(project.env["HOME"])
    assert pushed["remote"].endswith("store")


def test_order_of_remotes(project: Project, tmp_path: Path) -> None:
    """--remote, the environment, git's config, DVC's default: in this order."""
    project.dvc("init", "-q")
    project.dvc("remote", "add", "-q", "-d", "team", str(tmp_path / "team"))
    project.commit("dvc")
    project.app()

    def goes_to(*words: str, **env: str) -> str:
        done = project.flexlock(
            "push", "@latest", "--dry-run", "--json", *words, cwd=None, check=True, **env
        )
        return str(Path(done.json["remote"]).relative_to(tmp_path))

    assert goes_to() == "team/flexlock"
    project.git("config", "flexlock.remote", str(tmp_path / "git"))
    assert goes_to() == "git"
    assert goes_to(FLEXLOCK_REMOTE=str(tmp_path / "env")) == "env"
    assert goes_to("--remote", str(tmp_path / "asked"), FLEXLOCK_REMOTE="x") == "asked"
    assert goes_to("--remote", "team") == "team"


def test_without_a_git_remote_the_tag_stays(project: Project, store: Path) -> None:
    """With no git remote the tag is local, and that is said."""
    project.app()
    done = project.flexlock(
            "push", "@latest", "--remote", store)
    assert "no git remote" in done.err
    assert project.git("tag").startswith("flexlock/app/")


def test_manifest_and_tag_say_the_same(project: Project, origin: Path, store: Path) -> None:
    """The annotated tag and the data remote hold one manifest."""
    project.app()
    tag = project.flexlock("push", "@latest", "--remote", store, "--json").json["tag"]
    message = project.git("for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    manifest = json.loads((store / "runs" / tag / "manifest.json").read_text())
    assert json.loads(message.partition("\n\n")[2]) == manifest
    assert manifest["tag"] == tag
