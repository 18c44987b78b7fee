"""Which of the files that a job opened are its inputs, and under which key each stands."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path

from flexlock_hydra.capture.code.scope import matches
from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.capture.data.paths import seen_below
from flexlock_hydra.capture.reads.tool_paths import (
    is_plain, is_secret_by_name, is_tools_own, of_the_system
)
from flexlock_hydra.capture.secrets.leaks import LARGEST, find_secrets, holds_settings
from flexlock_hydra.record.model import Unrecorded

_MOST_UNRECORDED = 1000
_SCANNED = 200
"""Files of settings that are read to see whether they hold a secret."""

InCode = Callable[[Mapping[str, Collection[str]]], Mapping[str, Collection[str]]]
"""Of the names of files by their absolute folders, those that a recorded snapshot holds."""


@dataclass(frozen=True)
class ReadFolder:
    """Files of one folder that the job read and that are no code: names, and bytes of each."""

    folder: str
    names: list[str]
    sizes: list[int]

    def path(self, name: str) -> str:
        """The absolute path of one of its files."""
        return f"{self.folder.rstrip(os.sep)}{os.sep}{name}"

    def files(self) -> Iterator[tuple[str, int]]:
        """Absolute path and bytes of each file."""
        yield from zip(map(self.path, self.names), self.sizes, strict=True)

    def only(self, keep: Callable[[str, int], bool]) -> ReadFolder:
        """The same with the files that are kept, told by name and bytes."""
        left = [each for each in zip(self.names, self.sizes) if keep(*each)]
        return ReadFolder(self.folder, [name for name, _ in left], [size for _, size in left])


@dataclass(frozen=True)
class Surroundings:
    """What tells an input from other files.

    Args:
        root: the project's; what lies outside of it is an input where the config names it.
        outputs: folders that the job writes to.
        known: inputs that are recorded already, files or folders; patterns too.
        named: absolute paths in the config, each with its key.
        since: when the job started, ns since the epoch: what changed later is its own work.
        exclude: globs of what shall be no input.
        listed: folders that the job listed.
        in_code: tells what a snapshot holds.
        writer: the id of another run that still writes to a folder, if one does.
        made: files that the job wrote, and did not read before.
        kept: files that it read and then changed, with where their earlier bytes lie.
        lost: those of which nothing earlier is kept, with why not.
    """

    root: str
    outputs: tuple[str, ...]
    known: frozenset[str]
    named: Mapping[str, str]
    since: int
    exclude: tuple[str, ...]
    listed: frozenset[str]
    in_code: InCode
    writer: Callable[[str], str | None] = lambda folder: None
    made: frozenset[str] = frozenset()
    kept: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)

    def below_root(self, path: str) -> str | None:
        """The path relative to the root; None for what lies outside of it."""
        return path[len(self.root) + 1:] if path.startswith(f"{self.root}{os.sep}") else None

    def written(self, path: str) -> str:
        """A path as a key or a message has it: relative to the root where it lies below it."""
        return (self.below_root(path) or path).replace(os.sep, "/")

    def in_reach(self, path: str) -> bool:
        """Whether a path lies in the project, or the config names it or a folder above it."""
        return self.below_root(path) is not None or self.name_of(path) is not None

    def excludes(self, path: str) -> bool:
        """Whether the user wants a file or a folder to be no input."""
        return any(matches(self.written(path).lstrip("/"), glob) for glob in self.exclude)

    def is_apart(self, folder: str) -> bool:
        """Whether files in a folder are no inputs: the job's own, the system's, a tool's."""
        if any(folder == each or folder.startswith(f"{each}{os.sep}") for each in self.outputs):
            return True
        inside = self.below_root(f"{folder}{os.sep}")
        if inside is not None:
            return is_tools_own(inside)
        name = self.name_of(folder)
        # What leads to a path that the config names is nobody's choice; what is below it, is.
        below = folder if name is None else folder[len(name):]
        return of_the_system()(f"{folder}{os.sep}") or is_tools_own(below)

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """The recorded inputs that are patterns."""
        found = (Pattern.parse(Path(each)) for each in self.known)
        return tuple(each for each in found if each is not None)

    def matches_known(self, path: str) -> bool:
        """Whether a recorded pattern takes a file for one of its matches."""
        return any(each.matches(Path(path)) for each in self.patterns)

    def is_known(self, folder: str) -> bool:
        """Whether a folder is recorded as an input already, or lies in one."""
        return any(each in self.known for each in _with_folders_above(folder))

    def knows_of(self, folder: str) -> bool:
        """Whether a folder is recorded as an input already, lies in one, or holds one."""
        inside = f"{folder}{os.sep}"
        return self.is_known(folder) or any(each.startswith(inside) for each in self.known)

    def name_of(self, path: str) -> str | None:
        """The path in the config that names a file: its own, or the nearest folder above it."""
        return next((each for each in _with_folders_above(path) if each in self.named), None)


