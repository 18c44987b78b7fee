"""SQLite databases that save time and are never needed.

Whatever is wrong with one (damaged, locked, full, read-only, no place for it), who uses it
goes on without. Of two programs with different versions of its content each finds its own.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

_Index = TypeVar("_Index", bound="SqliteIndex")
_Result = TypeVar("_Result")

WAIT = 2.0
"""Seconds to wait for other writers before a write is given up."""


@dataclass
class SqliteIndex:
    """An open index; with ``db`` None it knows nothing and keeps nothing."""

    db: sqlite3.Connection | None
    path: Path
    writable: bool = True
    """False once a write was refused: reading may go on."""

    schema: ClassVar[str]
    version: ClassVar[int] = 0
    """What is found with another version is dropped. The file's own is 0 until it is set."""

    @classmethod
    def open(cls: type[_Index], path: Path) -> _Index:
        """The index at ``path``, made where it is missing, damaged or of another version."""
        index = cls(None, path)
        # Windows tells no change time that a program could not set back: no row could be
        # believed. The second try is for a damaged file, which the first one removes.
        for _ in range(2 if os.name != "nt" else 0):
            with index._guard():
                path.parent.mkdir(parents=True, exist_ok=True)
                index.db = _connect(path, cls.schema, cls.version)
                break
        return index

    def __enter__(self: _Index) -> _Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database; what was written stays, and closing twice does no harm."""
        if self.db is not None:
            with self._guard():
                self.db.close()
        self.db = None

    def ask(self, use: Callable[[sqlite3.Connection], _Result], otherwise: _Result) -> _Result:
        """What ``use`` finds in the database; ``otherwise`` where nothing can be found."""
        with self._guard():
            if self.db is not None:
                return use(self.db)
        return otherwise

    def write(self, *changes: tuple[str, Collection[tuple[object, ...]]]) -> None:
        """Run statements, each with every tuple of its values, all or none.

        What others keep from being written for too long is lost.
        """
        if not self.writable or not any(values for _, values in changes):
            return

        def run(db: sqlite3.Connection) -> None:
            try:
                with _transaction(db):
                    for statement, values in changes:
                        db.executemany(statement, values)
            except sqlite3.OperationalError:  # locked, full, read-only
                self.writable = False

        self.ask(run, None)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Go on without the index whatever happens to it; remove it where it is damaged."""
        try:
            yield
        except (sqlite3.Error, OSError, TypeError, ValueError) as error:
            db, self.db = self.db, None
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
            # These two say that it is locked, full, closed: no fault of the file.
            is_passing = isinstance(error, (sqlite3.OperationalError, sqlite3.ProgrammingError))
            if isinstance(error, sqlite3.DatabaseError) and not is_passing:
                _remove(self.path)


def _connect(path: Path, schema: str, version: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        # No write need wait for the disk: checksums in the rows tell what a power cut tore.
        db.execute("PRAGMA synchronous = OFF")
        if db.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            db.execute("PRAGMA journal_mode = WAL")
        if _version_of(db) != version:
            _begin_anew(db, version)
        db.executescript(schema)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _version_of(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _begin_anew(db: sqlite3.Connection, version: int) -> None:
    """Drop all tables. The file stays: other processes may have it open."""
    with _transaction(db):
        if _version_of(db) == version:  # another process was faster
            return
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        for (name,) in db.execute(tables).fetchall():
            db.execute(f'DROP TABLE "{name}"')
        db.execute(f"PRAGMA user_version = {version}")


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _remove(path: Path) -> None:
    """Delete a database. Its log goes first: a new database would take it for its own."""
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{suffix}")
