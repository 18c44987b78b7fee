"""The function: in a job it adds to the run, elsewhere it records by itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import CONFIG, Project, read_lock

pytestmark = pytest.mark.hydra

SEED_CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
training_data: '${snapshot:data/preprocessed/features.csv, training_data}'
"""
SEED_APP = '''
import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    return len(open(cfg.training_data).read())


if __name__ == "__main__":
    main()
'''


def script(project: Project, body: str) -> Any:
    """Run a plain script that imports snapshot; what it prints as JSON."""
    imports = "import json\nfrom omegaconf import OmegaConf\nfrom flexlock_hydra import snapshot\n"
    project.write("script.py", imports + body)
    out = project.call(sys.executable, "script.py").out
    return json.loads(out) if out else None


@pytest.fixture
def seed(project: Project) -> Project:
    """The example of the resolver's own documentation, as a Hydra app."""
    project.write("conf/config.yaml", SEED_CONFIG)
    project.write("app.py", SEED_APP)
    project.write("data/preprocessed/features.csv", "1,2,3\n")
    return project


def test_the_seed_example(seed: Project) -> None:
    """The config alone declares the data; the script stays clean."""
    seed.app("hydra.run.dir=outputs/a")
    lock = read_lock(seed.path("outputs/a/run.lock"))
    assert lock["data"]["training_data"]["path"] == "data/preprocessed/features.csv"
    assert lock["run"]["result"] == 6
    assert lock["prevs"] == {}


def test_the_seed_example_with_a_stage_before(seed: Project) -> None:
    """Where a run.lock stands above the data, that run is a predecessor."""
    script(
        seed,
        "snapshot({'save_dir': 'data/preprocessed', 'step': 1}, data={'raw': 'data/table.csv'})",
    )
    before = read_lock(seed.path("data/preprocessed/run.lock"))
    seed.app("hydra.run.dir=outputs/a")
    lock = read_lock(seed.path("outputs/a/run.lock"))
    assert list(lock["prevs"]) == [before["run"]["id"]]
    assert lock["prevs"][before["run"]["id"]]["data"]["raw"]["path"] == "data/table.csv"


def test_the_saved_config_fires_the_resolvers_again(seed: Project) -> None:
    """Running from the unresolved config that is kept records the data anew."""
    seed.app("hydra.run.dir=outputs/a")
    seed.write("data/preprocessed/features.csv", "9,9,9,9\n")
    seed.app(
        "--config-path", str(seed.path("outputs/a/.hydra")), "--config-name", "config",
        "hydra/callbacks=flexlock", "hydra.run.dir=outputs/b",
    )
    old, new = (read_lock(seed.path(f"outputs/{x}/run.lock")) for x in "ab")
    assert new["data"]["training_data"]["size"] == 8
    assert old["data"]["training_data"]["size"] == 6


def test_the_resolved_config_does_not(seed: Project) -> None:
    """The config inside run.lock is resolved: running from it marks nothing."""
    seed.app("hydra.run.dir=outputs/a")
    lock = read_lock(seed.path("outputs/a/run.lock"))
    seed.write("saved/config.yaml", yaml.safe_dump(lock["config"]))
    seed.app(
        "--config-path", str(seed.path("saved")), "--config-name", "config",
        "hydra/callbacks=flexlock", "hydra.run.dir=outputs/b",
    )
    data = read_lock(seed.path("outputs/b/run.lock"))["data"]
    assert [each["how"] for each in data.values()] == ["observed"]


def test_config_yaml_beside_a_lock_of_a_plain_script(seed: Project) -> None:
    """Outside of a job ``save_config=unresolved`` leaves a config that runs again."""
    script(
        seed,
        "cfg = OmegaConf.create({'training_data':"
        " '${snapshot:data/preprocessed/features.csv, training_data}', 'save_dir': 'out'})\n"
        "snapshot(cfg)",
    )
    lock = read_lock(seed.path("out/run.lock"))
    assert lock["config"]["training_data"] == "data/preprocessed/features.csv"
    assert "training_data" in lock["data"]
    seed.app(
        "--config-path", str(seed.path("out")), "--config-name", "config",
        "hydra/callbacks=flexlock", "hydra.run.dir=outputs/b",
    )
    assert "training_data" in read_lock(seed.path("outputs/b/run.lock"))["data"]


@pytest.mark.parametrize("mode", ["resolved", "none"])
def test_no_config_yaml_unless_unresolved(project: Project, mode: str) -> None:
    """The other modes write the lock alone."""
    script(project, f"snapshot({{'save_dir': 'out'}}, save_config='{mode}')")
    assert [path.name for path in project.path("out").iterdir()] == ["run.lock"]


