"""A recorded job is run again faithfully, wherever the checkout and the machine are by now."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, fingerprint, read_lock
from tests.hooks.test_zen import ZEN

pytestmark = pytest.mark.hydra


def again(project: Project, *words: str, run: str = "outputs/a", **env: Any) -> dict[str, Any]:
    """Rerun a run; the command's JSON."""
    done = project.flexlock("rerun", run, "--json", *words, check=False, **env)
    assert done.code in (0, 1), done.err
    document: dict[str, Any] = done.json
    return document


def lock_of(document: dict[str, Any]) -> dict[str, Any]:
    """The lock that a rerun wrote."""
    return read_lock(Path(document["path"], "run.lock"))


LAUNCHES = {
    "guarded": "launch(Config, zen(task), version_base='1.3', overrides=['lr=3', {dir}])",
    "keywords": "launch(Config, zen(task), version_base='1.3', overrides=[{dir}], lr=3)",
    "a loop": (
        "for lr in (1, 2, 3):\n"
        "        text = builds(load, path=f'${{{{snapshot:data/t{{lr}}.csv}}}}')\n"
        "        launch(make_config(text=text, lr=lr), zen(task), version_base='1.3',\n"
        "               overrides=['hydra/callbacks=flexlock',\n"
        "                          f'hydra.run.dir=outputs/{{lr}}'.replace('/3', '/a')])"
    ),
    "two steps": (
        "first = launch(make_config(text='hello'), zen(other), version_base='1.3',\n"
        "                   overrides=['hydra.run.dir=outputs/first'])\n"
        "    path = first.working_dir + '/n.txt'\n"
        "    launch(make_config(text=builds(load, path=path), lr=3), zen(task),\n"
        "           version_base='1.3', overrides=['hydra/callbacks=flexlock', {dir}])"
    ),
}
OTHER = """

def other(text):
    Path("n.txt").write_text(text)
    from hydra.core.hydra_config import HydraConfig
    Path(HydraConfig.get().runtime.output_dir, "n.txt").write_text(text)
"""


@pytest.mark.parametrize("kind", LAUNCHES)
def test_a_script_that_calls_launch(project: Project, kind: str) -> None:
    """The job of the recorded call of hydra-zen's launch is run again, with its overrides."""
    body = LAUNCHES[kind].format(dir="'hydra.run.dir=outputs/a'")
    project.write("app.py", f"{ZEN}{OTHER}\nif __name__ == '__main__':\n    {body}\n")
    for n in (1, 2, 3):
        project.write(f"data/t{n}.csv", "x" * n)
    project.commit("zen")
    project.call(project.python, "app.py")
    recorded = read_lock(project.path("outputs/a/run.lock"))
    assert recorded["job"]["command"]["call"] == "hydra_zen.launch"
    found = again(project)
    assert found["verdict"] == "identical"
    assert lock_of(found)["config"]["lr"] == recorded["config"]["lr"] == 3
    assert lock_of(found)["run"]["parent"] == recorded["run"]["id"]


def test_a_job_of_a_launched_sweep(project: Project) -> None:
    """One job of a sweep that a script launched is run again alone."""
    body = "launch(Config, zen(task), version_base='1.3', multirun=True, overrides=['lr=1,2'])"
    project.write("app.py", f"{ZEN}\n{body}\n")
    project.commit("zen")
    project.call(project.python, "app.py")
    one = next(project.path("multirun").glob("*/*/1"))
    found = again(project, run=str(one))
    assert (found["verdict"], lock_of(found)["run"]["result"]) == ("identical", {"n": 8, "lr": 2})


RESOLVERS = '''
import dataclasses, enum, os, uuid
from pathlib import Path

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

calls = []
OmegaConf.register_new_resolver(
    "fresh", lambda: calls.append(1) or uuid.uuid4().hex, use_cache=True
)


class Mode(enum.Enum):
    fast = 1
    slow = 2


@dataclasses.dataclass
class Config:
    defaults: list = dataclasses.field(
        default_factory=lambda: ["_self_", {"override /hydra/callbacks": "flexlock"}]
    )
    ticket: str = "${fresh:}"
    mode: Mode = "${oc.env:MODE,fast}"
    table: Path = "${snapshot:data/table.csv,table}"
    same: str = "${ticket}"
    own: str = "${hydra:runtime.output_dir}/own.txt"
    parts: list = dataclasses.field(default_factory=lambda: ["${fresh:}", "plain"])
    literal: str = "${oc.env:LITERAL,'a \\\\${b}'}"


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(cfg):
    assert isinstance(cfg.mode, Mode) and isinstance(cfg.table, Path)
    Path(cfg.own).write_text(f"{cfg.ticket} {cfg.same} {list(cfg.parts)} {cfg.table.read_text()}")
    return {"ticket": cfg.ticket, "mode": cfg.mode.name, "called": len(calls) > 0}


if __name__ == "__main__":
    main()
'''


