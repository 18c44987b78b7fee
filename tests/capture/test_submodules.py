"""Repositories inside the project: each with a snapshot of its own, all the way back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flexlock_hydra.capture.code.snapshot import Snapshot, named_snapshots, take_snapshot
from flexlock_hydra.ports.git.repo import GitRepo
from tests.conftest import Project, fingerprint
from tests.support.trees import listing

pytestmark = pytest.mark.usefixtures("own_home")

ALLOW = ("-c", "protocol.file.allow=always")
SUB, NESTED, INNER = "libs/x", "libs/x/deps/y", "libs/inner"


def snapshots(root: Path) -> dict[str, Snapshot]:
    """The snapshots of a repository and of those inside, by name."""
    repo = GitRepo.find(root)
    assert repo is not None
    return named_snapshots("main", take_snapshot(repo, root))


def library(rich: Project, name: str) -> Project:
    """A repository with one module, to be a submodule."""
    made = Project(rich.root.with_name(name), rich.env)
    made.write(f"{name}.py", f"{name} = 1\n")
    made.git("init", "-q", "-b", "main")
    made.commit()
    return made


def add_submodule(project: Project, source: Project, path: str) -> None:
    """Add a submodule and commit it."""
    project.git(*ALLOW, "submodule", "--quiet", "add", str(source.root), path)
    project.commit(f"submodule {path}")


@pytest.fixture
def nested(rich: Project) -> Project:
    """A project with a submodule, and one inside of it."""
    outer = library(rich, "x")
    add_submodule(outer, library(rich, "y"), "deps/y")
    add_submodule(rich, outer, SUB)
    rich.git(*ALLOW, "submodule", "--quiet", "update", "--init", "--recursive")
    return rich


def inside(project: Project, path: str) -> Project:
    """A repository inside a project."""
    return Project(project.path(path), project.env)


def files(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """The files below a folder, git's own and bytecode left out."""
    own = {b".git", b"__pycache__"}
    return {name: each for name, each in listing(root).items() if own.isdisjoint(name.split(b"/"))}


def make_dirty(project: Project) -> None:
    """An unpushed commit and an edit in the submodule; an edit and a new file inside it."""
    sub = inside(project, SUB)
    sub.write("x.py", "x = 2\n")
    sub.commit("not pushed")
    sub.write("x.py", "x = 3\n")
    project.write(f"{NESTED}/y.py", "y = 2\n")
    project.write(f"{NESTED}/new.py", "new = 1\n")


def test_clean_submodules_change_nothing(nested: Project) -> None:
    """Submodules at their recorded commits: every snapshot is HEAD, and exact."""
    taken = snapshots(nested.root)

    assert set(taken) == {"main", SUB, NESTED}
    assert all(each.state.commit == each.state.head for each in taken.values())
    assert {each.state.completeness for each in taken.values()} == {"exact"}
    assert [each.state.path for each in taken.values()] == [".", SUB, NESTED]


@pytest.mark.parametrize("key", ["core.bare", "diff.ignoreSubmodules", "submodule.libs/x.ignore"])
def test_the_tree_links_to_the_snapshots_of_dirty_submodules(key: str, nested: Project) -> None:
    """A dirty submodule has a commit of its own to which its parent's tree points."""
    nested.git("config", key, "false" if key == "core.bare" else "all")
    make_dirty(nested)
    taken = snapshots(nested.root)
    main, sub, deep = (taken[name].state for name in ("main", SUB, NESTED))

    assert main.dirty == (SUB,)
    assert sub.dirty == ("deps/y", "x.py")
    assert deep.dirty == ("new.py", "y.py")
    assert nested.git("rev-parse", f"{main.commit}:{SUB}") == sub.commit
    assert inside(nested, SUB).git("rev-parse", f"{sub.commit}:deps/y") == deep.commit
    assert {each.state.completeness for each in taken.values()} == {"exact"}


def test_nothing_of_a_submodule_is_touched(nested: Project) -> None:
    """Index, HEAD, branches, files of every submodule are as before."""
    make_dirty(nested)
    places = [nested.root, nested.path(SUB), nested.path(NESTED)]
    heads = [nested.git("for-each-ref", "refs/heads", cwd=place) for place in places]
    own = (".git/modules/libs/x/refs/flexlock", ".git/modules/libs/x/objects",
           ".git/modules/libs/x/modules/deps/y/refs/flexlock",
           ".git/modules/libs/x/modules/deps/y/objects")

    def state() -> object:
        found = fingerprint(nested.root)
        return {name: each for name, each in found.items() if not name.startswith(own)}

    before = state()
    snapshots(nested.root)

    assert state() == before
    assert [nested.git("for-each-ref", "refs/heads", cwd=place) for place in places] == heads


