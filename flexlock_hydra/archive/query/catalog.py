"""Every run below some folders: its lock as the index or the file itself tells it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flexlock_hydra.archive.query import run_index
from flexlock_hydra.archive.query.run_index import Row, RunIndex
from flexlock_hydra.capture.data.walk import is_settled, stamp
from flexlock_hydra.capture.lineage.find_files import look_below, repo_above
from flexlock_hydra.errors import GitError, LockError
from flexlock_hydra.ports.git.command import git
from flexlock_hydra.record import layout
from flexlock_hydra.record.brief_fields import ShownRun

if TYPE_CHECKING:
    from flexlock_hydra.record.brief import Brief
    from flexlock_hydra.record.codec import Json

_LARGEST = 1 << 26  # bytes of a lock that is read: 64 MiB
_MANY = 400  # locks to read for which further processes are worth their start
_WORKERS = 8
_TAGS = ("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{layout.TAG_PREFIX}/")
_COLUMNS = {"config": "config", "data": "world", "environment": "world"}


class ListedRun(NamedTuple):
    """A run, its status judged now."""

    id: str
    path: str
    """The output directory; the lock's own file where a later run took the directory over."""
    job: str
    status: str
    started: str
    duration: float | None
    overrides: Sequence[str]
    result: Json
    tag: str | None
    """The tag of the run, or of its sweep, where its repository has one."""
    num: int | None
    sweep: str | None
    row: Row

    @property
    def config(self) -> Json:
        """The resolved config; it must have been asked for."""
        return run_index.unpack(self.row.config)

    @property
    def data(self) -> Json:
        """The inputs by name; they must have been asked for."""
        return run_index.unpack(self.row.world)["data"]

    @property
    def environment(self) -> Json:
        """What the run ran in; it must have been asked for."""
        return run_index.unpack(self.row.world)["environment"]


@dataclass(frozen=True)
class Catalog:
    """The runs below some folders, in no order, and what could not be read."""

    runs: tuple[ListedRun, ...]
    warnings: tuple[str, ...]


class _Found(NamedTuple):
    """A lock file, with its stat and the root of the repository around it."""

    path: str
    stamp: bytes
    repo: str | None


@dataclass(frozen=True)
class _Read:
    """A lock that was read; ``stamp`` is empty where it changed meanwhile."""

    path: str
    stamp: bytes
    brief: Brief | None
    error: str = ""


def catalog(
    folders: Iterable[Path], *, parts: Collection[str] = (), processes: bool = False
) -> Catalog:
    """Every run below the folders.

    Args:
        parts: of ``config``, ``data``, ``environment``, what will be asked for.
        processes: whether many new locks may be read in processes of their own; the main
            module of the caller must bear to be imported.
    """
    wanted = {_COLUMNS[part] for part in parts}
    warnings: list[str] = []
    found: dict[str, _Found] = {}
    rows: dict[str, Row] = {}
    with RunIndex.open(run_index.runs_path()) as index:
        for folder in dict.fromkeys(os.path.abspath(folder) for folder in folders):
            here = {lock.path: lock for lock in _locks(folder, warnings)}
            known = index.known(folder, wanted)
            fresh, new = _renewed(here, known, processes, warnings)
            now = time.time_ns()
            settled = {p: row for p, row in new.items() if row.stamp and is_settled(row.stamp, now)}
            index.keep(settled, known.keys() - here.keys())
            rows |= fresh | new
            found |= here
    around = _Around()
    texts = ",".join(row.shown for row in rows.values())  # one parse: half the time
    runs = tuple(
        _listed(found[path], row, ShownRun(*shown), around)
        for (path, row), shown in zip(rows.items(), json.loads(f"[{texts}]"))
    )
    return Catalog(runs, (*warnings, *around.warnings))


def _locks(folder: str, warnings: list[str]) -> Iterator[_Found]:
    around = repo_above(Path(folder).parent)
    repos = {os.path.dirname(folder): str(around) if around else None}
    for looked in look_below(Path(folder), layout.is_lock):
        if looked.error is not None:
            warnings.append(f"{looked.folder} cannot be looked into: {looked.error.strerror}")
            continue
        repo = looked.folder if looked.is_repo else repos.get(os.path.dirname(looked.folder))
        repos[looked.folder] = repo
        for entry in looked.files:
            try:
                yield _Found(entry.path, stamp(entry.stat()), repo)
            except OSError:
                continue  # it went away meanwhile


