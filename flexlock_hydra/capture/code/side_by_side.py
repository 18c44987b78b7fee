"""Whether a job was the only one in its repository all the while that it ran.

Each job holds a shared lock on one file in git's own folder while it runs, and adds a line to it:
who could not get the lock alone at its start had company, and so had who finds another's line
at its end. A process that is killed loses its lock.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.code.drift import CLOCK_SLACK

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME = "flexlock-jobs"
_ATTEMPTS = 50  # at the shared lock, which others hold alone for an instant only

_present: dict[Path, _Presence] = {}  # by git's folder, of this process


@dataclass(frozen=True)
class _Presence:
    fd: int
    line: bytes
    was_first: bool

    def is_alone(self) -> bool:
        return self.was_first and os.pread(self.fd, len(self.line) + 1, 0) == self.line


def enter_repo(git_dir: Path, since: int) -> None:
    """Be present in a repository, until :func:`leave_repo` or the end of this process.

    Where that cannot be said of (Windows, a folder that is not to be written to), nothing is.

    Args:
        since: nanoseconds since the epoch, from when on company counts.
    """
    _drop(git_dir)  # of an earlier run in this process
    if fcntl is None:
        return
    with suppress(OSError):
        fd = os.open(git_dir / _NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            was_first = _has_it_alone(fd) and not _was_left_since(fd, since)
            if was_first:
                os.ftruncate(fd, 0)
            line = f"{os.getpid()} {os.urandom(8).hex()}\n".encode()
            _share(fd)
            os.write(fd, line)
        except OSError:
            os.close(fd)
            raise
        _present[git_dir] = _Presence(fd, line, was_first)


def is_alone(git_dir: Path) -> bool:
    """Whether nobody else was present since this process came; False where that is not known."""
    with suppress(KeyError, OSError):
        return _present[git_dir].is_alone()
    return False


def leave_repo(git_dir: Path) -> None:
    """End this process's presence in a repository, if it has one there."""
    if git_dir in _present:
        with suppress(OSError):
            os.utime(_present[git_dir].fd)
    _drop(git_dir)


def _drop(git_dir: Path) -> None:
    if (mine := _present.pop(git_dir, None)) is not None:
        with suppress(OSError):
            fcntl.flock(mine.fd, fcntl.LOCK_UN)  # a child that was forked has the lock as well
        os.close(mine.fd)


def _has_it_alone(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _was_left_since(fd: int, since: int) -> bool:
    """Whether anybody came or left since a moment: both change the file's time."""
    seen = os.fstat(fd)
    return seen.st_size > 0 and seen.st_mtime_ns >= since - CLOCK_SLACK


def _share(fd: int) -> None:
    """Take the shared lock in the place of what is held.

    Raises:
        OSError: somebody has it alone, and is stopped.
    """
    for _ in range(_ATTEMPTS):
        with suppress(BlockingIOError):
            return fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        time.sleep(0.002)
    raise BlockingIOError
