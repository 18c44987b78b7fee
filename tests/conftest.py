"""A real project for every test: git, DVC and Hydra as separate processes.

- The rooms (``tests/record``, ``tests/hooks``, ...) are those of the code; ``tests/support`` is
  what they share, ``tests/journeys`` go through the whole house, ``tests/project`` looks at the
  repository itself: documents, benchmark, package.
- ``project``, ``rich``, ``recorded``, ``chain`` and ``ran`` are copies of a repository that each
  process of tests makes once: a test may do with its own what it likes.
- ``Project.app`` and ``Project.flexlock`` are processes with the arguments, environment, streams
  and end of real ones, forked from one that has imported what they need (``support/forks.py``).
  Mark a test ``started`` where the start itself matters; tests of documents start everything.
- A test sees an empty HOME and the programs of ``support/programs.py`` alone. One that a machine
  may lack is named by the mark ``needs``, and such a test is skipped without it.
- ``hydra`` marks what runs on each version of Hydra; ``slow`` what takes ten seconds, and these
  begin first, so that no processor waits for the last of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support import forks, programs
from tests.support.environ import clean_env

pytest_plugins = [
    "tests.support.git_http",
    "tests.support.servers",
    "tests.support.faults",
    "tests.support.attacks",
    "tests.support.chains",
    "tests.support.recorded",
    "tests.support.remotes",
    "tests.support.trouble",
]
"""Their fixtures are everywhere, and those of a session made once for all modules."""

APP = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg: DictConfig) -> dict:
    out = Path(HydraConfig.get().runtime.output_dir)
    text = Path(cfg.table).read_text()
    (out / "model.txt").write_text(f"{text.upper()} lr={cfg.lr}")
    (out / "sub").mkdir(exist_ok=True)
    (out / "sub" / "n.txt").write_text(str(len(text)))
    if cfg.lr < 0:
        raise ValueError(f"lr is {cfg.lr}")
    return {"n": len(text), "lr": cfg.lr}


if __name__ == "__main__":
    main()
'''
CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
table: ${snapshot:data/table.csv,table}
lr: 0.1
"""
WAIT_FOR_A_SIGNAL = "for _ in range(3000): time.sleep(0.02)"
"""A minute. A signal that comes just before Python sleeps is not noticed until it wakes."""

programs.use_own_path()

# What nohup or a shell's background ignores, the children of this process would ignore.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Done:
    """A finished process."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@dataclass
class Project:
    """A git repository with a Hydra app, and processes started in it."""

    root: Path
    env: dict[str, str]
    python: str = field(default=sys.executable)

    def path(self, name: str) -> Path:
        """A path in the project."""
        return self.root / name

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def call(
        self, *words: str | Path, cwd: Path | None = None, check: bool = True, **env: str
    ) -> Done:
        """Run a program in the project."""
        given = [str(word) for word in words]
        where, variables = cwd or self.root, {**self.env, **env}
        if fork := forks.start(given, where, variables):
            done = fork.finish()
        else:
            done = subprocess.run(
                given, cwd=where, env=variables, capture_output=True, text=True, timeout=120
            )
        assert not check or done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str, check: bool = True, cwd: Path | None = None) -> str:
        """Run git; its output."""
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        return self.call("git", *identity, *words, check=check, cwd=cwd).out.strip()

    def commit(self, message: str = "work") -> str:
        """Commit everything; HEAD."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def app(self, *overrides: str, check: bool = True, **env: str) -> Done:
        """Run the Hydra app; whatever lock it leaves is checked against the schema."""
        done = self.call(self.python, "app.py", *overrides, cwd=None, check=check, **env)
        if self.locks():
            read_lock(self.newest())
        return done

    def flexlock(
        self, *words: str | Path, cwd: Path | None = None, check: bool = True, **env: str
    ) -> Done:
        """Run the command line."""
        return self.call(
            self.python, "-m", "flexlock_hydra", *words, cwd=cwd, check=check, **env
        )

    def dvc(self, *words: str, cwd: Path | None = None, check: bool = True) -> Done:
        """Run DVC."""
        return self.call(self.python, "-m", "dvc", *words, cwd=cwd, check=check)

    def locks(self) -> list[Path]:
        """Every run.lock, the oldest run first."""
        found = [path for path in self.root.rglob("run.lock") if ".git" not in path.parts]
        return sorted(found, key=lambda path: str(read_plain(path)["run"]["started"]))

    def lock(self) -> dict[str, Any]:
        """The newest lock, checked against the schema."""
        return read_lock(self.newest())

    def newest(self) -> Path:
        """The newest run.lock."""
        return max(self.locks(), key=lambda path: path.stat().st_mtime_ns)


def with_callback(config: str) -> str:
    """A config that chooses the callback in its defaults list."""
    return f"defaults: [_self_, override /hydra/callbacks: flexlock]\n{config}"


def read_plain(path: Path) -> dict[str, Any]:
    """A lock as plain data."""
    plain: dict[str, Any] = yaml.safe_load(path.read_bytes())
    return plain


