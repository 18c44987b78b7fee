"""``--config-path flexlock://RUN``: a recorded run is the config of a new one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, add_origin, with_callback
from tests.support.environ import clean_env

pytestmark = pytest.mark.hydra

APP = '''
import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf


@hydra.main(version_base=None, config_path=CONFIG_PATH, config_name="train")
def main(cfg):
    print("cwd", os.path.basename(os.getcwd()))
    return OmegaConf.to_container(cfg)


if __name__ == "__main__":
    main()
'''
TRAIN = """
defaults:
  - model: resnet
  - optimizer@fit.opt: adam
  - data: null
  - experiment: null
  - _self_
  - override hydra/callbacks: flexlock
  - override hydra/job_logging: none
lr: 0.1
twice: ${lr}
table: ${snapshot:data/table.csv,table}
fit: {epochs: 3}
hydra: {job: {chdir: true}}
"""
FILES = {
    "train.yaml": TRAIN,
    "model/resnet.yaml": "defaults: [head: linear]\nkind: resnet\ndepth: 50\n",
    "model/mlp.yaml": "defaults: [head: conv]\nkind: mlp\nhidden: 8\n",
    "model/head/linear.yaml": "size: 1\n",
    "model/head/conv.yaml": "kernel: 1\n",
    "optimizer/adam.yaml": "beta: 0.9\n",
    "optimizer/sgd.yaml": "momentum: 0.8\n",
    "data/mnist.yaml": "name: mnist\n",
    "experiment/big.yaml": "# @package _global_\ndefaults: [override /model: mlp]\nlr: 7\n",
}
RUN = ("lr=0.5", "model.depth=18", "hydra.run.dir=outputs/x")


def write_app(project: Project, config_path: str = '"conf"', name: str = "app.py") -> None:
    """The app with the config path that it declares."""
    project.write(name, APP.replace("CONFIG_PATH", config_path))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with groups of several kinds, and a run of it in ``outputs/x``."""
    folder = tmp_path_factory.mktemp("trained")
    project = Project(folder / "project", clean_env(folder / "home"))
    write_app(project)
    for name, text in FILES.items():
        project.write(f"conf/{name}", text)
    project.write("data/table.csv", "a,b\n1,2\n")
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    project.git("init", "-q", "-b", "main")
    project.commit()
    project.app(*RUN)
    return project.root


@pytest.fixture
def trained(template: Path, tmp_path: Path, env: dict[str, str]) -> Project:
    """A copy of it."""
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project", env)


def again(project: Project, url: str, *words: str, **env: str) -> dict[str, Any]:
    """The lock of the run that this makes."""
    known = set(project.locks())
    project.app("--config-path", url, *words, check=True, **env)
    (new,) = set(project.locks()) - known
    lock: dict[str, Any] = yaml.safe_load(new.read_bytes())
    return lock


def shown(project: Project, *words: str | Path) -> Any:
    """The config that the app would run with."""
    return yaml.safe_load(project.call(project.python, *words, "--cfg", "job").out)


def test_the_recorded_config_runs_again(trained: Project) -> None:
    """The new run has the config, choices and Hydra settings of the recorded one, and its name."""
    old = trained.lock()
    trained.write("conf/train.yaml", TRAIN.replace("0.1", "99"))
    trained.write("conf/model/resnet.yaml", "kind: edited\n")
    new = again(trained, "flexlock://outputs/x")
    assert new["unresolved"] == old["unresolved"]
    assert [*new["unresolved"]] == [*old["unresolved"]]
    assert new["unresolved"]["model"] == {"head": {"size": 1}, "kind": "resnet", "depth": 18}
    assert new["job"]["choices"] == old["job"]["choices"]
    assert new["job"]["choices"]["hydra/job_logging"] == "none"
    assert new["run"]["parent"] == old["run"]["id"]
    assert new["data"]["table"] == old["data"]["table"]
    assert new["run"]["status"] == "completed"


