"""A resolver of the user's runs as often as without the record, and once for the config in it."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.hydra

APP = """
import os, warnings
import hydra
from omegaconf import OmegaConf

warnings.filterwarnings("always", "Callback ")  # what Hydra says where one of them raises

def count(name):
    with open(os.environ["CALLS"], "a") as file:
        file.write(f"{name}\\n")
    return name

OmegaConf.register_new_resolver("count", count)

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    print("the task runs")

main()
"""
CONFIG = """
defaults: [_self_]
seed: ${count:seed}
one: ${seed}
early: ${late}
late: ${count:late}
both: ${seed}-${late}
table: ${snapshot:${count:data/table.csv}}
again: ${table}
inside: {x: "${count:x}"}
copy: ${inside}
hydra:
  run: {dir: "outputs/${count:run}"}
  sweep: {dir: "multirun/${count:sweep}", subdir: "${count:sub}${hydra:job.num}"}
  job:
    name: app_${count:name}
    chdir: ${count:false}
    env_set: {X: "${count:variable}"}
  job_logging:
    handlers: {console: {level: "${count:INFO}"}}
    root: {level: "${count:WARNING}"}
"""
OF_THE_TASK = {"seed", "late", "data/table.csv", "x"}


def calls(project: Project, *words: str) -> Counter[str]:
    """How often an app calls its resolver, by the argument."""
    file = project.root.parent / "calls"
    file.write_text("")
    done = project.app(*words, CALLS=str(file))
    assert "Callback" not in done.err
    return Counter(file.read_text().split())


@pytest.fixture
def counted(project: Project) -> Project:
    """The project with an app whose resolver says how often it is called."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", CONFIG)
    project.commit()
    return project


WORDS = [[], ["+more=data/table.csv"], ["-m", "+n=1,2"]]


@pytest.mark.parametrize("words", WORDS, ids=["run", "override", "sweep"])
def test_resolvers_run_no_more_often_than_in_bare_hydra(counted: Project, words: list[str]) -> None:
    """Hydra's own part of a config is read without calling, the task's is resolved once a job."""
    bare = calls(counted, *words)
    recorded = calls(counted, *words, "hydra/callbacks=flexlock")
    is_sweep = "-m" in words
    jobs = len(counted.locks())
    assert jobs == (2 if is_sweep else 1)
    more = recorded - bare
    # Before a sweep, what its inputs are is asked once: they are no code.
    before = Counter({"data/table.csv": 1 if is_sweep else 0})
    assert more == Counter({name: jobs for name in OF_THE_TASK}) + before
    lock = counted.lock()
    assert (lock["job"]["name"], lock["config"]["both"]) == ("app_name", "seed-late")
    assert [name for name, each in lock["data"].items() if each["how"] == "marked"] == ["table"]
    assert lock["outputs"]["left_out"] == ["app_name.log"]


def test_none_runs_where_no_config_is_saved(counted: Project) -> None:
    """With ``save_config=none`` what names an input is called, and nothing else."""
    words = ["hydra/callbacks=flexlock", "hydra.callbacks.flexlock.save_config=none"]
    bare, recorded = calls(counted), calls(counted, *words)
    assert recorded - bare == Counter({"data/table.csv": 1})


FOLDERS = [
    "results/${hydra:job.name}", "results/${hydra.job.name}/${now:%Y}", "results/${count:x}",
    "${hydra:runtime.cwd}/results/x", "results/${oc.env:WHERE}", "results/${where.by}",
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_output_directory_is_known_before_the_job(project: Project, folder: str) -> None:
    """Whatever names the folder, nothing is printed, and what lies in it is no code."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", "where: {name: w, by: '${hydra:job.name}'}\n")
    project.commit()
    words = [f"hydra.run.dir='{folder}'", "hydra/callbacks=flexlock"]
    project.app(*words, CALLS="/dev/null", WHERE="x")
    made = project.newest().parent
    (made / "model.bin").write_text("x")
    # Only its name tells that the folder is the job's.
    (made / "run.lock").unlink()
    shutil.rmtree(made / ".hydra")
    assert "Callback" not in project.app(*words, CALLS="/dev/null", WHERE="x").err
    assert project.newest().parent == made
    main = project.lock()["repos"]["main"]
    assert (main["completeness"], main.get("dirty", [])) == ("exact", [])


@pytest.mark.parametrize("words", [
    ["hydra.run.dir='outputs/${hydra:job.name}'"], ["hydra.run.dir='outputs/${count:x}'"],
    ["-m", "hydra.sweep.dir='multirun/${hydra.job.name}'"],
    ["-m", "hydra.sweep.dir='multirun/${count:x}'"],
])
def test_strict_holds_whatever_names_the_folder(empty: Project, words: list[str]) -> None:
    """No job runs whose code is not recorded, wherever its output directory's name comes from."""
    empty.write("app.py", APP)
    empty.write("conf/config.yaml", "defaults: [_self_]\n")
    strict = ["hydra/callbacks=flexlock", "hydra.callbacks.flexlock.strict=code"]
    done = empty.app(*words, *strict, CALLS="/dev/null", check=False)
    assert (done.code, done.out) == (2, "")
    assert "the code cannot be recorded exactly" in done.err


def test_a_folder_that_cannot_be_resolved_is_hydras_error(project: Project) -> None:
    """What Hydra cannot resolve it says itself; there is no warning of ours before it."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", "defaults: [_self_]\n")
    for words in (["hydra.run.dir='${oc.env:NOWHERE_AT_ALL}'"],
                  ["-m", "hydra.sweep.dir='${oc.env:NOWHERE_AT_ALL}'"]):
        done = project.app(*words, "hydra/callbacks=flexlock", CALLS="/dev/null", check=False)
        assert done.code == 1
        assert "NOWHERE_AT_ALL" in done.err
        assert "Callback" not in done.err
