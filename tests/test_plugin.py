"""The Hydra plugin: how it is enabled, what it records, that it stays out of the way."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import Project, fingerprint, read_lock

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


def test_bare_off_in_yaml_means_off(project: Project) -> None:
    """YAML reads ``strict: off`` as false; that is the option's own off."""
    config = "hydra: {callbacks: {flexlock: {strict: off}}}\n"
    project.write("conf/config.yaml", _with_callback(config) + PLAIN_CONFIG)
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


def test_outputs_option(project: Project) -> None:
    """``outputs=false`` hashes nothing at the end."""
    project.app("hydra.callbacks.flexlock.outputs=false")
    assert "outputs" not in project.lock()


def test_ignore_option(project: Project) -> None:
    """``ignore`` keeps untracked files out of the code."""
    project.write("notes/todo.txt", "x")
    project.write("new.py", "x = 1\n")
    project.app("hydra.callbacks.flexlock.ignore=[notes]")
    assert project.lock()["repos"]["main"]["dirty"] == ["new.py"]


def test_data_that_the_config_names_is_no_code(project: Project) -> None:
    """An untracked input that git does not ignore is recorded as data alone."""
    project.write("raw/in.csv", "1")
    project.app("table='${snapshot:raw/in.csv}'")
    lock = project.lock()
    assert lock["data"]["table"]["path"] == "raw/in.csv"
    assert lock["repos"]["main"]["dirty"] == []


def test_an_output_directory_above_the_project_is_not_hashed(project: Project) -> None:
    """It holds the project itself, and whatever lies beside it."""
    project.call(project.python, "app.py", "hydra.run.dir=..")
    lock = read_lock(project.root.parent / "run.lock")
    assert "outputs" not in lock
    assert "outputs not hashed: the output directory is the project itself" in lock["warnings"]


def test_a_config_folder_of_the_command_line_is_code(project: Project, tmp_path: Path) -> None:
    """One outside the repository is named: the code is not exact."""
    (tmp_path / "more").mkdir()
    project.app(f"--config-dir={tmp_path / 'more'}")
    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert main["reasons"] == [f"config folder {tmp_path / 'more'} is outside the repository"]


def test_the_code_is_that_of_the_script(project: Project, tmp_path: Path) -> None:
    """Started from within another repository, the script's own is recorded."""
    other = Project(tmp_path / "other", project.env)
    other.write("data/table.csv", "x")
    other.git("init", "-q")
    other.commit()
    other.call(project.python, project.path("app.py"))
    assert other.lock()["repos"]["main"]["head"] == project.git("rev-parse", "HEAD")


def test_what_git_was_told_to_overlook_is_seen_from_a_subfolder(project: Project) -> None:
    """Started below the root, an overlooked edit beside it is still part of the code."""
    project.git("update-index", "--assume-unchanged", "app.py")
    project.write("app.py", project.path("app.py").read_text() + "# edited\n")
    project.path("deep").mkdir()
    project.call(sys.executable, "../app.py", "table=../app.py", cwd=project.path("deep"))
    main = project.lock()["repos"]["main"]
    assert "# edited" in project.git("show", f"{main['commit']}:app.py")


def test_secrets_option(project: Project) -> None:
    """``secrets`` adds key patterns whose values are masked."""
    project.app("+station=alpha", "hydra.callbacks.flexlock.secrets=[stat*]")
    lock = project.lock()
    assert lock["config"]["station"] == "***"
    assert "alpha" not in project.newest().read_text()


@pytest.mark.parametrize("strict", ["code", "all"])
def test_strict_refuses_code_that_is_not_exact(project: Project, strict: str) -> None:
    """``strict=code`` names what is not recorded and runs nothing."""
    project.write("big.bin", b"0" * 2_000_000)
    options = [f"hydra.callbacks.flexlock.{o}" for o in (f"strict={strict}", "max_untracked_mb=1")]
    done = project.app(*options, check=False)
    assert done.code == 2
    assert "big.bin (2 MB)" in done.err
    assert "strict=off" in done.err
    assert project.locks() == []


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


