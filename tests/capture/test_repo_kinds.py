"""Snapshots of every kind of repository, and what is said of its remote."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexlock_hydra.capture.code.snapshot import find_repo
from flexlock_hydra.ports.git.repo import GitRepo
from tests.conftest import Project
from tests.support.edits import deleted, edited, untracked
from tests.support.trees import code_files, restored, snapshot

pytestmark = pytest.mark.usefixtures("own_home")

# Kinds of repositories


def test_before_any_commit(empty: Project, tmp_path: Path) -> None:
    """A repository without a commit has no HEAD, and its files come back all the same."""
    empty.git("init", "-q", "-b", "main")
    state = snapshot(empty.root)

    assert (state.head, state.branch, state.completeness) == (None, "main", "exact")
    assert state.dirty == (".gitignore", "app.py", "conf/config.yaml")
    assert restored(empty, state.commit, tmp_path / "clone") == code_files(empty)


def test_before_any_commit_with_an_index(empty: Project, tmp_path: Path) -> None:
    """Files staged for the first commit are in the snapshot as they are now."""
    empty.git("init", "-q", "-b", "main")
    empty.git("add", "app.py")
    empty.write("app.py", "edited\n")
    state = snapshot(empty.root)

    assert restored(empty, state.commit, tmp_path / "clone") == code_files(empty)


def test_an_empty_repository(empty: Project) -> None:
    """A repository with nothing in it has git's empty tree."""
    bare = Project(empty.root.with_name("void"), empty.env)
    bare.root.mkdir()
    bare.git("init", "-q")

    assert snapshot(bare.root).tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


@pytest.mark.parametrize("place", ["plain", "bare", "git dir"])
def test_where_no_working_tree_is_there_is_no_repository(place: str, project: Project) -> None:
    """A plain folder, a bare repository and the .git folder itself hold no working tree."""
    project.git("init", "-q", "--bare", "../bare")
    plain = project.root.with_name("plain")
    plain.mkdir()
    folder = {"plain": plain, "bare": project.path("../bare"), "git dir": project.path(".git")}

    assert GitRepo.find(folder[place]) is None


def test_a_detached_head_has_no_branch(rich: Project) -> None:
    """On a detached HEAD there is a commit and no branch."""
    rich.git("checkout", "-q", "--detach")
    state = snapshot(rich.root)

    assert (state.branch, state.commit) == (None, state.head)


def test_the_branch_is_named_in_full(rich: Project) -> None:
    """A branch with slashes is recorded by its whole name."""
    rich.git("checkout", "-q", "-b", "feature/ü/x")

    assert snapshot(rich.root).branch == "feature/ü/x"


def test_a_linked_worktree(rich: Project, tmp_path: Path) -> None:
    """In a linked worktree its own files and HEAD count, and its index stays as it was."""
    tree = Project(tmp_path / "tree", rich.env)
    rich.git("worktree", "add", "-q", "-b", "side", str(tree.root))
    edited(tree)
    deleted(rich)
    index = rich.path(".git/worktrees/tree/index")
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    state = snapshot(tree.root)

    assert (state.branch, state.dirty) == ("side", ("lib/a.py",))
    assert rich.git("show", f"{state.commit}:lib/a.py") == "a = 2"
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


@pytest.mark.parametrize(("cwd", "path"), [(".", "."), ("lib", ".."), ("new/deep", "../..")])
def test_the_repository_is_seen_from_where_the_job_runs(
    cwd: str, path: str, rich: Project
) -> None:
    """A job in a subfolder records the whole repository, by its path from there."""
    untracked(rich)
    edited(rich)
    state = snapshot(rich.path(cwd), cwd=rich.path(cwd))

    assert state.path == path
    assert state.dirty == ("lib/a.py", "new/deep/c.py")


@pytest.mark.parametrize("name", ["with space", "übung", "line\u2028sep", "new\nline", "-dash"])
def test_any_name_of_the_project(name: str, project: Project) -> None:
    """The project's folder may have any name."""
    moved = Project(project.root.with_name(name), project.env)
    project.root.rename(moved.root)
    moved.write("new.py", "x")

    assert snapshot(moved.root).dirty == ("new.py",)


