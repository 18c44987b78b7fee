"""At the same time: pushes of one run, pushes and deletions, clocks that are wrong."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest

from flexlock_hydra.archive.remotes.announce import deleting, pushing
from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import PushError, RemoteError
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.store import RemoteSpec
from tests.conftest import Project
from tests.support.recorded import push
from tests.support.trouble import amid, announcements, hooked, require_complete, start

TAG = "flexlock/app/20261122T101500Z-3f9c2a7b"


def tag_of(project: Project, run: str) -> str:
    """The name of a run's tag."""
    done = project.flexlock("push", run, "--dry-run", "--json")
    return str(done.json["tag"])


# Pushes at once


def test_four_pushes_of_one_run(chain: Project, tmp_path: Path) -> None:
    """All of them end well, and there is one tag with all its data."""
    bare = tmp_path / "origin.git"
    for _ in range(2):
        processes = [start(chain, "push", "outputs/c", "--json") for _ in range(4)]
        done = [(each.communicate(), each.returncode) for each in processes]
        assert [code for _, code in done] == [0] * 4, done
        assert len({json.loads(out)["tag"] for (out, _), _ in done}) == 1
        (tag,) = require_complete(bare)
        assert not announcements(tmp_path / "store")
        shutil.rmtree(tmp_path / "store")
        for root in (bare, chain.root):
            chain.git("update-ref", "-d", f"refs/tags/{tag}", cwd=root)


def test_two_drills_of_one_run(recorded: Project, tmp_path: Path) -> None:
    """Each tries its own; neither takes away what the other restores from."""
    processes = [start(recorded, "push", "outputs/a", "--drill") for _ in range(2)]
    done = [(each.communicate(), each.returncode) for each in processes]
    assert [code for _, code in done] == [0, 0], done
    assert len(require_complete(tmp_path / "origin.git")) == 1
    assert "drill" not in recorded.git("ls-remote", "origin")


def test_pushes_of_runs_that_share_data(chain: Project, tmp_path: Path) -> None:
    """Each of three runs holds those before it; their pushes do not disturb one another."""
    processes = [start(chain, "push", f"outputs/{name}") for name in "abc"]
    done = [(each.communicate(), each.returncode) for each in processes]
    assert [code for _, code in done] == [0] * 3, done
    assert len(require_complete(tmp_path / "origin.git")) == 3


def test_a_ref_that_another_push_holds(recorded: Project, tmp_path: Path) -> None:
    """A push waits for another one to be done with the ref of the tag on the git remote."""
    tag = tag_of(recorded, "outputs/a")
    lock = tmp_path / f"origin.git/refs/tags/{tag}.lock"
    way = hooked(recorded)
    way.hook("before-push", f"mkdir -p '{lock.parent}' && touch '{lock}'")
    way.hook("before-push", f"rm '{lock}'")
    recorded.flexlock("push", "outputs/a")
    assert require_complete(tmp_path / "origin.git") == [tag]


def test_the_answer_to_a_push_is_lost(recorded: Project, tmp_path: Path) -> None:
    """The git remote took the tag, but the connection broke before it said so: that is fine."""
    broken = tmp_path / "broken"
    script = f'[ "$1" = committed ] && touch "{broken}" && kill -9 $PPID\nexit 0\n'
    hook = recorded.write("../origin.git/hooks/reference-transaction", f"#!/bin/sh\n{script}")
    hook.chmod(0o755)
    recorded.flexlock("push", "outputs/a")
    assert broken.exists()
    assert require_complete(tmp_path / "origin.git") == recorded.git("tag").split()


def test_the_git_remote_vanishes(recorded: Project, tmp_path: Path) -> None:
    """Out of reach from the last step on: an error, and no tag here either."""
    bare = tmp_path / "origin.git"
    hooked(recorded).hook("before-push", f"mv '{bare}' '{bare}.away'; exit 1")
    done = recorded.flexlock("push", "outputs/a", check=False)
    assert done.code == 2 and "git push" in done.err
    assert not recorded.git("tag")
    shutil.move(f"{bare}.away", bare)
    assert push(recorded)["sent_objects"] == 0
    assert len(require_complete(bare)) == 1


# Pushes and deletions


@pytest.mark.parametrize("command", ["rm", "gc"])
def test_no_deletion_begins_during_a_push(
    chain: Project, tmp_path: Path, command: str
) -> None:
    """A push counts on objects of another tag: what would delete them is turned away."""
    other = push(chain, run="outputs/b")["tag"]
    words = {"rm": ["rm", other, "--yes"], "gc": ["gc", "--yes", "--min-age", "0s"]}[command]
    deletion = hooked(chain).command("before-push", *words)
    assert push(chain, run="outputs/c")["sent_objects"] < 200
    code, said = deletion()
    assert code == 2 and "pushes or deletes now" in said
    assert len(require_complete(tmp_path / "origin.git")) == 2
    assert chain.flexlock(*words).code == 0
    assert tag_of(chain, "outputs/c") in require_complete(tmp_path / "origin.git")


