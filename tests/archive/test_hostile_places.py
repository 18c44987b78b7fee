"""Hostile tags and what is there already: links, configs, repositories, changes amid a pull."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.archive.pull.pull import Pulled, pull
from flexlock_hydra.archive.remotes.choose import with_settings
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.errors import FlexlockError, GitError, TargetError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.store import RemoteSpec
from tests.archive.test_hostile_tags import is_file
from tests.conftest import Project
from tests.support.attacks import attack, refused
from tests.support.forged import LOCK, Base, Tag, look
from tests.support.forging import Forge, option, remote
from tests.support.hostile_values import MORE_CONFIG, NOT_SAFE

SOURCES = {
    "a command": "ext::sh -c ./payload",
    "a program": "ext::./payload",
    "a descriptor": "fd::17",
    "a helper": "payload::x",
    "an option": "--upload-pack=./payload",
    "a short option": "-u./payload",
    "an ssh option": "-oProxyCommand=./payload",
    "an ssh option as a host": "ssh://-oProxyCommand=./payload/x",
    "an ssh option as a host with a port": "ssh://-oProxyCommand=./payload:22/x",
    "an ssh option behind a user": "x@-oProxyCommand=./payload:x",
}


@pytest.mark.parametrize("worktree", [False, True], ids=["clone", "worktree"])
@pytest.mark.parametrize("source", [pytest.param(url, id=name) for name, url in SOURCES.items()])
def test_no_url_runs_a_program(
    base: Base, scene: Path, monkeypatch: pytest.MonkeyPatch, source: str, worktree: bool
) -> None:
    """A git URL that would start a program, or is an option, is refused."""
    tag = base.at(scene).push()
    for name in ("payload", "git-remote-payload"):
        (scene / "here" / name).write_text(f"#!/bin/sh\n{tag.payload}\n")
        (scene / "here" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{scene}/here{os.pathsep}{os.environ['PATH']}")
    if worktree:
        subprocess.run(["git", "init", "-q"], check=True)
    found = attack(tag, source=source, worktree=worktree)
    assert isinstance(found, GitError), found
    assert not (scene / "into").exists()


@pytest.mark.parametrize("forge", [
    pytest.param(lambda tag: tag.out("../x"), id="path"),
    pytest.param(lambda tag: tag.put(".dvc/config.local", "x"), id="tree"),
    pytest.param(lambda tag: tag.raw_lock(b""), id="lock"),
])
@pytest.mark.parametrize("worktree", [False, True], ids=["into", "worktree"])
def test_a_repository_in_use_keeps_nothing_of_it(
    base: Base, scene: Path, env: dict[str, str], forge: Forge, worktree: bool
) -> None:
    """Refused in a repository of the user's, no tag, branch, worktree or file of it stays."""
    mine = Project(scene / "here", env)
    mine.write("mine.txt", "1")
    mine.git("init", "-q")
    mine.commit()
    tag = forge(base.at(scene)).push()

    def state() -> list[object]:
        git = [mine.git(*words.split()) for words in ("for-each-ref", "worktree list", "status")]
        files = look(mine.root, without=mine.path(".git"))
        return [*git, {path: what[:2] for path, what in files.items()}]

    before = state()
    goal = scene / "into" if worktree else mine.root
    with pytest.raises(FlexlockError):
        pull(tag.name, source=str(tag.origin), into=goal, worktree=worktree)
    assert state() == before
    assert not (scene / "into").exists()


def test_a_users_own_link_is_not_written_through(
    base: Base, scene: Path, env: dict[str, str]
) -> None:
    """Data for a folder that is a link in the user's repository does not follow it."""
    mine = Project(scene / "into", env)
    mine.write(".gitignore", "data\n")
    mine.git("init", "-q")
    mine.commit()
    mine.path("data").symlink_to("../beside")
    refused(attack(base.at(scene).push()), "is not what it should be")
    assert mine.git("status", "--short", "--branch").count("\n") == 0


def test_an_empty_folder_behind_a_link_stays_empty(base: Base, scene: Path) -> None:
    """What was begun behind ``--into`` is taken away again when that is a link, too."""
    (scene / "empty").mkdir()
    (scene / "ln").symlink_to("empty")
    tag = base.at(scene).out("../x").push()
    refused(_pulled(tag, into=scene / "ln"), NOT_SAFE)
    assert os.readlink(scene / "ln") == "empty" and os.listdir(scene / "empty") == []
    refused(_pulled(tag, into=scene / "new/deep/er"), NOT_SAFE)
    assert not (scene / "new").exists()


def _pulled(tag: Tag, **options: Any) -> Pulled | FlexlockError:
    try:
        return pull(tag.name, source=str(tag.origin), **options)
    except FlexlockError as error:
        return error


def test_a_config_of_the_tag_is_never_believed(base: Base, scene: Path) -> None:
    """A second pull, with the tag's config checked out, would run its commands: no first one."""
    tag = base.at(scene)
    tag = tag.put("aws", f"[default]\ncredential_process = sh -c '{tag.payload}'\n").config(
        "[core]\n    remote = flexlock\n    analytics = false\n['remote \"flexlock\"']\n"
        "    url = s3://bucket/x\n    endpointurl = http://127.0.0.1:9\n    configpath = ../aws\n"
    )
    tag.push()
    for data in (False, True):
        refused(attack(tag, data=data), MORE_CONFIG)


