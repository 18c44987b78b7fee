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
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
_OLD = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MODE = 0o666
_FICLONE = 0x40049409


@dataclass
class SafeFolder:
    """The folder ``root``; paths are relative to it, with slashes. Raises TargetError."""

    root: Path
    _open: dict[str, int] = field(default_factory=dict)
    """Folders that are open: the last one and those above it."""

    def __enter__(self) -> SafeFolder:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def look(self, path: str) -> os.stat_result | None:
        """The stat of what lies there, links not followed; None where nothing does."""
        with self._named(path):
            try:
                parent, name = self._parent(path, make=False)
            except FileNotFoundError:
                return None
            try:
                return os.lstat(self._full(path)) if not _CAN else os.stat(
                    name, dir_fd=parent, follow_symlinks=False
                )
            except (FileNotFoundError, NotADirectoryError):
                return None

    @contextmanager
    def reading(self, path: str) -> Iterator[int]:
        """A descriptor of a file that lies there, no link."""
        with self._named(path):
            parent, name = self._parent(path, make=False)
            fd = os.open(name, _OLD, dir_fd=parent) if _CAN else os.open(self._full(path), _OLD)
        try:
            yield fd
        finally:
            os.close(fd)

    def write(self, path: str, fill: Callable[[int], None], *, executable: bool = False) -> None:
        """A new file that ``fill`` writes to a descriptor; there when it is whole.

        What was there before, a link included, is replaced.
        """
        with self._named(path):
            parent, name = self._parent(path)
            beside = f".{os.urandom(6).hex()}.flexlock"
            fd = self._new(parent, path, beside)
            try:
                try:
                    fill(fd)
                    if executable and os.name != "nt":
                        mode = os.fstat(fd).st_mode
                        os.fchmod(fd, mode | (mode & 0o444) >> 2)
                finally:
                    os.close(fd)
                self._rename(parent, path, beside, name)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._unlink(parent, path, beside)
                raise

    def link(self, path: str, source: str, kind: str) -> bool:
        """A hard link or a symbolic link to a file elsewhere; whether it could be made."""
        with self._named(path):
            parent, name = self._parent(path)
            beside = f".{os.urandom(6).hex()}.flexlock"
            where = beside if _CAN else self._full(path).replace(name, beside)
            try:
                if kind == "symlink":
                    os.symlink(source, where, dir_fd=parent if _CAN else None)
                elif _CAN:
                    os.link(source, where, dst_dir_fd=parent, follow_symlinks=False)
                else:
                    os.link(source, where)
            except OSError as error:
                if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                    return False
                raise
            try:
                if kind != "symlink" and not self._is_file(parent, where):
                    self._unlink(parent, path, beside)
                    return False
                self._rename(parent, path, beside, name)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._unlink(parent, path, beside)
                raise
        return True

    def remove(self, path: str) -> None:
        """Take a file or a link away."""
        with self._named(path):
            parent, name = self._parent(path, make=False)
            self._unlink(parent, path, name)

    def make_folder(self, path: str) -> None:
        """A folder, and those above it."""
        with self._named(path):
            self._parent(f"{path}/x")

    def _parent(self, path: str, *, make: bool = True) -> tuple[int | None, str]:
        """An open folder and the last name of a path in it."""
        folder, _, name = path.rpartition("/")
        if not _CAN:
            self._check(folder, make)
            return None, name
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

    def _new(self, parent: int | None, path: str, beside: str) -> int:
        if _CAN:
            return os.open(beside, _NEW, _MODE, dir_fd=parent)
        place = os.path.join(os.path.dirname(self._full(path)), beside)
        return os.open(place, _NEW | getattr(os, "O_BINARY", 0), _MODE)

    def _rename(self, parent: int | None, path: str, beside: str, name: str) -> None:
        if _CAN:
            os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
        else:
            os.replace(os.path.join(os.path.dirname(self._full(path)), beside), self._full(path))

    def _unlink(self, parent: int | None, path: str, beside: str) -> None:
        if _CAN:
            os.unlink(beside, dir_fd=parent)
        else:
            os.unlink(os.path.join(os.path.dirname(self._full(path)), beside))

    def _is_file(self, parent: int | None, where: str) -> bool:
        """Whether what was linked is a file: the hard link of a link would lead away."""
        dir_fd = parent if _CAN else None
        return stat.S_ISREG(os.stat(where, dir_fd=dir_fd, follow_symlinks=False).st_mode)

    def _close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    @contextmanager
    def _named(self, path: str) -> Iterator[None]:
        """What the system refuses, as an error that names the path."""
        try:
            yield
        except FlexlockError:
            raise
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
                raise TargetError(
                    f"{self.root / path} is not what it should be: {error.strerror}",
                    hint="A link or a file is in the way; look who put it there, and pull again.",
                ) from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise TargetError(
                    f"{self.root / path} cannot be written: {error.strerror}",
                    hint="Make room there, then pull again: what is there already stays.",
                ) from error
            raise TargetError(
                f"{self.root / path} cannot be written: {error.strerror or error}",
                hint="Choose another folder: --into DIR",
            ) from error


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
