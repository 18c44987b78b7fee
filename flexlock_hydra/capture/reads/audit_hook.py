"""What this process and its forked children open, as Python's audit hook tells it.

The hook sees ``open``, ``os.open``, ``sqlite3.connect``, ``os.listdir`` and ``os.scandir``, and
what takes files away, before it happens: ``os.rename``, ``os.remove``, ``os.truncate`` and
``shutil.rmtree``
(https://docs.python.org/3/library/audit_events.html). It sees no library that opens files in C,
and no process that is started anew. It stays in the process once it is there, and does nothing
while nobody watches.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded where a file is kept
    from flexlock_hydra.capture.reads.kept_files import KeptFiles

_WRITING = os.O_WRONLY | os.O_RDWR
_LARGE = 16 << 20  # bytes
_LOOKED_AT = 100  # files of one folder whose size is asked for: where so many are, they are small


class Access(IntEnum):
    """What was done with a file, as far as its openings tell."""

    READ = 0
    WRITTEN = 1
    """Its first opening was for writing: it is this job's own."""
    CHANGED = 2
    """Read first, or opened for both, and written."""


@dataclass(eq=False)
class Watch:
    """The files that are opened while it goes on, by the absolute paths that they were opened by.

    Args:
        thread: where several jobs share a process, the thread that this one runs in.
        seen: folder -> name -> what was done; a million paths fit into memory so.
    """

    pid: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)
    seen: dict[str, dict[str, Access]] = field(default_factory=dict)
    listed: dict[str, None] = field(default_factory=dict)
    told: IO[bytes] | None = None  # where forked children say what they opened
    keeper: KeptFiles | None = None  # of what is about to change
    on_large: Callable[[str], None] | None = None
    """Is told of large files when this process first opens them for reading."""

    def start(self) -> None:
        """Watch what this process opens from now on."""
        _install()
        _watches.append(self)

    def opened(self, path: str, flags: int) -> None:
        """Note that a file is opened; before it is written to it is kept, if it is an input."""
        folder, _, name = path.rpartition(os.sep)
        names = self.seen.get(folder)
        if names is None:
            names = self.seen.setdefault(folder, {})
        before, now = names.get(name), _access(flags)
        if now is not Access.READ and self.keeper is not None:
            self.keeper.keep(path)
        if before is None:
            names[name] = now
        elif before is Access.READ and now is not Access.READ:
            names[name] = now = Access.CHANGED
        else:
            return
        if self.told is not None and os.getpid() != self.pid:
            self._tell(f"{now.value}{path}")
        elif now is Access.READ and self.on_large is not None and len(names) <= _LOOKED_AT:
            self._look(path, self.on_large)

    def _look(self, path: str, on_large: Callable[[str], None]) -> None:
        with suppress(OSError, ValueError):  # it is not there: whoever opens it hears of it
            if os.stat(path).st_size >= _LARGE and os.getpid() == self.pid:
                on_large(path)

    def database(self, path: str) -> None:
        """Note that SQLite opens a file: it may read it, and write to it."""
        if self.access(path) is None:
            self.opened(path, os.O_RDONLY)
        self.opened(path, os.O_RDWR)

    def taken(self, path: str, *, is_last: bool = False) -> None:
        """Note that a name is about to mean another file, or none.

        Args:
            is_last: whether the file has no other name then.
        """
        if self.keeper is not None:
            self.keeper.keep(path, by_link=is_last)
        self.opened(path, os.O_WRONLY | os.O_TRUNC)

    def listing(self, path: str) -> None:
        """Note that the names in a folder were listed."""
        if path not in self.listed:
            self.listed[path] = None
            if self.told is not None and os.getpid() != self.pid:
                self._tell(f"l{path}")

    def _tell(self, line: str) -> None:
        assert self.told is not None
        if "\0" not in line:  # no file has such a name
            with suppress(OSError, ValueError):  # a child that closed all files, a full disk
                os.write(self.told.fileno(), os.fsencode(line) + b"\0")

    def end(self) -> None:
        """Stop watching, and take in what forked children told."""
        with suppress(ValueError):  # ended before
            _watches.remove(self)
        if self.told is None:
            return
        with self.told as file:
            for line in _lines(file.fileno()):
                path = os.fsdecode(line[1:])
                if line[:1] == b"l":
                    self.listed[path] = None
                else:
                    self._merge(path, Access(int(line[:1])))
        self.told = None

    def access(self, path: str) -> Access | None:
        """What was done with a file; None where nobody opened it by this path."""
        folder, _, name = path.rpartition(os.sep)
        return self.seen.get(folder, {}).get(name)

    def read(self) -> dict[str, list[str]]:
        """The names of the files that were read and not written, by their folders."""
        found = {
            folder: [name for name, access in names.items() if access is Access.READ]
            for folder, names in self.seen.items()
        }
        return {folder: names for folder, names in found.items() if names}

    def with_access(self, wanted: Access) -> Iterator[str]:
        """The paths of the files with which that was done."""
        for folder, names in self.seen.items():
            for name, access in names.items():
                if access is wanted:
                    yield f"{folder}{os.sep}{name}"

    def _merge(self, path: str, now: Access) -> None:
        folder, _, name = path.rpartition(os.sep)
        names = self.seen.setdefault(folder, {})
        before = names.setdefault(name, now)
        if before is Access.READ and now is not Access.READ:
            names[name] = Access.CHANGED


