"""A job run again with what it stands on, and where it could not be."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint, read_lock, with_callback
from tests.replay.test_rerun import again, lock_of
from tests.support.loopback import read_only, with_mounts

pytestmark = pytest.mark.hydra


LINEAGE = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    text = "".join(Path(path).read_text() for path in cfg.inputs)
    (out / "out.txt").write_text(f"{text}{cfg.name} {cfg.scale}\\n")


if __name__ == "__main__":
    main()
'''


@pytest.fixture
def lineage(project: Project) -> Project:
    """Four runs: a, then b and c on it, then d on both."""
    project.write("app.py", LINEAGE)
    project.write(
        "conf/config.yaml",
        "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
        "inputs: []\nscale: 1\nname: x\n",
    )
    project.commit("lineage")
    for name, before in (("a", ""), ("b", "a"), ("c", "a"), ("d", "bc")):
        inputs = ",".join(f"'${{snapshot:outputs/{each}/out.txt,{each}}}'" for each in before)
        project.app(f"name={name}", f"hydra.run.dir=outputs/{name}", f"inputs=[{inputs}]")
    return project


def test_with_prevs(lineage: Project) -> None:
    """The whole lineage is run again, each step from the new output of the one before."""
    before = fingerprint(lineage.root)
    found = again(lineage, "--with-prevs", run="outputs/d")
    after = fingerprint(lineage.root)
    assert {name: after[name] for name in before} == before
    assert found["verdict"] == "identical"
    assert [step["verdict"] for step in found["steps"]] == ["identical"] * 3
    lock = lock_of(found)
    assert set(lock["prevs"]) == {step["id"] for step in found["steps"]}
    assert [prev["job"] for prev in lock["prevs"].values() if prev["direct"]] == ["app", "app"]


def test_a_link_that_leads_to_a_later_run(
    lineage: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """A run that took ``outputs/latest`` stands on the run that this was, wherever it leads now."""
    latest = lineage.path("outputs/latest")
    latest.symlink_to("a")
    words = ("name=t", "inputs=['${snapshot:outputs/latest/out.txt,a}']")
    lineage.app(*words, "hydra.run.dir=outputs/t")
    latest.unlink()
    latest.symlink_to("d")
    assert again(lineage, run="outputs/t")["verdict"] == "identical"
    found = again(lineage, "--with-prevs", run="outputs/t")
    assert [step["verdict"] for step in (*found["steps"], found)] == ["identical"] * 2
    assert lineage.flexlock("verify", "outputs/t").out.startswith("verified: ")
    tag = lineage.flexlock("push", "outputs/t", "--remote", store, "--json").json["tag"]
    said = lineage.flexlock("reproduce", tag, "--from", origin, "--with-prevs", "--json",
                            cwd=tmp_path)
    assert said.json["verdict"] == "identical"


TRAIL = """
    from_folders = "".join(Path(path).parent.joinpath("trail.txt").read_text()
                           for path in cfg.inputs)
    (out / "trail.txt").write_text(f"{from_folders}{out} in {Path(__file__).parent}\\n")
"""


def test_with_prevs_whose_outputs_name_their_folders(project: Project) -> None:
    """Each step's folder and worktree is another: paths that are handed on are no difference."""
    project.write("app.py", LINEAGE.replace("\n\n\nif __name__", f"\n{TRAIL}\n\nif __name__"))
    project.write("conf/config.yaml", with_callback("inputs: []\nscale: 1\nname: x\n"))
    project.commit("trail")
    for name, prev in (("a", ""), ("b", "a"), ("c", "b")):
        taken = ",".join(f"'${{snapshot:outputs/{prev}/{file}.txt,{file}}}'"
                         for file in ("out", "trail") if prev)
        project.app(f"name={name}", f"hydra.run.dir=outputs/{name}", f"inputs=[{taken}]")
    found = again(project, "--with-prevs", run="outputs/c")
    trails = [Path(step["path"], "trail.txt").read_text() for step in (*found["steps"], found)]
    recorded = project.path("outputs/c/trail.txt").read_text()
    assert trails[-1] != recorded and len({*trails[-1].splitlines()}) == 3
    assert (found["verdict"], found["differ"]) == ("identical", [])
    assert {"file": "trail.txt", "by": "paths", "key": "lines"} in found["left_out"]


