"""Paths as locks and tags hold them: POSIX text, compared by their names alone."""

from __future__ import annotations

from collections.abc import Iterator


def join_path(folder: str, rel: str) -> str:
    """A path below a folder of the checkout; the folder itself for an empty ``rel``."""
    return f"{folder}/{rel}" if rel else folder


def is_under(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies below it."""
    return path == folder or path.startswith(f"{folder}/")


def with_parents(path: str) -> Iterator[str]:
    """A path and the folders above it, the nearest first."""
    while path:
        yield path
        path = path.rpartition("/")[0]