def read_lock(path: Path) -> dict[str, Any]:
    """A lock as plain data, checked against the shipped schema."""
    plain = read_plain(path)
    validator().validate(plain)
    return plain


def validator() -> jsonschema.Draft202012Validator:
    """The shipped schema."""
    text = resources.files("flexlock_hydra.record").joinpath("schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def fingerprint(root: Path) -> dict[str, Any]:
    """Everything of a user's checkout that no command of ours may change."""
    git = root / ".git"
    own = {"refs/flexlock", "refs/tags/flexlock", "objects", "logs", "flexlock-jobs"}
    state: dict[str, Any] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if any(name.startswith(f".git/{part}") for part in own) or path.is_dir():
            continue
        if name in (".git/packed-refs",):
            continue
        stat = path.lstat()
        content = os.readlink(path) if path.is_symlink() else _md5(path)
        state[name] = (content, stat.st_mtime_ns, stat.st_ino, stat.st_mode)
    assert (git / "HEAD").exists()
    return state


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def contents(root: Path) -> dict[str, str]:
    """The files below a folder, git's and DVC's own left out: path -> md5."""
    return {
        path.relative_to(root).as_posix(): _md5(path)
        for path in root.rglob("*")
        if path.is_file() and not {".git", ".dvc", ".flexlock"} & set(path.relative_to(root).parts)
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones: at the end there is always one left for an idle processor."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test that needs a program which this machine lacks."""
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            if shutil.which(name) is None:
                pytest.skip(f"{item.name} needs {name}, which is not installed")


@pytest.fixture(autouse=True)
def allow_forks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes be forked, but for tests that are marked ``started``."""
    is_started = request.node.get_closest_marker("started") is not None
    monkeypatch.setattr(forks, "allowed", not is_started)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty HOME and nothing of git's, Hydra's or ours."""
    return {**clean_env(tmp_path / "home"), "TMPDIR": str(tmp_path)}


@pytest.fixture
def empty(tmp_path: Path, env: dict[str, str]) -> Project:
    """A folder that is no repository, with the app and its data."""
    project = Project(tmp_path / "project", env)
    write_app(project)
    return project


def write_app(project: Project) -> None:
    """Write the app, its config and its data, which git ignores."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", CONFIG)
    project.write("data/table.csv", "a,b\n1,2\n")
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")


@pytest.fixture(scope="session")
def project_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that ``project`` is a copy of."""
    folder = tmp_path_factory.mktemp("committed")
    project = Project(folder / "project", clean_env(folder / "home"))
    write_app(project)
    project.git("init", "-q", "-b", "main")
    for sample in project.path(".git/hooks").iterdir():
        sample.unlink()
    project.commit("first")
    return project.root


@pytest.fixture
def project(project_template: Path, tmp_path: Path, env: dict[str, str]) -> Project:
    """A git repository with one commit: the app, its config, ignored data."""
    return copied(project_template, Project(tmp_path / "project", env))


def copied(template: Path, project: Project) -> Project:
    """A project that is a copy of a repository, and that git finds unchanged."""
    shutil.copytree(template, project.root, symlinks=True)
    project.git("update-index", "-q", "--refresh")
    return project


@pytest.fixture
def own_home(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Git in this process sees the empty HOME of the test, as its other processes do."""
    for name in os.environ:
        if name.startswith(("GIT_", "XDG_")):
            monkeypatch.delenv(name)
    for name in ("HOME", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, env[name])


@pytest.fixture(scope="session")
def rich_template(project_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that ``rich`` is a copy of."""
    folder = tmp_path_factory.mktemp("rich")
    project = copied(project_template, Project(folder / "project", clean_env(folder / "home")))
    project.write("lib/a.py", "a = 1\n")
    project.write("lib/b.py", "b = 1\n")
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    project.write("name with space.txt", "x")
    project.path("link").symlink_to("lib/a.py")
    project.write("secret.env", "ignored")
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n*.env\n")
    project.commit("more")
    return project.root


@pytest.fixture
def rich(rich_template: Path, project: Project) -> Project:
    """A repository with a few more kinds of files, and an ignored one."""
    shutil.rmtree(project.root)
    return copied(rich_template, project)


@pytest.fixture
def origin(project: Project, tmp_path: Path) -> Path:
    """A bare git remote of the project, named origin."""
    return add_origin(project, tmp_path / "origin.git")


def add_origin(project: Project, bare: Path) -> Path:
    """Give a project a new bare repository as its origin."""
    project.git("init", "-q", "--bare", str(bare))
    project.git("remote", "add", "origin", str(bare))
    return bare


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder for a data remote."""
    return tmp_path / "store"


@pytest.fixture
def gone(project: Project) -> Iterator[Any]:
    """Move the original project away, as if on another machine."""
    aside = project.root.with_name("elsewhere")

    def move() -> Path:
        shutil.move(project.root, aside)
        return aside

    yield move


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a repository, as far as a search upwards can see."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder
