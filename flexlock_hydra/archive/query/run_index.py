"""What locks say, kept in SQLite: a lock whose stat is unchanged is not read again.

A row is believed only if the lock's size, times, inode and device are those of when it was
read, and if the row's checksum says that it is whole. The index is a help and nothing more:
whatever is wrong with it, locks are read without it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flexlock_hydra.capture.data.hash_index import cache_file, connect, remove

if TYPE_CHECKING:
    from flexlock_hydra.record.brief import Brief
    from flexlock_hydra.record.codec import Json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS locks (
    path BLOB PRIMARY KEY, stamp BLOB NOT NULL, shown TEXT NOT NULL,
    config BLOB NOT NULL, world BLOB NOT NULL, sum INTEGER NOT NULL
);
"""
PARTS = ("config", "world")
"""Columns that are read for those who ask for them."""


class Row(NamedTuple):
    """A lock as the index knows it; of the parts those that were asked for."""

    stamp: bytes
    shown: str
    config: bytes | None = None
    world: bytes | None = None


def runs_path() -> Path:
    """This machine's index of runs."""
    return cache_file("runs-1")


@dataclass
class RunIndex:
    """An open index; with ``db`` None it knows nothing and keeps nothing."""

    db: sqlite3.Connection | None
    path: Path

    @classmethod
    def open(cls, path: Path) -> RunIndex:
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

    def __enter__(self) -> RunIndex:
        return self

    def __exit__(self, *error: object) -> None:
        if self.db is not None:
            with self._guard():
                self.db.close()
        self.db = None

    def known(self, folder: str, parts: Collection[str] = ()) -> dict[str, Row]:
        """The locks below a folder by their paths, with those of the parts that are needed."""
        below = os.fsencode(os.path.join(folder, ""))
        columns = ", ".join(name if name in parts else "NULL" for name in PARTS)
        found: dict[str, Row] = {}
        with self._guard():
            if self.db is not None:
                rows = self.db.execute(
                    f"SELECT path, stamp, shown, {columns}, sum FROM locks "
                    "WHERE path >= ? AND path < ?",
                    (below, below[:-1] + bytes([below[-1] + 1])),
                )
                for path, stamp, shown, config, world, total in rows:
                    if _sum(path, stamp, shown) == total:
                        row = Row(stamp, shown, _opened(config, total), _opened(world, total))
                        if all(getattr(row, part) for part in parts):
                            found[os.fsdecode(path)] = row
        return found

    def keep(self, rows: Mapping[str, Row], gone: Iterable[str]) -> None:
        """Write rows and drop others; lost where others write for too long."""
        changed = [_values(os.fsencode(path), row) for path, row in rows.items()]
        dropped = [(os.fsencode(path),) for path in gone]
        if not (changed or dropped):
            return
        with self._guard():
            if self.db is not None:
                _write(self.db, changed, dropped)

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


def pack(stamp: bytes, brief: Brief) -> Row:
    """The row of a lock."""
    return Row(stamp, brief.shown, _packed(brief.config), _packed(brief.world))


def unpack(part: bytes | None) -> Json:
    """The value of a part of a row; the part must have been asked for."""
    assert part is not None
    return _unpacked(part)


@lru_cache(maxsize=256)
def _packed(text: str) -> bytes:
    return zlib.compress(text.encode(), 1)


@lru_cache(maxsize=64)
def _unpacked(part: bytes) -> Json:
    """Runs of an app share their environment: it is parsed once."""
    return json.loads(zlib.decompress(part))


def _values(path: bytes, row: Row) -> tuple[object, ...]:
    total = _sum(path, row.stamp, row.shown)
    parts = (_sealed(part or b"", total) for part in (row.config, row.world))
    return (path, row.stamp, row.shown, *parts, total)


def _sealed(part: bytes, seed: int) -> bytes:
    """A part with a checksum before it that another row's part has not."""
    return zlib.crc32(part, seed).to_bytes(4, "little") + part


def _opened(sealed: bytes | None, seed: int) -> bytes | None:
    """A part that is whole; None where it is not, or was not asked for."""
    if sealed is None:
        return None
    part = sealed[4:]
    return part if sealed == _sealed(part, seed) else None


def _sum(path: bytes, stamp: bytes, shown: str) -> int:
    return zlib.crc32(shown.encode(), zlib.crc32(stamp, zlib.crc32(path)))


def _write(
    db: sqlite3.Connection, rows: list[tuple[object, ...]], gone: list[tuple[bytes]]
) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany("INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.executemany("DELETE FROM locks WHERE path = ?", gone)
        db.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