@pytest.mark.parametrize("chdir", ["true", "false"])
def test_relative_data_with_and_without_chdir(project: Project, chdir: str) -> None:
    """A relative path means the file that the job can reach, in either cwd."""
    source = project.path("app.py").read_text().replace(
        "Path(cfg.table)", "Path(hydra.utils.to_absolute_path(cfg.table))"
    )
    project.write("app.py", source)
    project.app(f"hydra.job.chdir={chdir}")
    assert project.lock()["data"]["table"]["path"] == "data/table.csv"


def test_data_paths_below_the_root_are_relative(project: Project, tmp_path: Path) -> None:
    """Below the repository a path is written relative to it, outside absolute."""
    outside = tmp_path / "outside.csv"
    outside.write_text("x")
    project.app(
        f"+one='${{snapshot:{project.path('data/table.csv')}}}'",
        "+two='${snapshot:${hydra:runtime.cwd}/data/table.csv}'",
        f"+three='${{snapshot:{outside}}}'",
        "+four='${snapshot:../outside.csv}'",
    )
    data = project.lock()["data"]
    assert data["one"]["path"] == data["two"]["path"] == "data/table.csv"
    assert data["three"]["path"] == data["four"]["path"] == str(outside)


GRAMMAR = [
    ("${snapshot:data/table.csv}", {"x": "data/table.csv"}),
    ("${snapshot:data/table.csv,name}", {"name": "data/table.csv"}),
    ("${snapshot:'data/table.csv', 'a b'}", {"a b": "data/table.csv"}),
    ("${snapshot:${folder}/table.csv}", {"x": "data/table.csv"}),
    ("${snapshot:${.folder}/table.csv}", {"x": "data/table.csv"}),
    ("${oc.select:nothing,${snapshot:data/table.csv}}", {"x": "data/table.csv"}),
    (
        "${snapshot:data/table.csv}:${snapshot:data/b.csv}",
        {"x": "data/table.csv", "x#2": "data/b.csv"},
    ),
    ("prefix-${snapshot:data/table.csv}", {"x": "data/table.csv"}),
    ("\\${snapshot:data/table.csv}", {}),
    ("snapshot:data/table.csv", {}),
    ("${snapshot:'data/=a,b.csv','k'}", {"k": "data/=a,b.csv"}),
    ("${snapshot:[data/table.csv,data/b.csv]}", {"x[0]": "data/table.csv", "x[1]": "data/b.csv"}),
    ("${snapshot:123}", {"x": "123"}),
    ("${snapshot:null}", {}),
]


@pytest.mark.parametrize(("expression", "recorded"), GRAMMAR)
def test_grammar(project: Project, expression: str, recorded: dict[str, str]) -> None:
    """Every form of the expression is found before the task runs, and only those."""
    for name in ("data/b.csv", "data/=a,b.csv", "123"):
        project.write(name, "1")
    config = {"folder": "data", "x": expression, "table": "data/table.csv", "lr": 1}
    project.write("conf/config.yaml", _with_callback(yaml.safe_dump(config)))
    project.app()
    data = project.lock()["data"]
    assert {key: entry["path"] for key, entry in data.items()} == recorded
    assert all(entry.get("error") is None for entry in data.values())


def test_lists_and_nested_keys_name_their_entries(project: Project) -> None:
    """Without a name of its own an entry has the config's full key."""
    project.write("data/b.csv", "1")
    config = {
        "table": "data/table.csv",
        "lr": 1,
        "sets": {"train": "${snapshot:data/table.csv}"},
        "many": ["${snapshot:data/table.csv}", {"deep": "${snapshot:data/b.csv}"}],
        "alias": "${sets.train}",
    }
    project.write("conf/config.yaml", _with_callback(yaml.safe_dump(config)))
    project.app()
    assert set(project.lock()["data"]) == {"sets.train", "many[0]", "many[1].deep"}


