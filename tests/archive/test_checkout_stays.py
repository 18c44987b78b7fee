"""A push while everything of git is in use: the checkout stays as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project, fingerprint
from tests.support.recorded import push
from tests.support.servers import write_key
from tests.support.trouble import everything, visible_tags

# The user's checkout


@pytest.fixture
def busy(recorded: Project, tmp_path: Path) -> Project:
    """In the middle of everything: a merge with a conflict, a rebase in a worktree, DVC, a sweep.

    Also a key to sign with.
    """
    recorded.app("-m", "hydra.sweep.dir=multirun/s", "lr=1,2")
    recorded.git("stash", "-q", "--include-untracked")
    for branch, text in (("left", "l = 1\n"), ("right", "r = 1\n")):
        recorded.git("checkout", "-q", "-b", branch, "main")
        recorded.write("both.py", text)
        recorded.commit(branch)
    recorded.git("worktree", "add", "-q", str(tmp_path / "tree"), "-b", "moved", "left")
    recorded.git("rebase", "-q", "right", check=False, cwd=tmp_path / "tree")
    recorded.git("merge", "-q", "left", check=False)
    recorded.write("staged.py", "s = 1\n")
    recorded.git("add", "staged.py")
    recorded.write("staged.py", "s = 2\n")
    recorded.write("meant.py", "m = 1\n")
    recorded.git("add", "--intent-to-add", "meant.py")
    recorded.git("update-index", "--assume-unchanged", "app.py")
    recorded.write("app.py", "# another one\n")
    recorded.write(".dvc/config", "[core]\n    remote = mine\n['remote \"mine\"']\n    url = /m\n")
    recorded.write(".dvc/config.local", "[cache]\n    dir = ../cache\n")
    recorded.write("../cache/files/md5/ab/cdef", "cached")
    recorded.write("big.bin.dvc", "outs:\n- md5: abcdef\n  path: big.bin\n")
    recorded.write("untracked file", "u").chmod(0o600)
    recorded.write(".git/hooks/pre-push", "#!/bin/sh\nexit 1\n").chmod(0o755)
    key = tmp_path / "home/key"
    write_key(key)
    recorded.git("config", "gpg.format", "ssh")
    recorded.git("config", "user.signingkey", f"{key}.pub")
    assert (tmp_path / "project/.git/MERGE_HEAD").exists()
    assert (tmp_path / "project/.git/worktrees/tree/rebase-merge").is_dir()
    return recorded


def seen_by_user(project: Project) -> dict[str, Any]:
    """What no command may change: the checkout, its worktree, DVC's cache, the refs."""
    refs = project.git("for-each-ref").splitlines()
    theirs = [line for line in refs if "/flexlock/" not in line]
    beside = [project.root.with_name(name) for name in ("tree", "cache")]
    ours = f"{os.sep}flexlock{os.sep}"  # the branch that --branch makes
    checkout = {name: it for name, it in fingerprint(project.root).items() if ours not in name}
    return {**checkout, **everything(*beside), "refs": theirs}


@pytest.mark.slow
def test_the_checkout_stays_as_it_is(busy: Project, tmp_path: Path) -> None:
    """Push in every form, verify, ls, rm, gc and pull: no file, index, HEAD, ref or config."""
    before = seen_by_user(busy)
    tag = push(busy, "--dry-run")["tag"]
    layouts = str(tmp_path / "layouts")
    commands = [
        ["push", "outputs/a", "--dry-run"],
        ["push", "outputs/a"],
        ["push", "outputs/a", "--branch", "--drill"],
        ["push", "outputs/a", "--repair"],
        ["verify", tag, "--remote", "--full"],
        ["ls", "--remote"],
        ["pull", tag, "--into", str(tmp_path / "x")],
        ["rm", tag],
        ["rm", tag, "--yes"],
        ["push", "outputs/a", "--sign"],
        ["rm", tag, "--yes"],
        ["push", "outputs/a", "--layout", "tag", "--remote", layouts],
        ["rm", tag, "--yes", "--remote", layouts],
        ["push", "multirun/s"],
        ["push", "multirun/s", "--each"],
        ["gc", "--yes", "--min-age", "0s"],
        ["gc", "--yes", "--min-age", "0s", "--keep", "nothing"],
    ]
    for words in commands:
        busy.flexlock(*words)
        assert seen_by_user(busy) == before, words
    assert not visible_tags(tmp_path / "origin.git") and not busy.git("tag")