def test_a_submodules_snapshot_is_kept_alive_in_its_own_repository(nested: Project) -> None:
    """The commit survives garbage collection of the submodule."""
    make_dirty(nested)
    commit = snapshots(nested.root)[SUB].state.commit
    sub = inside(nested, SUB)
    sub.git("gc", "-q", "--prune=now")

    assert sub.git("show", f"{commit}:x.py") == "x = 3"


@pytest.mark.parametrize("staged", [True, False])
def test_a_moved_submodule_is_recorded_where_it_is(staged: bool, nested: Project) -> None:
    """A submodule at another commit is recorded at that commit, staged or not."""
    sub = inside(nested, SUB)
    sub.write("x.py", "x = 2\n")
    head = sub.commit()
    if staged:
        nested.git("add", SUB)
    state = snapshots(nested.root)["main"].state

    assert state.dirty == (SUB,)
    assert nested.git("rev-parse", f"{state.commit}:{SUB}") == head


def test_a_submodule_that_is_not_initialised_is_as_in_the_index(nested: Project) -> None:
    """Without files there is nothing to read: the commit stays as it is, the code exact."""
    clone = Project(nested.root.with_name("clone"), nested.env)
    nested.git("clone", "-q", str(nested.root), str(clone.root))
    taken = snapshots(clone.root)

    assert set(taken) == {"main"}
    assert taken["main"].state.commit == taken["main"].state.head
    assert taken["main"].state.completeness == "exact"


def test_a_submodule_whose_repository_is_lost_is_named(nested: Project) -> None:
    """Files without their repository cannot be recorded: the code is partial."""
    shutil.rmtree(nested.path(".git/modules/libs/x"))
    state = snapshots(nested.root)["main"].state

    assert state.completeness == "partial"
    assert state.reasons[0].startswith(f"repository {SUB} left out: ")


@pytest.mark.parametrize("commits", [0, 1])
def test_a_repository_inside_has_an_entry_of_its_own(
    commits: int, rich: Project
) -> None:
    """A nested repository that is no submodule is recorded at its path, the parent untouched."""
    inner = inside(rich, INNER)
    inner.write("x.py", "x")
    inner.git("init", "-q")
    for _ in range(commits):
        inner.commit()
    inner.write("x.py", "edited")
    taken = snapshots(rich.root)

    assert set(taken) == {"main", INNER}
    assert taken["main"].state.commit == taken["main"].state.head
    assert inner.git("show", f"{taken[INNER].state.commit}:x.py") == "edited"
    assert taken["main"].state.completeness == "exact"
    assert rich.git("submodule", "status") == ""


APP = """
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

root = Path(__file__).parent
sys.path[:0] = [str(root / name) for name in ("libs/x", "libs/x/deps/y", "libs/inner")]
import inner, x, y


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    (out / "said.txt").write_text(f"{x.x} {y.y} {inner.inner}")


if __name__ == "__main__":
    main()
"""


@pytest.mark.hydra
@pytest.mark.parametrize("gone", [False, True])
def test_dirty_submodules_all_the_way(
    gone: bool, nested: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """Run, push, move everything away, pull elsewhere, run again: identical."""
    nested.write("app.py", APP)
    nested.commit("app")
    make_dirty(nested)
    inner = inside(nested, INNER)
    inner.write("inner.py", "inner = 5\n")
    inner.git("init", "-q", "-b", "main")
    inner.commit()
    nested.app("hydra.run.dir=outputs/a")
    lock = nested.lock()
    assert set(lock["repos"]) == {"main", SUB, NESTED, INNER}
    assert {each["completeness"] for each in lock["repos"].values()} == {"exact"}
    place = nested
    if gone:
        pushed = nested.flexlock("push", "outputs/a", "--remote", store, "--json").json
        assert not [text for text in pushed["warnings"] if "does not travel" in text]
        for name in ("project", "x", "y"):
            shutil.move(tmp_path / name, tmp_path / f"{name}-moved")
        nested.flexlock("pull", pushed["tag"], "--from", origin, "--into", tmp_path / "back",
                        cwd=tmp_path)
        place = Project(tmp_path / "back", nested.env)
        assert files(place.path(SUB)) == files(tmp_path / "project-moved" / SUB)
        assert place.git("status", "--porcelain", "--", "libs/x") == ""
    again = place.flexlock("rerun", "outputs/a", "--json").json
    assert again["verdict"] == "identical", again
    repos = place.lock()["repos"]
    assert {name: each["commit"] for name, each in repos.items()} == {
        name: each["commit"] for name, each in lock["repos"].items()
    }
    for path in (".", SUB, NESTED, INNER):
        assert len(place.git("worktree", "list", cwd=place.path(path)).splitlines()) == 1
