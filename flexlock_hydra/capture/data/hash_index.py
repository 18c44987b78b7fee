"""What files hashed to, kept in SQLite: a file whose stat is unchanged is not read again.

A row is believed only if the file's size, mtime, ctime, inode and device are those of
the moment at which it was read, and if the row's checksum says that it is whole. Files
that changed a moment ago are not kept, since a clock may not tell their next change. The
index is a help and nothing more: whatever is wrong with it, files are hashed without it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.ports.cache_folder import database_file
from flexlock_hydra.ports.sqlite_index import WAIT, SqliteIndex

# Seconds after which the rows of a folder that nobody hashed again are dropped
_UNUSED = 90 * 24 * 3600
_MOST_GONE = 100_000  # Rows of vanished files that are dropped at once
_MD5 = slice(40, 56)
_SUM = slice(56, 60)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS roots (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, used INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    root INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (root, name)
) WITHOUT ROWID;
"""


def index_path() -> Path:
    """This machine's index of hashes."""
    return database_file("hashes-1")


class HashIndex(SqliteIndex):
    """An open index of hashes."""

    schema = _SCHEMA

    def folder(self, root: str) -> HashedFolder | None:
        """What is known of the files below a folder; None where nothing can be."""
        path = os.fsencode(os.path.realpath(root))
        return self.ask(lambda db: HashedFolder(self, _root_id(db, path), zlib.crc32(path)), None)


@dataclass(frozen=True)
class HashedFolder:
    """The rows of one hashed folder.

    A row is a file's stamp (40 bytes), its md5 (16), and a checksum of both (4).
    """

    index: HashIndex
    id: int
    seed: int
    """Of the checksums: the row of another folder's file is not believed."""

    def known(self, names: Sequence[str], after: str) -> tuple[dict[str, bytes], list[str]]:
        """The rows of sorted names, and other names that lie after one and among these."""
        wanted = set(names)
        rows: dict[str, bytes] = {}
        others: list[str] = []

        def collect(db: sqlite3.Connection) -> None:
            found = db.execute(
                "SELECT name, value FROM files WHERE root = ? AND name BETWEEN ? AND ?",
                (self.id, after, names[-1]),
            )
            for name, value in found:
                if name in wanted:
                    rows[name] = value
                elif len(others) < _MOST_GONE and name != after:
                    others.append(name)

        self.index.ask(collect, None)
        return rows, others

    def md5(self, name: str, stamped: bytes, value: bytes | None) -> str:
        """The md5 in a row, where the row is whole and the file is as it was; else nothing."""
        if type(value) is not bytes or value[:40] != stamped:
            return ""
        return value[_MD5].hex() if value[_SUM] == self._sum(name, value[:56]) else ""

    def value(self, name: str, stamped: bytes, md5: str) -> bytes:
        """The row of a file."""
        content = stamped + bytes.fromhex(md5)
        return content + self._sum(name, content)

    def keep(self, rows: Iterable[tuple[str, bytes]], gone: Iterable[str]) -> None:
        """Write rows and drop those of vanished files."""
        put = [(self.id, name, value) for name, value in rows]
        drop = [(self.id, name) for name in gone]
        self.index.write(
            ("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", put),
            ("DELETE FROM files WHERE root = ? AND name = ?", drop),
        )

    def drop_after(self, name: str) -> None:
        """Drop the rows of names that sort after one."""
        where = "FROM files WHERE root = ? AND name > ?"
        values = (self.id, name)
        look = f"SELECT 1 {where} LIMIT 1"
        # Mostly there are none: to look takes no lock from others, to delete does.
        if self.index.ask(lambda db: db.execute(look, values).fetchone(), None):
            self.index.write((f"DELETE {where}", [values]))

    def _sum(self, name: str, content: bytes) -> bytes:
        return zlib.crc32(content, zlib.crc32(name.encode(), self.seed)).to_bytes(4, "little")


def look_through(path: Path) -> tuple[str, int]:
    """What is wrong with an index, in words, and how many files it knows; nothing is mended."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT)
        with contextlib.closing(db):
            said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            rows = db.execute("SELECT count(*) FROM files").fetchone()[0]
    except sqlite3.Error as error:
        return f"cannot be read ({error})", 0
    return ("" if said == "ok" else f"is damaged ({said})", rows)


def _root_id(db: sqlite3.Connection, path: bytes) -> int:
    now = int(time.time())
    look = "SELECT id, used FROM roots WHERE path = ?"
    row = db.execute(look, (path,)).fetchone()
    if row is None:
        db.execute("INSERT OR IGNORE INTO roots (path, used) VALUES (?, ?)", (path, now))
        old, before = "SELECT id FROM roots WHERE used < ?", (now - _UNUSED,)
        db.execute(f"DELETE FROM files WHERE root IN ({old})", before)
        db.execute("DELETE FROM roots WHERE used < ?", before)
        row = db.execute(look, (path,)).fetchone()
    elif row[1] < now - 24 * 3600:
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("UPDATE roots SET used = ? WHERE id = ?", (now, row[0]))
    return int(row[0])