def test_every_name_of_a_run(trained: Project, tmp_path: Path) -> None:
    """A folder, a lock, an id, a prefix, ``@latest`` and a tag name the run, also for ``-m``."""
    run_id = trained.lock()["run"]["id"]
    folder = trained.path("outputs/x")
    names = (
        folder, "outputs/x/run.lock", "outputs/../outputs/x", run_id[:-3], "@latest",
        f"flexlock/app/{run_id}",
    )
    for name in names:
        assert shown(trained, "app.py", "--config-path", f"flexlock://{name}")["lr"] == 0.5
    shutil.copytree(folder, tmp_path / "a b:c")
    assert shown(trained, "app.py", "--config-path", "flexlock://../a b:c")["lr"] == 0.5
    assert shown(trained, "-m", "app", "--config-path", f"flexlock://{run_id}")["lr"] == 0.5


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        (["lr=0.7", "+new=1"], {"lr": 0.7, "new": 1}),
        (["model=mlp"], {"model": {"head": {"kernel": 1}, "kind": "mlp", "hidden": 8}}),
        (
            ["model/head=conv", "optimizer@fit.opt=sgd", "data=mnist"],
            {
                "model": {"head": {"kernel": 1}, "kind": "resnet", "depth": 18},
                "fit": {"opt": {"momentum": 0.8}, "epochs": 3},
                "data": {"name": "mnist"},
            },
        ),
        (
            ["experiment=big"],
            {"lr": 7, "model": {"head": {"kernel": 1}, "kind": "mlp", "hidden": 8}},
        ),
    ],
)
def test_overrides(trained: Project, overrides: list[str], changed: dict[str, Any]) -> None:
    """A value changes that value; an option of a group replaces the whole recorded node."""
    recorded = trained.lock()["unresolved"]
    config = shown(trained, "app.py", "--config-path", "flexlock://outputs/x", *overrides)
    assert config == {**recorded, **changed}


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_sweep(trained: Project, launcher: str) -> None:
    """Each job of a sweep starts from the one run that ``@latest`` was at first."""
    run_id = trained.lock()["run"]["id"]
    words = [f"hydra/launcher={launcher}", "model=resnet,mlp", "lr=1,2"]
    trained.app("-m", "--config-path", "flexlock://@latest", *words)
    jobs = [yaml.safe_load(path.read_bytes()) for path in trained.locks()][1:]
    assert {job["run"]["parent"] for job in jobs} == {run_id}
    assert sorted((job["config"]["lr"], job["config"]["model"]["kind"]) for job in jobs) == [
        (1, "mlp"), (1, "resnet"), (2, "mlp"), (2, "resnet"),
    ]


def test_hydra_settings(trained: Project) -> None:
    """The app's own Hydra settings hold, then recorded overrides; where outputs go does not."""
    inherited = again(trained, "flexlock://outputs/x", "hydra.run.dir=outputs/y")
    trained.app(*RUN[:-1], "hydra.run.dir=outputs/z", "hydra.job.chdir=false", "hydra.job.name=n")
    done = trained.app("--config-path", "flexlock://outputs/z")
    assert inherited["job"]["name"] == "app"
    assert done.out == f"cwd {trained.root.name}\n"
    assert trained.lock()["job"]["name"] == "n"
    assert trained.newest().parent != trained.path("outputs/z")
    done = trained.app("--config-path", "flexlock://outputs/x", "hydra.run.dir=outputs/last")
    assert done.out == "cwd last\n"


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ('"/elsewhere/conf"', ["app.py", "--config-path", "flexlock://outputs/x"]),
        ("None", ["app.py", "--config-path", "flexlock://outputs/x"]),
        ('"pkg://conf"', ["app.py", "--config-path", "flexlock://outputs/x"]),
        ('"flexlock://outputs/x"', ["app.py"]),
        ('"conf"', ["start.py", "--config-path", "flexlock://outputs/x"]),
        ('"conf"', ["app.py", "--config-path", "flexlock://outputs/x", "--config-name=config"]),
        ('"conf"', ["app.py", "hydra.searchpath=[flexlock://outputs/x]", "+flexlock=run"]),
    ],
)
def test_whatever_the_app_declares(trained: Project, declared: str, words: list[str]) -> None:
    """The URL works whatever config path the app has, and as one itself."""
    recorded = trained.lock()["unresolved"]
    write_app(trained, declared)
    trained.write("start.py", "import app\napp.main()\n")  # the app is a module then
    assert shown(trained, *words) == recorded


def test_compose(trained: Project) -> None:
    """``initialize`` takes the URL too."""
    trained.write(
        "compose.py",
        "from hydra import compose, initialize\n"
        "with initialize(config_path='flexlock://outputs/x', version_base=None):\n"
        "    print(compose('train', overrides=['lr=3']).twice)\n",
    )
    assert trained.call(trained.python, "compose.py").out == "3\n"


def test_structured_config(project: Project) -> None:
    """A schema that has the config's name is not merged with it, and nothing is said of that."""
    project.write(
        "app.py",
        "import dataclasses, hydra\n"
        "from hydra.core.config_store import ConfigStore\n"
        "from typing import Any\n"
        "@dataclasses.dataclass\n"
        "class Train:\n"
        "    defaults: list = dataclasses.field(default_factory=lambda: ["
        "'_self_', {'override hydra/callbacks': 'flexlock'}])\n"
        "    lr: float = 0.1\n"
        "    hydra: Any = dataclasses.field(default_factory=lambda: {'job': {'name': 'own'}})\n"
        "ConfigStore.instance().store(name='train', node=Train)\n"
        "@hydra.main(version_base=None, config_path=None, config_name='train')\n"
        "def main(cfg): return cfg.lr\n"
        "main()\n",
    )
    project.app("lr=0.2", "hydra.run.dir=outputs/x")
    done = project.app("--config-path", "flexlock://outputs/x", PYTHONWARNINGS="default")
    assert "schema" not in done.err
    assert project.lock()["run"]["result"] == 0.2
    assert project.lock()["job"]["name"] == "own"


