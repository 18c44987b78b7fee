"""The Hydra plugin: how it is enabled, what it records, that it stays out of the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path

import pytest

import flexlock_hydra
from flexlock_hydra.hooks.config.options import CallbackOptions, FlexlockConf
from tests.conftest import Project, fingerprint, read_lock, with_callback

pytestmark = pytest.mark.hydra

PLAIN_CONFIG = "table: ${snapshot:data/table.csv,table}\nlr: 0.1\n"


@pytest.mark.parametrize(
    ("config", "override"),
    [
        (PLAIN_CONFIG, "hydra/callbacks=flexlock"),
        (PLAIN_CONFIG, "hydra/callbacks=[flexlock]"),
        ("defaults: [_self_, override /hydra/callbacks: flexlock]\n" + PLAIN_CONFIG, "lr=0.1"),
        ("defaults: [_self_, override /hydra/callbacks: [flexlock]]\n" + PLAIN_CONFIG, "lr=0.1"),
    ],
)
def test_enabled_by_each_documented_syntax(project: Project, config: str, override: str) -> None:
    """Each way to enable the callback writes a lock."""
    project.write("conf/config.yaml", config)
    project.app(override)
    assert project.lock()["run"]["status"] == "completed"


def test_lock_of_a_good_run(project: Project) -> None:
    """A lock says what ran, on which code and data, and what came out."""
    head = project.git("rev-parse", "HEAD")
    project.app("lr=0.2")
    lock = project.lock()
    assert lock["run"]["status"] == "completed"
    assert lock["run"]["result"] == {"n": 8, "lr": 0.2}
    assert lock["run"]["duration"] >= 0
    assert lock["job"]["name"] == "app"
    assert lock["job"]["overrides"]["task"] == ["lr=0.2"]
    assert lock["job"]["command"]["file"] == "app.py"
    assert lock["job"]["command"]["task"] == "app:main"
    assert lock["config"] == {"table": "data/table.csv", "lr": 0.2}
    assert lock["unresolved"]["table"] == "${snapshot:data/table.csv,table}"
    main = lock["repos"]["main"]
    assert (main["head"], main["commit"], main["dirty"]) == (head, head, [])
    assert (main["branch"], main["completeness"]) == ("main", "exact")
    assert lock["data"]["table"] == {
        "path": "data/table.csv",
        "how": "marked",
        "hash": {"md5": "e5ebd4c02cefbe7955977c67ada242b7"},
        "size": 8,
        "nfiles": 1,
        "config_key": "table",
    }
    assert lock["outputs"]["nfiles"] == 5
    assert lock["warnings"] == []


def test_good_run_prints_nothing(project: Project) -> None:
    """A run that goes well prints what it would print without the plugin."""
    recorded = project.app("hydra.run.dir=outputs/a")
    plain = project.app("hydra.run.dir=outputs/b", "~hydra.callbacks.flexlock")
    assert (recorded.out, recorded.err) == (plain.out, plain.err)
    assert len(project.locks()) == 1


def test_good_run_prints_nothing_with_all_warnings_shown(project: Project) -> None:
    """No Python warning of ours or about us reaches the terminal."""
    shown = project.app(PYTHONWARNINGS="default")
    assert "flexlock" not in shown.out + shown.err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("hydra.callbacks.flexlock.strict=loud", "not one of off, warn, code, all"),
        ("hydra.callbacks.flexlock.save_config=some", "expected one of"),
        ("hydra.callbacks.flexlock.enabled=maybe", "'maybe' is not a valid bool"),
        ("hydra.callbacks.flexlock.editable=2.5", "'2.5' is not a valid bool"),
        ("hydra.callbacks.flexlock.max_untracked_mb=few", "'few' of type 'str' could not be conv"),
        ("hydra.callbacks.flexlock.ignore=all", "full_key: ignore"),
        ("hydra.callbacks.flexlock.secrets={a: b}", "flexlock.secrets"),
        ("hydra.callbacks.flexlock.outputs=maybe", "maybe"),
        ("hydra.callbacks.flexlock.outputz=true", "outputz"),
    ],
)
def test_wrong_option_is_a_clear_error(project: Project, override: str, said: str) -> None:
    """A wrong option name or value stops the app before it runs, and is named."""
    done = project.app(override, check=False)
    assert done.code == 1
    assert said in done.err
    assert project.locks() == []


# Another value than the default, where the default's type does not tell one.
OTHER_VALUES = {
    "strict": "code", "outputs": False, "max_output_mb": 1, "save_config": "none",
    "repos": {"lib": "../lib"}, "inputs": "marked",
}


@pytest.mark.parametrize("name", [each.name for each in fields(FlexlockConf)][1:])
def test_every_option_reaches_the_recorder(name: str) -> None:
    """What the config may say is parsed into the callback's options, and these are read."""
    default = getattr(FlexlockConf(), name)
    made_up = {bool: default is False, int: 7, list: ["x"]}
    other = OTHER_VALUES[name] if name in OTHER_VALUES else made_up[type(default)]
    before, after = (asdict(CallbackOptions.parse(given)) for given in ({}, {name: other}))
    changed = [key for key in before if before[key] != after[key]]
    assert len(changed) == 1
    code = Path(flexlock_hydra.__file__).parent / "hooks"
    texts = [path.read_text() for path in code.rglob("*.py") if path.name != "options.py"]
    assert any(f"options.{changed[0]}" in text for text in texts)


