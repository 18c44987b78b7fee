"""sweep.lock: what a sweep was, as its jobs' own locks tell."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from flexlock_hydra.record import layout
from tests.conftest import Project, read_lock, read_plain
from tests.support.lineages import run_id

FOLDER = "hydra.sweep.dir=multirun/x"
WAITING = """
import os, signal, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if cfg.lr == 2:
        Path("waiting").touch()
        deadline = time.monotonic() + 60
        while not Path("go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    return cfg.lr

main()
"""
LAUNCHER = '''
"""Each job in a process of its own, which outlives the launcher, as a scheduler's do."""
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import open_dict


@dataclass
class Conf:
    _target_: str = "hydra_plugins.apart.Apart"


ConfigStore.instance().store(group="hydra/launcher", name="apart", node=Conf)


class Apart(Launcher):
    def setup(self, *, hydra_context, task_function, config):
        self.context, self.task, self.config = hydra_context, task_function, config

    def launch(self, job_overrides, initial_job_idx):
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        workers = [self.start(n, words) for n, words in enumerate(job_overrides, initial_job_idx)]
        codes = [os.waitpid(pid, 0)[1] for pid in workers]
        if any(codes):
            raise RuntimeError(f"workers ended with {codes}")
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=0) for _ in workers]

    def start(self, num, words):
        config = self.context.config_loader.load_sweep_config(self.config, list(words))
        with open_dict(config):
            config.hydra.job.num, config.hydra.job.id = num, f"apart_{num}"
        pid = os.fork()
        if pid == 0:
            os.setsid()
            callbacks = pickle.loads(pickle.dumps(self.context.callbacks))  # as joblib carries them
            object.__setattr__(self.context, "callbacks", callbacks)
            job = run_job(
                hydra_context=self.context, task_function=self.task, config=config,
                job_dir_key="hydra.sweep.dir", job_subdir_key="hydra.sweep.subdir",
            )
            os._exit(job.status is not JobStatus.COMPLETED)
        return pid
