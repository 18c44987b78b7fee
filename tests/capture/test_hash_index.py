"""The index of hashes: never stale, never in the way. The walk: any size in little memory."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture.data import walk
from flexlock_hydra.capture.data.digest import digest, summarize
from flexlock_hydra.capture.data.hash_index import HashIndex

TICK_NS = 30_000_000
"""Above one tick of the clock of any file system that these tests run on."""


@pytest.fixture
def short_grain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files settle within one tick, so that no test has to wait for two seconds."""
    monkeypatch.setattr(walk, "_GRAIN_NS", TICK_NS)


@pytest.fixture
def data(tmp_path: Path, short_grain: None) -> Path:
    """Some settled files."""
    for name in ("a", "b.txt", "sub/a", "sub/c", "sub.x"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 3)
    settle()
    return tmp_path / "data"


def settle() -> None:
    """Let the files that were written be older than the grain."""
    time.sleep(2 * TICK_NS / 1e9)


def indexed(folder: Path, index: Path) -> str:
    """The id of a folder, with the index taken as it is."""
    with HashIndex.open(index) as opened:
        return summarize(folder, index=opened).md5


def rows(index: Path) -> dict[str, bytes]:
    """All rows of an index: name -> value."""
    db = sqlite3.connect(index)
    found = dict(db.execute("SELECT name, value FROM files").fetchall())
    db.close()
    return found


def run(program: str, *arguments: Path | str) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_read_is_kept(data: Path, tmp_path: Path) -> None:
    """Every settled file has a row after it was hashed."""
    indexed(data, tmp_path / "i")

    assert sorted(rows(tmp_path / "i")) == ["a", "b.txt", "sub.x", "sub/a", "sub/c"]


def test_an_unchanged_file_is_not_read_again(data: Path, tmp_path: Path) -> None:
    """The md5 of an unchanged file comes from its row, whatever stands in it."""
    indexed(data, tmp_path / "i")
    with HashIndex.open(tmp_path / "i") as index:
        folder = index.folder(str(data))
        assert folder is not None
        stamped = walk.stamp((data / "a").stat())
        folder.keep([("a", folder.value("a", stamped, "0" * 32))], ())
        assert summarize(data, index=index).md5 != digest(data).md5
        assert digest(data, index=index).files["a"].md5 == "0" * 32


def test_a_row_with_a_wrong_sum_is_not_believed(data: Path, tmp_path: Path) -> None:
    """A row in which one bit of the md5 differs is not used."""
    indexed(data, tmp_path / "i")
    db = sqlite3.connect(tmp_path / "i")
    value = bytearray(rows(tmp_path / "i")["a"])
    value[45] ^= 1
    db.execute("UPDATE files SET value = ? WHERE name = 'a'", (bytes(value),))
    db.execute("UPDATE files SET value = 'text' WHERE name = 'sub/a'")
    db.commit()
    db.close()

    assert indexed(data, tmp_path / "i") == digest(data).md5


@pytest.mark.parametrize("field", ["size", "mtime", "ctime", "inode", "device"])
def test_a_row_is_of_its_stamp(field: str, data: Path, tmp_path: Path) -> None:
    """A row is not used where any part of the file's stamp is another."""
    indexed(data, tmp_path / "i")
    stamped = bytearray(walk.stamp((data / "a").stat()))
    with HashIndex.open(tmp_path / "i") as index:
        folder = index.folder(str(data))
        assert folder is not None
        known = rows(tmp_path / "i")["a"]
        assert folder.md5("a", bytes(stamped), known) == digest(data / "a").md5
        stamped[8 * ["size", "mtime", "ctime", "inode", "device"].index(field)] ^= 1
        assert folder.md5("a", bytes(stamped), known) == ""


def test_a_row_is_of_its_folder(data: Path, tmp_path: Path) -> None:
    """A row that came under another folder's number is not used there."""
    other = tmp_path / "other"
    other.mkdir()
    os.link(data / "a", other / "a")
    settle()
    indexed(data, tmp_path / "i")
    indexed(other, tmp_path / "i")
    db = sqlite3.connect(tmp_path / "i")
    (first, second) = db.execute("SELECT value FROM files WHERE name = 'a'").fetchall()
    db.close()

    assert first[0][:56] == second[0][:56]
    assert first[0][56:] != second[0][56:]


