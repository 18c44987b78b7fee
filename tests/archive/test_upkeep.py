"""Looking after what was pushed: ls, verify, repair, rm, gc, remote init."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.conftest import Project, read_lock
from tests.support.recorded import damaged, objects, push


@pytest.fixture
def store(recorded: Project) -> Path:
    """The data remote."""
    return recorded.root.parent / "store"


def table(project: Project) -> str:
    """The id of the table's object."""
    md5: str = read_lock(project.path("outputs/a/run.lock"))["data"]["table"]["hash"]["md5"]
    return md5


def corrupt(path: Path, content: bytes) -> None:
    """Write other bytes into an object."""
    path.chmod(0o644)
    path.write_bytes(content)


def test_ls(recorded: Project, store: Path) -> None:
    """Date, job, size and who pushed it, the newest run first; what is half there is said."""
    pushed = {done["tag"]: done for done in (push(recorded, run="outputs/pre"), push(recorded))}
    old, new = sorted(pushed)
    listed = recorded.flexlock("ls", "--remote", "--json").json
    assert [each["tag"] for each in listed] == [new, old]
    for each in listed:
        done = pushed[each["tag"]]
        assert (each["bytes"], each["objects"]) == (done["bytes"], done["objects"])
        assert each["job"] == "app" and each["by"] == "Ada <ada@example.org>"
        assert f"{each['date'][:19].replace('-', '').replace(':', '')}Z" == each["id"][:16]
    recorded.git("push", "-q", "--delete", "origin", old)
    (store / f"runs/{new}/manifest.json").unlink()
    half = recorded.flexlock("ls", "--remote", "--json").json
    assert [(each["data"], each["code"]) for each in half] == [(False, True), (True, False)]


def test_verify_names_what_is_missing(recorded: Project, store: Path) -> None:
    """Each file whose object is not there stands on a line of its own; exit 1."""
    tag = push(recorded)["tag"]
    assert recorded.flexlock("verify", tag, "--remote").out.startswith("verified: ")
    objects(store)[table(recorded)].unlink()
    done = recorded.flexlock("verify", tag, "--remote", check=False)
    assert done.code == 1 and "data/table.csv: missing on the remote\n" in done.out
    checks = recorded.flexlock("verify", tag, "--remote", "--json", check=False).json["checks"]
    assert {check["name"] for check in checks if not check["ok"]} >= {"data/table.csv"}


def test_verify_finds_damage(recorded: Project, store: Path) -> None:
    """Another size is seen at once, other bytes of the same size by reading back."""
    tag = push(recorded)["tag"]
    corrupt(objects(store)[table(recorded)], b"a,b\n")
    done = recorded.flexlock("verify", tag, "--remote", check=False)
    assert done.code == 1 and "data/table.csv: damaged on the remote" in done.out
    corrupt(objects(store)[table(recorded)], b"a,b\n1,3\n")
    assert recorded.flexlock("verify", tag, "--remote").code == 0
    assert recorded.flexlock("verify", tag, "--remote", "--read-data", "5%", check=False).code < 2
    done = recorded.flexlock("verify", tag, "--remote", "--full", check=False)
    assert done.code == 1 and "data/table.csv: damaged on the remote" in done.out


def test_verify_from_another_clone(recorded: Project) -> None:
    """A tag that is not here is read from the git remote; no ref is left."""
    tag = push(recorded)["tag"]
    clone = recorded.root.with_name("clone")
    recorded.git("clone", "-q", "--no-tags", "origin.git", "clone", cwd=clone.parent)
    before = recorded.git("for-each-ref", cwd=clone)
    assert recorded.flexlock("verify", tag, "--remote", "--full", cwd=clone).code == 0
    assert recorded.git("for-each-ref", cwd=clone) == before
    done = recorded.flexlock("verify", f"{tag[:-1]}x", "--remote", cwd=clone, check=False)
    assert done.code == 2 and "ls --remote" in done.err


def test_repair(recorded: Project, store: Path) -> None:
    """From a machine that has the data: what is missing or damaged is sent again, no more."""
    tag = push(recorded)["tag"]
    corrupt(objects(store)[table(recorded)], b"a,b\n1,3\n")
    next(path for oid, path in objects(store).items() if oid.endswith(".dir")).unlink()
    assert push(recorded, "--repair")["sent_objects"] == 2
    assert not damaged(store)
    assert recorded.flexlock("verify", tag, "--remote", "--full").code == 0


def test_rm_takes_what_no_other_tag_needs(recorded: Project, store: Path) -> None:
    """Dry without ``--yes``; then tag, manifest and objects go, and the other tag stays whole."""
    new = push(recorded)["tag"]
    old = push(recorded, run="outputs/pre")["tag"]
    there = set(objects(store))
    would = recorded.flexlock("rm", new, "--json").json
    assert set(objects(store)) == there and not would["done"] and would["tags"] == [new]
    done = recorded.flexlock("rm", new, "--yes", "--json").json
    assert done["objects"] == would["objects"] == len(there - set(objects(store))) > 0
    assert not (store / f"runs/{new}").exists()
    assert recorded.git("tag") == old and new not in recorded.git("ls-remote", "origin")
    assert recorded.flexlock("verify", old, "--remote", "--full").code == 0
    assert recorded.flexlock("rm", new, check=False).code == 2