def test_one_key_for_two_paths_keeps_both(project: Project) -> None:
    """A key that two places of the config give to different paths loses neither."""
    project.write("data/b.csv", "1")
    project.app("+a='${snapshot:data/table.csv,k}'", "+b='${snapshot:data/b.csv,k}'")
    lock = project.lock()
    assert lock["data"]["k"]["path"] == "data/table.csv"
    assert lock["data"]["k#2"]["path"] == "data/b.csv"
    assert any("k names two paths" in warning for warning in lock["warnings"])


def test_a_path_computed_anew_replaces_its_entry(project: Project) -> None:
    """A path that differs at each access stands once, as last accessed."""
    project.app("+x='${snapshot:data/${now:%f}.csv}'", "+y=${x}")
    assert [key for key in project.lock()["data"] if key.startswith("x")] == ["x"]


def test_no_other_resolver_runs_for_the_scan(project: Project) -> None:
    """Finding the data calls no resolver but the snapshot's own arguments."""
    source = project.path("app.py").read_text().replace(
        "@hydra.main",
        "from omegaconf import OmegaConf\n"
        "calls = []\n"
        "OmegaConf.register_new_resolver('costly', lambda p: calls.append(p) or len(calls))\n"
        "@hydra.main",
        1,
    )
    project.write("app.py", source)
    project.app("+x='${costly:${snapshot:data/table.csv}}'",
                "hydra.callbacks.flexlock.save_config=none", "hydra.run.dir=outputs/a")
    project.write("app.py", source.replace("return {", "return {'calls': len(calls), "))
    project.app("+x='${costly:${snapshot:data/table.csv}}'",
                "hydra.callbacks.flexlock.save_config=none")
    lock = project.lock()
    assert lock["run"]["result"]["calls"] == 0
    assert lock["data"]["x"]["path"] == "data/table.csv"


def test_a_resolver_that_raises_stops_nothing(project: Project) -> None:
    """A key that cannot be resolved keeps its interpolation and is named."""
    project.app("+bad='${oc.env:NOT_SET_AT_ALL}'")
    lock = project.lock()
    assert lock["config"]["bad"] == "${oc.env:NOT_SET_AT_ALL}"
    assert lock["config"]["table"] == "data/table.csv"
    assert any("bad" in warning for warning in lock["warnings"])


@pytest.mark.parametrize("words", ["", "a,b,c"])
def test_a_call_of_the_resolver_that_is_none_is_explained(words: str, project: Project) -> None:
    """Without a path, or with a comma that is not quoted, the right form is named, once."""
    project.app(f"+bad='${{snapshot:{words}}}'")
    (warning,) = project.lock()["warnings"]
    assert warning.startswith(f"bad: ${{snapshot:{words}}} cannot be resolved: ")
    assert "quote a path with a comma" in warning


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


@pytest.mark.parametrize("words", [["--cfg", "job", "--resolve"], ["--cfg", "job", "-p", "table"]])
def test_resolver_is_pure_outside_a_job(project: Project, words: list[str]) -> None:
    """Printing the config resolves the path and records nothing."""
    project.path("data/table.csv").unlink()
    before = fingerprint(project.root)
    assert "data/table.csv" in project.app(*words, "--resolve").out
    assert fingerprint(project.root) == before


def test_resolver_with_plain_omegaconf(project: Project) -> None:
    """After ``import flexlock_hydra`` plain OmegaConf knows the resolver."""
    code = (
        "import flexlock_hydra, omegaconf as o;"
        "print(o.OmegaConf.create({'a': '${snapshot:x/y,k}'}).a)"
    )
    assert project.call(sys.executable, "-c", code).out == "x/y\n"


