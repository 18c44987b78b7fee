"""The command line's contract: exit codes, streams, JSON, help."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flexlock_hydra.cli.views import render
from tests.conftest import WAIT_FOR_A_SIGNAL, Project, read_plain

COMMANDS = ("show", "diff", "push", "pull", "rerun")


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project with two runs."""
    project.app("hydra.run.dir=outputs/a", "lr=1")
    project.app("hydra.run.dir=outputs/b", "lr=2")
    return project


def test_script_and_module_are_the_same(project: Project) -> None:
    """``flexlock-hydra`` and ``python -m flexlock_hydra`` print the same help."""
    script = Path(sys.executable).with_name("flexlock-hydra")
    one = project.call(script, "--help").out
    two = project.flexlock("--help").out.replace("python -m flexlock_hydra", "flexlock-hydra")
    assert one == two
    assert all(f"\n  {name}" in one for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_terminal(project: Project, command: str) -> None:
    """Each command's help fits 80 columns."""
    for line in project.flexlock(command, "--help").out.splitlines():
        assert len(line) <= 80


def test_starts_quickly_and_imports_little(project: Project) -> None:
    """Help and show import neither DVC, GitPython nor Hydra."""
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        "from flexlock_hydra.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print([n for n in sys.modules if n.split('.')[0] in ('git', 'dvc', 'hydra')])\n"
    )
    assert project.call(sys.executable, "-c", code).out.endswith("[]\n")


def test_show_keeps_a_value_on_its_line(project: Project) -> None:
    """A line end or an escape sequence in what a job said reaches no terminal."""
    project.write("app.py", project.path("app.py").read_text().replace(
        'f"lr is {cfg.lr}"', "'two' + chr(10) + 'lines' + chr(27) + '[2J'"))
    project.app("lr=-1", check=False)
    out = project.flexlock("show", "@latest").out
    assert "ValueError: two lines\n" in out


def test_show_json_is_the_lock(recorded: Project) -> None:
    """``show --json`` prints the lock with the path of its folder."""
    shown = recorded.flexlock("show", "outputs/a", "--json").json
    assert shown.pop("path") == str(recorded.path("outputs/a"))
    assert shown == read_plain(recorded.path("outputs/a/run.lock"))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 ms"),
        (0.0424, "42 ms"),
        (0.9999, "1.0 s"),
        (59.9, "59.9 s"),
        (59.99, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3600.0, "1 h 0 min"),
        (100_000.0, "27 h 46 min"),
    ],
)
def test_times_are_in_the_unit_that_people_read(seconds: float, shown: str) -> None:
    """Milliseconds, seconds, minutes or hours: two figures at most that mean something."""
    assert render.duration(seconds) == shown


@pytest.mark.parametrize("form", ["folder", "file", "id", "prefix", "latest", "absolute"])
def test_names_of_a_run(recorded: Project, form: str) -> None:
    """A run answers to its folder, lock, id, a unique prefix and @latest."""
    run_id = read_plain(recorded.path("outputs/b/run.lock"))["run"]["id"]
    name = {
        "folder": "outputs/b",
        "file": "outputs/b/run.lock",
        "id": run_id,
        "prefix": run_id[:-2],
        "latest": "@latest",
        "absolute": str(recorded.path("outputs/b")),
    }[form]
    assert recorded.flexlock("show", name, "--json").json["run"]["id"] == run_id


def test_ambiguous_prefix(recorded: Project) -> None:
    """A prefix that fits several runs lists them."""
    day = read_plain(recorded.path("outputs/a/run.lock"))["run"]["id"][:8]
    done = recorded.flexlock("show", day, check=False)
    assert done.code == 2
    assert "fits 2 runs" in done.err and "Type more of the id" in done.err


def test_dash_c_changes_the_folder(recorded: Project, tmp_path: Path) -> None:
    """``-C DIR`` runs as if started there."""
    done = recorded.flexlock("-C", recorded.root, "show", "@latest", "--json", cwd=tmp_path)
    assert done.json["job"]["name"] == "app"


def test_diff_of_equal_runs(recorded: Project) -> None:
    """Two runs of the same do not differ: exit 0 and every section said equal."""
    recorded.app("hydra.run.dir=outputs/c", "lr=2")
    done = recorded.flexlock("diff", "outputs/b", "outputs/c")
    assert done.out.splitlines() == [
        f"{name}: equal"
        for name in ("config", "code", "data", "environment", "result", "outputs")
    ]


