"""What a file must be, and what must be installed, for it to be compared by its values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from flexlock_hydra.replay.compare.judge import UnreadableError

MOST_UNPACKED = 8 * 1024**3
"""Bytes of what compressed files hold: a small file may unpack to more than any disk has."""


@contextmanager
def unreadable(why: str, errors: tuple[type[BaseException], ...]) -> Iterator[None]:
    """Some errors of a reader's, as the one that has a file compared in a simpler way.

    Raises:
        UnreadableError: one of the ``errors`` came; ``why`` is its text.
    """
    try:
        yield
    except errors as error:
        raise UnreadableError(why) from error


def check_size(size: int, largest: int, what: str = "") -> None:
    """Refuse what takes too much memory or time.

    Raises:
        UnreadableError: ``size`` is above ``largest``, both in bytes.
    """
    if size > largest:
        raise UnreadableError(f"{what} larger than {largest // 1024**2} MiB".lstrip())


def check_unpacked(size: int) -> None:
    """Refuse what is too large once it is unpacked.

    Raises:
        UnreadableError: it has more than ``MOST_UNPACKED`` bytes.
    """
    if size > MOST_UNPACKED:
        raise UnreadableError(f"larger than {MOST_UNPACKED // 1024**3} GiB when unpacked")


def require_package(name: str) -> None:
    """Make sure of an optional package, by the name that people call it.

    Raises:
        UnreadableError: it cannot be imported.
    """
    with unreadable(f"{name} is not installed here", (ImportError,)):
        import_module(name.lower())