def test_with_prevs_and_current_code(lineage: Project) -> None:
    """What the first step now writes otherwise arrives in the last."""
    lineage.write("app.py", LINEAGE.replace("{cfg.name} ", "{cfg.name}! "))
    found = again(lineage, "--with-prevs", "--current-code", run="outputs/d")
    assert found["verdict"] == "differs"
    text = Path(found["path"], "out.txt").read_text()
    assert text == "a! 1\nb! 1\na! 1\nc! 1\nd! 1\n"


FAILING = """
import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    (out / "begun.txt").write_text("begun")
    raise {"a": ValueError, "b": KeyError}[os.environ["KIND"]](f"no model in {out}:\\nnone")


if __name__ == "__main__":
    main()
"""


def test_a_run_that_failed_and_fails_again(project: Project) -> None:
    """The same error is said, and is never a success; another one differs, with both texts."""
    project.write("app.py", FAILING)
    project.commit("failing")
    project.call(project.python, "app.py", "hydra.run.dir=outputs/a", KIND="a", check=False)
    same = project.flexlock("rerun", "outputs/a", KIND="a", check=False)
    assert same.code == 1
    assert re.search("the rerun failed: ValueError: no model in /.*: none\nboth failed: .*: none\n",
                     same.out)
    assert "differs" not in same.out and same.out.endswith("identical: 1 file\n")
    said = again(project, KIND="a")
    assert (said["verdict"], said["differ"], said["identical"]) == ("differs", ["both failed"], 1)
    assert said["both_failed"].startswith("ValueError: no model in /")
    assert {"file": "the error", "by": "paths", "key": "message"} in said["left_out"]
    other = project.flexlock("rerun", "outputs/a", KIND="b", check=False)
    assert other.code == 1
    assert "differs: the error: ValueError, now KeyError" in other.out
    assert "both failed" not in other.out


READING = """
from pathlib import Path

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    return Path(cfg.table).read_text()


if __name__ == "__main__":
    main()
"""


def test_data_that_nobody_marked(project: Project, store: Path) -> None:
    """A push says what its record had warned of; so does a rerun that lacks it, by its error."""
    project.write("app.py", READING)
    project.write("conf/config.yaml", with_callback("table: data/table.csv"))
    project.commit("nothing is marked")
    project.app("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.inputs=marked")
    pushed = project.flexlock("push", "outputs/a", "--remote", store)
    assert pushed.out.startswith("data partial: ")
    assert "warning: named in the config and not recorded, " in pushed.err
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 1 and "the rerun failed: FileNotFoundError: " in done.out
    assert "the recorded run warned: named in the config and not recorded, " in done.out
    assert "table: ${snapshot:data/table.csv}\n" in done.out
    recorded = read_lock(project.path("outputs/a/run.lock"))
    assert again(project)["warned"] == recorded["warnings"]


def test_a_package_that_is_not_installed(project: Project, tmp_path: Path) -> None:
    """A job that ends before its lock says what was installed for the run and is not now."""
    info = tmp_path / "site" / "lib_of_ours-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: lib-of-ours\nVersion: 1.5\n")
    (tmp_path / "site" / "lib_of_ours.py").write_text("")
    source = project.path("app.py").read_text()
    project.write("app.py", f"import lib_of_ours\n{source}")
    project.commit("a library")
    project.app("hydra.run.dir=outputs/a", PYTHONPATH=str(tmp_path / "site"))
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2 and "No module named 'lib_of_ours'" in done.err
    assert "Not installed here: lib-of-ours 1.5; --env makes" in done.err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no mounts of one's own")
def test_a_project_that_cannot_be_written_to(project: Project) -> None:
    """A read-only checkout is no bug of ours: another place for the outputs is asked for."""
    project.app("hydra.run.dir=outputs/a")
    words = [project.python, "-m", "flexlock_hydra", "rerun", "outputs/a"]
    done = project.call(*with_mounts(words, read_only(project.root)), check=False)
    assert done.code == 2 and "Read-only file system\n  Choose another place: --into" in done.err


def test_a_config_folder_outside_of_the_project(project: Project) -> None:
    """One that the command line named from where it was started is found from the worktree."""
    extra = project.root.parent / "more conf"
    extra.mkdir()
    (extra / "size").mkdir()
    (extra / "size" / "large.yaml").write_text("n: 5\n")
    project.app("--config-dir", "../more conf", "+size=large", "hydra.run.dir=outputs/a")
    assert again(project)["verdict"] == "identical"