'''


def validate(document: Any) -> dict[str, Any]:
    """A document, checked against the shipped schema."""
    jsonschema.Draft202012Validator(schema()).validate(document)
    plain: dict[str, Any] = document
    return plain


def schema() -> dict[str, Any]:
    """The shipped schema."""
    text = resources.files("flexlock_hydra.record").joinpath("sweep.schema.json").read_text()
    plain: dict[str, Any] = json.loads(text)
    return plain


def sweep_lock(project: Project, folder: str | Path = "multirun/x") -> dict[str, Any]:
    """A sweep.lock, checked against the schema."""
    return validate(yaml.safe_load((project.root / folder / "sweep.lock").read_bytes()))


def shown(project: Project, folder: str | Path = "multirun/x") -> dict[str, Any]:
    """What ``show`` says of a sweep."""
    return validate(project.flexlock("show", folder, "--json").json)


def start(project: Project, *words: str, app: str = WAITING) -> subprocess.Popen[str]:
    """Start a sweep whose second job waits for a file, and wait until it does."""
    project.write("app.py", app)
    running = subprocess.Popen(
        [project.python, "app.py", "-m", "lr=1,2,3", FOLDER, *words],
        cwd=project.root, env=project.env, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    wait_for(project.path("waiting").exists)
    return running


def wait_for(there: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def as_far_as(project: Project) -> list[tuple[int, str]]:
    """The number and status of each job that ``show`` lists."""
    return [(job["num"], job["status"]) for job in shown(project)["jobs"]]


@pytest.fixture
def apart(project: Project) -> str:
    """The override that gives every job a process of its own."""
    project.write("plugins/hydra_plugins/apart.py", LAUNCHER)
    project.env["PYTHONPATH"] = str(project.path("plugins"))
    return "hydra/launcher=apart"


# A sweep to its end


@pytest.mark.hydra
def test_lock_of_a_good_sweep(project: Project) -> None:
    """A sweep says who launched what, and of each job where it is, how it ended, its lock."""
    project.app("-m", "lr=1,2", FOLDER)
    lock = sweep_lock(project)

    assert (lock["status"], lock["job"], lock["njobs"]) == ("completed", "app", 2)
    assert (lock["launcher"], lock["sweeper"]) == ("basic", "basic")
    assert lock["overrides"] == ["lr=1,2"]
    assert lock["started"] < lock["ended"]
    assert lock["process"]["pid"] > 0
    assert lock["warnings"] == []
    for num, job in enumerate(lock["jobs"]):
        path = project.path("multirun/x") / job["path"] / "run.lock"
        run = read_lock(path)
        assert job == {
            "num": num,
            "overrides": [f"lr={num + 1}"],
            "run": run["run"]["id"],
            "path": str(num),
            "status": "completed",
            "duration": run["run"]["duration"],
            "result": {"n": 8, "lr": num + 1},
            "lock": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        }
        assert run["job"]["sweep"] == {"id": lock["id"], "dir": "multirun/x"}


@pytest.mark.hydra
def test_a_failing_job_makes_a_failed_sweep_with_all_its_jobs(project: Project) -> None:
    """Hydra 1.3 does not tell that such a sweep ended: its lock is written all the same."""
    done = project.app("-m", "lr=1,-2,3", FOLDER, check=False)
    lock = sweep_lock(project)

    assert done.code == 1
    assert lock["status"] == "failed"
    assert lock["ended"] is not None
    assert [job["status"] for job in lock["jobs"]] == ["completed", "failed", "completed"]
    assert shown(project) == {**lock, "path": str(project.path("multirun/x"))}


@pytest.mark.hydra
@pytest.mark.parametrize("how", ["nested", "absolute", "inside"])
def test_any_place_of_jobs_and_sweep(how: str, project: Project, tmp_path: Path) -> None:
    """Jobs are found in nested folders, outside of the project, and in the project itself."""
    folder, *words = {
        "nested": ("multirun/x", "hydra.sweep.subdir=lr_${lr}/n/${hydra.job.num}"),
        "absolute": (str(tmp_path / "else where"),),
        "inside": (".",),
    }[how]
    project.app("-m", "lr=1,2", f"hydra.sweep.dir='{folder}'", *words)
    lock = sweep_lock(project, folder)

    assert lock["njobs"] == 2
    assert [(project.root / folder / job["path"] / "run.lock").exists() for job in lock["jobs"]]


@pytest.mark.hydra
def test_two_sweeps_in_one_folder_lose_nothing(project: Project) -> None:
    """The later sweep moves the earlier one's lock aside; both list their own jobs."""
    project.app("-m", "lr=1,2", FOLDER)
    first = sweep_lock(project)
    project.app("-m", "lr=3", FOLDER)
    second = sweep_lock(project)
    aside = project.path("multirun/x") / layout.superseded_sweep_lock(first["id"])

    assert [job["overrides"] for job in second["jobs"]] == [["lr=3"]]
    assert {job["run"] for job in shown(project, aside)["jobs"]} == {
        job["run"] for job in first["jobs"]
    }


@pytest.mark.hydra
def test_secrets_of_a_sweep_are_masked(project: Project) -> None:
    """An override of a secret is masked in the sweep's lock as in its jobs'."""
    project.app("-m", "+db.password=hunter2,hunter3", FOLDER)

    assert "hunter" not in project.path("multirun/x/sweep.lock").read_text()
    assert sweep_lock(project)["overrides"] == ["+db.password=***"]


@pytest.mark.hydra
def test_a_sweep_is_no_code(project: Project) -> None:
    """Locks of sweeps, current and moved aside, stay out of later code snapshots."""
    for words in (["lr=1"], ["lr=2"]):
        project.app("-m", *words, "hydra.sweep.dir=sweeps")
    project.app()
    code = project.lock()["repos"]["main"]

    assert (code["dirty"], code["completeness"]) == ([], "exact")


@pytest.mark.parametrize("name", ["sweep.lock", f"sweep.{run_id(1)}.lock", ".sweep.lock.x1"])
def test_a_sweeps_lock_is_our_own_file_and_no_runs(name: str) -> None:
    """It is left out of outputs' hashes, and not taken for a run's."""
    assert layout.is_own_file(name)
    assert not layout.is_lock(name)
    assert not layout.is_own_file(f"my.{name}")


@pytest.mark.hydra
@pytest.mark.parametrize("words", [
    ["hydra.callbacks.flexlock.enabled=false"],
    ["hydra.callbacks.flexlock.strict=code"],
])
def test_no_lock_where_nothing_is_recorded(words: list[str], empty: Project) -> None:
    """A disabled or refused sweep leaves none."""
    empty.app("-m", "lr=1,2", FOLDER, *words, check=False)

    assert not empty.path("multirun/x/sweep.lock").exists()


@pytest.mark.hydra
def test_two_sweeps_at_once_in_one_folder_lose_nothing(project: Project) -> None:
    """A sweep that ends after a later one took its folder writes its lock aside."""
    first = start(project)
    identity = sweep_lock(project)["id"]
    project.app("-m", "lr=4", FOLDER)
    second = project.path("multirun/x/sweep.lock").read_text()
    project.path("go").touch()
    first.wait(60)
    aside = read_plain(project.path("multirun/x") / layout.superseded_sweep_lock(identity))

    assert (aside["id"], aside["status"]) == (identity, "completed")
    assert project.path("multirun/x/sweep.lock").read_text() == second


@pytest.mark.hydra
def test_a_damaged_sweep_lock_is_kept(project: Project) -> None:
    """What cannot be read is moved aside by a later sweep as well."""
    project.write("multirun/x/sweep.lock", "mine")
    project.app("-m", "lr=1", FOLDER)

    assert [path.read_text() for path in project.path("multirun/x").glob("sweep.*.lock")] == [
        "mine"
    ]


@pytest.mark.hydra
def test_a_sweep_whose_lock_cannot_be_written_runs(project: Project) -> None:
    """Each job's own lock says that there is none of the sweep."""
    project.write("multirun/x/multirun.yaml", "")
    project.path("multirun/x/0").mkdir()
    project.path("multirun/x").chmod(0o555)
    words = [project.python, "app.py", "-m", "lr=1", FOLDER]
    if os.geteuid() == 0:  # root writes anywhere until it gives that up
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    project.call(*words)
    project.path("multirun/x").chmod(0o755)
    lock = project.lock()

    assert lock["run"]["status"] == "completed"
    assert ["Permission denied" in text for text in lock["warnings"]] == [True]
    assert lock["warnings"][0].startswith("sweep.lock not written: ")


@pytest.mark.hydra
def test_a_sweep_costs_its_jobs_nothing(project: Project) -> None:
    """The sweep's lock is written twice, whatever the number of jobs."""
    project.write("sitecustomize.py", (
        "import os\n_replace = os.replace\n"
        "def replace(old, new):\n"
        "    print(new, file=open(os.environ['REPLACED'], 'a'))\n    _replace(old, new)\n"
        "os.replace = replace\n"
    ))
    log = project.root.with_name("replaced")
    project.app(
        "-m", "lr=1,2,3,4", FOLDER, PYTHONPATH=str(project.root), REPLACED=str(log)
    )

    assert log.read_text().count("sweep.lock") == 2


# What later runs take from a sweep


@pytest.mark.hydra
def test_data_of_a_sweep_leads_to_its_jobs(project: Project) -> None:
    """A folder above jobs stands on each of them, a file inside of one on that job alone."""
    project.app("-m", "lr=1,2", FOLDER)
    project.app("lr=8", "hydra.run.dir=multirun/other")
    taken = {"all": "multirun", "x": "multirun/x", "file": "multirun/x/1/model.txt",
             "folder": "multirun/x/1/sub"}
    project.app(*(f"+{name}='${{snapshot:{path},{name}}}'" for name, path in taken.items()))
    lock = project.lock()
    via = {prev["path"]: set(prev["via"]) for prev in lock["prevs"].values()}

    assert via == {
        "multirun/x/0": {"all", "x"},
        "multirun/x/1": set(taken),
        "multirun/other": {"all"},
    }
    assert all(prev["direct"] for prev in lock["prevs"].values())
    assert lock["warnings"] == []