def _with_folders_above(path: str) -> Iterator[str]:
    yield path
    while (path := path.rpartition(os.sep)[0]):
        yield path


@dataclass
class Selection:
    """The inputs among the files that were opened, and what cannot be recorded."""

    folders: list[ReadFolder] = field(default_factory=list)
    unrecorded: list[Unrecorded] = field(default_factory=list)

    def add_unrecorded(self, path: str, why: str, size: int, around: Surroundings) -> None:
        """Name a file that was read and is not recorded, as long as they are not too many."""
        if len(self.unrecorded) < _MOST_UNRECORDED:
            named = around.name_of(path)
            key = None if named is None else around.named[named]
            text = _as_text(around.written(path))
            self.unrecorded.append(Unrecorded(path=text, why=why, config_key=key, size=size))


def select(opened: Mapping[str, Collection[str]], around: Surroundings) -> Selection:
    """The files among those that were opened for reading that are inputs of the job.

    Args:
        opened: names by their absolute folders, as they were opened; dots are taken out.
    """
    found, settings = Selection(), repeat(True, _SCANNED)
    candidates = [each for each in _candidates(opened, around, found) if each.names]
    code = around.in_code({each.folder: each.names for each in candidates})

    def is_input(each: ReadFolder, is_inside: bool, name: str, size: int) -> bool:
        path = each.path(name)
        kept, lost = around.kept.get(path), around.lost.get(path)
        if lost is None and kept is None and is_inside and name.isascii() and is_plain(name):
            return True  # of very many files
        why = lost or _why_not(path, around)
        if why is None and holds_settings(name) and size <= LARGEST:
            why = _shown_secret(kept or path) if next(settings, False) else None
        if why is not None:
            found.add_unrecorded(path, why, size, around)
        return why is None

    for each in candidates:
        held = code.get(each.folder, ())
        left = each.only(lambda name, _: name not in held)  # noqa: B023 (called at once)
        is_plainly_inside = each.folder.isascii() and around.in_reach(left.path(""))
        left = left.only(partial(is_input, left, is_plainly_inside))
        if left.names:
            found.folders.append(left)
    return found


def _candidates(
    opened: Mapping[str, Collection[str]], around: Surroundings, found: Selection
) -> Iterator[ReadFolder]:
    """Regular files as they were when the job started, and that are no tool's nor the job's own.

    What changed since is the job's own work, or that of another run: that is unrecorded.
    """
    for folder, names in _plain_folders(opened, around.root).items():
        # What a whole folder tells is asked once: there may be very many files in it.
        if around.is_apart(folder) or around.is_known(folder):
            continue
        each = ReadFolder(folder, [], [])
        for name in names:
            path = each.path(name)
            if path in around.known or (not is_plain(name) and is_tools_own(name)):
                continue
            if around.exclude and around.excludes(path):
                continue
            kept, lost = around.kept.get(path), path in around.lost
            try:
                info = os.stat(kept or path)
            except (OSError, ValueError):  # gone, and so no input that anybody could restore
                continue
            if not stat.S_ISREG(info.st_mode) or (
                around.patterns and around.matches_known(path)
            ):
                continue
            if lost or kept is not None or info.st_mtime_ns < around.since:
                each.names.append(name)
                each.sizes.append(info.st_size)
            elif (writer := around.writer(folder)) is not None:
                why = f"run {writer} still writes it"
                found.add_unrecorded(path, why, info.st_size, around)
        yield each


def _plain_folders(
    opened: Mapping[str, Collection[str]], root: str
) -> dict[str, Collection[str]]:
    """The names, each once, by their folders' paths without dots, below the root if they can."""
    found: dict[str, Collection[str]] = {}
    is_system = of_the_system()
    for given, names in opened.items():
        folder = os.path.normpath(given or os.sep)
        if not is_system(f"{folder}{os.sep}"):  # very many are, and links are slow to follow
            folder = os.path.dirname(seen_below(os.path.join(folder, "_"), root))
        before = found.get(folder)
        found[folder] = names if before is None else dict.fromkeys([*before, *names])
    return found


def _shown_secret(path: str) -> str | None:
    """What secret a file of settings shows, in words without it; None where it shows none."""
    with suppress(OSError):  # what cannot be read is said where it is hashed
        with open(path, "rb") as file:
            leak = next(find_secrets(path, file.read()), None)
        if leak is not None:
            return f"it shows what looks like a secret, line {leak.line}: {leak.what}"
    return None


def _as_text(path: str) -> str:
    """A path as text that a lock can hold, whatever its bytes are."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _why_not(path: str, around: Surroundings) -> str | None:
    """Why a file that was read is not recorded; None where it is."""
    if _as_text(path) != path:
        return "its name is not UTF-8: it could not be restored elsewhere"
    if is_secret_by_name(path):
        return "it looks like a secret by its name"
    if not around.in_reach(path):
        return "it lies outside of the project, and no key of the config names it"
    return None