def test_resolver_comes_back_after_clear_resolvers(project: Project) -> None:
    """An app that clears all resolvers before Hydra starts still has ours."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py",
        source.replace("    main()\n", "    from omegaconf import OmegaConf\n"
                       "    import flexlock_hydra\n    OmegaConf.clear_resolvers()\n    main()\n"),
    )
    project.app()
    assert "table" in project.lock()["data"]


def test_run_outside_any_repository(empty: Project) -> None:
    """Without git a run is recorded with the gap named."""
    empty.app()
    lock = empty.lock()
    assert lock["run"]["status"] == "completed"
    assert lock["repos"] == {}
    assert "in no git repository" in lock["warnings"][0]
    assert lock["data"]["table"]["path"] == "data/table.csv"


def test_run_before_the_first_commit(empty: Project) -> None:
    """Before any commit the working tree is recorded as a first commit."""
    empty.git("init", "-q", "-b", "main")
    empty.app()
    main = empty.lock()["repos"]["main"]
    assert main["head"] is None
    assert empty.git("ls-tree", "--name-only", main["commit"]).split() == [
        ".gitignore", "app.py", "conf"
    ]


def test_run_in_a_bare_repository(empty: Project) -> None:
    """A bare repository has no working tree; the run goes on and says so."""
    empty.git("init", "-q", "--bare", ".")
    empty.app()
    assert "in no git repository" in empty.lock()["warnings"][0]


def test_run_from_a_subfolder(project: Project) -> None:
    """Started below the root, paths are still relative to the root."""
    project.write("deep/data/b.csv", "b")
    project.call(
        sys.executable, "../app.py", "table='${snapshot:data/b.csv,table}'",
        cwd=project.path("deep"),
    )
    lock = project.lock()
    assert lock["repos"]["main"]["path"] == ".."
    assert lock["data"]["table"]["path"] == "deep/data/b.csv"


def test_run_dir_is_the_project_itself(project: Project) -> None:
    """``hydra.run.dir=.`` records the run and says that outputs are not hashed."""
    project.app("hydra.run.dir=.")
    lock = read_lock(project.path("run.lock"))
    assert "outputs" not in lock
    assert any("the project itself" in warning for warning in lock["warnings"])


def test_without_git_installed(project: Project) -> None:
    """With no git on PATH the job runs and the gap is named."""
    project.app(PATH="/nonexistent")
    assert "git is not installed" in project.lock()["warnings"][0]


def test_the_checkout_is_untouched(project: Project) -> None:
    """A run changes no file, index, HEAD, branch or mtime outside its output folder."""
    project.write("app.py", project.path("app.py").read_text() + "# edited\n")
    project.write("new.py", "x = 1\n")
    project.git("add", "-N", "new.py")
    before = fingerprint(project.root)
    project.app()
    after = fingerprint(project.root)
    fresh = {name for name in after if name not in before}
    assert all(name.startswith("outputs/") for name in fresh)
    assert {name: after[name] for name in before} == before


def test_repo_root_name_with_spaces_and_unicode(project: Project, tmp_path: Path) -> None:
    """A project in a folder of any name works."""
    odd = tmp_path / "my prøject = 1,2"
    project.root.rename(odd)
    project.root = odd
    project.app()
    assert project.lock()["repos"]["main"]["completeness"] == "exact"


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


def _with_callback(config: str) -> str:
    return f"defaults: [_self_, override /hydra/callbacks: flexlock]\n{config}"


@pytest.mark.parametrize(
    "overrides",
    [
        ("hydra.run.dir=extra/one",),
        ("hydra.run.dir=outputs/a", "+d=${snapshot:extra}"),
        ("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.ignore=[extra]"),
        ("-m", "hydra.sweep.dir=extra", "hydra.sweep.subdir=one"),
    ],
)
@pytest.mark.hydra
def test_an_imported_module_that_was_left_out_is_named(
    overrides: tuple[str, ...], project: Project
) -> None:
    """An imported untracked module among outputs, inputs or ignored globs is no exact code."""
    project.write("extra/one/__init__.py", "")
    project.write("app.py", f"import extra.one\n{project.path('app.py').read_text()}")
    project.app(*overrides)

    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert main["reasons"] == ["untracked extra/one/__init__.py was imported"]


@pytest.mark.hydra
def test_an_imported_module_beside_an_older_run_is_named(project: Project) -> None:
    """A folder that became an output folder by a run hides no module from later ones."""
    project.app("hydra.run.dir=extra/one")
    project.write("extra/one/__init__.py", "")
    project.write("app.py", f"import extra.one\n{project.path('app.py').read_text()}")
    project.app("hydra.run.dir=outputs/a")

    assert project.lock()["repos"]["main"]["reasons"] == [
        "untracked extra/one/__init__.py was imported"
    ]


@pytest.mark.parametrize("option", ["--config-dir", "--config-path"])
@pytest.mark.hydra
def test_a_config_among_outputs_is_named(option: str, project: Project) -> None:
    """A config that Hydra reads out of a run's folder is in no snapshot, and named."""
    project.write(".gitignore", "data/\n")
    project.app("hydra.run.dir=outputs/a")
    words = ["--config-name", "config", "hydra.run.dir=outputs/b"]
    project.app(option, str(project.path("outputs/a/.hydra")), *words, "hydra/callbacks=flexlock")

    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert "untracked outputs/a/.hydra/config.yaml may have been read as config" in main["reasons"]


