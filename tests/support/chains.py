"""A pipeline of five steps in one repository, each a job of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Project, with_callback
from tests.support.environ import clean_env

STEPS = ("ingest", "clean", "features", "train", "evaluate")
INPUTS = {
    "ingest": {"raw": "data/table.csv"},
    "clean": {"ingested": "ingest"},
    "features": {"ingested": "ingest", "cleaned": "clean"},
    "train": {"features": "features"},
    "evaluate": {"cleaned": "clean", "model": "train"},
}
"""What each takes: a file, or the output of another step."""

APP = '''
import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

import steps


@hydra.main(version_base=None, config_path="conf")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    paths = [Path(path) for path in cfg.inputs.values()]
    texts = [(path / "out.txt" if path.is_dir() else path).read_text() for path in paths]
    noise = os.urandom(8).hex() if cfg.get("noisy") else ""
    value = steps.work(cfg.name, cfg.get("param"), texts) + noise
    (out / "out.txt").write_text(value)
    return {"length": len(value)}


if __name__ == "__main__":
    main()
'''
WORK = '''
def work(name, param, texts):
    return f"{name}({param})[{'|'.join(texts)}]" if name != "clean" else f"clean{param}"
'''


def pipeline(project: Project) -> None:
    """The steps and their configs: features take ingest and clean, evaluate also clean."""
    project.write("app.py", APP)
    project.write("steps.py", WORK)
    for name in STEPS:
        lines = [
            f"  {key}: ${{snapshot:{source},{key}}}" if "/" in source
            else f"  {key}: ${{snapshot:outputs/${{tag.{source}}}/{source}/out.txt,{key}}}"
            for key, source in INPUTS[name].items()
        ]
        tags = "".join(f"  {step}: a\n" for step in STEPS)
        project.write(
            f"conf/{name}.yaml",
            with_callback(
                f"hydra:\n  job:\n    name: {name}\nname: {name}\nparam: 1\nstarted: ${{now:%f}}\n"
                f"tag:\n{tags}inputs:\n" + "\n".join(lines) + "\n"
            ),
        )
    project.commit("pipeline")


def step(project: Project, name: str, tag: str, *overrides: str, **tags: str) -> str:
    """Run a step into ``outputs/<tag>/<name>``; that folder. ``tags`` say which runs it takes."""
    folder = f"outputs/{tag}/{name}"
    taken = [source for source in INPUTS[name].values() if source in STEPS]
    chosen = [f"tag.{other}={tags.get(other, tag)}" for other in taken]
    project.call(
        project.python, "app.py", f"--config-name={name}", f"hydra.run.dir={folder}",
        *chosen, *overrides,
    )
    return folder


def chain(project: Project, tag: str, **params: str) -> str:
    """Run all five steps, with other overrides for some; the folder of the last."""
    folders = [step(project, name, tag, *params.get(name, "").split()) for name in STEPS]
    return folders[-1]


@pytest.fixture(scope="session")
def two_chains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline run as ``outputs/a`` and, with two changes, as ``outputs/b``."""
    folder = tmp_path_factory.mktemp("chains")
    project = Project(folder / "project", clean_env(folder / "home"))
    project.write("data/table.csv", "a,b\n1,2\n")
    project.write(".gitignore", "outputs/\ndata/\n")
    project.git("init", "-q", "-b", "main")
    pipeline(project)
    chain(project, "a")
    chain(project, "b", clean="param=2", train="param=7")
    return project.root


@pytest.fixture
def ran(two_chains: Path, tmp_path: Path, env: dict[str, str]) -> Project:
    """A copy of the two chains."""
    shutil.copytree(two_chains, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", env)
