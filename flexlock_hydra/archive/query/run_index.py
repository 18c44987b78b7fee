"""What locks say, kept in SQLite: a lock whose stat is unchanged is not read again.

A row is believed only if the lock's size, times, inode and device are those of when it was
read, and if the row's checksum says that it is whole. The index is a help and nothing more:
whatever is wrong with it, locks are read without it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flexlock_hydra.ports.cache_folder import database_file
from flexlock_hydra.ports.sqlite_index import SqliteIndex
from flexlock_hydra.record.brief_fields import WORLD_SECTIONS, ShownRun

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
    return database_file("runs-1")


def content_version(*rows: type) -> int:
    """A number that another one takes the place of when a row, a section or a column changes."""
    # Annotations by their text: how a type is printed differs between versions of Python.
    fields = [
        f"{name}: {getattr(hint, '__forward_arg__', hint)}"
        for row in rows
        for name, hint in row.__annotations__.items()
    ]
    return zlib.crc32(repr((fields, WORLD_SECTIONS, _SCHEMA)).encode()) & 0x7FFF_FFFF


class RunIndex(SqliteIndex):
    """An open index of runs."""

    schema = _SCHEMA
    version = content_version(ShownRun, Row)

    def known(self, folder: str, parts: Collection[str] = ()) -> dict[str, Row]:
        """The locks below a folder by their paths, with those of the parts that are needed."""
        below = os.fsencode(os.path.join(folder, ""))
        columns = ", ".join(name if name in parts else "NULL" for name in PARTS)

        def collect(db: sqlite3.Connection) -> dict[str, Row]:
            found = {}
            rows = db.execute(
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

        return self.ask(collect, {})

    def keep(self, rows: Mapping[str, Row], gone: Iterable[str]) -> None:
        """Write rows and drop others."""
        self.write(
            (
                "INSERT OR REPLACE INTO locks VALUES (?, ?, ?, ?, ?, ?)",
                [_values(os.fsencode(path), row) for path, row in rows.items()],
            ),
            ("DELETE FROM locks WHERE path = ?", [(os.fsencode(path),) for path in gone]),
        )


def pack(stamp: bytes, brief: Brief) -> Row:
    """The row of a lock."""
    return Row(stamp, brief.shown, _packed(brief.config), _packed(brief.world))


@lru_cache(maxsize=64)  # runs of an app share their environment: it is parsed once
def unpack(part: bytes | None) -> Json:
    """The value of a part of a row; the part must have been asked for."""
    assert part is not None
    return json.loads(zlib.decompress(part))


@lru_cache(maxsize=256)
def _packed(text: str) -> bytes:
    return zlib.compress(text.encode(), 1)


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
    """The checksum of a row, which that of another version or another path does not have.

    A program of another version may have the file open and write to it after we began anew.
    """
    seed = zlib.crc32(path, RunIndex.version)
    return zlib.crc32(shown.encode(), zlib.crc32(stamp, seed))
