"""Find what a job wrote into the working tree beside its output directory, to warn of it."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path

from flexlock_hydra.capture.code.drift import CLOCK_SLACK
from flexlock_hydra.capture.code.scope import (
    Scope, is_bytecode, is_hydras, is_stream, matches, redirected
)
from flexlock_hydra.capture.code.snapshot import Snapshot
from flexlock_hydra.ports.git.status import Status
from flexlock_hydra.record import layout
from flexlock_hydra.record.wording import some_of

# Names in untracked folders that are looked at, all together: the look must cost little
_MOST_NAMES = 2000
# Folders, to which no name was added, that are read for files that were written again
_MOST_UNCHANGED = 40
# Names of what lies in a folder that another run or a tool writes to
_MARKS_OF_OTHERS = frozenset({".git", ".hydra", layout.LOCK, "multirun.yaml", "pyvenv.cfg"})
_TOOL_FOLDERS = frozenset({"node_modules", "site-packages"})
_MOST_NAMED = 5
_LARGE_BYTES = 1e6  # Bytes above which a size is told


@dataclass(frozen=True)
class StrayFiles:
    """Files that were written: one alone, or some below one folder."""

    path: str
    count: int
    size: int
    is_next_code: bool = False
    """Whether the next run's snapshot takes one of them for code: git does not ignore it."""

    @property
    def is_large(self) -> bool:
        """Whether their size is worth telling."""
        return self.size >= _LARGE_BYTES

    def __str__(self) -> str:
        facts = [f"{self.count:,} files"] if self.count > 1 else []
        facts += [f"{self.size / 1e6:,.0f} MB"] if self.is_large else []
        return f"{self.path} ({', '.join(facts)})" if facts else self.path