def test_in_a_job_it_adds_to_the_run(project: Project) -> None:
    """Inside a job no second lock is written; the entries join the job's own."""
    project.write("data/b.csv", "1")
    source = project.path("app.py").read_text().replace(
        "out = Path(", "from flexlock_hydra import snapshot\n"
        "    snapshot(data={'more': 'data/b.csv'})\n"
        "    snapshot(data=['data/table.csv'], prevs='data')\n    out = Path(", 1
    )
    project.write("app.py", source)
    project.app("hydra.run.dir=outputs/a")
    assert len(project.locks()) == 1
    lock = project.lock()
    assert list(lock["data"]) == ["table", "more", "data/table.csv"]
    assert any("prevs data: no run.lock" in warning for warning in lock["warnings"])


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("'data/table.csv'", ["data/table.csv"]),
        ("['data/table.csv', 'app.py']", ["data/table.csv", "app.py"]),
        ("{'x': 'data/table.csv'}", ["x"]),
        ("__import__('pathlib').Path('data')", ["data"]),
    ],
)
def test_forms_of_paths(project: Project, given: str, names: list[str]) -> None:
    """A path, a list and a mapping are all understood."""
    script(project, f"snapshot(data={given}, output_dir='out')")
    assert list(read_lock(project.path("out/run.lock"))["data"]) == names


def test_merge(project: Project) -> None:
    """Calls add to each other; ``merge=False`` replaces the section that is given."""
    keys = script(
        project,
        "a = snapshot(data={'a': 'app.py'}, output_dir='out')\n"
        "b = snapshot(data={'b': 'data'}, output_dir='out')\n"
        "c = snapshot(data={'c': 'conf'}, output_dir='out', merge=False)\n"
        "print(json.dumps([list(x.data) for x in (a, b, c)] + [a.run.id == c.run.id]))",
    )
    assert keys == [["a"], ["a", "b"], ["c"], True]


def test_prevs(project: Project) -> None:
    """``prevs`` names runs that no data leads to; merge=False takes them away."""
    project.app("hydra.run.dir=outputs/a")
    found = script(
        project,
        "a = snapshot(prevs={'p': 'outputs/a'}, output_dir='out')\n"
        "b = snapshot(prevs=[], output_dir='out', merge=False)\n"
        "print(json.dumps([[p.via for p in x.prevs.values()] for x in (a, b)]))",
    )
    assert found == [[["p"]], []]


def test_repos(project: Project, tmp_path: Path) -> None:
    """``repos`` records the code of further repositories."""
    other = Project(tmp_path / "library", project.env)
    other.write("lib.py", "x = 1\n")
    other.git("init", "-q")
    head = other.commit()
    other.write("lib.py", "x = 2\n")
    script(project, "snapshot(repos={'lib': '../library'}, output_dir='out')")
    state = read_lock(project.path("out/run.lock"))["repos"]["lib"]
    assert (state["head"], state["dirty"], state["path"]) == (head, ["lib.py"], "../library")
    assert other.git("show", f"{state['commit']}:lib.py") == "x = 2"


def test_no_output_folder(project: Project) -> None:
    """Without a folder to write to the error says how to name one."""
    project.write("script.py", "from flexlock_hydra import snapshot\nsnapshot({'lr': 1})\n")
    done = project.call(sys.executable, "script.py", check=False)
    assert "no output folder is known" in done.err


def test_dataclass_config(project: Project) -> None:
    """A dataclass is a config as well."""
    script(
        project,
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    save_dir: str = 'out'\n"
        "    x: str = '${snapshot:data/table.csv}'\nsnapshot(C())",
    )
    assert "x" in read_lock(project.path("out/run.lock"))["data"]


def test_two_processes_in_one_folder(project: Project) -> None:
    """A later process keeps the earlier one's lock."""
    for _ in range(2):
        script(project, "snapshot({'save_dir': 'out'})")
    assert len(list(project.path("out").glob("run.*lock"))) == 2


def test_in_a_job_without_the_callback(project: Project) -> None:
    """Where the callback is off, the function writes the lock of the folder it is given."""
    without = CONFIG.replace("  - override /hydra/callbacks: flexlock\n", "")
    project.write("conf/config.yaml", without)
    source = project.path("app.py").read_text().replace(
        "text =", "from flexlock_hydra import snapshot\n"
        "    snapshot(cfg, output_dir=out)\n    text =", 1
    )
    project.write("app.py", source)
    project.app("hydra.run.dir=outputs/a")
    assert read_lock(project.path("outputs/a/run.lock"))["data"]["table"]["size"] == 8