def test_errors(trained: Project) -> None:
    """What cannot be a config source ends in a message with a way on, without a traceback."""
    trained.app("hydra.run.dir=outputs/empty", "hydra.callbacks.flexlock.save_config=none")
    year = trained.lock()["run"]["id"][:4]
    trained.write("outputs/broken/run.lock", "format: 1\nrun: [\n")
    for name, said in {
        "outputs/none": "no run outputs/none\nName an output directory",
        "outputs": "no run.lock in",
        year: "fits 2 runs",
        "outputs/empty": "recorded no config to run from\nIts save_config was none",
        "outputs/broken": "outputs/broken/run.lock",
    }.items():
        words = ("app.py", "--config-path", f"flexlock://{name}")
        done = trained.call(trained.python, *words, check=False)
        assert done.code == 1
        assert said in done.err
        assert "Traceback" not in done.err


def test_only_the_resolved_config(trained: Project) -> None:
    """A run recorded with its resolved config alone gives that one; no resolver fires again."""
    trained.write("conf/train.yaml", TRAIN + "text: a\\${b}\n")
    trained.app(*RUN, "hydra.callbacks.flexlock.save_config=resolved")
    new = again(trained, "flexlock://outputs/x", "hydra.callbacks.flexlock.save_config=unresolved")
    assert (new["config"]["twice"], new["config"]["text"]) == (0.5, "a${b}")
    assert new["unresolved"]["twice"] == 0.5
    assert [each["how"] for each in new["data"].values()] == ["observed"]
    assert new["warnings"] == []


def test_secrets_are_asked_for(project: Project) -> None:
    """A masked value is missing, never ``***``, and is named unless it is given."""
    project.write("conf/config.yaml", with_callback(
        "lr: 1\ntable: data/table.csv\npassword: hunter2xyz\nlogin: {api_key: '4xyz-77-aq'}\n"
    ))
    project.app("hydra.run.dir=outputs/x")
    url = ["--config-path", "flexlock://outputs/x"]
    said = project.app(*url, "password=new1xyz", PYTHONWARNINGS="default").err
    assert "secrets are not recorded; give them again: login.api_key=..." in said
    config = shown(project, "app.py", *url, "password=new1xyz", "login.api_key=k")
    assert (config["password"], config["login"]) == ("new1xyz", {"api_key": "k"})
    assert shown(project, "app.py", *url)["password"] == "???"
    overlay = ["hydra.searchpath=[flexlock://outputs/x]", "+flexlock=run"]
    assert shown(project, "app.py", *overlay)["password"] == "hunter2xyz"


def test_groups_that_cannot_be_chosen_anew(project: Project) -> None:
    """Where a new option would mix with the recorded one, Hydra refuses to choose."""
    project.write("conf/config.yaml", """
defaults:
  - db@first: pg
  - db@second: pg
  - parts: [a, b]
  - net: wide
  - _self_
  - override hydra/callbacks: flexlock
first: {port: 1}
lr: 1
table: data/table.csv
""")
    project.write("conf/db/pg.yaml", "name: pg\nport: 5\n")
    project.write("conf/db/my.yaml", "name: my\n")
    project.write("conf/parts/a.yaml", "x: 1\n")
    project.write("conf/parts/b.yaml", "y: 1\n")
    project.write("conf/net/wide.yaml", "# @package body\nwidth: 9\n")
    project.write("conf/net/thin.yaml", "# @package body\ndepth: 9\n")
    project.app("hydra.run.dir=outputs/x")
    recorded = project.lock()["unresolved"]
    url = ["app.py", "--config-path", "flexlock://outputs/x"]
    assert shown(project, *url) == recorded
    assert shown(project, *url, "net=thin")["body"] == {"depth": 9}
    for override in ("db@second=my", "parts=[a]"):
        done = project.call(project.python, *url, override, check=False)
        assert (done.code, "Could not override" in done.err) == (1, True)


def test_a_run_that_is_here_as_a_tag_alone(trained: Project, store: Path) -> None:
    """A pushed run whose folder is gone is read from its tag; so is one in a pulled project."""
    add_origin(trained, trained.root.with_name("origin.git"))
    push = trained.flexlock("push", "outputs/x", "--remote", store, "--json").json
    shutil.rmtree(trained.path("outputs/x"))
    assert again(trained, f"flexlock://{push['tag']}")["run"]["parent"] == push["tag"][-25:]
    trained.flexlock("pull", push["tag"], "--into", trained.root.with_name("pulled"))
    pulled = Project(trained.root.with_name("pulled"), trained.env)
    assert shown(pulled, "app.py", "--config-path", "flexlock://outputs/x")["lr"] == 0.5


def test_rerun_of_such_a_run(trained: Project) -> None:
    """A run that took its config from another one is run again, with the other gone."""
    trained.app("--config-path", "flexlock://@latest", "lr=3", "hydra.run.dir=outputs/y")
    trained.app("hydra.run.dir=outputs/later")
    moved = Project(trained.root.with_name("moved"), trained.env)
    trained.root.rename(moved.root)
    document = moved.flexlock("rerun", "outputs/y", "--json").json
    assert document["verdict"] == "identical"
    shutil.rmtree(moved.path("outputs/x"))
    assert moved.flexlock("rerun", "outputs/y", "--json").json["verdict"] == "identical"