def _renewed(
    here: Mapping[str, _Found], known: Mapping[str, Row], processes: bool, warnings: list[str]
) -> tuple[dict[str, Row], dict[str, Row]]:
    """The rows of locks that are as the index knows them, and those that were read now."""
    fresh = {
        path: row for path, row in known.items() if path in here and here[path].stamp == row.stamp
    }
    new: dict[str, Row] = {}
    for read in _read_all([path for path in here if path not in fresh], processes):
        if read.brief is None:
            warnings.append(read.error)
        else:
            new[read.path] = run_index.pack(read.stamp, read.brief)
    return fresh, new


def _read_all(paths: Sequence[str], processes: bool) -> Iterator[_Read]:
    workers = min(os.cpu_count() or 1, _WORKERS, len(paths) // _MANY)
    if not processes or workers < 2:
        yield from map(_read, paths)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_read, paths, chunksize=64)


def _read(path: str) -> _Read:
    from flexlock_hydra.record import brief  # YAML is loaded where there is a lock to read

    try:
        with open(path, "rb") as file:
            before = stamp(os.fstat(file.fileno()))
            content = file.read(_LARGEST + 1)
            after = stamp(os.fstat(file.fileno()))
    except OSError as error:
        return _Read(path, b"", None, f"{path} cannot be read: {error.strerror}")
    if len(content) > _LARGEST:
        return _Read(path, b"", None, f"{path} is too large for a lock")
    try:
        return _Read(path, after if before == after else b"", brief.parse_brief(content, path))
    except LockError as error:
        return _Read(path, b"", None, str(error))


def _listed(found: _Found, row: Row, shown: ShownRun, around: _Around) -> ListedRun:
    folder, name = os.path.split(found.path)
    run_id, job, status, started, duration, overrides, result, num, sweep, *_ = shown
    if status == "running":
        status = around.status(shown.process, found.repo or folder)
    path = folder if name == layout.LOCK else found.path
    told = (run_id, path, job, status, started, duration, overrides, result)
    return ListedRun(*told, around.tag(shown, found.repo), num, sweep, row)


class _Around:
    """What is asked of the world around the locks: each repository once."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._tags: dict[str, frozenset[str]] = {}

    def status(self, plain: Json, root: str) -> str:
        """Of a run that says it is running."""
        from flexlock_hydra.capture.environment import process
        from flexlock_hydra.record.model import INTERRUPTED, RUNNING, Process

        alive = process.is_alive(Process.parse(plain))
        if alive is None and os.path.isdir(os.path.join(root, layout.METAFILES)):
            return INTERRUPTED  # only runs that have ended are pushed
        return {True: RUNNING, False: INTERRUPTED, None: process.UNKNOWN}[alive]

    def tag(self, shown: ShownRun, repo: str | None) -> str | None:
        """The tag of a run or else of its sweep, where there is one."""
        repo = repo or _recorded_repo(shown.root)
        tags = self._tags_of(repo) if repo else None
        if not tags:
            return None
        ids = (shown.id, shown.sweep or "")
        names = (layout.tag_name(shown.job, each) for each in ids)
        return next((name for name in names if name in tags), None)

    def _tags_of(self, repo: str) -> frozenset[str]:
        if repo not in self._tags:
            try:
                said = git(Path(repo), *_TAGS).decode("utf-8", "replace")
                self._tags[repo] = frozenset(said.splitlines())
            except GitError as error:
                self._tags[repo] = frozenset()
                self.warnings.append(f"tags are not shown: {error}")
        return self._tags[repo]


@lru_cache(maxsize=1024)
def _recorded_repo(root: str | None) -> str | None:
    """The repository that a job ran in, of a lock that was written outside of it."""
    return root if root and os.path.exists(os.path.join(root, ".git")) else None
