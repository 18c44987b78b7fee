"""The snapshot of a working tree: all of it, nothing else, and nothing touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint
from tests.support.edits import (
    EDITS,
    Edit,
    deleted,
    deleted_in_index_and_ignored,
    edited,
    file_to_folder,
    made_executable,
    renamed,
    same_size_and_tick,
    staged_then_edited,
    staged_then_reverted,
    untracked,
)
from tests.support.trees import code_files, restored, snapshot

pytestmark = pytest.mark.usefixtures("own_home")


def name_of(edit: object) -> str:
    """A test's id: the name of its edit."""
    return str(getattr(edit, "__name__", edit))


@pytest.mark.parametrize("edit", EDITS, ids=name_of)
def test_a_checkout_of_the_snapshot_is_the_working_tree(
    edit: Edit, rich: Project, tmp_path: Path
) -> None:
    """A fresh clone of the recorded commit has the same bytes, links and exec bits."""
    edit(rich)
    state = snapshot(rich.root)
    back = restored(rich, state.commit, tmp_path / "clone")

    assert back == code_files(rich)
    assert (state.completeness, state.reasons) == ("exact", ())


@pytest.mark.parametrize("edit", EDITS, ids=name_of)
def test_nothing_of_the_user_is_touched(edit: Edit, rich: Project) -> None:
    """Index, HEAD, branches, config, files and their times are as before the snapshot."""
    edit(rich)
    before = fingerprint(rich.root)
    snapshot(rich.root)

    assert fingerprint(rich.root) == before


@pytest.mark.parametrize(("edit", "dirty"), [
    (edited, ("lib/a.py",)),
    (deleted, ("lib/a.py",)),
    (untracked, ("new/deep/c.py",)),
    (renamed, ("lib/a.py", "lib/z.py")),
    (staged_then_edited, ("lib/a.py", "staged.py")),
    (staged_then_reverted, ()),
    (made_executable, ("lib/a.py",)),
    (file_to_folder, ("run.sh", "run.sh/inner.py")),
    (deleted_in_index_and_ignored, (".gitignore", "lib/a.py")),
], ids=name_of)
def test_what_differs_from_head_is_named(
    edit: Edit, dirty: tuple[str, ...], rich: Project
) -> None:
    """``dirty`` names, sorted, every path in which the snapshot differs from HEAD."""
    edit(rich)

    assert snapshot(rich.root).dirty == dirty


def test_a_file_untracked_but_ignored_stays_out(rich: Project) -> None:
    """A file that was taken out of the index and is ignored is no code any more."""
    deleted_in_index_and_ignored(rich)
    commit = snapshot(rich.root).commit

    assert "lib/a.py" not in rich.git("ls-tree", "-r", "--name-only", commit).splitlines()


def test_a_change_within_one_tick_is_seen(rich: Project) -> None:
    """Bytes rewritten in the tick of ``git add``, same size, are in the snapshot."""
    same_size_and_tick(rich)

    assert rich.git("show", f"{snapshot(rich.root).commit}:lib/a.py") == "a = 6"


def test_a_stale_index_is_left_stale(rich: Project) -> None:
    """Files whose times changed and bytes did not: the snapshot is HEAD, the index as it was."""
    for path in rich.root.rglob("*.py"):
        os.utime(path, ns=(1, 1_600_000_000_000_000_000))
    before = fingerprint(rich.root)
    state = snapshot(rich.root)

    assert state.commit == state.head
    assert fingerprint(rich.root) == before


def hidden_from_git(project: Project, flag: str) -> None:
    project.write("lib/a.py", "a = 2\n")
    project.git("update-index", flag, "lib/a.py")


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_git_was_told_to_overlook_is_not_lost_silently(
    flag: str, rich: Project
) -> None:
    """An edit under assume-unchanged or skip-worktree is in the snapshot, or named as not."""
    hidden_from_git(rich, flag)
    state = snapshot(rich.root)

    taken = rich.git("show", f"{state.commit}:lib/a.py") == "a = 2"
    named = state.completeness == "partial" and any("lib/a.py" in text for text in state.reasons)
    assert taken or named


def test_a_file_deleted_under_assume_unchanged_is_not_kept_silently(rich: Project) -> None:
    """A deletion that git was told to overlook is in the snapshot, or named as not."""
    rich.git("update-index", "--assume-unchanged", "lib/a.py")
    deleted(rich)
    state = snapshot(rich.root)

    gone = "lib/a.py" not in rich.git("ls-tree", "-r", "--name-only", state.commit).splitlines()
    assert gone or any("lib/a.py" in text for text in state.reasons)