def test_bare_off_in_yaml_means_off(project: Project) -> None:
    """YAML reads ``strict: off`` as false; that is the option's own off."""
    config = "hydra: {callbacks: {flexlock: {strict: off}}}\n"
    project.write("conf/config.yaml", with_callback(config) + PLAIN_CONFIG)
    project.app()
    assert project.lock()["run"]["status"] == "completed"


def test_disabled_writes_nothing(project: Project) -> None:
    """``enabled=false`` leaves no lock and no ref."""
    project.app("hydra.callbacks.flexlock.enabled=false")
    assert project.locks() == []
    assert project.git("for-each-ref", "refs/flexlock") == ""


def test_failed_job(project: Project) -> None:
    """An exception is recorded with its type, message and traceback, and still raised."""
    done = project.app("lr=-1", check=False)
    assert done.code == 1
    run = project.lock()["run"]
    assert run["status"] == "failed"
    assert run["error"]["type"] == "ValueError"
    assert run["error"]["message"] == "lr is -1"
    assert 'raise ValueError(f"lr is {cfg.lr}")' in run["error"]["traceback"]


def test_lock_is_there_while_the_job_runs(project: Project) -> None:
    """The lock at start says running, and names the data before the task touches it."""
    project.write(
        "app.py",
        project.path("app.py").read_text().replace(
            "out = Path(", "import shutil, glob\n    shutil.copy(glob.glob('outputs/*/*/run.lock')"
            "[0], 'seen.lock')\n    out = Path(", 1
        ),
    )
    project.app()
    seen = read_lock(project.path("seen.lock"))
    assert seen["run"]["status"] == "running"
    assert "ended" not in seen["run"]
    assert seen["data"]["table"]["size"] == 8


def test_late_output_is_in_the_hash(project: Project) -> None:
    """What the process writes after the task's return belongs to the outputs."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py",
        source.replace(
            "if cfg.lr < 0:",
            "import atexit\n    atexit.register((out / 'late.txt').write_text, 'x')\n    if 0:",
        ),
    )
    project.app()
    assert project.lock()["outputs"]["nfiles"] == 6
    assert "outputs" in project.flexlock("show", "@latest").out


def test_multirun_writes_a_lock_a_job_and_a_failing_job_fails_alone(project: Project) -> None:
    """Each job of a sweep has its own lock, and one that fails leaves the others whole."""
    project.app("-m", "lr=0.1,-1,0.3", check=False)
    locks = [read_lock(path) for path in project.locks()]
    assert {lock["job"]["num"]: lock["run"]["status"] for lock in locks} == {
        0: "completed",
        1: "failed",
        2: "completed",
    }
    assert len({lock["job"]["sweep"]["id"] for lock in locks}) == 1
    assert len({lock["run"]["id"] for lock in locks}) == 3
    assert len({lock["repos"]["main"]["commit"] for lock in locks}) == 1
    assert all(lock["job"]["sweep"]["dir"].startswith("multirun/") for lock in locks)
    assert [lock["job"]["overrides"]["task"] for lock in locks] == [
        ["lr=0.1"], ["lr=-1"], ["lr=0.3"]
    ]


def test_two_runs_in_one_folder_lose_nothing(project: Project) -> None:
    """The later run moves the earlier lock aside and says so."""
    project.app("hydra.run.dir=outputs/same")
    first = project.lock()["run"]["id"]
    project.app("hydra.run.dir=outputs/same", check=False)
    aside = project.path(f"outputs/same/run.{first}.lock")
    assert read_lock(aside)["run"]["id"] == first
    assert any(first in warning for warning in project.lock()["warnings"])


def test_output_subdir_null(project: Project) -> None:
    """Without Hydra's own folder the lock holds all."""
    project.app("hydra.output_subdir=null")
    lock = project.lock()
    assert lock["unresolved"]["table"] == "${snapshot:data/table.csv,table}"
    assert lock["outputs"]["nfiles"] == 2


