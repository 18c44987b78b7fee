"""Which files of a working tree are no code."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.ports.git.ask import ask_working_tree
from flexlock_hydra.ports.git.status import read_working_tree
from tests.conftest import Project
from tests.support.edits import edited
from tests.support.trees import restored, snapshot

pytestmark = pytest.mark.usefixtures("own_home")


def paths(project: Project, scope: Scope = Scope()) -> set[str]:
    """The untracked files that a snapshot took."""
    return set(snapshot(project.root, scope).dirty)


def test_ignored_files_are_not_in_it(rich: Project) -> None:
    """What git ignores, by whichever of its lists, is no code."""
    rich.write("other.env", "x")
    rich.write("lib/.gitignore", "*.tmp\n")
    rich.write("lib/x.tmp", "x")
    rich.write(".git/info/exclude", "mine.txt\n")
    rich.write("mine.txt", "x")
    rich.write("new.py", "x")

    assert paths(rich) == {"lib/.gitignore", "new.py"}


OUTPUTS = [
    "outputs/2026-11-22/10-15-00/model.txt",
    "outputs/x.txt",
    "multirun/2026-11-22/0/model.txt",
    "runs/a/model.txt",
    "runs/a/deep/er/model.txt",
    "runs/sweep/0/model.txt",
    "runs/sweep/optimization_results.yaml",
    "runs/locked/model.txt",
    "runs/swept/best.yaml",
    "configured/elsewhere/model.txt",
    "ünicode/a b/model.txt",
]


@pytest.fixture
def ran(rich: Project) -> Project:
    """A project that ignores nothing, after runs that wrote to many places."""
    rich.write(".gitignore", "data/\n")
    rich.commit("ignore nothing")
    for name in OUTPUTS:
        rich.write(name, "an output")
    for name in ("runs/a/.hydra/config.yaml", "ünicode/a b/.hydra/overrides.yaml",
                 "runs/sweep/multirun.yaml", "runs/locked/run.lock", "runs/swept/sweep.lock"):
        rich.write(name, "x")
    rich.write("runs/notes.py", "code beside the runs")
    return rich


def test_output_folders_add_no_file(ran: Project) -> None:
    """Nothing untracked in a folder that a run wrote to is code; what lies beside it is."""
    scope = Scope(folders=(ran.path("configured"), ran.root.with_name("outside")))

    assert paths(ran, scope) == {"runs/notes.py"}


def test_output_folders_are_not_named_as_left_out(ran: Project) -> None:
    """A snapshot without output files is exact."""
    scope = Scope(folders=(ran.path("configured"),))

    assert snapshot(ran.root, scope).completeness == "exact"


def test_a_config_named_multirun_hides_no_code(rich: Project) -> None:
    """A ``multirun.yaml`` without a job's folder beside it makes no output folder."""
    rich.write("conf/more/multirun.yaml", "")
    rich.write("conf/more/model.yaml", "")

    assert "conf/more/model.yaml" in paths(rich)


def test_a_commit_while_git_looks_is_not_mixed_in(rich: Project) -> None:
    """The tree that a look compares with is that of the HEAD which its status tells."""
    before = rich.git("rev-parse", "HEAD")
    with ask_working_tree(rich.root) as asked:
        asked.status.process.wait(30)
        rich.write("lib/a.py", "a = 2\n")
        rich.commit("meanwhile")
        found = read_working_tree(rich.root, rich.path(".git"), asked)

    assert found.status.head == before
    assert found.head_tree == rich.git("rev-parse", f"{before}^{{tree}}")


def test_tracked_files_in_output_folders_stay(ran: Project, tmp_path: Path) -> None:
    """What git tracks in an output folder is in the snapshot, as it is now."""
    kept = ["outputs/x.txt", "runs/a/model.txt", "configured/elsewhere/model.txt"]
    ran.git("add", "-f", *kept)
    ran.git("commit", "-q", "-m", "track outputs")
    ran.write("outputs/x.txt", "edited")
    state = snapshot(ran.root, Scope(folders=(ran.path("configured"),)))
    back = restored(ran, state.commit, tmp_path / "clone")

    assert {os.fsencode(name) for name in kept} <= set(back)
    assert back[b"outputs/x.txt"] == ("file", b"edited")


def test_a_run_in_the_root_leaves_the_code_code(rich: Project) -> None:
    """With the project's root as output folder, the run's own files are no code, others are."""
    for name in (".hydra/config.yaml", "run.lock", "multirun.yaml", "new.py"):
        rich.write(name, "x")

    assert paths(rich, Scope(folders=(rich.root,))) == {"new.py"}


def test_the_snapshot_does_not_depend_on_earlier_runs(ran: Project) -> None:
    """The same code has the same commit before and after a run wrote its outputs."""
    before = snapshot(ran.root, Scope(folders=(ran.path("configured"),))).commit
    ran.write("runs/b/.hydra/config.yaml", "x")
    ran.write("runs/b/model.txt", "x")

    assert snapshot(ran.root, Scope(folders=(ran.path("configured"),))).commit == before


@pytest.mark.parametrize("name", [
    "lib/__pycache__/a.cpython-311.pyc", "__pycache__/x.py", "old.pyc", "old.pyo",
    "lib/__pycache__/deep/x.txt",
])
def test_bytecode_is_no_code(name: str, rich: Project) -> None:
    """Bytecode adds nothing, where git ignores nothing of it either."""
    rich.write(name, "x")
    state = snapshot(rich.root)

    assert (state.commit, state.reasons) == (state.head, ())


