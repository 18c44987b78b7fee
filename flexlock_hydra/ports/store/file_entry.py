"""What fsspec's file systems say of a file in a listing: a dictionary, by names of their own."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def entry_name(entry: dict[str, Any]) -> str:
    """The last part of its path."""
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def entry_is_file(entry: dict[str, Any]) -> bool:
    """Whether it is a file, as all are where nothing is said of that."""
    return bool(entry.get("type", "file") == "file")


def entry_size(entry: dict[str, Any]) -> int:
    """Its bytes; 0 where nothing is said of that."""
    return int(entry.get("size") or 0)


def entry_time(entry: dict[str, Any]) -> float | None:
    """When a file was written, in seconds; each kind of remote has its own name for it."""
    for key in ("LastModified", "last_modified", "mtime", "modified", "updated"):
        value = entry.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None