def waiting_push(project: Project, store: Path, run: str) -> str:
    """A script that starts a push, and goes on when that waits for a deletion to end.

    It does so when it announces itself a second time.
    """
    out = project.root.with_name("push.out")
    return f"""
        cd '{project.root}'
        ({project.python} -m flexlock_hydra push {run}; echo $? > '{out}.code') > '{out}' 2>&1 &
        inodes() {{ find '{store}/runs' -name 'pushing-*.json' -printf '%i\\n'; }}
        n=0
        until [ -n "$(inodes)" ] || [ $n -ge 1000 ]; do n=$((n + 1)); sleep 0.01; done
        first=$(inodes)
        while [ "$(inodes)" = "$first" ] && [ $n -lt 1000 ]; do n=$((n + 1)); sleep 0.01; done
        [ $n -lt 1000 ]
    """


def end_of_push(project: Project) -> int:
    """The exit code of the push of that script, when it has ended."""
    code = project.root.with_name("push.out.code")
    until = time.monotonic() + 60
    while not (code.exists() and code.read_text()):
        assert time.monotonic() < until, project.root.with_name("push.out").read_text()
        time.sleep(0.01)
    return int(code.read_text())


def test_a_push_outlasts_a_deletion(chain: Project, tmp_path: Path) -> None:
    """A deletion takes objects that a push saw lying there: the push sends them after all."""
    bare, store = tmp_path / "origin.git", tmp_path / "store"
    other = push(chain, run="outputs/b")["tag"]
    hooked(chain).hook("before-push", waiting_push(chain, store, "outputs/c"))
    removed = chain.flexlock("rm", other, "--yes", "--json").json
    assert removed["objects"] > 200
    assert end_of_push(chain) == 0
    assert require_complete(bare) == [tag_of(chain, "outputs/c")]
    assert not announcements(store)


def test_a_push_outlasts_the_deletion_of_its_own_tag(chain: Project, tmp_path: Path) -> None:
    """Who deletes the tag takes the push's own announcement along; it is made anew.

    So the next deletion is turned away, although nothing but that announcement says that
    the objects are needed.
    """
    bare, store = tmp_path / "origin.git", tmp_path / "store"
    tag = push(chain, run="outputs/c")["tag"]
    way = hooked(chain)
    way.hook("before-push", waiting_push(chain, store, "outputs/c"))
    collection = way.command("before-push", "gc", "--yes", "--min-age", "0s")
    chain.flexlock("rm", tag, "--yes")
    assert end_of_push(chain) == 0
    code, said = collection()
    assert code == 2 and "pushes or deletes now" in said
    assert require_complete(bare) == [tag]


def test_a_tag_is_deleted_while_it_is_pushed_again(chain: Project, tmp_path: Path) -> None:
    """A second push saw the tag on the git remote; it is gone by then: it is pushed anew."""
    bare = tmp_path / "origin.git"
    tag = push(chain, run="outputs/c")["tag"]
    deletion = hooked(chain).command("after-fetch", "rm", tag, "--yes")
    again = push(chain, run="outputs/c")
    assert deletion()[0] == 0
    assert again["sent_objects"] == again["objects"]
    assert require_complete(bare) == [tag] == chain.git("tag").split()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_pushes_and_deletions_in_a_row(chain: Project, tmp_path: Path, seed: int) -> None:
    """Fifteen times a push, a removal and a collection at once: no tag lacks anything."""
    chance = random.Random(seed)
    bare = tmp_path / "origin.git"
    tags = {name: push(chain, run=f"outputs/{name}")["tag"] for name in "abc"}
    for _ in range(15):
        commands = [
            ["push", f"outputs/{chance.choice('abc')}"],
            ["push", f"outputs/{chance.choice('abc')}"],
            ["rm", tags[chance.choice("abc")], "--yes"],
            ["gc", "--yes", "--min-age", "0s"],
        ]
        processes = []
        order = chance.sample(commands, len(commands))
        for words in order:
            processes.append(start(chain, *words))
            time.sleep(chance.uniform(0, 0.2))
        done = [(each.communicate()[1], each.returncode) for each in processes]
        require_complete(bare)
        for (said, code), words in zip(done, order, strict=True):
            if words[0] == "push":
                assert code == 0, said
            else:
                assert code == 0 or re.search("pushes or deletes now|no tag", said), said
    assert not announcements(tmp_path / "store")


# One data remote has one manifest for a tag


def test_other_content_at_once(recorded: Project, tmp_path: Path) -> None:
    """The run is being pushed with its outputs: a push without them is turned away."""
    bare = tmp_path / "origin.git"
    other = hooked(recorded).command("before-push", "push", "outputs/a", "--no-outputs")
    tag = push(recorded)["tag"]
    code, said = other()
    assert code == 2 and "other options" in said
    recorded.flexlock("gc", "--yes", "--min-age", "0s")
    assert require_complete(bare) == [tag]


