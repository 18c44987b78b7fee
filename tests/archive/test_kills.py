"""Killed at any moment: whoever sees a tag finds all its data, and the next try finishes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Project, contents, fingerprint
from tests.support.recorded import objects
from tests.support.trouble import (
    Killer,
    amid,
    announcements,
    hold_while,
    hooked,
    needed,
    require_complete,
    start,
    visible_tags,
)

KILLS, KILLED_PULLS = 25, 10
"""Of each of the tests with a seed."""


def forget_locks(*roots: Path) -> None:
    """Delete what a killed git leaves where it was writing a ref: as git itself says."""
    for root in roots:
        for lock in root.rglob("refs/**/*.lock"):
            lock.unlink()


def drop_tag(project: Project, bare: Path, tag: str) -> None:
    """Delete a tag in both repositories."""
    for root in (project.root, bare):
        project.git("update-ref", "-d", f"refs/tags/{tag}", cwd=root)


def drop_objects(store: Path, chance: random.Random) -> None:
    """Delete a part of the objects, now and then all of them."""
    there = sorted(objects(store).values())
    for path in chance.sample(there, round(len(there) * min(1.0, chance.uniform(0, 1.2)))):
        path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_pushes(chain: Project, tmp_path: Path, seed: int) -> None:
    """25 kills of a push and its git processes, with other parts of the data there already."""
    killer = Killer(random.Random(seed))
    bare, store = tmp_path / "origin.git", tmp_path / "store"
    tag = chain.flexlock("push", "outputs/c", "--json").json["tag"]
    _, wanted = needed(bare, tag)
    before = fingerprint(chain.root)
    while killer.killed < KILLS:
        drop_tag(chain, bare, tag)
        drop_objects(store, killer.chance)
        killer.run(start(chain, "push", "outputs/c"))
        require_complete(bare)
        forget_locks(chain.root, bare)
        if killer.killed % 8 == 7 or killer.killed == KILLS:
            absent = wanted - set(objects(store))
            done = chain.flexlock("push", "outputs/c", "--json").json
            assert done["sent_objects"] == len(absent)
            assert require_complete(bare) == [tag]
    assert fingerprint(chain.root) == before
    assert not announcements(store)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_pulls(chain: Project, tmp_path: Path, seed: int) -> None:
    """Ten kills of a pull; a pull into the same folder brings the rest, and leaves no trace."""
    killer = Killer(random.Random(seed))
    tag = chain.flexlock("push", "outputs/c", "--json").json["tag"]
    words = ["pull", tag, "--from", str(tmp_path / "origin.git"), "--into"]
    chain.flexlock(*words, "whole", cwd=tmp_path)
    wanted = contents(tmp_path / "whole")
    assert len(wanted) > 300
    while killer.killed < KILLED_PULLS:
        killer.run(start(chain, *words, "x", cwd=tmp_path))
        again = chain.flexlock(*words, "x", "--json", cwd=tmp_path)
        assert not again.json["missing"]
        assert contents(tmp_path / "x") == wanted
        left = [path.name for path in (tmp_path / "x/.git").glob("*flexlock-pull*")]
        assert left == ["flexlock-pull.json"]
        shutil.rmtree(tmp_path / "x")


# What a killed pull may leave, made by hand

LEFT = {
    "a folder for git": "rm -rf .git/* [!.]* .flexlock .dvc .gitignore",
    "a note that it began": "rm -rf .git/[!f]* && rm -rf [!.]* .flexlock .dvc .gitignore",
    "a note half written": "rm -rf .git/* [!.]* .flexlock .dvc .gitignore"
    " && touch .git/.flexlock-pull.json.0123456789abcdef",
    "a repository half made": "rm -rf .git/objects .git/refs .git/HEAD .git/config"
    " && touch .git/config.lock .git/HEAD.lock",
    "a repository without origin": "git remote remove origin && git tag -d $(git tag)",
    "a remote half made": "git config --unset remote.origin.fetch && git tag -d $(git tag)",
    "a file half checked out": "touch .git/index.lock && echo > outputs/a/run.lock && rm app.py",
    "a branch half made": "git checkout -q --detach && git branch -q -D $(git branch | grep run-)"
    " && rm .git/index && touch .git/HEAD.lock",
}
"""Of a finished pull, what is not there yet; git commands in the folder."""
EMPTY = ("a folder for git", "a note half written")


def test_a_pull_begun_inside_the_project(chain: Project) -> None:
    """A pull that was killed before the code was there is finished; the project around stays."""
    tag = chain.flexlock("push", "outputs/c", "--json").json["tag"]
    whole = Path(chain.flexlock("pull", tag, "--json").json["path"])
    wanted = contents(whole)
    state = json.loads((whole / ".git/flexlock-pull.json").read_bytes())
    before = fingerprint(chain.root)
    for left, script in LEFT.items():
        place = chain.root / "pulled" / left
        shutil.copytree(whole, place)
        chain.call("sh", "-c", script, cwd=place)
        if left not in EMPTY:
            write_state = place / ".git/flexlock-pull.json"
            write_state.write_text(json.dumps({**state, "has_code": False}))
        chain.flexlock("pull", tag, "--into", place)
        assert contents(place) == wanted, left
        assert chain.git("status", "--porcelain", cwd=place) == "", left
        assert chain.git("remote", "get-url", "origin", cwd=place), left
        shutil.rmtree(chain.root / "pulled")
        assert fingerprint(chain.root) == before, left


def test_unfinished_files_are_taken_away(chain: Project, tmp_path: Path) -> None:
    """What a killed pull was writing goes; whatever else the user put there stays."""
    tag = chain.flexlock("push", "outputs/c", "--json").json["tag"]
    words = ["pull", tag, "--from", "origin.git", "--into", "x"]
    chain.flexlock(*words, cwd=tmp_path)
    wanted = contents(tmp_path / "x")
    part = tmp_path / "x/outputs/c/part0"
    (part / ".0123456789ab.flexlock").write_text("half")
    (part / "0.txt").unlink()
    (part / ".mine.flexlock").write_text("mine")
    (tmp_path / "x/.git/flexlock-pull-abc").mkdir()
    chain.flexlock(*words, cwd=tmp_path)
    assert contents(tmp_path / "x").keys() - wanted.keys() == {"outputs/c/part0/.mine.flexlock"}
    assert contents(tmp_path / "x").items() >= wanted.items()
    assert not (tmp_path / "x/.git/flexlock-pull-abc").exists()


def test_two_pulls_into_one_folder(recorded: Project, tmp_path: Path) -> None:
    """The second of two that go on at once is told to wait, and disturbs nothing."""
    tag = recorded.flexlock("push", "outputs/a", "--json").json["tag"]
    words = ["pull", tag, "--into", str(tmp_path / "x")]
    way = hooked(recorded)
    way.hook("before-fetch", "true")  # the first look at origin is before there is a folder
    second = way.command("before-fetch", *words)
    first = recorded.flexlock(*words)
    code, said = second()
    assert (first.code, code) == (0, 2)
    assert "pulls into" in said
    assert contents(tmp_path / "x")


# Signals

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("stage", ["upload", "tag"])
@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_push(
    recorded: Project, tmp_path: Path, number: signal.Signals, stage: str
) -> None:
    """Ctrl-C and a scheduler's TERM: no tag anywhere, nothing announced any more."""
    reached = tmp_path / "reached"
    hold = hold_while(reached)
    if stage == "tag":
        hooked(recorded).hook("before-push", hold)
        words = [recorded.python, "-m", "flexlock_hydra", "push", "outputs/a"]
    else:
        words = amid(recorded, hold, "push", "outputs/a")
    before = fingerprint(recorded.root)
    with subprocess.Popen(
        words, cwd=recorded.root, env=recorded.env, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:
        while not reached.exists():
            assert process.poll() is None
            time.sleep(0.01)
        if number == signal.SIGINT:  # a terminal tells all of them
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(30) == SIGNALS[number]
        reached.unlink()
        assert process.stderr and "Traceback" not in process.stderr.read()
    assert not visible_tags(tmp_path / "origin.git")
    assert not recorded.git("tag")
    assert not announcements(tmp_path / "store")
    assert fingerprint(recorded.root) == before
    recorded.flexlock("push", "outputs/a")
    assert len(require_complete(tmp_path / "origin.git")) == 1