def test_line_ends_that_git_would_change_are_not_lost_silently(
    rich: Project, tmp_path: Path
) -> None:
    """With core.autocrlf, CRLF in an edited file comes back, or is named as lost."""
    rich.git("config", "core.autocrlf", "true")
    rich.write("crlf.py", b"x = 1\r\n")
    state = snapshot(rich.root)

    same = restored(rich, state.commit, tmp_path / "clone") == code_files(rich)
    named = state.completeness == "partial" and any("crlf.py" in text for text in state.reasons)
    assert same or named


# The commit


def test_a_clean_tree_is_head(rich: Project) -> None:
    """Where nothing differs, the snapshot is HEAD itself and nothing is dirty."""
    state = snapshot(rich.root)

    assert state.commit == state.head == rich.git("rev-parse", "HEAD")
    assert state.tree == rich.git("rev-parse", "HEAD^{tree}")
    assert state.dirty == ()


def test_the_snapshot_stands_on_head(rich: Project) -> None:
    """A snapshot that differs from HEAD has HEAD as its only parent."""
    edited(rich)
    state = snapshot(rich.root)

    assert rich.git("show", "-s", "--format=%P", state.commit) == state.head
    assert rich.git("rev-parse", f"{state.commit}^{{tree}}") == state.tree


def test_a_ref_keeps_the_snapshot_alive(rich: Project) -> None:
    """The commit survives garbage collection by a ref below refs/flexlock/shadow."""
    edited(rich)
    commit = snapshot(rich.root).commit
    rich.git("gc", "-q", "--prune=now")

    assert rich.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/flexlock") == (
        f"refs/flexlock/shadow/{commit} {commit}"
    )
    assert rich.git("show", f"{commit}:lib/a.py") == "a = 2"


def test_equal_code_gives_the_same_commit_everywhere(rich: Project, tmp_path: Path) -> None:
    """Two clones with the same edits, at other times by other users: one commit id."""
    edited(rich)
    untracked(rich)
    first = snapshot(rich.root).commit
    other = Project(tmp_path / "elsewhere" / "clone", rich.env)
    rich.git("clone", "-q", str(rich.root), str(other.root))
    for key, value in (("user.name", "Grace"), ("user.email", "g@example.org")):
        other.git("config", key, value)
    untracked(other)
    edited(other)
    os.utime(other.path("lib/a.py"), ns=(1, 1))

    assert snapshot(other.root).commit == first


def test_the_commit_says_nothing_of_the_user(rich: Project) -> None:
    """Author, committer and message are fixed; the date is HEAD's."""
    edited(rich)
    rich.git("config", "user.name", "Ada")
    state = snapshot(rich.root)
    head_date = rich.git("show", "-s", "--format=%cd", "--date=raw", "HEAD")
    who = f"flexlock-hydra <flexlock-hydra@localhost> {head_date}"

    assert rich.git("cat-file", "commit", state.commit) == (
        f"tree {state.tree}\nparent {state.head}\nauthor {who}\ncommitter {who}\n\n"
        f"flexlock snapshot of {state.head}"
    )


def test_the_commit_id_is_this_one(empty: Project) -> None:
    """A snapshot of one known file before any commit has this id, for ever."""
    only = Project(empty.root.with_name("one"), empty.env)
    only.write("a.py", "a = 1\n")
    only.git("init", "-q", "-b", "main")
    state = snapshot(only.root)

    assert state.tree == "2762d081c48aeff9d40179f330b18c6c81a2f5e9"
    assert state.commit == "95884b1eaa551a8f489308dee0fc47c68adf8984"


@pytest.mark.parametrize("date", [
    "@0 +0000", "@86400 -0330", "@99999999 +0000", "@1700000000 -0330", "@4102444800 +1400"
])
def test_any_date_of_head_is_taken(date: str, rich: Project) -> None:
    """A HEAD of 1970 or of the next century gives its date to the snapshot."""
    edited(rich)
    rich.call("git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--amend",
              "--no-edit", GIT_COMMITTER_DATE=date)
    state = snapshot(rich.root)

    assert rich.git("show", "-s", "--format=%cd", "--date=raw", state.commit) == date[1:]


def test_a_second_snapshot_changes_nothing(rich: Project) -> None:
    """The same tree again gives the same commit and no further ref."""
    edited(rich)
    first, again = snapshot(rich.root), snapshot(rich.root)

    assert first == again
    assert len(rich.git("for-each-ref", "refs/flexlock").splitlines()) == 1