@pytest.mark.parametrize("words", [["--no-outputs"], ["--layout", "tag"]], ids=" ".join)
def test_other_content_for_another_git_remote(
    recorded: Project, tmp_path: Path, words: list[str]
) -> None:
    """What a tag of another git remote needs is not forgotten, so never collected."""
    bare = tmp_path / "origin.git"
    recorded.git("init", "-q", "--bare", str(tmp_path / "backup.git"))
    tag = push(recorded)["tag"]
    here = recorded.git("rev-parse", tag)
    elsewhere = ["push", "outputs/a", "--git-remote", str(tmp_path / "backup.git")]
    done = recorded.flexlock(*elsewhere, *words, check=False)
    assert done.code == 2 and f"flexlock-hydra rm {tag} --yes" in done.err
    assert recorded.git("rev-parse", tag) == here
    recorded.flexlock(*elsewhere)
    recorded.flexlock("gc", "--yes", "--min-age", "0s")
    assert require_complete(bare) == require_complete(tmp_path / "backup.git") == [tag]


def test_a_damaged_manifest_is_replaced(recorded: Project, tmp_path: Path) -> None:
    """It keeps nothing that anybody could read, so a push writes it again."""
    tag = push(recorded)["tag"]
    manifest = tmp_path / f"store/runs/{tag}/manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:100])
    push(recorded)
    assert manifest.read_bytes() == whole


# Announcements


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    """A data remote."""
    return FolderStore(RemoteSpec(str(tmp_path / "store")))


def announce(store: FolderStore, name: str, **changes: object) -> Path:
    """An announcement as another process would leave it."""
    said = {**process.this_process().to_dict(), **changes}
    store.write_file(name, json.dumps(said).encode())
    return store.root / name


GONE = 4_000_000
"""No process has this number."""


def test_a_killed_push_does_not_block(folder: FolderStore) -> None:
    """It was of this machine and is no more: nobody waits for it, and its word is removed."""
    left = announce(folder, f"runs/{TAG}/pushing-1.json", pid=GONE, start_ticks=1)
    with deleting(folder):
        pass
    assert not left.exists()


@pytest.mark.parametrize(
    "elsewhere", [{"host": "other"}, {"boot_id": "other"}, {"pid_namespace": "other"}], ids=str
)
def test_a_push_elsewhere_blocks(folder: FolderStore, elsewhere: dict[str, str]) -> None:
    """Of another machine, or a container of the same name, no process can be judged from here."""
    announce(folder, f"runs/{TAG}/pushing-1.json", pid=GONE, start_ticks=1, **elsewhere)
    with pytest.raises(RemoteError, match=r"pushes or deletes now \(runs/.*/pushing-1.json\)"):
        with deleting(folder):
            raise AssertionError


def test_an_old_announcement_is_passed_over(folder: FolderStore) -> None:
    """A day after it was made nobody waits any more for a push that may have been killed."""
    left = announce(folder, f"runs/{TAG}/pushing-1.json", host="other")
    day = 24 * 3600
    os.utime(left, (0, time.time() - day + 60))
    with pytest.raises(RemoteError), deleting(folder):
        raise AssertionError
    os.utime(left, (0, time.time() - day - 60))
    with deleting(folder):
        pass


def test_what_is_no_announcement_yet(folder: FolderStore) -> None:
    """A file that was being written when its process was killed does not block a push."""
    folder.write_file("runs/deleting/.1.json.0123", b"")
    with pushing(folder, TAG, "x") as turn:
        turn.wait_for_deletions()


def test_pushes_of_a_tag_with_other_needs(folder: FolderStore) -> None:
    """Of two that need something else, the second is turned away; of the same, none is."""
    with pushing(folder, TAG, "x"):
        with pushing(folder, TAG, "x"):
            pass
        with pytest.raises(PushError, match="pushed now with other options"):
            with pushing(folder, TAG, "y"):
                raise AssertionError
        with pushing(folder, TAG.replace("app", "other"), "y"):
            pass


def test_an_upload_of_days(recorded: Project, tmp_path: Path) -> None:
    """When it comes to the tag, a push announces itself anew: what it said first is old."""
    store = tmp_path / "store"
    collection = hooked(recorded).command("before-push", "gc", "--yes", "--min-age", "0s")
    script = f"find '{store}/runs' -name 'pushing-*' -exec touch -d '2 days ago' {{}} +"
    recorded.call(*amid(recorded, script, "push", "outputs/a"))
    code, said = collection()
    assert code == 2 and "pushes or deletes now" in said
    assert len(require_complete(tmp_path / "origin.git")) == 1


# Clocks

WRONG_CLOCK = """
import time

true = time.time
time.time = lambda: true() + {seconds}
"""
YEAR = 365 * 24 * 3600
