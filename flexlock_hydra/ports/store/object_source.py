"""The bytes of an object that is to be sent, and whether they are still those of its id."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

from flexlock_hydra.errors import DataError, FlexlockError
from flexlock_hydra.ports.git.command import redact_url

SMALL = 1024 * 1024
"""Bytes up to which a file is sent in one piece, its md5 checked before."""
_READ_ONLY = os.O_RDONLY | getattr(os, "O_BINARY", 0)
_TOKEN, _numbers = os.urandom(4).hex(), count()


class ObjectSource(NamedTuple):
    """Where the bytes of an object are: a file with its size and mtime (ns) when hashed."""

    path: str
    size: int
    mtime_ns: int | None


Sendable = tuple[str, "ObjectSource | bytes"]
"""An object's id and its bytes."""


def md5_of(path: str | Path) -> str:
    """The md5 of a file's bytes; raises OSError."""
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(SMALL):
            found.update(block)
    return found.hexdigest()


def is_unchanged(source: ObjectSource) -> bool:
    """Whether a file is still the one that was hashed, by its size and mtime."""
    try:
        found = os.stat(source.path)
    except OSError:
        return False
    same_time = source.mtime_ns is None or found.st_mtime_ns == source.mtime_ns
    return stat.S_ISREG(found.st_mode) and found.st_size == source.size and same_time


def changed(path: str) -> DataError:
    """The error of a file that is not what it was when it was hashed."""
    return DataError(f"{path} changed while it was pushed", hint="Nothing was tagged; push again.")


def read_small(oid: str, source: ObjectSource | bytes) -> bytes:
    """The bytes of a small object, checked against its id.

    Raises:
        DataError: they are others, or cannot be read.
    """
    if isinstance(source, bytes):
        return source
    with reading(source):
        fd = os.open(source.path, _READ_ONLY)  # a file object costs three system calls more
        try:
            # One byte more than it had: a file that has grown does not pass for itself.
            content = os.read(fd, source.size + 1)
            while len(content) < source.size and (more := os.read(fd, source.size)):
                content += more
        finally:
            os.close(fd)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != oid[:32]:
        raise changed(source.path)
    return content


def checked(oid: str, source: ObjectSource) -> ObjectSource:
    """A file whose bytes are those of its id now, with its mtime now.

    Raises:
        DataError: they are others, or cannot be read.
    """
    with reading(source):
        if source.mtime_ns is None:
            source = source._replace(mtime_ns=os.stat(source.path).st_mtime_ns)
        if not is_unchanged(source) or md5_of(source.path) != oid[:32]:
            raise changed(source.path)
    return source


@contextmanager
def reading(source: ObjectSource) -> Iterator[None]:
    """A file that cannot be read is no fault of the remote: DataError."""
    try:
        yield
    except FileNotFoundError as error:
        raise changed(source.path) from error
    except OSError as error:
        if isinstance(error, FlexlockError):
            raise
        raise DataError(f"{source.path} cannot be read: {reason(error)}") from error


def size_of(source: ObjectSource | bytes) -> int:
    """Bytes of an object to be sent."""
    return len(source) if isinstance(source, bytes) else source.size


def name_beside(place: str) -> str:
    """A name for a file until it is whole: no two are alike in any process of any machine."""
    return f"{place}.{_TOKEN}-{os.getpid()}-{next(_numbers)}.tmp"


def reason(error: BaseException) -> str:
    """What went wrong, in few words and without credentials."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = redact_url(" ".join(str(error).split())[:300])
    # Some libraries' timeouts have no message.
    unsaid = "no answer in time" if "Timeout" in type(error).__name__ else type(error).__name__
    return said or unsaid