def test_hydras_own_config_file_is_left_alone(project: Project) -> None:
    """``.hydra/config.yaml`` is what Hydra writes without the plugin."""
    project.app("hydra.run.dir=outputs/a")
    project.app("hydra.run.dir=outputs/b", "~hydra.callbacks.flexlock")
    one, two = (project.path(f"outputs/{x}/.hydra/config.yaml").read_bytes() for x in "ab")
    assert one == two


@pytest.mark.parametrize(
    ("mode", "has_config", "has_unresolved"),
    [("unresolved", True, True), ("resolved", True, False), ("none", False, False)],
)
def test_save_config(
    project: Project, mode: str, has_config: bool, has_unresolved: bool
) -> None:
    """``save_config`` chooses which configs the lock carries."""
    project.app(f"hydra.callbacks.flexlock.save_config={mode}")
    lock = project.lock()
    assert (bool(lock.get("config")), bool(lock.get("unresolved"))) == (has_config, has_unresolved)
    assert "table" in lock["data"]


@pytest.mark.parametrize("number", ["EINVAL", "ENOTSUP", "ENOSYS", "EIO"])
def test_file_systems_without_fsync(number: str, project: Project) -> None:
    """Where fsync is not there the lock is written all the same; a disk that fails is told."""
    refused = f"import errno, os\ndef fsync(fd):\n    raise OSError(errno.{number}, 'no')\n"
    app = project.path("app.py").read_text()
    project.write("app.py", f"{refused}os.fsync = fsync\n{app}")
    done = project.app()
    is_told = "cannot be written" in done.out + done.err
    assert (project.lock()["run"]["status"], is_told) == (
        ("running", True) if number == "EIO" else ("completed", False)
    )
    assert [each.name for each in project.newest().parent.glob(".run.lock*")] == []


def test_outputs_option(project: Project) -> None:
    """``outputs=false`` hashes nothing at the end."""
    project.app("hydra.callbacks.flexlock.outputs=false")
    assert "outputs" not in project.lock()


def test_an_output_directory_above_the_project_is_not_hashed(project: Project) -> None:
    """It holds the project itself, and whatever lies beside it."""
    project.call(project.python, "app.py", "hydra.run.dir=..")
    lock = read_lock(project.root.parent / "run.lock")
    assert "outputs" not in lock
    assert "outputs not hashed: the output directory is the project itself" in lock["warnings"]


def test_secrets_option(project: Project) -> None:
    """``secrets`` adds key patterns whose values are masked."""
    project.app("+station=alpha", "hydra.callbacks.flexlock.secrets=[stat*]")
    lock = project.lock()
    assert lock["config"]["station"] == "***"
    assert "alpha" not in project.newest().read_text()


def test_strict_all_fails_in_the_task_alone(project: Project) -> None:
    """``strict=all`` raises for missing data inside the one job that asks for it."""
    project.app(
        "-m",
        "+other=a,b",
        "table=${snapshot:data/${other}.csv}",
        "hydra.callbacks.flexlock.strict=all",
        check=False,
    )
    project.write("data/b.csv", "1")
    project.app(
        "-m",
        "+other=a,b",
        "table='${snapshot:data/${other}.csv}'",
        "hydra.callbacks.flexlock.strict=all",
        check=False,
    )
    last = [read_lock(path)["run"] for path in project.locks()[-2:]]
    assert [run["status"] for run in last] == ["failed", "completed"]
    assert "data/a.csv is missing" in last[0]["error"]["message"]