def test_a_fresh_file_is_not_kept(tmp_path: Path) -> None:
    """A file that changed within the last two seconds, or in the future, has no row.

    One whose mtime was put back changed as well.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fresh").write_text("1")
    (tmp_path / "data" / "future").write_text("1")
    os.utime(tmp_path / "data" / "future", (4e9, 4e9))
    (tmp_path / "data" / "put back").write_text("1")
    os.utime(tmp_path / "data" / "put back", (1e9, 1e9))
    indexed(tmp_path / "data", tmp_path / "i")

    assert rows(tmp_path / "i") == {}


def test_a_vanished_file_has_no_row(data: Path, tmp_path: Path) -> None:
    """Rows of files that are gone are dropped: in front, in between and at the end."""
    indexed(data, tmp_path / "i")
    for name in ("a", "sub/a", "sub/c"):
        (data / name).unlink()
    indexed(data, tmp_path / "i")

    assert sorted(rows(tmp_path / "i")) == ["b.txt", "sub.x"]


def test_a_folder_that_nobody_hashed_for_months_is_forgotten(data: Path, tmp_path: Path) -> None:
    """Its rows go when another folder is new; those of a folder in use stay."""
    indexed(data, tmp_path / "i")
    indexed(data / "sub", tmp_path / "i")
    db = sqlite3.connect(tmp_path / "i")
    path = os.fsencode(data.resolve())
    db.execute("UPDATE roots SET used = used - 91 * 24 * 3600 WHERE path = ?", (path,))
    db.commit()
    db.close()
    (tmp_path / "new").mkdir()
    indexed(tmp_path / "new", tmp_path / "i")

    assert sorted(rows(tmp_path / "i")) == ["a", "c"]


def test_a_link_to_a_folder_knows_its_hashes(data: Path, tmp_path: Path) -> None:
    """Through a link to it the files of a folder are not read again."""
    indexed(data, tmp_path / "i")
    (tmp_path / "link").symlink_to(data)
    indexed(tmp_path / "link", tmp_path / "i")
    db = sqlite3.connect(tmp_path / "i")
    found = db.execute("SELECT path FROM roots").fetchall()
    db.close()

    assert found == [(os.fsencode(data.resolve()),)]


def test_a_single_file_shares_nothing_with_its_neighbours(data: Path, tmp_path: Path) -> None:
    """Hashing one file keeps the rows of the others in its folder."""
    indexed(data, tmp_path / "i")
    assert indexed(data / "b.txt", tmp_path / "i") == digest(data / "b.txt").md5
    assert len(rows(tmp_path / "i")) == 5


def test_what_is_left_out_keeps_its_row(data: Path, tmp_path: Path) -> None:
    """Hashing a part of a folder drops no row of the rest."""
    indexed(data, tmp_path / "i")
    with HashIndex.open(tmp_path / "i") as index:
        summarize(data, lambda name: name in ("b.txt", "sub.x"), index=index)

    assert len(rows(tmp_path / "i")) == 5


# Attacks


def rewrite(path: Path, content: bytes) -> None:
    """New bytes in the same file, mtime put back."""
    info = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def replace_by_rename(path: Path, content: bytes) -> None:
    """Another file under the name, with the mtime of the first."""
    info = path.stat()
    new = path.with_name("new")
    new.write_bytes(content)
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.replace(new, path)


def write_mapped(path: Path, content: bytes) -> None:
    """New bytes through a descriptor that writes in the middle."""
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, content, 0)
    os.close(fd)


def swap(path: Path, content: bytes) -> None:
    """Two files change their names."""
    other = path.with_name("other")
    other.write_bytes(content)
    os.rename(path, path.with_name("third"))
    os.rename(other, path)
    os.rename(path.with_name("third"), other)


def touch(path: Path, content: bytes) -> None:
    """The same bytes at another time."""
    os.utime(path)


CHANGES = [rewrite, replace_by_rename, write_mapped, swap, touch]
steps = st.lists(
    st.tuples(st.sampled_from(CHANGES), st.sampled_from("ab"), st.booleans()), max_size=6
)


@given(steps)
@settings(max_examples=25, deadline=None)
def test_no_hash_is_ever_stale(changes: list[tuple[Any, str, bool]]) -> None:
    """After any rewrites of equal size with the mtime put back, ids are those of the bytes."""
    folder = Path(tempfile.mkdtemp())
    before, walk._GRAIN_NS = walk._GRAIN_NS, TICK_NS
    try:
        (folder / "data").mkdir()
        for name in "ab":
            (folder / "data" / name).write_bytes(name.encode() * 8)
        for number, (change, name, wait) in enumerate(changes):
            if wait:
                settle()
            assert indexed(folder / "data", folder / "i") == digest(folder / "data").md5
            change(folder / "data" / name, f"{number:08}".encode())
        assert indexed(folder / "data", folder / "i") == digest(folder / "data").md5
    finally:
        walk._GRAIN_NS = before
        shutil.rmtree(folder)


@pytest.mark.parametrize("change", [rewrite, replace_by_rename, write_mapped])
def test_a_rewrite_with_the_mtime_put_back_is_seen(
    change: Any, data: Path, tmp_path: Path
) -> None:
    """A settled, indexed file that is rewritten behind its mtime gets its new hash."""
    indexed(data, tmp_path / "i")
    assert "a" in rows(tmp_path / "i")
    change(data / "a", b"xyz")
    settle()

    assert indexed(data, tmp_path / "i") == digest(data).md5


# The walk


def test_a_huge_folder_is_sorted_through_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id does not depend on how many names fit into memory, nor on the batches."""
    names = ["a.b", "a/b", "a-b", "ab", "A", "B/c", "é", "z\nz", "_", "aa/a", "sub/" + "x" * 200]
    for name in [*names, *(f"n{i}" for i in range(50)), ".git/x"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    whole = summarize(tmp_path)
    monkeypatch.setattr(walk, "_SPILL", 3)
    monkeypatch.setattr(walk, "_BATCH", 2)
    in_parts = summarize(tmp_path)

    assert (in_parts.md5, in_parts.nfiles) == (whole.md5, 61)
    assert whole.md5 == digest(tmp_path).md5


MEMORY = """
import pathlib, resource, sys
from flexlock_hydra.capture.data import walk
walk._SPILL = 2000
from flexlock_hydra.capture.data.digest import summarize
from flexlock_hydra.capture.data.hash_index import HashIndex
with HashIndex.open(pathlib.Path(sys.argv[2])) as index:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert summarize(pathlib.Path(sys.argv[1]), index=index).nfiles == 40_000
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(after - before)
"""


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path) -> None:
    """40,000 files with names of 200 letters, 8 MB in names alone, take less than 12 MB more.

    Their names and md5s in memory would take twenty.
    """
    (tmp_path / "data").mkdir()
    for i in range(40_000):
        os.close(os.open(tmp_path / "data" / f"{i:0200}", os.O_CREAT | os.O_WRONLY))

    assert int(run(MEMORY, tmp_path / "data", tmp_path / "i")) < 12 * 1024  # KiB