def by_folder(paths: Iterable[str]) -> dict[str, list[str]]:
    """The names of files by the folders that they lie in."""
    found: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        found.setdefault(folder, []).append(name)
    return found


_watches: list[Watch] = []
_unwatched: set[int] = set()


@contextmanager
def unwatched() -> Iterator[None]:
    """Do what is no job's own reading: in this thread, nothing that is opened counts."""
    here = threading.get_ident()
    if here in _unwatched:
        yield
        return
    _unwatched.add(here)
    try:
        yield
    finally:
        _unwatched.discard(here)


@cache  # once a process: a hook cannot be removed
def _install() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork)
    sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watches or event not in _EVENTS or threading.get_ident() in _unwatched:
        return
    if event == "os.rename" and (path := _path_of(args[1], args[3])) is not None:
        for watch in _watching():
            watch.taken(path, is_last=True)
    at = args[_DIR_FD[event]] if event in _DIR_FD else -1
    path = _path_of(args[0], at)
    if path is None:
        return
    for watch in _watching():
        _EVENTS[event](watch, path, args)


_EVENTS: dict[str, Callable[[Watch, str, tuple[Any, ...]], None]] = {
    "open": lambda watch, path, args: watch.opened(path, args[2]),
    "sqlite3.connect": lambda watch, path, args: watch.database(path),
    "os.listdir": lambda watch, path, args: watch.listing(path),
    "os.scandir": lambda watch, path, args: watch.listing(path),
    "os.rename": lambda watch, path, args: watch.taken(path),
    "os.remove": lambda watch, path, args: watch.taken(path, is_last=True),
    "os.truncate": lambda watch, path, args: watch.opened(path, os.O_WRONLY),
    "shutil.rmtree": lambda watch, path, args: watch.taken(path),
}
_DIR_FD = {"os.rename": 2, "os.remove": 1}
"""Which argument of an event is the folder that a relative path starts at; -1: the current."""


def _path_of(path: Any, dir_fd: Any = -1) -> str | None:
    """The absolute path that an event tells of; None where it tells none."""
    if type(path) is not str:
        if path is None:
            path = "."
        elif isinstance(path, int):  # a file descriptor: what it leads to was opened before
            return None
        else:
            try:
                path = os.fsdecode(path)
            except TypeError:
                return None
    if os.path.isabs(path):
        return str(path)
    if dir_fd != -1:  # as in shutil.rmtree, of which we hear as a whole
        return None
    return _absolute(path)


def _absolute(path: str) -> str:
    try:
        return os.path.join(os.getcwd(), path)
    except OSError:  # the working folder is gone, and so is what was meant
        return path


def _watching() -> list[Watch]:
    """The watches that an opening belongs to: the thread's own, else all of them.

    A thread that a job started may be of any job whose thread it is not.
    """
    if len(_watches) == 1:
        return _watches
    here = threading.get_ident()
    return [watch for watch in _watches if watch.thread == here] or [*_watches]


def _access(flags: Any) -> Access:
    if not isinstance(flags, int) or not flags & (_WRITING | os.O_CREAT | os.O_TRUNC):
        return Access.READ
    if flags & _WRITING == os.O_RDWR and not flags & os.O_TRUNC:
        return Access.CHANGED
    return Access.WRITTEN


def _before_fork() -> None:
    """Before a fork: make the file in which the child says what it opens."""
    for watch in _watches:
        if watch.told is None and watch.pid == os.getpid():
            with suppress(OSError):  # no space: what children open is not seen
                watch.told = _shared_file()


def _shared_file() -> IO[bytes]:
    """A file without a name; what is forked writes at one place, each line whole."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("flexlock-opened"), "r+b", buffering=0)
    from tempfile import TemporaryFile  # loads much, and nearly all systems have the other

    return TemporaryFile(buffering=0)


def _lines(fd: int) -> Iterator[bytes]:
    """What was told so far; children that live on write behind it, at an offset that all share."""
    rest, at = b"", 0
    while block := os.pread(fd, 1 << 20, at):
        at += len(block)
        *lines, rest = (rest + block).split(b"\0")
        yield from lines
