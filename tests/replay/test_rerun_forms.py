"""However a job was started, it is run again so: installed, with submodules, from a sweep."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, read_lock, with_callback

pytestmark = pytest.mark.hydra

TOOL = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

try:
    from lib import value
except ImportError:
    value = 0


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    hydra_cfg = HydraConfig.get()
    out = Path(hydra_cfg.runtime.output_dir)
    (out / "out.txt").write_text(f"{value} {cfg.lr} 1")
    job = hydra_cfg.job
    return {"name": job.name, "num": job.get("num"), "id": job.get("id"), "value": value}
'''


def rerun(project: Project, run: str, *words: str | Path) -> dict[str, Any]:
    """Rerun a run; the lock that it wrote."""
    done = project.flexlock("rerun", run, "--json", *words, check=False)
    assert done.code == 0, done.out + done.err
    assert done.json["verdict"] == "identical" and done.json["identical"] == 1
    return read_lock(Path(done.json["path"], "run.lock"))


def test_an_installed_command(project: Project, tmp_path: Path) -> None:
    """A command of an environment runs the recorded code of the package that it starts."""
    project.write("src/tool/__init__.py", "")
    project.write("src/tool/conf/__init__.py", "")
    project.write("src/tool/train.py", TOOL)
    project.write("src/tool/conf/config.yaml", with_callback("lr: 1\n"))
    project.commit("tool")
    venv = tmp_path / "venv"
    project.call(project.python, "-m", "venv", "--without-pip", venv)
    python = venv / "bin" / "python"
    site = next(venv.glob("lib/python*/site-packages"))
    places = [sysconfig.get_path("purelib"), str(Path(__file__).parents[2])]
    (site / "all.pth").write_text("\n".join([*places, str(project.path("src"))]))
    command = venv / "bin" / "fit-it"
    command.write_text(f"#!{python}\nfrom tool.train import main\nmain()\n")
    command.chmod(0o755)
    project.call(command, "hydra.run.dir=outputs/a", "lr=2")
    project.write("src/tool/train.py", TOOL.replace("{cfg.lr} 1", "{cfg.lr} 2"))
    lock = rerun(project, "outputs/a", "--python", python)
    assert lock["run"]["result"]["name"] == read_lock(
        project.path("outputs/a/run.lock"))["run"]["result"]["name"]
    assert lock["config"]["lr"] == 2


def test_a_submodule(project: Project, tmp_path: Path) -> None:
    """The code of a submodule is that of the run, edits of then included, not of now."""
    lib = Project(tmp_path / "lib", project.env)
    lib.write("__init__.py", "value = 1\n")
    lib.git("init", "-q", "-b", "main")
    lib.commit("lib")
    project.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(lib.root), "lib")
    project.write("app.py", TOOL + "\n\nmain()\n")
    project.write("conf/config.yaml", with_callback("lr: 1\n"))
    project.commit("with a submodule")
    project.write("lib/__init__.py", "value = 22\n")
    project.app("hydra.run.dir=outputs/a")
    project.write("lib/__init__.py", "value = 333\n")
    assert rerun(project, "outputs/a")["run"]["result"]["value"] == 22
    assert project.path("lib/__init__.py").read_text() == "value = 333\n"


def test_a_job_of_a_sweep(project: Project) -> None:
    """One job of a sweep runs alone, with its number, its id and its overrides."""
    project.write("app.py", TOOL + "\n\nmain()\n")
    project.write("conf/config.yaml", with_callback("lr: 1\n"))
    project.commit("sweep")
    project.app("-m", "lr=1,2,3", "hydra.sweep.dir=multirun/s")
    recorded = read_lock(project.path("multirun/s/1/run.lock"))
    lock = rerun(project, "multirun/s/1")
    assert lock["run"]["result"] == recorded["run"]["result"]
    assert (lock["run"]["result"]["num"], lock["config"]["lr"]) == (1, 2)
    assert lock["run"]["parent"] == recorded["run"]["id"]
