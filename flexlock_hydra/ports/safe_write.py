"""Write below one folder and nowhere else, whatever links anybody puts there meanwhile.

Every folder on the way is opened by its own name without following a link, and a file is
made inside the opened folder: a link that takes a folder's place leads nowhere. Where a
platform cannot do that (Windows), each step is looked at before it is used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.errors import FlexlockError, TargetError

_CAN = os.name == "posix" and {os.open, os.mkdir, os.rename, os.symlink} <= os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_OLD = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_NEW |= getattr(os, "O_BINARY", 0)
_FICLONE = 0x40049409
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP)


class _CannotLinkError(Exception):
    """A file of this file system cannot be linked to from there."""


@dataclass
class SafeFolder:
    """The folder ``root``; paths are relative to it, with slashes. Raises TargetError."""

    root: Path
    _open: dict[str, int] = field(default_factory=dict)
    """Folders that are open: the last one and those above it."""

    def __enter__(self) -> SafeFolder:
        return self

    def __exit__(self, *error: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def look(self, path: str) -> os.stat_result | None:
        """The stat of what lies there, links not followed; None where nothing does."""
        with self._named(path), contextlib.suppress(FileNotFoundError):
            parent, place = self._lead_to(path, make=False)
            with contextlib.suppress(NotADirectoryError):
                return os.stat(place, dir_fd=parent, follow_symlinks=False)
        return None

    @contextmanager
    def reading(self, path: str) -> Iterator[int]:
        """A descriptor of a file that lies there, no link."""
        with self._named(path):
            parent, place = self._lead_to(path, make=False)
            fd = os.open(place, _OLD, dir_fd=parent)
        try:
            yield fd
        finally:
            os.close(fd)

    def write(self, path: str, fill: Callable[[int], None], *, executable: bool = False) -> None:
        """A new file that ``fill`` writes to a descriptor; there when it is whole.

        What was there before, a link included, is replaced.
        """
        with self._beside(path) as (parent, new):
            fd = os.open(new, _NEW, 0o666, dir_fd=parent)
            try:
                fill(fd)
                if executable and os.name != "nt":
                    mode = os.fstat(fd).st_mode
                    os.fchmod(fd, mode | (mode & 0o444) >> 2)
            finally:
                os.close(fd)

    def link(self, path: str, source: str, kind: str) -> bool:
        """A hard link or a symbolic link to a file elsewhere; whether it could be made."""
        try:
            with self._beside(path) as (parent, new):
                self._link_new(parent, new, source, kind)
        except _CannotLinkError:
            return False
        return True

    def remove(self, path: str) -> None:
        """Take a file or a link away."""
        with self._named(path):
            parent, place = self._lead_to(path, make=False)
            os.unlink(place, dir_fd=parent)

    def make_folder(self, path: str) -> None:
        """A folder, and those above it."""
        with self._named(path):
            self._lead_to(f"{path}/x")

    @contextmanager
    def _beside(self, path: str) -> Iterator[tuple[int | None, str]]:
        """A new name beside a path: what is made there takes the path's place at the end."""
        with self._named(path):
            parent, place = self._lead_to(path)
            new = os.path.join(os.path.dirname(place), f".{os.urandom(6).hex()}.flexlock")
            try:
                yield parent, new
                os.replace(new, place, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(new, dir_fd=parent)
                raise

    def _link_new(self, parent: int | None, new: str, source: str, kind: str) -> None:
        try:
            if kind == "symlink":
                os.symlink(source, new, dir_fd=parent)
                return
            # Not every platform takes False, see os.supports_follow_symlinks.
            os.link(source, new, dst_dir_fd=parent, follow_symlinks=not _CAN)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise _CannotLinkError from error
            raise
        # The hard link of a link would lead away.
        if not stat.S_ISREG(os.stat(new, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _CannotLinkError

    def _lead_to(self, path: str, *, make: bool = True) -> tuple[int | None, str]:
        """An open folder and the last name of a path in it; else no folder and the whole path."""
        folder, _, name = path.rpartition("/")
        if not _CAN:
            self._check(folder, make)
            return None, self._full(path)
        if folder not in self._open:
            self._enter(folder, make)
        return self._open[folder], name

    def _enter(self, folder: str, make: bool) -> None:
        """Open a folder step by step; those that do not lead there are closed."""
        above = {"", *_ups(folder)}
        for path in [path for path in self._open if path not in above]:
            os.close(self._open.pop(path))
        if "" not in self._open:
            self._open[""] = os.open(self.root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        for path in reversed([*_ups(folder)]):
            if path not in self._open:
                up, _, name = path.rpartition("/")
                self._open[path] = _step(self._open[up], name, make)

    def _check(self, folder: str, make: bool) -> None:
        for path in reversed([*_ups(folder)]):
            place = self._full(path)
            if os.path.islink(place):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
            if make and not os.path.isdir(place):
                os.mkdir(place)

    def _full(self, path: str) -> str:
        return os.path.join(self.root, *path.split("/"))

    @contextmanager
    def _named(self, path: str) -> Iterator[None]:
        """What the system refuses, as an error that names the path."""
        try:
            yield
        except FlexlockError:
            raise
        except OSError as error:
            problem, hint = "cannot be written", "Choose another folder: --into DIR"
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
                problem = "is not what it should be"
                hint = "A link or a file is in the way; look who put it there, and pull again."
            elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                hint = "Make room there, then pull again: what is there already stays."
            reason = error.strerror or error
            raise TargetError(f"{self.root / path} {problem}: {reason}", hint=hint) from error


def clone_file(source: str, fd: int) -> bool:
    """Share a file's blocks with a new one, where the file system can; whether it could."""
    try:
        import fcntl
    except ImportError:
        return False
    with open(source, "rb") as file:
        try:
            fcntl.ioctl(fd, _FICLONE, file.fileno())
        except OSError:
            return False
    return True


def _step(parent: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
    fd = os.open(name, _FOLDER, dir_fd=parent)
    assert stat.S_ISDIR(os.fstat(fd).st_mode)
    return fd


def _ups(path: str) -> Iterator[str]:
    """A path and those above it, the nearest first."""
    while path:
        yield path
        path = path.rpartition("/")[0]