@pytest.mark.parametrize("path", ["data", "data/moving"])
def test_a_file_that_changes_while_it_is_read_is_told(path: str, tmp_path: Path) -> None:
    """A file that another process writes to all the time is named in the warnings."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "moving"
    file.write_bytes(bytes(1000))
    writer = subprocess.Popen(
        [sys.executable, "-c", "import sys\nwith open(sys.argv[1], 'ab', 0) as f:\n"
         "    while True: f.write(b'x' * 100)", str(file)]
    )
    try:
        while file.stat().st_size < 5_000_000:
            time.sleep(0.01)
        found = summarize(tmp_path / path)
    finally:
        writer.kill()
        writer.wait()

    assert found.warnings == (f"{file} changed while it was read",)


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    """A file of many blocks and a rest has the md5 of its bytes."""
    content = random.Random(3).randbytes(3 * 1024 * 1024 + 17)
    (tmp_path / "x").write_bytes(content)

    assert summarize(tmp_path / "x").md5 == hashlib.md5(content).hexdigest()


def test_what_dvc_does_not_hold_is_recorded(tmp_path: Path) -> None:
    """Executable files, links with their targets and empty folders are told by name."""
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "broken").symlink_to("nowhere")
    found = summarize(tmp_path)

    assert found.executable == ("link", "run")
    assert dict(found.links) == {"broken": "nowhere", "link": "run"}
    assert found.empty == ("sub/empty",)
    assert found.warnings == (f"{tmp_path}/broken left out: a broken link",)


def test_many_oddities_are_counted(tmp_path: Path) -> None:
    """Of a thousand links and more, and of many pipes, the number is told."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("x")
    for i in range(1001):
        (tmp_path / "data" / f"link{i}").symlink_to("x")
    for i in range(30):
        os.mkfifo(tmp_path / "data" / f"pipe{i}")
    found = summarize(tmp_path / "data")

    assert len(found.warnings) == 22
    assert found.warnings[20:] == (
        f"{tmp_path}/data: 10 more left out",
        f"{tmp_path}/data has 1,001 links, they are recorded as the files that they lead to",
    )
