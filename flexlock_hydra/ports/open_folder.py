"""A folder that is held open, and so is known wherever it is moved to."""

from __future__ import annotations

import os
from pathlib import Path


class HeldFolder:
    """A folder by the file that it is and not by its name, until it is released.

    On systems without such handles on folders (Windows) it is known by its name alone.
    """

    def __init__(self, folder: Path) -> None:
        self._fd: int | None = None
        try:
            self._fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        except OSError:  # Windows opens none, or it is gone already
            return

    def release(self) -> None:
        """Let go of it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def is_at(self, place: Path) -> bool:
        """Whether it lies at a path; also where that cannot be told."""
        if self._fd is None:
            return True
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(place))
        except OSError:
            return False

    def place(self) -> Path | None:
        """Where it lies now; None where it was removed, or the system does not tell."""
        if self._fd is None:
            return None
        try:
            said = Path(_path_of(self._fd))
            return said if self.is_at(said) else None
        except OSError:
            return None


def _path_of(fd: int) -> str:
    """The path of an open folder, by the means of Linux or macOS."""
    try:
        import fcntl

        get_path: int = getattr(fcntl, "F_GETPATH")
        return os.fsdecode(fcntl.fcntl(fd, get_path, bytes(1024)).rstrip(b"\0"))
    except (ImportError, AttributeError):
        return os.readlink(f"/proc/self/fd/{fd}")