@dataclass(frozen=True)
class StraySearch:
    """A look for what was written since a snapshot and stays behind.

    Args:
        kept: the snapshot of the main repository.
        output_dir: where the job or the sweep writes to.
        inputs: their paths, relative to the repository's root or absolute.
        read: files that were read as code, relative to the root.
    """

    kept: Snapshot
    output_dir: Path
    inputs: Iterable[str] = ()
    read: frozenset[str] = field(default_factory=frozenset)
    _of_others: dict[str, bool] = field(default_factory=dict)

    def find(self, status: Status) -> list[StrayFiles]:
        """Untracked and ignored files that changed, grouped by folders, what is large first.

        So do tracked ones that the snapshot lacks: DVC removes a stage's results before it runs.
        """
        if self.root.is_relative_to(self.output_dir):
            return []
        code = dict(self._changed([*self._unfolded(status.untracked), *self.kept.gone]))
        found = code | dict(self._changed(self._unfolded(status.ignored)))
        groups = groupby(sorted(found.items()), key=lambda each: each[0].partition("/")[0])
        written = [_grouped(dict(group), code) for _, group in groups]
        return sorted(written, key=lambda each: -each.size if each.is_large else 0)

    @property
    def root(self) -> Path:
        """The repository's root."""
        return self.kept.repo.root

    @cached_property
    def _not_stray(self) -> Scope:
        """Data that is no stray output: the output directory, the inputs."""
        given = (Path(self.root, path) for path in self.inputs)
        return Scope(data=(self.output_dir, *self.kept.scope.data, *given))

    def _changed(self, names: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Those of the files that are newer than the snapshot, and no one else's; with sizes."""
        is_expected, streams = self._not_stray.is_data(self.root), redirected()
        for name in names:
            info = self._look(name)
            if info is None or not self._is_new(info) or name in self.read:
                continue
            path = str(self.root / name)
            if is_stream(path, streams) or self._is_in_another_run(name):
                continue
            if not (is_expected(name) or self._is_apart(name)):
                yield name, info.st_size

    def _is_in_another_run(self, name: str) -> bool:
        """Whether a folder above a file is another run's: git names what is in it one by one
        where it tracks some of it."""
        folder, _, _ = name.rpartition("/")
        if not folder:  # the root may have been an output directory once
            return False
        if (known := self._of_others.get(folder)) is None:
            marks = (os.path.lexists(self._path(f"{folder}/{mark}")) for mark in _MARKS_OF_OTHERS)
            known = any(marks) or self._is_in_another_run(folder)
            self._of_others[folder] = known
        return known

    def _unfolded(self, names: Iterable[str]) -> Iterator[str]:
        """Files by their names, and those in folders, whose names end with a slash."""
        yield from (name for name in names if not name.endswith("/"))
        yield from self._below(name for name in names if name.endswith("/"))

    def _below(self, folders: Iterable[str]) -> Iterator[str]:
        """Files in folders that git tracks nothing of; in those first that have changed."""
        is_expected = self._not_stray.is_data(self.root)
        left, unchanged = _MOST_NAMES, _MOST_UNCHANGED
        fresh, stale = self._sorted(folders)
        while left > 0 and (fresh or (stale and unchanged > 0)):
            unchanged -= not fresh
            folder = (fresh or stale).pop()
            if self._is_apart(folder) or is_expected(folder.rstrip("/")):
                continue
            entries = _first_entries(self._path(folder), left)
            left -= len(entries)
            if _MARKS_OF_OTHERS.isdisjoint(entry.name for entry in entries):
                inner = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
                more = self._sorted(f"{folder}{name}/" for name in sorted(inner))
                fresh, stale = fresh + more[0], stale + more[1]
                yield from (f"{folder}{each.name}" for each in entries if each.name not in inner)

    def _sorted(self, folders: Iterable[str]) -> tuple[list[str], list[str]]:
        """The folders that changed since the snapshot, and the others."""
        found: tuple[list[str], list[str]] = [], []
        for folder in folders:
            info = self._look(folder)
            found[0 if info is not None and self._is_new(info) else 1].append(folder)
        return found

    def _look(self, name: str) -> os.stat_result | None:
        try:
            return os.lstat(self._path(name))
        except OSError:  # gone meanwhile
            return None

    def _path(self, name: str) -> str:
        return f"{self.root}{os.sep}{name}"

    def _is_new(self, info: os.stat_result) -> bool:
        return max(info.st_mtime_ns, info.st_ctime_ns) >= self.kept.taken_at - CLOCK_SLACK

    def _is_apart(self, name: str) -> bool:
        """Whether Hydra, Python or a tool writes such a path, or the user ignores it."""
        parts = name.rstrip("/").split("/")
        return (
            any(part.startswith(".") or part in _TOOL_FOLDERS for part in parts)
            or is_hydras(name)
            or is_bytecode(name)
            or any(matches(name, glob) for glob in self.kept.scope.ignore)
        )


def stray_warning(found: list[StrayFiles], *, chdir: bool, alone: bool) -> list[str]:
    """The warning of what was written, none where nothing was.

    Args:
        chdir: whether the job ran in its output directory.
        alone: whether no other job ran in the repository meanwhile, which may have written it.
    """
    if not found:
        return []
    few = some_of(found, _MOST_NAMED)
    hint = "write to the output directory" + ("" if chdir else ", or set hydra.job.chdir=true")
    if any(each.is_next_code for each in found):
        hint += "; what git does not ignore counts as code of the next run"
    who = "" if alone else ", by this job or another one at the same time"
    return [
        f"written outside of the output directory{who}, neither recorded nor pushed: {few}; {hint}"
    ]


def _grouped(files: Mapping[str, int], code: Container[str]) -> StrayFiles:
    """One for files with the same first folder: named by the innermost that holds all."""
    path, *more = files
    place = f"{os.path.commonpath(files)}/" if more else path
    is_code = any(name in code for name in files)
    return StrayFiles(place, len(files), sum(files.values()), is_next_code=is_code)


def _first_entries(folder: str, most: int) -> list[os.DirEntry[str]]:
    """Some entries of a folder; none where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return list(islice(entries, most))
    except OSError:
        return []
