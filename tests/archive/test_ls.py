"""``ls``: every run below some folders, those for which a condition holds, in any order."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flexlock_hydra.archive.query import columns, search
from flexlock_hydra.archive.query.columns import ColumnError
from flexlock_hydra.archive.query.filter import EXAMPLE
from flexlock_hydra.capture.environment import process
from flexlock_hydra.cli.views import run_table
from tests.conftest import Project
from tests.support.listings import put, run
from tests.support.recorded import push

KEYS = ["id", "path", "job", "status", "started", "duration", "overrides", "result", "tag"]


@pytest.fixture
def three(empty: Project) -> Project:
    """Three runs in no repository: one failed, one with hardly a config."""
    put(empty.root, run(1, config={"lr": 0.1, "model": {"name": "mlp"}}, result={"acc": 0.9}))
    put(empty.root, run(2, config={"lr": 0.01}, status="failed", overrides=("lr=0.01",)))
    put(empty.root, run(3, config={"other": [1, {"deep": 2}]}, job="eval", duration=61))
    return empty


def ids(project: Project, *words: str) -> list[int]:
    """The numbers of the runs that are listed, in order."""
    found = project.flexlock("ls", "--json", *words).json
    return [int(each["id"][-8:], 16) for each in found]


@pytest.mark.hydra
def test_a_project(recorded: Project) -> None:
    """Runs are listed from anywhere in the project with what was asked, got, and pushed."""
    tag = push(recorded)["tag"]
    found = recorded.flexlock("ls", "--json", cwd=recorded.path("conf")).json
    assert [list(each) for each in found] == [KEYS, KEYS]
    newest, oldest = found
    assert newest["path"] == str(recorded.path("outputs/a"))
    assert oldest["path"] == str(recorded.path("outputs/pre"))
    assert newest["job"] == "app" and newest["status"] == "completed"
    assert newest["overrides"][-1] == "lr=0.2" and newest["result"] == 0.2
    assert newest["started"] > oldest["started"] and newest["duration"] > 0
    assert (newest["tag"], oldest["tag"]) == (tag, None)


@pytest.mark.hydra
def test_a_sweep(project: Project) -> None:
    """Each job of a sweep is a row, and has the sweep's tag once that was pushed."""
    project.app("-m", "lr=1,2")
    sweep = next(project.root.rglob("sweep.lock")).parent
    found = project.flexlock("ls", "--json").json
    assert sorted(each["overrides"] for each in found) == [["lr=1"], ["lr=2"]]
    store = str(project.root.parent / "store")
    tag = project.flexlock("push", sweep, "--json", FLEXLOCK_REMOTE=store).json["tag"]
    assert {each["tag"] for each in project.flexlock("ls", "--json").json} == {tag}


def test_tags_of_runs_outside_the_repository(recorded: Project, tmp_path: Path) -> None:
    """A run whose output directory lies elsewhere has the tag of the project it ran in."""
    tag = push(recorded)["tag"]
    run_lock = recorded.path("outputs/a/run.lock").read_text()
    moved = tmp_path / "scratch/run.lock"
    moved.parent.mkdir()
    old = re.findall(r"\n    cwd: (.+)\n", run_lock)[0]
    moved.write_text(run_lock.replace(f"cwd: {old}", f"cwd: {recorded.root}"))
    (found,) = recorded.flexlock("ls", str(moved.parent), "--json").json
    assert found["tag"] == tag


def test_nothing_there(empty: Project) -> None:
    """An empty folder, and a condition that no run meets, are said, and no error."""
    assert empty.flexlock("ls").out.startswith("no runs here; ")
    assert empty.flexlock("ls", "--json").json == []
    put(empty.root, run(1))
    said = empty.flexlock("ls", "--where", "status == 'failed'").out
    assert said == "none of 1 run meets the condition\n"


def test_folders_are_named(three: Project) -> None:
    """Only what lies below the folders that are named is listed, each run once."""
    assert ids(three, "outputs/1", "outputs/3") == [3, 1]
    assert ids(three, "outputs", "outputs/3", str(three.path("outputs"))) == [3, 2, 1]
    done = three.flexlock("ls", "nowhere", check=False)
    assert done.code == 2 and "no folder nowhere" in done.err


def test_what_is_not_searched(three: Project) -> None:
    """Hidden and staging folders, environments and installed packages are passed over."""
    for folder in (".git/x", ".flexlock-push/x", "node_modules/x", "env/lib/x", ".venv/x"):
        put(three.root, run(9), folder)
    three.write("env/pyvenv.cfg", "")
    assert ids(three) == [3, 2, 1]


