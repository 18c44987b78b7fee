"""Predecessors: the runs that a job's data came from, as one flat graph."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

from flexlock_hydra.capture.data.digest import Digest, FileDigest
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.capture.environment.process import is_alive
from flexlock_hydra.capture.lineage import staleness
from flexlock_hydra.capture.lineage.find_locks import Reader
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, summary
from flexlock_hydra.record.model import COMPLETED, INTERRUPTED, RUNNING, CodeRef, Predecessor
from flexlock_hydra.record.wording import some_of

_MOST_NAMED = 5  # Runs that one warning names; it counts the rest


@dataclass(frozen=True)
class Found(staleness.Place):
    """A lock that stands at, above or below a piece of data."""

    sha256: str


@dataclass(frozen=True)
class Trace:
    """A graph of predecessors after a piece of data was added, with warnings about it."""

    prevs: Mapping[str, Predecessor]
    direct: int = 0
    """How many runs the data comes from."""
    warnings: tuple[str, ...] = ()


def trace(
    prevs: Mapping[str, Predecessor],
    locks: Iterable[Path],
    path: Path,
    via: str,
    reader: Reader,
    found: Digest | None,
) -> Trace:
    """The graph with the runs put in that a file or folder comes from.

    Args:
        locks: their locks, see :func:`flexlock_hydra.capture.lineage.find_locks.find_locks`.
        via: the data entry that leads there.
        found: the digest of what lies there, where it was hashed.
    """
    warnings: list[str] = []
    origins = []
    for lock in locks:
        try:
            origin = read_found(lock)
            if origin.lock.run.id == reader.id:
                raise LockError(f"{origin.folder / layout.LOCK} is a copy of this run's own")
            origins.append(origin)
        except LockError as error:
            warnings.append(f"predecessor not recorded: {error}")
    files = _files_by_folder(path, found, [origin.folder for origin in origins])
    graph = dict(prevs)
    for origin in origins:
        run_id = origin.lock.run.id
        stale = staleness.stale(origin, path, files.get(origin.folder), reader.root)
        _put_predecessor(graph, origin, via, reader.root, stale)
        warnings += _uncircled(graph, run_id, reader.id)
        warnings += (f"predecessor {run_id} is stale: {reason}" for reason in stale)
    warnings += _unfinished(origins)
    return Trace(graph, len(origins), tuple(f"data {via}: {text}" for text in warnings))


def add(
    prevs: Mapping[str, Predecessor], found: Found, via: str, root: Path
) -> dict[str, Predecessor]:
    """The graph with a direct predecessor and all that it stands on put in."""
    graph = dict(prevs)
    _put_predecessor(graph, found, via, root)
    return graph


def read_found(path: Path, *, more: bool = False) -> Found:
    """Read a lock's summary together with its hash, its status as judged now.

    Raises:
        LockError: damaged, unreadable or of a newer format.
    """
    try:
        info = path.stat()
        found = _read_version(path, info.st_mtime_ns, (info.st_size, info.st_ino), more)
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from error
    run = found.lock.run
    if run.status != RUNNING or run.process is None or is_alive(run.process) is not False:
        return found
    return replace(found, lock=replace(found.lock, run=replace(run, status=INTERRUPTED)))


@lru_cache(maxsize=1024)
def _read_version(path: Path, written_ns: int, version: tuple[int, int], more: bool) -> Found:
    """A lock, read once in each version: the jobs of a sweep often share predecessors."""
    content = path.read_bytes()
    lock = summary.parse_summary(content, str(path), more=more)
    sha256 = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Found(path.parent, lock, written_ns, sha256)


def without_via(prevs: Mapping[str, Predecessor], via: str) -> dict[str, Predecessor]:
    """The graph after a data entry was replaced or dropped: what it alone led to goes."""
    kept = {
        key: replace(prev, via=tuple(name for name in prev.via if name != via))
        for key, prev in prevs.items()
    }
    roots = [key for key, prev in kept.items() if prev.direct and prev.via]
    reachable = _reachable(kept, roots)
    return {key: replace(kept[key], direct=key in roots) for key in kept if key in reachable}


def _files_by_folder(
    path: Path, found: Digest | None, folders: Iterable[Path]
) -> dict[Path, Mapping[str, FileDigest]]:
    """The files of a digest by the run's folder that they lie in, named from that folder.

    A folder that lies above the path has them all, named from the path.
    """
    if found is None or not found.is_folder:
        return dict.fromkeys(folders, found.files) if found else {}
    inside = [folder for folder in folders if folder.is_relative_to(path)]
    heads = {folder.relative_to(path).as_posix(): folder for folder in inside}
    below: dict[Path, dict[str, FileDigest]] = {folder: {} for folder in heads.values()}
    for name, file in found.files.items() if heads else ():
        head = _folder_of(name, heads)
        if head is not None:
            below[heads[head]][name if head == "." else name[len(head) + 1:]] = file
    return {folder: below.get(folder, found.files) for folder in folders}


def _folder_of(name: str, heads: Container[str]) -> str | None:
    """The folder of a file, of the given ones, relative as it is."""
    head = name
    while head:
        head = head.rpartition("/")[0]
        if head in heads:
            return head
    return "." if "." in heads else None


def _put_predecessor(
    graph: dict[str, Predecessor], found: Found, via: str, root: Path, stale: tuple[str, ...] = ()
) -> None:
    """Put a direct predecessor and all that it stands on into a graph."""
    run_id, own = found.lock.run.id, found.lock.prevs
    known = graph.get(run_id)
    node = _predecessor_of(found, root)
    graph[run_id] = replace(
        node,
        via=tuple(dict.fromkeys((*known.via, via) if known else (via,))),
        stale=tuple(dict.fromkeys((*known.stale, *stale) if known and known.direct else stale)),
    )
    for key in _reachable(own, node.prevs) - {run_id}:
        inherited = replace(own[key], direct=False, via=())
        there = graph.setdefault(key, inherited)
        if not there.direct and there != inherited:
            # Of what several runs saw of one, its end counts more than its beginning.
            graph[key] = max(there, inherited, key=lambda p: (p.status != RUNNING, p.lock, p.stale))


def _uncircled(graph: dict[str, Predecessor], start: str, own: str) -> list[str]:
    """Take the links out of a graph by which runs stand on themselves; each in words.

    Of a circle, the links go that lead from a run to one that started later: there
    always is one, and which does not depend on the order in which runs were found.
    """
    cut = [(key, own) for key in _reachable(graph, [start]) if own in graph[key].prevs]
    while circle := _circle(graph, start):
        later = [(run, prev) for prev, run in pairwise(circle) if prev >= run]
        _unlink(graph, later)
        cut += later
    if cut:
        _unlink(graph, cut)
        roots = [key for key, prev in graph.items() if prev.direct]
        for key in graph.keys() - _reachable(graph, roots):
            del graph[key]
    return [f"{run} and {prev} stand on each other: that link is cut" for run, prev in sorted(cut)]


def _circle(graph: Mapping[str, Predecessor], start: str) -> list[str]:
    """Runs of which each stands on the one before it, the first and the last the same."""
    below = sorted(_reachable(graph, [start]))
    links = {key: [prev for prev in graph[key].prevs if prev in graph] for key in below}
    try:
        TopologicalSorter(links).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _unlink(graph: dict[str, Predecessor], links: Iterable[tuple[str, str]]) -> None:
    """Take links, pairs of a run and of one that it stands on, out of a graph."""
    for run, prev in links:
        node = graph[run]
        graph[run] = replace(node, prevs=tuple(key for key in node.prevs if key != prev))


def _reachable(prevs: Mapping[str, Predecessor], roots: Iterable[str]) -> set[str]:
    """The runs of a graph that some of them are or stand on; a circle does no harm."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        key = waiting.pop()
        if key not in seen and key in prevs:
            seen.add(key)
            waiting.extend(prevs[key].prevs)
    return seen


def _unfinished(origins: Iterable[Found]) -> Iterator[str]:
    """Predecessors that did not complete, a sentence for each way not to."""
    runs: dict[str, list[str]] = {}
    for origin in origins:
        runs.setdefault(origin.lock.run.status, []).append(origin.lock.run.id)
    runs.pop(COMPLETED, None)
    for status, ids in runs.items():
        yield f"predecessor {some_of(ids, _MOST_NAMED)} is {status}"


def _predecessor_of(found: Found, root: Path) -> Predecessor:
    """A run as the graph of one that read its outputs has it."""
    lock = found.lock
    return Predecessor(
        job=lock.job.name,
        path=record_path(found.folder, root),
        direct=True,
        status=lock.run.status,
        lock=found.sha256,
        repos={
            name: CodeRef(commit=code.commit, tree=code.tree) for name, code in lock.repos.items()
        },
        data=lock.data,
        prevs=tuple(key for key, prev in lock.prevs.items() if prev.direct),
    )