@pytest.mark.parametrize(("url", "options"), [
    ("s3://bucket/x", {"endpointurl": "https://mine.example.org", "access_key_id": "me"}),
    ("s3://bucket-2/x", {"endpointurl": "https://evil.example.org"}),
    ("s3://other/bucket/x", {"endpointurl": "https://evil.example.org"}),
])
def test_the_users_own_server_wins(
    scene: Path, env: dict[str, str], url: str, options: dict[str, str]
) -> None:
    """A tag that names another server for a bucket of the user's does not get the keys there."""
    mine = Project(scene / "here", env)
    mine.git("init", "-q")
    mine.write(".dvc/config", "['remote \"mine\"']\n    url = s3://bucket\n"
               "    endpointurl = https://mine.example.org\n")
    mine.write(".dvc/config.local", "['remote \"mine\"']\n    access_key_id = me\n")
    repo = GitRepo.find(mine.root)
    assert repo is not None
    spec = RemoteSpec(url, {"endpointurl": "https://evil.example.org"})
    found = with_settings(spec, repo).options
    assert {key: found.get(key) for key in ("endpointurl", "access_key_id")} == {
        "access_key_id": None, **options,
    }


def test_another_server_gets_no_token(base: Base, scene: Path) -> None:
    """A tag that names a server for Google's store does not get the user's login there."""
    other = "endpointurl = http://127.0.0.1:9"
    for said, anonymous in ((other, "true"), ("projectname = x", None)):
        tag = option(said)(remote("gs://bucket/x")(base.at(scene / said[0]))).push()
        found = read_tagged(GitRepo(tag.origin, tag.origin), tag.name).remote
        assert found.options.get("allow_anonymous_login") == anonymous


def test_changes_in_a_repository_inside_stay(
    base: Base, scene: Path, env: dict[str, str]
) -> None:
    """Work in a repository of the user's, where the tag has one, is not overwritten."""
    mine = Project(scene / "into", env)
    mine.write("mine.txt", "1")
    mine.git("init", "-q")
    mine.commit()
    inner = Project(mine.path("sub"), env)
    inner.write("code.py", "x = 1\n")
    inner.git("init", "-q")
    inner.commit()
    inner.write("code.py", "mine\n")
    tag = base.at(scene).repository("sub", **{"code.py": "x = 2\n"}).push()
    refused(attack(tag), "other files where the tag has data: sub")
    assert inner.path("code.py").read_text() == "mine\n"
    inner.git("checkout", "-q", ".")
    assert isinstance(attack(tag), Pulled)
    assert inner.path("code.py").read_text() == "x = 2\n"


def swap(place: Path, to: Path) -> None:
    """A link in the place of a folder, which goes aside."""
    place.rename(place.with_name(f"{place.name}-aside"))
    place.symlink_to(to)


MANY = {f"{n:03d}": b"%d" % n for n in range(256)}
"""As many files as are written between two reports."""


def test_a_folder_that_becomes_a_link_between_two_files(base: Base, scene: Path) -> None:
    """A link that takes the place of a folder of the code while data comes is not followed."""
    tag = base.at(scene).folder("a", MANY).folder("conf", {"victim": b"y"}).push()

    def progress(done: int, total: int) -> None:
        if not (scene / "into/conf").is_symlink():
            swap(scene / "into/conf", scene / "beside")

    found = attack(tag, progress=progress)
    refused(found, "into/conf/victim is not what it should be")
    assert isinstance(found, TargetError)


def test_an_open_folder_that_becomes_a_link(base: Base, scene: Path) -> None:
    """The rest of a folder's files goes where the first ones went, not where a link leads."""
    tag = base.at(scene).folder("a", {**MANY, "more": b"y"}).push()

    def progress(done: int, total: int) -> None:
        if not (scene / "into/a").is_symlink():
            swap(scene / "into/a", scene / "beside")

    attack(tag, progress=progress)
    assert (scene / "into/a-aside/more").read_bytes() == b"y"


def test_folders_that_become_links_at_any_moment(base: Base, scene: Path) -> None:
    """Whoever swaps folders for links and back all the time gets no file of a pull outside."""
    files = {f"{n % 40}/{n}": b"%d" % n for n in range(400)}
    tag = base.at(scene).folder("a", files).push()
    ended = threading.Event()
    swaps = 0

    def attacker() -> None:
        nonlocal swaps
        while not ended.is_set():
            for n in range(40):
                place = scene / f"into/a/{n}"
                with contextlib.suppress(OSError):
                    swap(place, scene / "beside")
                    swaps += 1
                    place.unlink()
                    place.with_name(f"{n}-aside").rename(place)

    thread = threading.Thread(target=attacker)
    thread.start()
    try:
        attack(tag)
    finally:
        ended.set()
        thread.join()
    assert swaps


def test_no_hard_link_of_a_link(base: Base, scene: Path) -> None:
    """An object that is a link on the data remote comes as a file of its own."""
    oid = hashlib.md5(b"mine").hexdigest()

    def lead_out(tag: Tag) -> None:
        place = tag.store / "files/md5" / oid[:2] / oid[2:]
        place.unlink()
        place.symlink_to(tag.scene / "beside/victim")

    assert isinstance(
        attack(base.at(scene).out("q", b"mine").then(lead_out).push(), link="hardlink"), Pulled
    )
    assert is_file("q", b"mine")(scene / "into")
    assert (scene / "into/data/table.csv").stat().st_nlink == 2


def test_what_was_pushed_comes_back(base: Base, scene: Path) -> None:
    """The tag that all forgeries begin with is fine, and so is one that says all of it anew."""
    said_anew = base.at(scene).raw_lock(base.tree[LOCK].content + b"# more\n").out("q").folder(
        "d", {"a": b"y", "b/c": b"z"}
    )
    for name, tag in (("one", base.at(scene / "one")), ("two", replace(said_anew, scene=scene))):
        pulled = attack(tag.push())
        assert isinstance(pulled, Pulled) and pulled.missing == (), name