def test_missing_data_is_a_warning(project: Project) -> None:
    """Without strict a path that is missing is named in the lock and returned as given."""
    project.app("+extra='${snapshot:data/none.csv}'")
    lock = project.lock()
    assert lock["data"]["extra"]["error"].endswith("data/none.csv is missing")
    assert lock["config"]["extra"] == "data/none.csv"
    assert any("none.csv" in warning for warning in lock["warnings"])


def test_strict_warn_also_logs(project: Project) -> None:
    """``strict=warn`` says on the log what the lock says."""
    done = project.app("+x='${snapshot:data/none.csv}'", "hydra.callbacks.flexlock.strict=warn")
    assert "data/none.csv is missing" in done.out + done.err


def test_results_of_numpy_are_plain(project: Project) -> None:
    """Numbers and small arrays of a result are Python's; what has no such form is its repr."""
    project.write(
        "app.py",
        "import hydra, numpy as np\nfrom pathlib import Path\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(cfg):\n"
        "    found = {'loss': np.float32(0.5), 'best': [Path('a/b'), np.arange(2)]}\n"
        "    many = [np.zeros(1000)] * 5000\n"
        "    return found if cfg.get('few') else {**found, 'day': np.datetime64(0, 'ns'),"
        " 'all': many}\n"
        "main()\n",
    )
    project.app("hydra/callbacks=flexlock", "+few=1")
    assert project.lock()["run"]["result"] == {"loss": 0.5, "best": ["a/b", [0, 1]]}
    project.app("hydra/callbacks=flexlock")
    assert project.lock()["run"]["result"]["repr"].startswith("{'all': [array([0., 0.")


def test_run_dir_is_the_project_itself(project: Project) -> None:
    """``hydra.run.dir=.`` records the run and says that outputs are not hashed."""
    project.app("hydra.run.dir=.")
    lock = read_lock(project.path("run.lock"))
    assert "outputs" not in lock
    assert any("the project itself" in warning for warning in lock["warnings"])


def test_plugin_costs_under_ten_milliseconds_and_loads_no_git_or_dvc(project: Project) -> None:
    """Importing the package and the plugin costs a Hydra app under 10 ms of its processor."""
    code = (
        "import sys, time, json, hydra, hydra.main, hydra._internal.hydra\n"
        "from hydra.core.config_search_path import ConfigSearchPath\n"
        "from hydra.plugins.search_path_plugin import SearchPathPlugin\n"
        "start = time.process_time()\n"
        "import flexlock_hydra, hydra_plugins.flexlock_hydra.search_path\n"
        "took = time.process_time() - start\n"
        "heavy = [n for n in sys.modules if n.split('.')[0] in ('git', 'dvc', 'click', 'yaml.x')]\n"
        "print(json.dumps([took, heavy]))\n"
    )
    runs = [json.loads(project.call(sys.executable, "-c", code).out) for _ in range(5)]
    assert min(took for took, _ in runs) < 0.010
    assert all(heavy == [] for _, heavy in runs)


def test_a_job_loads_neither_gitpython_nor_dvc(project: Project) -> None:
    """Nothing heavy is imported for a whole recorded job."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py",
        source.replace(
            'if __name__ == "__main__":\n    main()',
            'if __name__ == "__main__":\n    main()\n    import sys\n'
            "    print([n for n in sys.modules if n.split('.')[0] in ('git', 'dvc', 'click')])",
        ),
    )
    assert project.app().out.strip().endswith("[]")


def test_importing_does_nothing_else(project: Project) -> None:
    """Importing writes no file, changes no environment variable, sets up no logging."""
    code = (
        "import os, logging; e = dict(os.environ); h = list(logging.getLogger().handlers)\n"
        "import flexlock_hydra\n"
        "assert dict(os.environ) == e and logging.getLogger().handlers == h\n"
    )
    before = fingerprint(project.root)
    project.call(sys.executable, "-c", code)
    assert fingerprint(project.root) == before


def test_every_public_name_is_there() -> None:
    """The lazy face of the package holds what it promises."""
    code = "import flexlock_hydra as f; print([getattr(f, n) and n for n in f.__all__])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "snapshot" in done.stdout
    assert re.findall(r"'(\w+)'", done.stdout) == eval(done.stdout)