def test_resolved(project: Project) -> None:
    """``--resolved`` gives the task the recorded values: no resolver is called, types stay."""
    project.write("app.py", RESOLVERS)
    project.commit("resolvers")
    project.call(project.python, "app.py", "hydra.run.dir=outputs/a", MODE="slow")
    plain, resolved = again(project), again(project, "--resolved")
    recorded = read_lock(project.path("outputs/a/run.lock"))
    assert plain["differ"] and lock_of(plain)["config"]["ticket"] != recorded["config"]["ticket"]
    lock = lock_of(resolved)
    assert recorded["run"]["result"]["ticket"] == recorded["config"]["ticket"]
    assert lock["run"]["result"] == {**recorded["run"]["result"], "called": False}
    text = Path(resolved["path"], "own.txt").read_text()
    assert text == project.path("outputs/a/own.txt").read_text()
    assert f"run from the resolved config of {recorded['run']['id']}" in lock["warnings"]
    assert lock["data"]["table"]["hash"] == recorded["data"]["table"]["hash"]
    assert lock["config"]["literal"] == recorded["config"]["literal"]


def test_resolved_needs_the_resolved_config(project: Project) -> None:
    """A lock without configs cannot be run from one: said before anything is run."""
    project.app("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.save_config=none")
    done = project.flexlock("rerun", "outputs/a", "--resolved", check=False)
    assert done.code == 2 and "did not record its resolved config" in done.err
    assert not project.path("outputs/reruns").exists()


def test_current_code(project: Project) -> None:
    """``--current-code`` runs the working tree, uncommitted edits too, on the recorded data."""
    project.app("hydra.run.dir=outputs/a")
    source = project.path("app.py").read_text()
    project.write("app.py", source.replace("text.upper()", "text.lower()"))
    project.write("conf/config.yaml", project.path("conf/config.yaml").read_text() + "new: 1\n")
    done = project.flexlock("rerun", "outputs/a", "--current-code", "--json", check=False)
    assert done.json["differ"] == ["model.txt"]
    assert "this config is not the recorded one: new" in done.err
    assert "code: as it is now; differs from the recorded in app.py, conf/config.yaml" in done.err
    assert Path(done.json["path"], "model.txt").read_text().startswith("a,b")
    parent = read_lock(project.path("outputs/a/run.lock"))["run"]["id"]
    assert re.search(f"parent *{parent}\n", project.flexlock("show", done.json["path"]).out)


def test_another_input(project: Project) -> None:
    """An override may name an input that the recorded run did not have: it is the checkout's."""
    project.app("hydra.run.dir=outputs/a")
    project.write("data/other.csv", "a,b\n3,4\n")
    for path in ("data/other.csv", f"{project.root}/data/other.csv"):
        found = again(project, f"table='${{snapshot:{path},table}}'")
        assert Path(found["path"], "model.txt").read_text().upper().startswith("A,B\n3,4")
        (entry,) = lock_of(found)["data"].values()
        assert entry["hash"] and entry["path"].endswith("data/other.csv")


def test_current_code_keeps_data_that_git_tracks(project: Project) -> None:
    """Data that was committed is that of the run, although the code is not."""
    project.write(".gitignore", "outputs/\n")
    project.commit("track the data")
    project.app("hydra.run.dir=outputs/a")
    project.write("data/table.csv", "other\n")
    assert again(project, "--current-code")["verdict"] == "identical"


def test_another_config_stops_before_it_runs(project: Project) -> None:
    """A config that is composed otherwise by now is named by its keys, and nothing is run."""
    project.app("hydra.run.dir=outputs/a")
    path = project.path("outputs/a/run.lock")
    lock = read_lock(path)
    lock["unresolved"] |= {"lr": 7, "added": 1}
    path.write_text(yaml.safe_dump(lock))
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2
    assert "not the recorded one: added, lr" in done.err
    assert not list(project.path("outputs").glob("reruns/*/*"))


def test_another_choice_stops_before_it_runs(project: Project) -> None:
    """The same values by another choice are not the recorded config."""
    for name in ("one", "two"):
        project.write(f"conf/model/{name}.yaml", "n: 1\n")
    project.write("conf/config.yaml", project.path("conf/config.yaml").read_text().replace(
        "  - _self_\n", "  - _self_\n  - model: one\n"))
    project.commit("model")
    project.app("hydra.run.dir=outputs/a")
    path = project.path("outputs/a/run.lock")
    lock = read_lock(path)
    lock["job"]["choices"]["model"] = "two"
    path.write_text(yaml.safe_dump(lock))
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2 and "not the recorded one: the choice of model" in done.err


RANDOM = """
import dataclasses, random

import hydra
from hydra.core.config_store import ConfigStore


@dataclasses.dataclass
class Config:
    defaults: list = dataclasses.field(
        default_factory=lambda: ["_self_", {"override /hydra/callbacks": "flexlock"}]
    )
    seed: int = dataclasses.field(default_factory=lambda: random.randrange(10**9))
    ages: dict = dataclasses.field(default_factory=lambda: {1: "a", 2: "b"})
    lr: float = 0.1


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_path=None, config_name="config")
def main(cfg):
    return [cfg.seed, cfg.lr, cfg.ages[1]]


if __name__ == "__main__":
    main()
"""


