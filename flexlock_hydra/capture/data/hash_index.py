"""What files hashed to, kept in SQLite: a file whose stat is unchanged is not read again.

A row is believed only if the file's size, mtime, ctime, inode and device are those of
the moment at which it was read, and if the row's checksum says that it is whole. Files
that changed a moment ago are not kept, since a clock may not tell their next change. The
index is a help and nothing more: whatever is wrong with it, files are hashed without it.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "FLEXLOCK_CACHE"
"""Names the folder that holds the index and more, in place of the user's cache folder."""

_WAIT = 2.0
"""Seconds to wait for other writers before a write is given up."""
_UNUSED = 90 * 24 * 3600
"""Seconds after which the rows of a folder that nobody hashed again are dropped."""
_MOST_GONE = 100_000
"""Rows of vanished files that are dropped at once."""
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
    return cache_file("hashes-1")


def cache_file(name: str) -> Path:
    """A database of this machine: a home folder may be shared, a database should not be."""
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()) or "host"
    return cache_folder() / f"{name}-{host}.sqlite"


def cache_folder() -> Path:
    """What may be removed at any time lies here."""
    folder = os.environ.get(CACHE_VARIABLE)
    if not folder:
        import platformdirs

        folder = platformdirs.user_cache_dir("flexlock-hydra", appauthor=False)
    return Path(folder)


@dataclass
class HashIndex:
    """An open index; with ``db`` None it knows nothing and keeps nothing."""

    db: sqlite3.Connection | None
    path: Path
    writable: bool = True

    @classmethod
    def open(cls, path: Path) -> HashIndex:
        """The index at ``path``, made where it is missing or damaged.

        Windows tells no change time that a program could not set back: no index there.
        """
        for _ in range(2 if os.name != "nt" else 0):
            index = cls(None, path)
            with index._guard():
                path.parent.mkdir(parents=True, exist_ok=True)
                index.db = connect(path, _SCHEMA)
            if index.db is not None:
                return index
        return cls(None, path)

    def __enter__(self) -> HashIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self.db is not None:
            with self._guard():
                self.db.close()
        self.db = None

    def folder(self, root: str) -> Folder | None:
        """What is known of the files below a folder; None where nothing can be."""
        path = os.fsencode(os.path.realpath(root))
        with self._guard():
            if self.db is not None:
                return Folder(self, _root_id(self.db, path), zlib.crc32(path))
        return None

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Go on without the index whatever happens to it; begin anew where it is damaged."""
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            db, self.db = self.db, None
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, (sqlite3.OperationalError, sqlite3.ProgrammingError)
            ):
                remove(self.path)


@dataclass(frozen=True)
class Folder:
    """The rows of one hashed folder."""

    index: HashIndex
    id: int
    seed: int

    def known(self, names: Sequence[str], after: str) -> tuple[dict[str, bytes], list[str]]:
        """The rows of sorted names, and other names that lie after one and among these."""
        wanted = set(names)
        rows: dict[str, bytes] = {}
        others: list[str] = []
        with self.index._guard():
            if self.index.db is not None:
                found = self.index.db.execute(
                    "SELECT name, value FROM files WHERE root = ? AND name BETWEEN ? AND ?",
                    (self.id, after, names[-1]),
                )
                for name, value in found:
                    if name in wanted:
                        rows[name] = value
                    elif len(others) < _MOST_GONE and name != after:
                        others.append(name)
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

    def keep(self, rows: Iterable[tuple[str, bytes]], gone: Sequence[str]) -> None:
        """Write rows and drop others; lost where others write for too long."""
        changed = [(self.id, name, value) for name, value in rows]
        if not self.index.writable or not (changed or gone):
            return
        with self.index._guard():
            if self.index.db is not None:
                try:
                    self._write(self.index.db, changed, gone)
                except sqlite3.OperationalError:  # locked, full, read-only: reading may go on
                    self.index.writable = False

    def drop_after(self, name: str) -> None:
        """Drop the rows of names that sort after one."""
        with self.index._guard():
            if self.index.db is not None and self.index.writable:
                where = ("FROM files WHERE root = ? AND name > ?", (self.id, name))
                if self.index.db.execute(f"SELECT 1 {where[0]} LIMIT 1", where[1]).fetchone():
                    self.index.db.execute(f"DELETE {where[0]}", where[1])

    def _write(
        self, db: sqlite3.Connection, rows: list[tuple[int, str, bytes]], gone: Sequence[str]
    ) -> None:
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
            db.executemany(
                "DELETE FROM files WHERE root = ? AND name = ?", [(self.id, name) for name in gone]
            )
            db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _sum(self, name: str, content: bytes) -> bytes:
        return zlib.crc32(content, zlib.crc32(name.encode(), self.seed)).to_bytes(4, "little")


def look_through(path: Path) -> tuple[str, int]:
    """What is wrong with an index, in words, and how many files it knows; nothing is mended."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT)
        with contextlib.closing(db):
            said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            rows = db.execute("SELECT count(*) FROM files").fetchone()[0]
    except sqlite3.Error as error:
        return f"cannot be read ({error})", 0
    return ("" if said == "ok" else f"is damaged ({said})", rows)


def connect(path: Path, schema: str) -> sqlite3.Connection:
    """Open a database whose readers notice what a power cut tore, by checksums of their own.

    Raises:
        sqlite3.Error: it is damaged, or cannot be written to.
    """
    db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
    try:
        # No write need wait for the disk.
        db.execute("PRAGMA synchronous = OFF")
        if db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            db.execute("PRAGMA journal_mode = WAL")
        db.executescript(schema)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _root_id(db: sqlite3.Connection, path: bytes) -> int:
    now = int(time.time())
    row = db.execute("SELECT id, used FROM roots WHERE path = ?", (path,)).fetchone()
    if row is None:
        db.execute("INSERT OR IGNORE INTO roots (path, used) VALUES (?, ?)", (path, now))
        _forget_unused(db, now - _UNUSED)
        row = db.execute("SELECT id, used FROM roots WHERE path = ?", (path,)).fetchone()
    elif row[1] < now - 24 * 3600:
        with contextlib.suppress(sqlite3.OperationalError):
            db.execute("UPDATE roots SET used = ? WHERE id = ?", (now, row[0]))
    return int(row[0])


def _forget_unused(db: sqlite3.Connection, before: int) -> None:
    old = "SELECT id FROM roots WHERE used < ?"
    db.execute(f"DELETE FROM files WHERE root IN ({old})", (before,))
    db.execute("DELETE FROM roots WHERE used < ?", (before,))


def remove(path: Path) -> None:
    """Delete a database. Its log goes first: a new database would take it for its own."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{suffix}")
