"""Where records must not end: failed pulls, damage, vanishing files, odd values."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from tests.conftest import CONFIG, Project, contents, read_lock, read_plain
from tests.hooks.test_snapshot import script


@pytest.mark.parametrize("how", ["--into", "--worktree"])
def test_a_failed_pull_leaves_nothing_behind(
    project: Project, origin: Path, store: Path, tmp_path: Path, how: str
) -> None:
    """When the data remote has lost a listing, the same pull can be typed again later."""
    project.app("hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    store.rename(tmp_path / "away")
    words = ["pull", tag, "--into", str(tmp_path / "x"), *([how] if how == "--worktree" else [])]
    assert project.flexlock(*words, check=False).code == 2
    assert not (tmp_path / "x").exists()
    (tmp_path / "away").rename(store)
    assert project.flexlock(*words, "--json").json["missing"] == []


def test_a_damaged_object_is_named_and_not_handed_out(
    project: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """A flipped bit on the data remote: exit 1, the file named and not written."""
    project.app("hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    damaged = store / "files/md5/e5/ebd4c02cefbe7955977c67ada242b7"
    damaged.chmod(0o644)
    damaged.write_bytes(b"a,b\n1,3\n")
    done = project.flexlock("pull", tag, "--into", tmp_path / "x", check=False)
    assert done.code == 1
    assert "missing: data/table.csv: damaged" in done.err
    assert not (tmp_path / "x/data/table.csv").exists()


def test_a_folder_that_became_a_link(project: Project) -> None:
    """A tracked folder replaced by a link is recorded as the link that it is."""
    project.write("dd/a.py", "x = 1\n")
    project.commit("folder")
    project.path("dd").rename(project.path("ee"))
    os.symlink("ee", project.path("dd"))
    project.app()
    main = project.lock()["repos"]["main"]
    tree = project.git("ls-tree", "-r", main["commit"])
    assert "120000" in tree and "ee/a.py" in tree and "dd/a.py" not in tree


@pytest.mark.hydra
def test_a_task_that_removes_its_output_folder_keeps_its_record(project: Project) -> None:
    """The lock is written at the end even where the folder has gone."""
    source = project.path("app.py").read_text()
    project.write(
        "app.py", source.replace("if cfg.lr < 0:", "import shutil; shutil.rmtree(out)\n    if 0:")
    )
    project.app("hydra.run.dir=outputs/a")
    assert read_lock(project.path("outputs/a/run.lock"))["run"]["status"] == "completed"


@pytest.mark.hydra
def test_numbers_that_are_none(project: Project) -> None:
    """A config and a result with nan run again, do not differ, and print as JSON."""
    project.write("conf/config.yaml", CONFIG + "x: .nan\n")
    source = project.path("app.py").read_text()
    project.write("app.py", source.replace("return {", "return {'nan': float('nan'), "))
    project.app("hydra.run.dir=outputs/a")
    again = project.flexlock("rerun", "outputs/a", "--json").json
    assert again["verdict"] == "identical"
    assert project.flexlock("diff", "outputs/a", again["path"]).code == 0
    shown = project.flexlock("show", "outputs/a", "--json").out
    assert "NaN" not in shown and json.loads(shown)["config"]["x"] == "nan"


@pytest.mark.hydra
def test_one_key_for_one_path_at_two_places(project: Project) -> None:
    """The same name for the same path is one entry, with no warning."""
    project.app("+a='${snapshot:data/table.csv,k}'", "+b='${snapshot:data/table.csv,k}'")
    lock = project.lock()
    assert [key for key in lock["data"] if key.startswith("k")] == ["k"]
    assert lock["warnings"] == []


def test_a_killed_run_reads_as_ended_where_it_was_pulled(
    project: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """Only ended runs are pushed: elsewhere, a lock that says running is of one cut off."""
    project.app("hydra.run.dir=outputs/a")
    path = project.path("outputs/a/run.lock")
    plain = read_plain(path)
    plain["run"]["status"] = "running"
    plain["run"]["process"]["pid"] = 2**22 + 1
    path.write_text(json.dumps(plain))
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    pulled = tmp_path / "x"
    project.flexlock("pull", tag, "--into", pulled)
    there = pulled / "outputs/a/run.lock"
    there.write_text(there.read_text().replace(plain["run"]["process"]["host"], "another-host"))
    shown = project.flexlock("show", "outputs/a", "--json", cwd=pulled).json
    assert shown["run"]["status"] == "interrupted"


def test_restore_commands_can_be_pasted(project: Project, store: Path, tmp_path: Path) -> None:
    """The two commands that a push prints work as they stand, spaces in paths included."""
    bare = tmp_path / "with space" / "origin.git"
    project.git("init", "-q", "--bare", str(bare))
    project.git("remote", "add", "origin", str(bare))
    project.app("hydra.run.dir=outputs/a")
    printed = project.flexlock("push", "outputs/a", "--remote", store).out.splitlines()
    ours, plain = (line.strip() for line in printed[-2:])
    words = shlex.split(ours)
    project.flexlock(*words[1:], cwd=tmp_path)
    bin_folder = Path(project.python).parent
    project.call(
        "bash", "-c", plain, cwd=tmp_path, check=True,
        PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    )
    run_id = read_plain(project.path("outputs/a/run.lock"))["run"]["id"]
    one, two = (contents(tmp_path / name) for name in (f"app-{run_id}", run_id))
    assert one == two and "data/table.csv" in one


def test_a_push_repeats_what_was_left_out(project: Project, store: Path) -> None:
    """Data that could not be recorded whole is named when it is pushed."""
    project.write("data/set/a", "1")
    os.symlink("..", project.path("data/set/up"))
    project.app("+set='${snapshot:data/set}'", "hydra.run.dir=outputs/a")
    said = project.flexlock("push", "outputs/a", "--remote", store).err
    assert "data/set/up left out: a link to a folder" in said


@pytest.mark.hydra
def test_snapshot_of_a_config_in_a_job(project: Project) -> None:
    """A config given inside a job is looked through as well."""
    project.write("data/b.csv", "1")
    source = project.path("app.py").read_text().replace(
        "text =", "from flexlock_hydra import snapshot\n"
        "    snapshot({'more': '${snapshot:data/b.csv}'})\n    text =", 1
    )
    project.write("app.py", source)
    project.app()
    assert list(project.lock()["data"]) == ["table", "more"]


@pytest.mark.hydra
def test_another_config_for_the_same_folder_is_another_run(project: Project) -> None:
    """A notebook cell that is run again with another value does not keep the old record."""
    found = script(
        project,
        "a = snapshot({'save_dir': 'out', 'lr': 1}, data={'x': 'app.py'})\n"
        "b = snapshot({'save_dir': 'out', 'lr': 2})\n"
        "c = snapshot({'save_dir': 'out', 'lr': 2}, data={'y': 'app.py'})\n"
        "print(json.dumps([[x.config['lr'], list(x.data)] for x in (a, b, c)]"
        " + [b.run.id == c.run.id]))",
    )
    assert found == [[1, ["x"]], [2, []], [2, ["y"]], True]
    assert len(list(project.path("out").glob("run*.lock"))) == 2


@pytest.mark.parametrize(
    "words",
    [["show", "~nouser/x"], ["show", "x" * 5000], ["pull", "TAG", "--into", "app.py/y"]],
)
def test_odd_names_are_errors_of_the_user(project: Project, words: list[str]) -> None:
    """Names that the system refuses end with 2, not as a bug."""
    tag = "flexlock/app/20990101T000000Z-00000000"
    done = project.flexlock(*(tag if word == "TAG" else word for word in words), check=False)
    assert done.code == 2


@pytest.mark.hydra
def test_a_run_that_was_cut_off_is_not_called_reproduced(project: Project) -> None:
    """A killed run can be run again, and what then completes is another end."""
    source = project.path("app.py").read_text()
    kill = "import os\n    os.environ.get('DIE') and os._exit(9)"
    project.write("app.py", source.replace("    if cfg.lr < 0:", f"    {kill}\n    if cfg.lr < 0:"))
    project.app("hydra.run.dir=outputs/a", check=False, DIE="1")
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 1
    assert "differs: the status: interrupted, now completed" in done.out
