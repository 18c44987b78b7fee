"""Runs that stand on each other, and what a job finds of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from flexlock_hydra.capture.data.digest import Digest, digest
from flexlock_hydra.capture.lineage import find_locks, predecessors
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import (
    CodeState,
    Command,
    DataEntry,
    Environment,
    Job,
    Predecessor,
    Process,
    Run,
    RunLock,
)

SHA = "0123456789abcdef0123456789abcdef01234567"
Graph = Mapping[str, Predecessor]


def run_id(number: int) -> str:
    """The id of the n-th run."""
    return f"20261122T101500Z-{number:08x}"


def lock_of(number: int, prevs: Graph | None = None, job: str = "train") -> RunLock:
    """The lock of the n-th run."""
    code = CodeState(path=".", head=SHA, commit=SHA, tree=SHA[::-1], completeness="exact")
    return RunLock(
        run=Run(
            id=run_id(number),
            status="completed",
            started="2026-11-22T10:15:00+00:00",
            process=Process(host="node7", pid=4711),
        ),
        job=Job(name=job, command=Command(executable="python", argv=(), cwd="/")),
        repos={"main": code},
        data={"raw": DataEntry(path="data/raw.csv", hash={"md5": "0" * 32}, size=1, nfiles=1)},
        prevs=prevs or {},
        environment=Environment(python="3.11.7", implementation="CPython", platform="Linux"),
    )


def put(root: Path, number: int, *direct: predecessors.Found) -> predecessors.Found:
    """Write the n-th run, which stands on others, each reached by an entry of its name."""
    prevs: dict[str, Predecessor] = {}
    for found in direct:
        prevs = predecessors.add(prevs, found, f"by-{found.lock.run.id[-2:]}", root)
    path = root / "outputs" / str(number) / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lockfile.write(lock_of(number, prevs), path)
    return predecessors.read_found(path)


def graph(root: Path, *direct: tuple[predecessors.Found, str]) -> dict[str, Predecessor]:
    """The graph of a run that reaches these runs by these entries."""
    prevs: dict[str, Predecessor] = {}
    for found, via in direct:
        prevs = predecessors.add(prevs, found, via, root)
    return prevs


def numbers(keys: Iterable[str]) -> set[int]:
    """The numbers of runs by their ids."""
    return {int(key[-8:], 16) for key in keys}


READER = run_id(99)


def reader(root: Path, folder: str = "outputs/99") -> find_locks.Reader:
    """The run that looks for its predecessors."""
    return find_locks.Reader(READER, root / folder / "run.lock", root)


def trace(root: Path, path: Path, prevs: Graph | None = None, via: str = "x") -> predecessors.Trace:
    """What a piece of data leads to, as a job's own entry does."""
    return search(path, reader(root), digest(path), prevs, via)


def search(
    path: Path,
    reader: find_locks.Reader,
    found: Digest | None,
    prevs: Graph | None = None,
    via: str = "x",
) -> predecessors.Trace:
    """Find the locks around a piece of data, and trace them; all that is said of it."""
    locks, left_out = find_locks.find_locks(path, reader, found)
    traced = predecessors.trace(prevs or {}, locks, path, via, reader, found)
    said = (*(f"data {via}: {text}" for text in left_out), *traced.warnings)
    return replace(traced, warnings=said)


def craft(root: Path, number: int, *links: int, direct: Iterable[int] = ()) -> Path:
    """A lock that names other runs as it likes: number -> the runs that each stands on."""
    prevs = {
        run_id(link): Predecessor(
            job="train",
            path=f"outputs/{link}",
            direct=link in direct or not direct,
            status="completed",
            lock=f"sha256:{link:064x}",
            prevs=tuple(run_id(n) for n in links if n != link) if direct else (run_id(number),),
        )
        for link in links
    }
    folder = root / "outputs" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    lockfile.write(lock_of(number, prevs), folder / "run.lock")
    (folder / "model.pt").write_text(str(number))
    return folder / "model.pt"