def test_diff_json(recorded: Project) -> None:
    """Each section has what was added, removed and changed, old and new."""
    recorded.write("app.py", recorded.path("app.py").read_text() + "# edit\n")
    recorded.write("data/table.csv", "other\n")
    recorded.write("new.py", "x = 1\n")
    recorded.app("hydra.run.dir=outputs/c", "lr=1", "+extra=5")
    done = recorded.flexlock("diff", "outputs/a", "outputs/c", "--json", check=False)
    assert done.code == 1
    assert list(done.json) == ["config", "code", "data", "environment", "result", "outputs"]
    assert done.json["config"] == {"added": {"extra": 5}, "removed": {}, "changed": {}}
    assert list(done.json["code"]["changed"]) == ["app.py"]
    assert list(done.json["code"]["added"]) == ["new.py"]
    assert done.json["data"]["changed"]["table"]["old"] == "e5ebd4c02cefbe7955977c67ada242b7"
    assert set(done.json["outputs"]["changed"]) == {"model.txt", "sub/n.txt"}


def test_errors_go_to_stderr_and_debug_adds_a_traceback(recorded: Project) -> None:
    """Standard output stays empty on an error; ``--debug`` shows where it was raised."""
    plain = recorded.flexlock("show", "none", check=False)
    debug = recorded.flexlock("--debug", "show", "none", check=False)
    assert plain.out == debug.out == ""
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err


def test_quiet_push_prints_no_warning(recorded: Project, store: Path) -> None:
    """``-q`` leaves results and errors alone."""
    done = recorded.flexlock("-q", "push", "outputs/a", "--remote", store)
    assert done.err == ""
    assert "flexlock/app/" in done.out


def test_verbose_shows_what_is_done(recorded: Project, store: Path) -> None:
    """``-v`` shows git commands and transfers on standard error."""
    done = recorded.flexlock("-v", "push", "outputs/a", "--remote", store, "--json")
    assert "git -C" in done.err and f"objects to {store}" in done.err
    assert done.json["tag"]


def test_progress_on_a_terminal_only(recorded: Project, store: Path) -> None:
    """A bar with files, bytes and their rate appears on a terminal; the results are the same."""
    words = [sys.executable, "-m", "flexlock_hydra", "push", "outputs/a", "--remote", str(store)]
    leader, follower = os.openpty()
    done = subprocess.run(
        words, cwd=recorded.root, env=recorded.env, stdout=subprocess.PIPE, stderr=follower,
        text=True, check=True,
    )
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    found = re.findall(r"upload [^\r]* (\d+)/\1 files ([\d.]+)/\2 (\w+) ", plain)
    files, amount, unit = found[-1]
    assert f"sent {files} objects ({amount} {unit})" in plain + done.stdout
    assert "flexlock/app/" in done.stdout


def test_no_colour_in_a_pipe(recorded: Project, store: Path) -> None:
    """Escape sequences are for terminals."""
    for words in (["show", "outputs/a"], ["push", "outputs/a", "--remote", str(store)]):
        done = recorded.flexlock(*words)
        assert "\x1b" not in done.out + done.err


def test_interrupted(recorded: Project) -> None:
    """Ctrl-C ends a command with 130 and no traceback."""
    recorded.write(
        "app.py", f"import time; print('up', flush=True)\n{WAIT_FOR_A_SIGNAL}\n"
    )
    recorded.commit("sleeps")
    source = recorded.path("outputs/a/run.lock").read_text()
    plain = read_plain(recorded.path("outputs/a/run.lock"))
    main = plain["repos"]["main"]
    head = recorded.git("rev-parse", "HEAD")
    tree = recorded.git("rev-parse", "HEAD^{tree}")
    text = source.replace(main["commit"], head).replace(main["tree"], tree)
    recorded.path("outputs/a/run.lock").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "flexlock_hydra", "rerun", "outputs/a"],
        cwd=recorded.root, env=recorded.env, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "up\n"
    os.killpg(process.pid, 2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "flexlock_hydra" not in err
    assert recorded.git("worktree", "list").count("\n") == 0


def test_json_is_one_document_whatever_the_job_prints(recorded: Project) -> None:
    """A rerun's own output never reaches standard output."""
    recorded.write("app.py", recorded.path("app.py").read_text().replace(
        "out = Path(", "print('chatter')\n    out = Path(", 1))
    recorded.app("hydra.run.dir=outputs/c")
    done = recorded.flexlock("rerun", "outputs/c", "--json")
    assert json.loads(done.out)["verdict"] == "identical"
    assert "chatter" in done.err
