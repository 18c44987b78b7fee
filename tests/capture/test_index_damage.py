"""An index of hashes that is damaged, locked, full or used by many at once."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.capture.data.digest import digest
from flexlock_hydra.capture.data.hash_index import index_path
from flexlock_hydra.ports import sqlite_index
from tests.capture.test_hash_index import data, indexed, rows, run, settle, short_grain

__all__ = ["data", "short_grain"]


# Damage


def cut_off(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:5000])


def empty(index: Path) -> None:
    index.write_bytes(b"")


def noise(index: Path) -> None:
    index.write_bytes(random.Random(1).randbytes(20_000))


def noise_within(index: Path) -> None:
    content = bytearray(index.read_bytes())
    content[4096:9000] = random.Random(2).randbytes(4904)
    index.write_bytes(content)


def other_schema(index: Path) -> None:
    index.unlink()
    db = sqlite3.connect(index)
    db.execute("CREATE TABLE files (x)")
    db.close()


def a_folder(index: Path) -> None:
    index.unlink()
    index.mkdir()


DAMAGE = [cut_off, empty, noise, noise_within, other_schema, a_folder]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_does_no_harm(damage: Any, data: Path, tmp_path: Path) -> None:
    """Whatever became of the index file, ids are right and nothing raises."""
    index = tmp_path / "i"
    indexed(data, index)
    for suffix in ("-wal", "-shm"):
        Path(f"{index}{suffix}").unlink(missing_ok=True)
    damage(index)

    assert indexed(data, index) == digest(data).md5
    assert indexed(data, index) == digest(data).md5


@pytest.mark.parametrize("damage", [cut_off, empty, noise])
def test_a_damaged_index_is_made_anew(damage: Any, data: Path, tmp_path: Path) -> None:
    """After at most two uses a damaged index knows the files again."""
    index = tmp_path / "i"
    indexed(data, index)
    for suffix in ("-wal", "-shm"):
        Path(f"{index}{suffix}").unlink(missing_ok=True)
    damage(index)
    indexed(data, index)
    indexed(data, index)

    assert len(rows(index)) == 5


@pytest.mark.parametrize("place", ["/proc/none/index", "/dev/null/index"])
def test_no_place_for_an_index(place: str, data: Path) -> None:
    """Where no index can be made, files are hashed all the same."""
    assert indexed(data, Path(place)) == digest(data).md5


def test_a_full_disk(data: Path, tmp_path: Path) -> None:
    """Where the index cannot grow, files are hashed all the same."""
    program = (
        "import resource, sys, pathlib\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "from flexlock_hydra.capture.data.hash_index import HashIndex\n"
        "from flexlock_hydra.capture.data.digest import summarize\n"
        "with HashIndex.open(pathlib.Path(sys.argv[2])) as index:\n"
        "    print(summarize(pathlib.Path(sys.argv[1]), index=index).md5)\n"
    )
    for i in range(300):
        (data / f"{i:0200}").write_text(str(i))

    assert run(program, data, tmp_path / "i") == digest(data).md5


def test_a_locked_index(data: Path, tmp_path: Path) -> None:
    """Behind another writer the write is given up after a while, the id is right."""
    index = tmp_path / "i"
    indexed(data, index)
    (data / "new").write_text("x")
    settle()
    db = sqlite3.connect(index)
    db.execute("BEGIN EXCLUSIVE")
    try:
        assert indexed(data, index) == digest(data).md5
    finally:
        db.close()


def test_a_locked_index_stays(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind another writer a folder that is new to it is hashed without it; no row is lost."""
    monkeypatch.setattr(sqlite_index, "WAIT", 0.05)
    index = tmp_path / "i"
    indexed(data, index)
    known = rows(index)
    db = sqlite3.connect(index)
    db.execute("BEGIN IMMEDIATE")
    try:
        assert indexed(data / "sub", index) == digest(data / "sub").md5
    finally:
        db.close()

    assert rows(index) == known


CROWD = """
import os, pathlib, sys, time
from flexlock_hydra.capture.data import walk
from flexlock_hydra.capture.data.digest import summarize
from flexlock_hydra.capture.data.hash_index import HashIndex
walk._BATCH = 16
data, index, go = map(pathlib.Path, sys.argv[1:])
children = []
for _ in range(200):
    pid = os.fork()
    if pid == 0:
        while not go.exists():
            time.sleep(0.01)
        with HashIndex.open(index) as opened:
            found = summarize(data, index=opened).md5
        os._exit(found != go.read_text())
    children.append(pid)
from flexlock_hydra.capture.data.digest import digest
want = digest(data).md5
(go.parent / "new").write_text(want)
os.rename(go.parent / "new", go)
print(sum(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_two_hundred_processes_at_once(tmp_path: Path) -> None:
    """200 processes that begin with no index get the same id, and leave a sound index."""
    data = tmp_path / "data"
    data.mkdir()
    for i in range(100):
        (data / str(i)).write_text(str(i))
    time.sleep(2.1)
    failed = run(CROWD, data, tmp_path / "i", tmp_path / "go")

    db = sqlite3.connect(tmp_path / "i")
    assert failed == "0"
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*) FROM files").fetchone() == (100,)
    db.close()


def test_the_index_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """FLEXLOCK_CACHE moves the index, and its name tells the machine."""
    monkeypatch.setenv("FLEXLOCK_CACHE", "/somewhere")

    assert index_path().parent == Path("/somewhere")
    assert os.uname().nodename.split(".")[0] in index_path().name
