"""Files by which readers keep each other out are no data, wherever data is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexlock_hydra.capture.data.digest import digest, of_files, summarize, walk_files
from flexlock_hydra.capture.data.lock_files import is_lock_file, locked_by, without_locks
from flexlock_hydra.capture.data.names import names_in
from tests.conftest import Project


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("lock.mdb", "data.mdb"), ("a.lmdb-lock", "a.lmdb"), ("my.db-shm", "my.db"),
        ("my.db-wal", "my.db"), ("my.db-journal", "my.db"), ("a.h5.lock", "a.h5"),
        ("A.HDF5.lock", "A.HDF5"), ("poetry.lock", None), ("-wal", None), (".lock", None),
        ("data.mdb", None),
    ],
)
def test_names(name: str, data: str | None) -> None:
    """Each lock file by what it is a lock of; other names, as a lock file of packages, are data."""
    assert locked_by(name) == data


def test_beside_their_data_alone(tmp_path: Path) -> None:
    """Without that data they are data, and so is a journal with changes in it."""
    for name in ("data.mdb", "lock.mdb", "x.db", "x.db-shm", "x.db-journal", "alone-shm"):
        (tmp_path / name).write_text("" if name.endswith("journal") else name)
    (tmp_path / "x.db-wal").write_text("changes")
    found = {path.name for path in tmp_path.iterdir() if not is_lock_file(str(path))}
    assert found == {"data.mdb", "x.db", "x.db-wal", "alone-shm"}
    assert set(digest(tmp_path).files) == set(walk_files(tmp_path)) == found
    assert summarize(tmp_path).md5 == digest(tmp_path).md5
    (tmp_path / "lock.mdb").write_text("another process")
    assert set(digest(tmp_path).files) == found
    whole = digest(tmp_path, with_locks=True)
    assert (len(whole.files), whole.md5) == (7, of_files(whole.files).md5)


def test_names_of_a_folder(tmp_path: Path) -> None:
    """They are no names of a listed folder, with or without changes in them."""
    (tmp_path / "x.db").write_text("x")
    before = names_in(str(tmp_path))
    (tmp_path / "x.db-wal").write_text("changes")
    assert names_in(str(tmp_path)) == before
    assert without_locks(["a/x.db", "a/x.db-wal", "b/x.db-wal"]) == ["a/x.db", "b/x.db-wal"]


@pytest.mark.hydra
def test_a_record_that_counts_them(project: Project, store: Path) -> None:
    """An older lock has the hash of a folder with its lock file: that is still found."""
    project.write("data/set/data.mdb", "data")
    project.write("data/set/lock.mdb", "1")
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n"
                  "table: ${snapshot:data/table.csv}\nset: ${snapshot:data/set}\nlr: 1\n")
    project.app("hydra.run.dir=outputs/a")
    path = project.path("outputs/a/run.lock")
    new, old = digest(project.path("data/set")), digest(project.path("data/set"), with_locks=True)
    assert project.lock()["data"]["set"]["hash"] == {"md5": new.md5}
    path.write_text(path.read_text().replace(new.md5, old.md5))
    assert project.flexlock("verify", "outputs/a").code == 0
    project.flexlock("push", "outputs/a", "--remote", store)