def test_superseded_runs(three: Project) -> None:
    """A run whose folder a later one took over is listed by its own lock file."""
    lock = three.path("outputs/1/run.lock")
    kept = lock.rename(lock.with_name(f"run.{run(1).run.id}.lock"))
    put(three.root, run(4), "outputs/1")
    found = {each["id"]: each["path"] for each in three.flexlock("ls", "--json").json}
    assert len(found) == 4 and found[run(1).run.id] == str(kept)
    assert three.flexlock("show", str(kept), "--json").json["run"]["id"] == run(1).run.id


def test_status_is_judged_now(empty: Project) -> None:
    """A run whose process is gone is interrupted, one that lives is running."""
    put(empty.root, replace(run(1), run=replace(
        run(1).run, status="running", duration=None, process=process.this_process())))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = replace(process.this_process(), pid=gone.pid, start_ticks=1)
    put(empty.root, replace(run(2), run=replace(run(2).run, status="running", process=dead)))
    elsewhere = replace(process.this_process(), host="elsewhere.example")
    put(empty.root, replace(run(3), run=replace(run(3).run, status="running", process=elsewhere)))
    for _ in range(2):  # from the locks, then from the index
        found = empty.flexlock("ls", "--json", "--sort", "started").json
        assert [each["status"] for each in found] == ["running", "interrupted", "unknown"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('config.lr > 0.05 and status == "completed"', [1]),
        ("config.lr > 0", [2, 1]),
        ("config.lr != 0.1", [2]),
        ("not config.lr > 0.05", [2]),
        ("not has(config.lr)", [3]),
        ("config.lr > 0.05 or job == 'eval'", [3, 1]),
        ("not (config.lr == 7 or status == 'failed')", [1]),
        ("config.lr > 'a' or config.model > 3", []),
        ("config.model.name in ['mlp', 'cnn']", [1]),
        ('config["model"]["name"] == "mlp"', [1]),
        ("config.other[1].deep == 2", [3]),
        ("config.other[7] == 2", []),
        ("0.005 < config.lr < 0.05", [2]),
        ("result.acc >= 0.9", [1]),
        ("result == null", [3, 2]),
        ("'lr=0.01' in overrides", [2]),
        ("like(overrides, 'lr=*')", [2]),
        ("like(job, 'ev*')", [3]),
        ("len(overrides) == 0", [3, 1]),
        ("duration > 60", [3]),
        ("duration * 2 - 1 == 2", [2, 1]),
        ("started >= '2026-11-22T10:00:02'", [3, 2]),
        ("data.raw.size == 1", [3, 2, 1]),
        ("environment.python == '3.11.7'", [3, 2, 1]),
        ("config.lr / 0 > 1", []),
        ("tag", []),
    ],
)
def test_conditions(condition: str, expected: list[int], in_process: Path) -> None:
    """What a run lacks, or has of another type, makes a condition neither true nor false."""
    found = search.search([in_process], where=condition).runs
    assert [int(each.id[-8:], 16) for each in found] == expected


