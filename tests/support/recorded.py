"""A project with two runs, recorded once for a whole process and copied for each test."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, add_origin
from tests.support.environ import clean_env

APP = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    (out / "model.txt").write_text(f"{Path(cfg.table).read_text()} lr={cfg.lr}")
    (out / "run.sh").write_text("#!/bin/sh\\\\n")
    (out / "run.sh").chmod(0o755)
    (out / "best.txt").symlink_to("model.txt")
    (out / "plots").mkdir()
    return cfg.lr


if __name__ == "__main__":
    main()
'''
CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
table: ${snapshot:data/table.csv,table}
folder: ${snapshot:data/set,set}
before: null
lr: 0.1
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``outputs/pre``, and ``outputs/a``, which stands on it, with an edited and a new file."""
    folder = tmp_path_factory.mktemp("recorded")
    project = Project(folder / "project", clean_env(folder / "home"))
    project.write("app.py", APP)
    project.write("conf/config.yaml", CONFIG)
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    project.write("data/table.csv", "a,b\n1,2\n")
    project.write("data/set/sub/x.bin", bytes(range(256)))
    project.write("data/set/run.sh", "#!/bin/sh\n").chmod(0o755)
    project.path("data/set/link").symlink_to("sub/x.bin")
    project.path("data/set/empty/inner").mkdir(parents=True)
    project.git("init", "-q", "-b", "main")
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")
    project.commit("first")
    project.app("hydra.run.dir=outputs/pre")
    project.write("app.py", APP + "# edited\n")
    project.write("new.py", "x = 1\n")
    project.app("hydra.run.dir=outputs/a", "before='${snapshot:outputs/pre,before}'", "lr=0.2")
    return project.root


@pytest.fixture
def recorded(template: Path, tmp_path: Path) -> Iterator[Project]:
    """A copy of it with a bare ``origin``; data goes to ``store`` beside it."""
    shutil.copytree(template, tmp_path / "project", symlinks=True)
    env = clean_env(tmp_path / "home")
    project = Project(
        tmp_path / "project",
        {**env, "TMPDIR": str(tmp_path), "FLEXLOCK_REMOTE": str(tmp_path / "store")},
    )
    add_origin(project, tmp_path / "origin.git")
    yield project


def push(project: Project, *words: str, run: str = "outputs/a") -> dict[str, Any]:
    """Push a run of it; the command's JSON."""
    document: dict[str, Any] = project.flexlock("push", run, "--json", *words).json
    return document


def objects(store: Path) -> dict[str, Path]:
    """Object id -> file, of a data remote that is a folder."""
    return {path.parent.name + path.name: path for path in (store / "files/md5").glob("*/*")}


def damaged(store: Path) -> list[str]:
    """The objects whose bytes do not hash to their ids."""
    return [
        oid
        for oid, path in objects(store).items()
        if hashlib.md5(path.read_bytes()).hexdigest() != oid.removesuffix(".dir")
    ]


def manifest(project: Project, tag: str) -> dict[str, Any]:
    """The manifest in a tag's message."""
    message = project.git("for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    document: dict[str, Any] = json.loads(message.partition("\n\n")[2])
    return document


def tree(root: Path) -> dict[str, str]:
    """Every path below a folder with what it is: md5 and mode, a link's target, ``empty``."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            mode = "x" if path.stat().st_mode & 0o100 else "-"
            found[name] = f"{mode} {hashlib.md5(path.read_bytes()).hexdigest()}"
        elif not any(path.iterdir()):
            found[name] = "empty"
    return found
