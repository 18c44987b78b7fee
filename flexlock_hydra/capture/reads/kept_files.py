"""The bytes of files that a job is about to change, kept as they were when it began.

They lie in the output directory, at the paths by which the lock names them: with the run they
are moved, copied and deleted, and no record of where they are is needed.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from flexlock_hydra.capture.reads.audit_hook import unwatched
from flexlock_hydra.ports.safe_write import clone_file

LARGEST = 64 << 20
"""Bytes of a file above which it is not kept."""
MOST = 256 << 20
"""Bytes of all files that are kept for a job, or in one of the processes that it forks."""
_MOST_FILES = 1000
_SHARE = 8
"""A file is kept if its disk then has this many times as much left."""
_UNFINISHED, _IGNORE = ".unfinished-", ".gitignore"


@dataclass(eq=False)
class KeptFiles:
    """Keeps files, each once, the first time that it is asked to.

    Args:
        folder: tells where they are kept now, by ``place``; it is made with the first one.
        place: the relative path in it of a file.
        is_input: whether a file that is about to change is an input, as far as that is known.
        since: when the job began, ns since the epoch: what changed later is not what it read.
        wrote: whether the job opened a file for writing, and did not read it before.
    """

    folder: Callable[[], str]
    place: Callable[[str], str]
    is_input: Callable[[str], bool]
    since: int
    wrote: Callable[[str], bool]
    done: dict[str, str] = field(default_factory=dict)
    """Absolute path -> its place in the folder; empty where it could not be kept."""
    failed: dict[str, str] = field(default_factory=dict)
    """Absolute path -> why it could not be kept."""
    bytes: int = 0

    def keep(self, path: str, *, by_link: bool = False) -> None:
        """Keep a file, if it is an input and was not kept before; never raise for that.

        Args:
            path: absolute.
            by_link: its name is about to mean another file, so that nobody writes to this one.
        """
        if path in self.done or self.wrote(path):
            return
        try:
            info = os.stat(path)
        except (OSError, ValueError):  # nothing is there, or no file can have that name
            return
        if stat.S_ISDIR(info.st_mode):
            self._keep_below(path)
            return
        if not stat.S_ISREG(info.st_mode) or not self.is_input(path):
            return
        self.done[path] = ""
        try:
            with unwatched():
                self.done[path] = self._keep(path, info, self.place(path), by_link)
        except OSError as error:
            self.failed[path] = f"it cannot be kept: {error.strerror or error}"

    def _keep_below(self, folder: str) -> None:
        """Keep the files of a folder that is about to be taken away, if it is an input."""
        if self.is_input(folder):
            with unwatched():
                names = [os.path.join(up, name) for up, _, some in os.walk(folder) for name in some]
            for path in names[:_MOST_FILES]:
                self.keep(path)

    def _keep(self, path: str, info: os.stat_result, place: str, by_link: bool) -> str:
        folder = self.folder()
        kept = os.path.normpath(os.path.join(folder, place))
        if os.path.exists(kept):  # by another process of the job
            return place
        why = self._why_not(info, folder)
        if why:
            self.failed[path] = why
            return ""
        _make_folders(folder, os.path.dirname(kept))
        part = os.path.join(folder, f"{_UNFINISHED}{os.urandom(8).hex()}")
        try:
            if not (by_link and info.st_nlink == 1 and _link(path, part)):
                _copy(path, part)
                now = os.stat(part)
                if (now.st_mtime_ns, now.st_size) != (info.st_mtime_ns, info.st_size):
                    self.failed[path] = "it changed while it was kept"
                    return ""
            os.replace(part, kept)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)
        self.bytes += info.st_size
        return place

    def _why_not(self, info: os.stat_result, folder: str) -> str:
        """Why a file is not kept; empty where it is."""
        if info.st_mtime_ns >= self.since:
            return "it changed before that was seen"
        if info.st_size > LARGEST:
            return f"it is larger than what is kept, {LARGEST >> 20} MB"
        if self.bytes + info.st_size > MOST or len(self.done) > _MOST_FILES:
            return f"more than {MOST >> 20} MB or {_MOST_FILES} files would have to be kept"
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        if shutil.disk_usage(folder).free < info.st_size * _SHARE:
            return "its disk is nearly full"
        return ""

    def where(self, path: str) -> str | None:
        """Where the bytes of a file lie that this process kept, or one that it forked."""
        place = self.done.get(path, self.place(path))
        found = os.path.normpath(os.path.join(self.folder(), place)) if place else ""
        return found if os.path.isfile(found) else None

    def is_new(self, path: str) -> bool:
        """Whether the job wrote a file that was not there before, as far as it was seen."""
        return self.wrote(path) and path not in self.done

    def drop(self, is_other: Callable[[str], bool]) -> None:
        """Give the place of files back that the job left as they were.

        Args:
            is_other: tells those that are no inputs after all.
        """
        folder = self.folder()
        for path, place in self.done.items():
            kept = os.path.join(folder, place)
            with suppress(OSError):
                if place and (is_other(path) or _is_same(path, kept, self.since)):
                    os.unlink(kept)
        for up, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # as far as they are empty
                os.rmdir(up)
        top = os.path.dirname(folder)
        with suppress(OSError):
            if os.listdir(top) == [_IGNORE]:
                os.unlink(os.path.join(top, _IGNORE))
                os.rmdir(top)
                os.rmdir(os.path.dirname(top))


def _make_folders(top: str, folder: str) -> None:
    """Make a folder below that of a run, in a place that git does not look at."""
    kept = os.path.dirname(top)
    if not os.path.isdir(kept):
        os.makedirs(kept, exist_ok=True)
        with open(os.path.join(kept, _IGNORE), "w", encoding="utf-8") as file:
            file.write("*\n")
    os.makedirs(folder, exist_ok=True)


def _is_same(path: str, kept: str, since: int) -> bool:
    """Whether a file was left alone since it was kept: the copy has its times."""
    try:
        now, then = os.stat(path), os.stat(kept)
    except FileNotFoundError:
        return False
    if now.st_ctime_ns >= since:  # which nobody can set back
        return False
    return (now.st_mtime_ns, now.st_size) == (then.st_mtime_ns, then.st_size)


def _link(path: str, new: str) -> bool:
    try:
        os.link(path, new, follow_symlinks=True)
    except OSError:
        return False
    return True


def _copy(path: str, new: str) -> None:
    """Copy a file with its mode and times; share its blocks where the file system can."""
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        cloned = clone_file(path, fd)
    finally:
        os.close(fd)
    if not cloned:
        shutil.copyfile(path, new)
    shutil.copystat(path, new)