@pytest.fixture
def in_process(three: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of the three runs, for calls in this process, with an index of its own."""
    monkeypatch.setenv("FLEXLOCK_CACHE", str(tmp_path / "cache"))
    return three.root


def test_a_condition_that_ends_too_early(in_process: Path) -> None:
    """It is said where it is wrong, at its end or at a character."""
    for condition, place in (("config.lr >", "at its end"), ("config.lr > > 3", "character 13")):
        with pytest.raises(ColumnError, match=place):
            search.search([in_process], where=condition)


@pytest.mark.parametrize(
    "condition",
    [
        "", "config.lr >", "lr > 1", "config.lr = 1", "status; 1", "import os",
        "__import__('os')", "config.__class__.__mro__ == 1 or open('x')", "().__class__",
        "job.upper()", "config.lr.real()", "lambda: 1", "[x for x in job]", "{1: 2}", "{1}",
        "f'{job}'", "b'x'", "...", "1j", "job if job else 1", "(x := 1)", "9**9**9", "1 << 99",
        "like(*overrides)", "like(found=job)", "has", "config[job]", "config[1:2]", "job[0]",
        "(" * 500 + "1" + ")" * 500, "-" * 1999 + "1", "1 +" * 3000 + "1", "eval('1')", "\0",
        "status\nstatus", "\ud800",
    ],
)  # fmt: skip
def test_what_is_no_condition(condition: str, in_process: Path) -> None:
    """Code, attributes of objects and endless work are refused before a run is looked at."""
    with pytest.raises(ColumnError) as caught:
        search.search([in_process], where=condition)
    assert caught.value.hint


@pytest.mark.parametrize(
    "condition",
    [
        "'a' * 10 ** 1 == 1", "'a' * 999999999 == 1", "'%999999999d' % 1 == '1'",
        "config.__class__ == 1", "config.__init__.__globals__ == 1", "result.format == 1",
        "config['__class__'] == 1", "[1] * 999999999 == 1", " * ".join(["9" * 400] * 4) + " == 1",
        "1e308 * 1e308 > config.lr + 0 and false",
    ],
)  # fmt: skip
def test_hostile_conditions(condition: str, in_process: Path) -> None:
    """Nothing of an object is reached by dots, and no text grows: such a condition never holds."""
    begun = time.monotonic()
    try:
        assert search.search([in_process], where=condition).runs == ()
    except ColumnError:
        pass
    assert time.monotonic() - begun < 2


def test_a_wrong_condition_shows_a_right_one(three: Project) -> None:
    """The message of an error says what is wrong, its hint how a condition looks: exit 2."""
    done = three.flexlock("ls", "--where", "lr > 0.1", check=False)
    assert done.code == 2 and "no column 'lr'" in done.err and "config.lr" in done.err
    done = three.flexlock("ls", "--where", "config.lr >", check=False)
    assert done.code == 2 and EXAMPLE in done.err


def test_sorting(three: Project) -> None:
    """By any column, either way; runs without it come last."""
    assert ids(three) == [3, 2, 1]
    assert ids(three, "--sort", "started") == [1, 2, 3]
    assert ids(three, "--sort", "config.lr") == [2, 1, 3]
    assert ids(three, "--sort", "-config.lr") == [1, 2, 3]
    assert ids(three, "--sort", "-took")[0] == 3
    assert ids(three, "--sort", "overrides") == [2, 3, 1]
    assert three.flexlock("ls", "--sort", "lr", check=False).code == 2


def test_columns_and_csv(three: Project) -> None:
    """The columns that are named, in their order; CSV has texts and numbers as they are."""
    out = three.flexlock("ls", "--columns", "job, config.lr,config.model").out
    assert out.splitlines() == [
        "job    config.lr  config.model", "eval", "train  0.01", "train  0.1        name=mlp",
    ]  # fmt: skip
    wanted = ("ls", "--csv", "--columns", "config.lr,config.model,path")
    out = three.flexlock(*wanted).out
    folder = str(three.path("outputs"))
    assert list(csv.reader(io.StringIO(out))) == [
        ["config.lr", "config.model", "path"],
        ["", "", f"{folder}/3"],
        ["0.01", "", f"{folder}/2"],
        ["0.1", '{"name": "mlp"}', f"{folder}/1"],
    ]
    assert three.flexlock("ls", "--csv").out.splitlines()[0] == ",".join(KEYS)


def test_options_that_do_not_go_together(three: Project) -> None:
    """Options of the one list are no options of the other: exit 2."""
    for words in (("--remote", "--where", "tag"), ("--git-remote", "x"), ("--csv", "--json"),
                  ("--remote", "outputs"), ("--columns", ",")):
        assert three.flexlock("ls", *words, check=False).code == 2, words


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal(width: int, three: Project) -> None:
    """No line is longer than the terminal is wide; ids stay such that a run is found by them."""
    put(three.root, run(
        4, job="a-job-with-quite-a-long-name", overrides=("model.layers=[1,2,3]", "seed=12345"),
        result={"accuracy": 0.1234567890, "名前": "値" * 60}, duration=3725))
    lines = three.flexlock("ls", COLUMNS=str(width)).out.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert sum(map(run_table._char_width, line)) <= width
    for name, shown in zip(run_table.USUAL, lines[0].split(), strict=True):
        assert name.startswith(shown.rstrip("…"))
    for line in lines[1:]:
        assert three.flexlock("show", line.split()[0], "--json").json["job"]["name"]
    assert "completed" in lines[1] and "1.03 h" in lines[1]


def test_hostile_texts(three: Project) -> None:
    """Control characters of a lock steer no terminal and begin no line."""
    nasty = "x\x1b[31m\n\r\x07\u202e\x00"
    put(three.root, run(
        4, job=nasty, overrides=(f"a={nasty}",), config={nasty: nasty}, result={nasty: [nasty]}))
    done = three.flexlock("ls", "--columns", "job,overrides,result,config", COLUMNS="400")
    assert done.out.replace("\n", "").isprintable() and len(done.out.splitlines()) == 5
    (found,) = [each for each in three.flexlock("ls", "--json").json if each["job"] == nasty]
    assert found["result"] == {nasty: [nasty]}
    done = three.flexlock("show", "20261122T101500Z-0000000", check=False)
    assert done.code == 2 and "fits 4 runs" in done.err
    assert done.err.replace("\n", "").isprintable()


def test_huge_and_deep_values(three: Project) -> None:
    """A result of megabytes, deep nesting and numbers of any size are listed."""
    deep: object = 1
    for _ in range(60):
        deep = [deep]
    put(three.root, run(4, result="x" * 3_000_000, config={"deep": deep, "big": 1 << 5000}))
    put(three.root, run(5, result=float("nan"), config={"lr": float("inf")}))
    path = put(three.root, run(6))
    lock = path.read_text()
    path.write_text(lock.replace("  started: ", f"  started: {'no time ' * 30}", 1))
    lines = three.flexlock("ls", COLUMNS="80").out.splitlines()
    assert len(lines) == 7 and max(map(len, lines)) <= 80
    assert ids(three, "--where", "config.lr > 1") == [5]
    assert ids(three, "--where", "config.deep[0][0][0][0] != 1") == [4]


def test_what_is_no_lock(three: Project) -> None:
    """Folders, pipes, loops, other texts and closed folders are passed over or named."""
    three.path("outputs/d/run.lock").mkdir(parents=True)
    for name in ("pipe", "loop", "link"):
        three.path(f"outputs/{name}").mkdir()
    os.mkfifo(three.path("outputs/pipe/run.lock"))
    three.path("outputs/loop/run.lock").symlink_to("run.lock")
    three.path("outputs/link/up").symlink_to("..")
    three.write("outputs/binary/run.lock", bytes(range(256)))
    three.write("outputs/text/run.lock", "no lock")
    three.write("outputs/bomb/run.lock", "a: &a [1]\nb: [*a, *a]\n")
    three.write("outputs/deep/run.lock", "[" * 5000)
    three.write("outputs/newer/run.lock", "format: 99\n")
    done = three.flexlock("ls", "--json")
    assert [int(each["id"][-8:], 16) for each in done.json] == [3, 2, 1]
    for name in ("binary", "text", "bomb", "deep", "newer"):
        assert f"outputs/{name}/run.lock" in done.err
    assert len(done.err.splitlines()) == 5
    assert three.flexlock("show", "20261122T101500Z-00000002", "--json").code == 0


def test_a_closed_folder(three: Project) -> None:
    """A folder that may not be looked into is named; the rest is listed."""
    three.path("outputs/2").chmod(0)
    words = [three.python, "-m", "flexlock_hydra", "ls", "--json"]
    if os.geteuid() == 0:  # root looks anywhere until it gives that up
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *words]
    done = three.call(*words)
    three.path("outputs/2").chmod(0o755)
    assert len(done.json) == 2 and "outputs/2 cannot be looked into" in done.err


def test_ambiguous_ids_are_listed(three: Project) -> None:
    """A prefix that fits several runs is an error that names them with job and start."""
    done = three.flexlock("show", "20261122", check=False)
    assert done.code == 2
    assert done.err.splitlines()[:4] == [
        "error: 20261122 fits 3 runs",
        "  20261122T101500Z-00000003  eval  2026-11-22 10:00:03 UTC",
        "  20261122T101500Z-00000002  train  2026-11-22 10:00:02 UTC",
        "  20261122T101500Z-00000001  train  2026-11-22 10:00:01 UTC",
    ]
    for number in range(4, 15):
        put(three.root, run(number))
    said = three.flexlock("rerun", "20261122", check=False).err
    assert "fits 14 runs" in said and "and 4 more: flexlock-hydra ls" in said


def test_a_name_with_dots() -> None:
    """Keys follow a name by dots or brackets, as in a condition."""
    assert columns.parse_column('config.model["a.b"][0]') == ("config", ("model", "a.b", 0))
    for text in ("config.", "config[", "job.x", "", "config..lr", "os"):
        with pytest.raises(ColumnError):
            columns.parse_column(text)


def test_no_git(three: Project) -> None:
    """Without git, tags are not known, which is said; runs are listed all the same."""
    three.git("init", "-q")
    bin_folder = three.path("bin")
    bin_folder.mkdir()
    done = three.flexlock("ls", "--json", PATH=str(bin_folder))
    assert len(done.json) == 3 and "tags are not shown" in done.err


def test_git_is_asked_once_for_each_repository(three: Project) -> None:
    """However many runs there are, git starts once for a repository."""
    three.git("init", "-q")
    real, log = shutil.which("git"), three.path("calls")
    script = three.write("bin/git", f'#!/bin/sh\necho x >> {log}\nexec {real} "$@"\n')
    script.chmod(0o755)
    three.flexlock("ls", "--json", PATH=f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    assert log.read_text() == "x\n"


def test_json_is_one_document(three: Project) -> None:
    """Standard output is JSON alone, whatever is warned of."""
    three.write("outputs/bad/run.lock", "no lock")
    done = three.flexlock("ls", "--json")
    assert len(json.loads(done.out)) == 3 and done.err.startswith("warning: ")