def test_a_random_default(project: Project) -> None:
    """A config that is another each time is refused with both values; --resolved runs it."""
    project.write("app.py", RANDOM)
    project.commit("random")
    project.call(project.python, "app.py", "hydra.run.dir=outputs/a")
    seed, *_ = read_lock(project.path("outputs/a/run.lock"))["run"]["result"]
    for words in ((), ("lr=0.2",)):
        done = project.flexlock("rerun", "outputs/a", *words, check=False)
        assert done.code == 2
        assert f"seed: recorded {seed}, now" in done.err and f"seed={seed}" in done.err
        assert "ages" not in done.err
    assert lock_of(again(project, f"seed={seed}"))["run"]["result"] == [seed, 0.1, "a"]
    assert lock_of(again(project, "--resolved"))["run"]["result"] == [seed, 0.1, "a"]
    assert lock_of(again(project, "--resolved", "lr=3"))["run"]["result"] == [seed, 3.0, "a"]


@pytest.mark.parametrize("place", ["cache", "remote"])
def test_data_that_changed_is_taken_by_its_hash(project: Project, store: Path, place: str) -> None:
    """Where a path holds something else by now, the recorded bytes come from elsewhere."""
    project.write("data/set/sub/x.txt", "x")
    project.write("data/set/y.txt", "y")
    project.write("conf/config.yaml", project.path("conf/config.yaml").read_text()
                  + "set: ${snapshot:data/set,set}\n")
    project.commit("set")
    project.app("hydra.run.dir=outputs/a")
    if place == "cache":
        project.write(".gitignore", "outputs/\ndata/*\n!data/*.dvc\n")
        project.dvc("init", "-q")
        project.dvc("add", "-q", "data/table.csv", "data/set")
    else:
        project.flexlock("push", "outputs/a", "--remote", str(store))
    project.path("data/table.csv").unlink()
    project.write("data/table.csv", "something else\n")
    shutil.rmtree(project.path("data/set"))
    found = again(project)
    assert found["verdict"] == "identical"
    assert project.path("data/table.csv").read_text() == "something else\n"
    assert lock_of(found)["data"]["set"]["nfiles"] == 2


def test_data_that_is_nowhere_stops_it(project: Project) -> None:
    """Data that is not here as recorded, nor elsewhere, stops the rerun; both hashes are said."""
    project.app("hydra.run.dir=outputs/a")
    recorded = read_lock(project.path("outputs/a/run.lock"))["data"]["table"]["hash"]["md5"]
    project.write("data/table.csv", "something else\n")
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2
    assert recorded in done.err and "not found elsewhere" in done.err
    assert not project.path("outputs/reruns").exists()


def test_a_job_that_writes_to_its_input(project: Project) -> None:
    """A rerun of a job that writes over its input leaves the recorded data alone."""
    source = project.path("app.py").read_text()
    project.write("app.py", source.replace(
        "    if cfg.lr < 0", "    open(cfg.table, 'a').write('more')\n    if cfg.lr < 0"))
    project.commit("writes")
    content = project.path("data/table.csv").read_bytes()
    project.app("hydra.run.dir=outputs/a")
    project.path("data/table.csv").write_bytes(content)
    before = fingerprint(project.root)
    again(project)
    after = fingerprint(project.root)
    assert {name: after[name] for name in before} == before


ENVIRON = '''
import os

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    names = ("TZ", "PYTHONHASHSEED", "OMP_NUM_THREADS", "BATCH", "UNSET", "HERE")
    read = {name: os.environ.get(name) for name in names}
    return {**read, "batch": cfg.batch, "order": list({"a", "b", "c"})}


if __name__ == "__main__":
    main()
'''


def test_variables_that_change_results_are_as_they_were(project: Project) -> None:
    """Timezone, hash seed, threads and what the config reads: as recorded, or unset, and said."""
    project.write("app.py", ENVIRON)
    project.write(
        "conf/config.yaml",
        "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
        "batch: ${oc.env:BATCH,1} ${oc.env:UNSET,2} ${oc.env:HOME}\n",
    )
    project.commit("environ")
    there: dict[str, Any] = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "BATCH": "64"}
    project.app("hydra.run.dir=outputs/a", **there)
    here: dict[str, Any] = {
        **{"TZ": "America/Lima", "PYTHONHASHSEED": "8", "BATCH": "1", "OMP_NUM_THREADS": "1"},
        **{"UNSET": "5", "HERE": "kept"},
    }
    done = project.flexlock("rerun", "outputs/a", "--json", check=False, **here)
    result = lock_of(done.json)["run"]["result"]
    recorded = read_lock(project.path("outputs/a/run.lock"))["run"]["result"]
    assert result == {**recorded, "HERE": "kept"}
    assert "warning: BATCH is '64', as it was for the run, and not '1'" in done.err
    assert "warning: UNSET is unset, as it was for the run, and not '5'" in done.err