def test_a_repository_of_sha256(empty: Project, tmp_path: Path) -> None:
    """Git's longer object ids are recorded as they are."""
    empty.git("init", "-q", "--object-format=sha256")
    empty.commit()
    empty.write("new.py", "x")
    state = snapshot(empty.root)

    assert (len(state.commit), len(state.tree), state.reasons) == (64, 64, ())
    assert empty.git("show", f"{state.commit}:new.py") == "x"


def test_a_sparse_checkout_keeps_what_is_not_checked_out(rich: Project) -> None:
    """Tracked files outside of a sparse checkout are in the snapshot as in HEAD."""
    rich.git("sparse-checkout", "set", "--no-cone", "/*", "!/lib/b.py")
    edited(rich)
    state = snapshot(rich.root)

    assert not rich.path("lib/b.py").exists()
    assert rich.git("show", f"{state.commit}:lib/b.py") == "b = 1"
    assert state.dirty == ("lib/a.py",)


def test_a_repository_is_found_by_the_first_folder_that_has_one(
    rich: Project, tmp_path: Path
) -> None:
    """Candidates are tried in order; what is no folder or in no repository is passed over."""
    other = Project(tmp_path / "other", rich.env)
    other.write("x", "x")
    other.git("init", "-q")
    found = find_repo(tmp_path / "gone", tmp_path, rich.path("lib"), other.root)

    assert found is not None
    assert found.root == rich.root


# Remotes


@pytest.mark.parametrize(("url", "recorded"), [
    ("https://example.org/team/p.git", "https://example.org/team/p.git"),
    ("https://ada@example.org/p.git", "https://example.org/p.git"),
    ("https://s3cret@example.org/p.git", "https://example.org/p.git"),
    ("https://ada:s3cret@example.org:8443/p.git", "https://example.org:8443/p.git"),
    ("https://oauth2:s3cret@example.org/p.git", "https://example.org/p.git"),
    ("https://:s3cret@example.org/p.git", "https://example.org/p.git"),
    ("ssh://git@example.org/p.git", "ssh://git@example.org/p.git"),
    ("ssh://git:s3cret@example.org:2222/p.git", "ssh://git@example.org:2222/p.git"),
    ("git@example.org:team/p.git", "git@example.org:team/p.git"),
    ("../p.git", "../p.git"),
    ("file:///srv/p.git", "file:///srv/p.git"),
])
def test_the_remote_is_recorded_without_credentials(
    url: str, recorded: str, rich: Project
) -> None:
    """A remote's URL is recorded; the password or token that it carries is not."""
    rich.git("config", "remote.origin.url", url)

    assert snapshot(rich.root).remote == recorded


@pytest.mark.parametrize("url", [
    "https://s3cret:x-oauth-basic@github.com/team/p.git",
    "https://ada:s3cret@[bad/p.git",
    "https://ada:s3cr@t@example.org/p.git",
])
def test_no_credential_of_an_odd_url_is_recorded(url: str, rich: Project) -> None:
    """A URL of an unusual form gives nothing of its credentials away, and no failure."""
    rich.git("config", "remote.origin.url", url)
    recorded = snapshot(rich.root).remote or ""

    assert "s3cr" not in recorded
    assert "t@example" not in recorded


def test_the_remote_of_the_branch_is_recorded(rich: Project) -> None:
    """Of several remotes the one that the branch follows counts, then origin."""
    for name in ("origin", "fork"):
        rich.git("remote", "add", name, f"https://example.org/{name}.git")
    rich.git("config", "branch.main.remote", "fork")
    on_main = snapshot(rich.root).remote
    rich.git("checkout", "-q", "-b", "other")

    assert (on_main, snapshot(rich.root).remote) == (
        "https://example.org/fork.git", "https://example.org/origin.git"
    )


def test_no_remote_is_none(rich: Project) -> None:
    """A repository without a remote records none."""
    assert snapshot(rich.root).remote is None


def test_find_repo_of_nothing() -> None:
    """No candidate, no repository."""
    assert find_repo() is None
