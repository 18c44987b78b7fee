"""The index of runs: what it says is what the locks say, whatever happened to either."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flexlock_hydra.archive.query import catalog as catalogs
from flexlock_hydra.archive.query import columns, run_index
from flexlock_hydra.archive.query.catalog import Catalog, catalog
from flexlock_hydra.archive.query.run_index import RunIndex, content_version
from flexlock_hydra.record import brief, lockfile, summary
from flexlock_hydra.record.brief_fields import ShownRun
from flexlock_hydra.record.model import RunLock
from tests.conftest import Project
from tests.support.listings import age, put, run
from tests.support.locks import BOTH, FULL

PARTS = ("config", "data", "environment")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an index of the test's own."""
    monkeypatch.setenv("FLEXLOCK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The locks that are read, in order."""
    read, seen = catalogs._read, []

    def noted(path: str) -> catalogs._Read:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(catalogs, "_read", noted)
    return seen


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are old enough for the index as soon as they are written."""
    monkeypatch.setattr(catalogs, "is_settled", lambda stamp, now: True)


def told(found: Catalog) -> list[dict[str, Any]]:
    """Everything that a catalog says of its runs."""
    plain = [
        columns.plain(each) | {part: getattr(each, part) for part in PARTS} for each in found.runs
    ]
    return sorted(plain, key=lambda each: each["path"])


def unindexed(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The same without an index."""
    with monkeypatch.context() as patched:
        patched.setenv("FLEXLOCK_CACHE", os.devnull)
        return told(catalog([root], parts=PARTS))


@BOTH
def test_pieces_say_what_the_whole_says(lock: RunLock) -> None:
    """A lock that is read in pieces gives what it gives read as a whole."""
    content = lockfile.dumps(lock)
    assert brief._of_pieces(summary.cut(content)) == brief._of_lock(lock)
    assert brief.parse_brief(content + b"more: 1\n") == brief._of_lock(lock)


def test_an_unchanged_lock_is_not_read(
    tmp_path: Path, cache: Path, reads: list[str], settled: None
) -> None:
    """The second time nothing is read, what was asked for or not; the third what changed."""
    for number in range(5):
        put(tmp_path / "p", run(number, config={"n": number}))
    first = told(catalog([tmp_path / "p"], parts=PARTS))
    assert len(reads) == 5
    assert told(catalog([tmp_path / "p"], parts=PARTS)) == first
    assert len(catalog([tmp_path / "p"]).runs) == len(reads) == 5
    changed = put(tmp_path / "p", run(3, status="failed"))
    found = told(catalog([tmp_path / "p"], parts=PARTS))
    assert reads[5:] == [str(changed)] and found[3]["status"] == "failed"


def test_the_same_size_and_time(tmp_path: Path, cache: Path, settled: None) -> None:
    """A lock rewritten in place with its size and modification time put back is read again."""
    path = put(tmp_path / "p", run(1, config={"lr": 1}))
    catalog([tmp_path / "p"])
    content = path.read_bytes()
    path.write_bytes(content.replace(b"lr: 1", b"lr: 2"))
    age(path)
    (found,) = catalog([tmp_path / "p"], parts=PARTS).runs
    assert found.config == {"lr": 2}


def test_a_young_lock_is_not_kept(tmp_path: Path, cache: Path, reads: list[str]) -> None:
    """A lock that was written this moment might change within the clock's tick: read again."""
    path = put(tmp_path / "p", run(1))
    for _ in range(2):
        assert len(catalog([tmp_path / "p"]).runs) == 1
    assert reads == [str(path)] * 2


actions = st.lists(
    st.tuples(
        st.sampled_from(["write", "rewrite", "remove", "move", "damage", "touch", "look"]),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=actions)
def test_it_is_never_stale(
    steps: list[tuple[str, int, int]],
    tmp_path: Path,
    cache: Path,
    settled: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After whatever was added, changed and removed, the index says what the files say."""
    root = tmp_path / "p"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for action, number, value in steps:
        _act(root, action, number, value)
        if action == "look":
            catalog([root])
    assert told(catalog([root], parts=PARTS)) == unindexed(root, monkeypatch)
    assert told(catalog([root], parts=PARTS)) == unindexed(root, monkeypatch)


def _act(root: Path, action: str, number: int, value: int) -> None:
    path = root / f"outputs/{number}/run.lock"
    if action == "write":
        put(root, run(number, config={"value": value}, result=value))
    elif not path.exists():
        return
    elif action == "rewrite":
        with path.open("wb") as file:
            file.write(lockfile.dumps(run(number, config={"value": value}, status="failed")))
        age(path)
    elif action == "remove":
        path.unlink()
    elif action == "move":
        (root / f"outputs/{value}").mkdir(exist_ok=True)
        path.replace(root / f"outputs/{value}/run.lock")
    elif action == "damage":
        path.write_bytes(path.read_bytes()[: value * 100])
    elif action == "touch":
        os.utime(path)


@pytest.mark.parametrize("harm", ["text", "empty", "cut", "bits", "folder", "other", "rows"])
def test_a_damaged_index(
    harm: str, tmp_path: Path, cache: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the index holds, the runs are those of the locks; it works again afterwards."""
    root = tmp_path / "p"
    for number in range(60):
        put(root, run(number, config={"text": "x" * 50, "n": number}))
    catalog([root])
    _harm(run_index.runs_path(), harm)
    expected = unindexed(root, monkeypatch)
    for _ in range(3):
        assert told(catalog([root], parts=PARTS)) == expected


def _harm(path: Path, harm: str) -> None:
    content = bytearray(path.read_bytes())
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()
    if harm == "folder":
        path.unlink()
        path.mkdir()
    elif harm == "other":
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE locks (a, b)")
    elif harm == "rows":
        with sqlite3.connect(path) as db:
            db.execute("UPDATE locks SET config = x'000102030405' WHERE rowid % 5 = 0")
            db.execute("UPDATE locks SET world = x'' WHERE rowid % 5 = 1")
            db.execute("UPDATE locks SET shown = '{}' WHERE rowid % 5 = 2")
            db.execute("UPDATE locks SET sum = 'x' WHERE rowid % 5 = 3")
    else:
        for at in random.Random(1).sample(range(100, len(content)), 200):
            content[at] ^= 0x5A
        kinds = {"text": b"no database", "empty": b"", "cut": content[:5000], "bits": content}
        path.write_bytes(bytes(kinds[harm]))


def test_a_locked_index(
    tmp_path: Path, cache: Path, settled: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process writes without end, locks are read without the index."""
    monkeypatch.setattr("flexlock_hydra.ports.sqlite_index.WAIT", 0.05)
    put(tmp_path / "p", run(1))
    catalog([tmp_path / "p"])
    put(tmp_path / "p", run(2))
    with sqlite3.connect(run_index.runs_path(), isolation_level=None) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert len(catalog([tmp_path / "p"]).runs) == 2
        db.execute("ROLLBACK")


@pytest.mark.parametrize("fields", [ShownRun._fields[:-1], (*ShownRun._fields, "more")])
def test_an_index_with_other_fields(
    fields: tuple[str, ...],
    tmp_path: Path,
    cache: Path,
    settled: None,
    reads: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an older or a newer program keeps of runs is made anew without a word."""
    root = tmp_path / "p"
    for number in range(3):
        put(root, run(number, config={"n": number}))
    expected = told(catalog([root], parts=PARTS))
    with RunIndex.open(run_index.runs_path()) as index:
        ours = index.known(str(root), run_index.PARTS)
    rows = {
        path: row._replace(shown=json.dumps([*json.loads(row.shown), None][: len(fields)]))
        for path, row in ours.items()
    }
    other = content_version(type("Other", (), {"__annotations__": dict.fromkeys(fields, "str")}))

    with monkeypatch.context() as patched:
        patched.setattr(RunIndex, "version", other)
        theirs = RunIndex.open(run_index.runs_path())
        assert theirs.known(str(root)) == {}
        theirs.keep(rows, [])
        assert theirs.known(str(root), run_index.PARTS) == rows
    assert told(catalog([root], parts=PARTS)) == expected
    with monkeypatch.context() as patched:
        patched.setattr(RunIndex, "version", other)
        theirs.keep(rows, [])  # it had the file open all the time
        theirs.close()
    assert told(catalog([root], parts=PARTS)) == expected

    reads.clear()
    assert told(catalog([root], parts=PARTS)) == expected and not reads


def test_the_version_follows_the_fields() -> None:
    """A field more, one less, another name, order or type: each has a version of its own."""
    lists = [
        {"a": "str"}, {"a": "str", "b": "int"}, {"a": "str", "c": "int"}, {"b": "int", "a": "str"},
        {"a": "str", "b": "int | None"},
    ]  # fmt: skip
    kinds = [type("Kind", (), {"__annotations__": fields}) for fields in lists]
    assert len({content_version(kind) for kind in kinds}) == len(lists)
    assert RunIndex.version == content_version(ShownRun, run_index.Row)


def test_an_index_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for an index, locks are read each time."""
    put(tmp_path / "p", run(1))
    monkeypatch.setenv("FLEXLOCK_CACHE", os.devnull)
    assert len(catalog([tmp_path / "p"]).runs) == 1


def test_gone_runs_leave_the_index(tmp_path: Path, cache: Path, settled: None) -> None:
    """What was removed takes no place; the rows of other projects stay."""
    for name in ("p", "p-2"):
        for number in range(3):
            put(tmp_path / name, run(number))
        catalog([tmp_path / name])
    shutil.rmtree(tmp_path / "p/outputs/1")
    catalog([tmp_path / "p"])
    with sqlite3.connect(run_index.runs_path()) as db:
        paths = [os.fsdecode(path) for (path,) in db.execute("SELECT path FROM locks")]
    assert sorted(path.removeprefix(f"{tmp_path}/") for path in paths) == [
        "p-2/outputs/0/run.lock", "p-2/outputs/1/run.lock", "p-2/outputs/2/run.lock",
        "p/outputs/0/run.lock", "p/outputs/2/run.lock",
    ]  # fmt: skip


def test_names_that_are_no_text(tmp_path: Path, cache: Path, settled: None) -> None:
    """A folder whose name is not UTF-8 is kept in the index as well."""
    root = tmp_path / os.fsdecode(b"p\xff")
    path = put(root, run(1), os.fsdecode(b"out\xfe"))
    for _ in range(2):
        (found,) = catalog([root]).runs
        assert found.path == str(path.parent)


def test_several_processes_at_once(empty: Project) -> None:
    """Processes that begin and use one index at the same time all list every run."""
    for number in range(50):
        put(empty.root, run(number))
    words = [sys.executable, "-m", "flexlock_hydra", "ls", "--csv", "--columns", "id"]

    def listed(_: int) -> str:
        return subprocess.run(
            words, cwd=empty.root, env=empty.env, capture_output=True, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(4) as pool:
        outputs = set(pool.map(listed, range(8)))
    assert len(outputs) == 1 and len(outputs.pop().splitlines()) == 51


def test_many_are_read_by_several_processes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What processes of their own read is what one reads, what is damaged told too."""
    monkeypatch.setattr(catalogs, "_MANY", 5)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    root = tmp_path / "p"
    for number in range(30):
        put(root, run(number, config=FULL.config))
    (root / "outputs/7/run.lock").write_text("no lock")
    one, more = catalog([root], parts=PARTS), catalog([root], parts=PARTS, processes=True)
    assert told(one) == told(more) and len(more.runs) == 29
    assert one.warnings == more.warnings and "outputs/7/run.lock" in one.warnings[0]