@pytest.mark.parametrize("data", ["raw", "raw/a.csv", "raw/deep"])
def test_data_of_the_config_is_no_code(data: str, rich: Project) -> None:
    """An untracked input, file or folder, is recorded as data and not as code."""
    rich.write("raw/a.csv", "1")
    rich.write("raw/deep/b.csv", "2")
    rich.write("new.py", "x")
    inside = {path for path in ("raw/a.csv", "raw/deep/b.csv") if path.startswith(data)}

    assert paths(rich, Scope(data=(rich.path(data),))) == {
        "new.py", "raw/a.csv", "raw/deep/b.csv"
    } - inside


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("raw/*.csv", {"raw/a.csv"}),
        ("raw/**/*.csv", {"raw/a.csv", "raw/deep/b.csv"}),
        ("raw/d*", {"raw/deep/b.csv"}),
        ("../*/raw/a.csv", {"raw/a.csv"}),
        ("*.csv", set()),
    ],
)
def test_a_pattern_takes_what_it_matches(pattern: str, matched: set[str], rich: Project) -> None:
    """Untracked files that an input's pattern matches are data, the others beside them code."""
    files = {"raw/a.csv", "raw/deep/b.csv", "raw/read.py"}
    for name in files:
        rich.write(name, "1")
    scope = Scope(data=(Path(os.path.normpath(rich.root / pattern)),))

    assert paths(rich, scope) == files - matched
    assert {name for name in files if scope.writes(rich.root)(name)} == matched


@pytest.mark.parametrize("outside", ["..", "../other", "/", "."])
def test_data_outside_takes_nothing_away(outside: str, rich: Project) -> None:
    """Data that lies beside, above or around the project leaves all its code."""
    rich.write("new.py", "x")

    assert paths(rich, Scope(data=(rich.root / outside,))) == {"new.py"}


def test_data_with_a_similar_name_is_another(rich: Project) -> None:
    """The folder ``raw`` as data says nothing of ``raw.py`` or ``raw2/``."""
    for name in ("raw/a", "raw.py", "raw2/b", "lib/raw/c"):
        rich.write(name, "x")

    assert paths(rich, Scope(data=(rich.path("raw"),))) == {"raw.py", "raw2/b", "lib/raw/c"}


def test_a_repository_as_data_is_no_code(rich: Project) -> None:
    """A nested repository that the config names as data is not missed in the code."""
    inner = Project(rich.path("raw"), rich.env)
    inner.write("x", "x")
    inner.git("init", "-q")
    inner.commit()
    state = snapshot(rich.root, Scope(data=(inner.root,)))

    assert (state.completeness, state.reasons) == ("exact", ())


def test_a_large_untracked_file_is_named(rich: Project) -> None:
    """An untracked file above the limit is left out, and said so with its size."""
    rich.write("weights.bin", b"")
    os.truncate(rich.path("weights.bin"), 412_000_000)
    rich.write("small.py", "x")
    state = snapshot(rich.root)

    assert state.dirty == ("small.py",)
    assert state.completeness == "partial"
    assert state.reasons == ("untracked weights.bin (412 MB) left out",)


@pytest.mark.parametrize(("size", "taken"), [(10, True), (11, False)])
def test_the_limit_itself_is_taken(size: int, taken: bool, rich: Project) -> None:
    """A file of exactly the limit is code, a byte more is not."""
    rich.write("new.py", "x" * size)

    assert (paths(rich, Scope(size_limit=10)) == {"new.py"}) is taken


def test_a_large_tracked_file_stays(rich: Project) -> None:
    """The limit is for untracked files: what git tracks is in the snapshot."""
    rich.write("lib/a.py", "x" * 100)

    assert snapshot(rich.root, Scope(size_limit=10)).completeness == "exact"


IGNORE = [
    ("*.csv", {"a.csv", "notes/b.csv", "notes/deep/b.csv"}),
    ("b.csv", {"notes/b.csv", "notes/deep/b.csv"}),
    ("notes", {"notes/b.csv", "notes/deep/b.csv", "notes/t.md"}),
    ("notes/", {"notes/b.csv", "notes/deep/b.csv", "notes/t.md"}),
    ("deep", {"notes/deep/b.csv"}),
    ("notes/deep", {"notes/deep/b.csv"}),
    ("notes/*.md", {"notes/t.md"}),
    ("/a.csv", {"a.csv"}),
    ("/b.csv", set()),
    ("note", set()),
    ("*", {"a.csv", "notes/b.csv", "notes/deep/b.csv", "notes/t.md", "new.py"}),
]


@pytest.mark.parametrize(("glob", "left_out"), IGNORE)
def test_globs_leave_untracked_files_out(glob: str, left_out: set[str], rich: Project) -> None:
    """A bare name at any depth, a folder with all in it, a path from the root."""
    everything = {"a.csv", "notes/b.csv", "notes/deep/b.csv", "notes/t.md", "new.py"}
    for name in everything:
        rich.write(name, "x")

    assert paths(rich, Scope(ignore=(glob,))) == everything - left_out


def test_globs_take_no_tracked_file_out(rich: Project) -> None:
    """A glob that matches a tracked file does not hide its edits."""
    edited(rich)

    assert paths(rich, Scope(ignore=("lib/", "*.py"))) == {"lib/a.py"}


def test_a_pipe_is_no_code(rich: Project) -> None:
    """A named pipe in the project does not stop the snapshot, nor is it waited for."""
    os.mkfifo(rich.path("pipe"))
    edited(rich)

    assert paths(rich) == {"lib/a.py"}