def test_gc_is_dry_and_spares_the_young(recorded: Project, store: Path) -> None:
    """Objects of no tag go when they are old enough; nothing does without ``--yes``."""
    tag = push(recorded)["tag"]
    orphan = store / "files/md5/ff/00000000000000000000000000000f"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_text("x" * 100)
    young = recorded.flexlock("gc", "--yes", "--json").json
    assert young["objects"] == 0 and orphan.exists()
    os.utime(orphan, (time.time() - 2 * 24 * 3600,) * 2)
    would = recorded.flexlock("gc", "--json").json
    assert (would["objects"], would["bytes"], would["done"]) == (1, 100, False)
    assert orphan.exists()
    assert recorded.flexlock("gc", "--yes", "--json").json["objects"] == 1
    assert not orphan.exists()
    assert recorded.flexlock("verify", tag, "--remote", "--full").code == 0


def test_gc_keeps_what_fits(recorded: Project, store: Path) -> None:
    """``--keep``: other tags of this git remote go with their data, those of others never."""
    keep, drop = push(recorded)["tag"], push(recorded, run="outputs/pre")["tag"]
    done = recorded.flexlock("gc", "--keep", keep, "--min-age", "0s", "--yes", "--json").json
    assert done["tags"] == [drop]
    assert recorded.flexlock("verify", keep, "--remote", "--full").code == 0
    other = recorded.root.with_name("other")
    recorded.git("clone", "-q", str(recorded.root), str(other))
    recorded.git("init", "-q", "--bare", str(other.with_name("bare.git")))
    recorded.git("remote", "set-url", "origin", str(other.with_name("bare.git")), cwd=other)
    foreign = recorded.flexlock("gc", "--keep", "none", "--min-age", "0s", "--yes", "--json",
                                cwd=other).json
    assert foreign["tags"] == [] and foreign["objects"] == 0
    assert recorded.flexlock("verify", keep, "--remote", "--full").code == 0


def test_gc_stops_where_it_cannot_tell(recorded: Project, store: Path) -> None:
    """With a listing lost nobody knows which files a tag needs: nothing is collected."""
    tag = push(recorded)["tag"]
    listings = [path for oid, path in objects(store).items() if oid.endswith(".dir")]
    for path in listings:
        path.unlink()
    there = set(objects(store))
    done = recorded.flexlock("gc", "--min-age", "0s", "--yes", check=False)
    assert done.code == 2 and tag in done.err and "--repair" in done.err
    assert set(objects(store)) == there
    assert not list((store / "runs").rglob("deleting/*"))


def test_gc_gives_way_to_a_push(recorded: Project, store: Path) -> None:
    """While somebody pushes, nothing is deleted; what a dead process announced does not count."""
    tag = push(recorded)["tag"]
    announced = store / f"runs/{tag}/pushing-0011223344556677.json"
    announced.write_text('{"host": "elsewhere", "pid": 1}')
    done = recorded.flexlock("rm", tag, "--yes", check=False)
    assert done.code == 2 and "somebody else pushes" in done.err
    os.utime(announced, (time.time() - 2 * 24 * 3600,) * 2)
    assert recorded.flexlock("rm", tag, "--yes").code == 0


@pytest.mark.parametrize("words", [["verify", "--remote"], ["rm", "--yes"], ["gc", "--yes"]])
def test_a_data_remote_that_is_not_here(recorded: Project, store: Path, words: list[str]) -> None:
    """A disk that is not mounted is no reason to say that all is lost, or to delete a tag."""
    tag = push(recorded)["tag"]
    store.rename(store.with_name("away"))
    done = recorded.flexlock(*words, *([] if words[0] == "gc" else [tag]), check=False)
    assert done.code == 2 and "is not here" in done.err
    assert tag in recorded.git("ls-remote", "origin")


def test_remote_init(recorded: Project, tmp_path: Path) -> None:
    """A place that works becomes the repository's data remote; nothing stays there."""
    recorded.env.pop("FLEXLOCK_REMOTE")
    done = recorded.flexlock("remote", "init", "../team", "--json").json
    assert [check["name"] for check in done["checks"]] == ["write", "list", "read", "delete"]
    assert done["remote"] == recorded.git("config", "flexlock.remote") == str(tmp_path / "team")
    assert not [path for path in (tmp_path / "team").rglob("*") if path.is_file()]
    assert push(recorded)["remote"] == str(tmp_path / "team")
    bad = recorded.flexlock("remote", "init", "/proc/team", check=False)
    assert bad.code == 2 and "cannot write to" in bad.err
    assert recorded.git("config", "flexlock.remote") == str(tmp_path / "team")


def test_remote_init_of_a_name_in_dvcs_configuration(recorded: Project, tmp_path: Path) -> None:
    """The name is kept, so that its settings and credentials stay where they are."""
    recorded.dvc("init", "-q")
    recorded.dvc("remote", "add", "-q", "team", str(tmp_path / "team"))
    assert recorded.flexlock("remote", "init", "team", "--json").json["remote"] == "team"