@pytest.mark.hydra
def test_a_search_path_outside_is_named(project: Project, tmp_path: Path) -> None:
    """A config folder outside of the repository is no exact code, however Hydra was told of it."""
    folder = tmp_path / "elsewhere"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "a.yaml").write_text("w: 2\n")
    project.app(f"hydra.searchpath=[file://{folder}]", "+more=a")

    assert project.lock()["repos"]["main"]["reasons"] == [
        f"config folder {folder} is outside the repository"
    ]


STAND_IN_FOR_TORCH = """
state = [0]


def get_rng_state():
    return list(state)


def set_rng_state(new):
    state[:] = new


def seed(start):
    state[0] = start


def random():
    state[0] += 1
    return state[0]
"""


@pytest.mark.parametrize("module", ["random", "numpy.random", "torch.random"])
@pytest.mark.hydra
def test_resolvers_leave_no_trace_in_the_task(module: str, project: Project) -> None:
    """What a resolver that the task never calls draws, changes or ends stays without effect."""
    project.write("torch/__init__.py", "")
    project.write("torch/random.py", STAND_IN_FOR_TORCH)
    project.write(
        "app.py",
        f"import os, sys\nimport {module} as random\n"
        "import hydra\nfrom omegaconf import OmegaConf\n"
        "OmegaConf.register_new_resolver('draw', random.random)\n"
        "OmegaConf.register_new_resolver('move', lambda: os.chdir('/'))\n"
        "OmegaConf.register_new_resolver('leave', lambda: sys.exit(9))\n"
        "@hydra.main(version_base='1.3', config_path=None)\n"
        "def main(cfg):\n    print(os.getcwd(), random.random())\n"
        "random.seed(0)\nmain()\n",
    )
    words = ("+a=${draw:}", "+b=${move:}", "+c=${leave:}")
    plain = project.call(project.python, "app.py", *words).out
    recorded = project.call(project.python, "app.py", *words, "hydra/callbacks=flexlock").out

    assert recorded == plain
    assert project.lock()["warnings"] == ["config c: 9"]


@pytest.mark.hydra
def test_the_file_that_output_goes_to_is_no_code(project: Project) -> None:
    """``python app.py > train.log`` in the repository leaves the code exact."""
    project.write("app.py", f"print('started', flush=True)\n{project.path('app.py').read_text()}")
    project.commit("print")
    with project.path("train.log").open("w") as log:
        subprocess.run(
            [project.python, "app.py", "hydra/callbacks=flexlock"],
            cwd=project.root, env=project.env, stdout=log, stderr=log, check=True, timeout=60,
        )

    main = project.lock()["repos"]["main"]
    assert (main["completeness"], main.get("dirty", [])) == ("exact", [])
