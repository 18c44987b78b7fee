"""What push and pull cost."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from harness import ON, Bench, Row, init_dvc, project, small_files

from flexlock_hydra.ports.store.store import RemoteSpec

FOLDER = {"data": "${snapshot:data}"}


def push_small_files(bench: Bench) -> Iterator[Row]:
    """A folder of small files to a data remote that is a folder."""
    files = bench.scale.objects
    root = recorded(bench, "small", lambda data: distinct_files(data, files))
    found = bench.medians(
        ours=lambda: pushed(bench, root),
        cp=lambda: bench.timed("cp", "-r", root / "data", fresh(bench, "copy"), cwd=root),
        dvc=lambda: added_and_pushed(bench, root / "data"),
    )
    work = f"push {files:,} x 1 KB to a folder"
    for side, name, ratio in (("cp", "`cp -r`", 1.5), ("dvc", "`dvc add` + `dvc push`", 0.45)):
        other = found[side]
        yield Row(work, name, found["ours"], other, ratio * other, f"{ratio} x")
    theirs = dvc_project(bench, root / "data")
    bench.call(*DVC, "add", "-q", "data", cwd=theirs)
    bench.call(*DVC, "push", "-q", cwd=theirs)
    store = fresh(bench, "store")
    push = (*OURS, "push", "outputs/a", "--remote", store)
    pushed(bench, root, store)
    again = bench.medians(
        ours=lambda: bench.timed(*push, cwd=root),
        dvc=lambda: bench.timed(*DVC, "push", "-q", cwd=theirs),
    )
    other = again["dvc"]
    yield Row(
        "again, nothing new", "`dvc push` again", again["ours"], other, 0.4 * other, "0.4 x"
    )


def push_to_s3(bench: Bench) -> Iterator[Row]:
    """A folder of small files to an S3 server on this machine."""
    files = bench.scale.objects
    root = recorded(bench, "clouded", lambda data: distinct_files(data, files))
    numbers = count(1)
    with s3_server(bench) as spec:
        init_dvc(root, spec.url, **spec.options)

        def dvc() -> float:
            theirs = fresh(bench, "theirs")
            shutil.copytree(root / "data", theirs / "data")
            init_dvc(theirs, f"{spec.url}/{theirs.name}", **spec.options)
            bench.call(*DVC, "add", "-q", "data", cwd=theirs)
            return bench.timed(*DVC, "push", "-q", cwd=theirs)

        found = bench.medians(
            ours=lambda: pushed(bench, root, f"{spec.url}/ours{next(numbers)}"), dvc=dvc
        )
    other = found["dvc"]
    yield Row(
        f"push {files:,} x 1 KB to S3 on loopback", "`dvc push`", found["ours"], other,
        0.9 * other, "0.9 x",
    )


def push_large_file(bench: Bench) -> Iterator[Row]:
    """One large file to a folder, without a copy in the project."""
    size = bench.scale.large_file
    root = recorded(bench, "large", lambda data: one_file(data / "large.bin", size))
    before = size_of(root)
    found = bench.medians(
        ours=lambda: pushed(bench, root), dvc=lambda: added_and_pushed(bench, root / "data")
    )
    if size_of(root) - before > size / 100:
        raise SystemExit("the push left a copy in the project")
    yield Row(
        f"push one {size / 1e9:g} GB file to a folder, no copy in the project",
        "`dvc add` + `dvc push`",
        found["ours"],
        found["dvc"],
        0.5 * found["dvc"],
        "0.5 x",
    )


def pull_small_files(bench: Bench) -> Iterator[Row]:
    """A folder of small files back from a folder, each byte checked."""
    files = bench.scale.objects
    root = recorded(bench, "pulled", lambda data: distinct_files(data, files))
    pushed(bench, root)
    tag = bench.call("git", "tag", cwd=root).strip()

    def dvc() -> float:
        clone = fresh(bench, "clone")
        bench.call("git", "clone", "-q", "--branch", tag, root, clone, cwd=bench.root)
        return bench.timed(*DVC, "pull", "-q", cwd=clone)

    def ours(link: str) -> float:
        into = ("--from", root, "--into", fresh(bench, "x"))
        return bench.timed(*OURS, "pull", tag, *into, "--link", link, cwd=bench.root)

    found = bench.medians(
        ours=lambda: ours("copy"), dvc=dvc, linked=lambda: ours("hardlink")
    )
    yield Row(
        f"pull {files:,} x 1 KB, each byte checked", "`dvc pull`", found["ours"], found["dvc"],
        0.6 * found["dvc"], "0.6 x",
    )
    yield Row(
        "the same with hard links to a shared store", "our own copy", found["linked"],
        found["ours"], 0.5 * found["ours"], "0.5 x",
    )


def push_long_lineage(bench: Bench) -> Iterator[Row]:
    """A run with many predecessors, pushed before."""
    before = bench.scale.predecessors
    root = project(bench, "lineage", 10, FOLDER)
    (root / "data").mkdir()
    (root / "data" / "x").write_text("x")
    numbers = ",".join(map(str, range(before)))
    bench.app(root, ON, f"+n={numbers}", "hydra.sweep.dir=outputs/first", "-m")
    inputs = [f"+before.p{n}='${{snapshot:outputs/first/{n}}}'" for n in range(before)]
    bench.app(root, ON, "hydra.run.dir=outputs/a", *inputs)
    store = fresh(bench, "store")
    pushed(bench, root, store)
    push = (*OURS, "push", "outputs/a", "--remote", store)
    found = bench.medians(ours=lambda: bench.timed(*push, cwd=root))
    yield Row(
        f"push of a run with {before} predecessors, nothing new", "", found["ours"], 0.0, 3.0, "3 s"
    )


def push_memory(bench: Bench) -> Iterator[Row]:
    """The memory that a push of very many files takes, and a pull of them; bytes, not seconds."""
    files = bench.scale.crowd
    root = recorded(bench, "crowd", lambda data: small_files(data, files, lambda i: b"%d" % i))
    store = fresh(bench, "store")
    tag_then = ("push", "outputs/a", "--remote", str(store))
    peak = peak_memory(bench, tag_then, root)
    tag = bench.call("git", "tag", cwd=root).strip()
    back = peak_memory(bench, ("pull", tag, "--into", str(fresh(bench, "x"))), root)
    for work, found in ((f"memory of a push of {files:,} files", peak), ("and of its pull", back)):
        yield Row(work, "", found / 1e9, 0.0, 1.0, "1 GB", unit="GB")


OURS = (sys.executable, "-m", "flexlock_hydra", "-q")
DVC = (sys.executable, "-m", "dvc")


def recorded(bench: Bench, name: str, fill: Callable[[Path], None]) -> Path:
    """A project whose run ``outputs/a`` has a folder of data as its input."""
    root = project(bench, name, 10, FOLDER)
    (root / "data").mkdir()
    fill(root / "data")
    bench.app(root, ON, "hydra.run.dir=outputs/a")
    return root


def distinct_files(folder: Path, count: int) -> None:
    """So many files of 1 KB, no two alike."""
    small_files(folder, count, lambda i: (f"{i:010d}" * 103)[:1024].encode())


def one_file(path: Path, size: int) -> None:
    """A file of so many bytes."""
    with path.open("wb") as file:
        block = os.urandom(1 << 20)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])


def fresh(bench: Bench, name: str) -> Path:
    """A path that nothing had: ext4 is slow for minutes where much was deleted a moment ago."""
    return next(
        path for n in count(1) if not (path := bench.root / f"{name}{n}").exists()
    )


def pushed(bench: Bench, root: Path, store: Path | str | None = None) -> float:
    """Seconds of a push that finds nothing on the remotes."""
    for tag in bench.call("git", "tag", cwd=root).split():
        bench.call("git", "tag", "-d", tag, cwd=root)
    remote = store or fresh(bench, "store")
    return bench.timed(*OURS, "push", "outputs/a", "--remote", remote, cwd=root)


def dvc_project(bench: Bench, data: Path) -> Path:
    """A DVC repository with the same data, and a remote that is an empty folder."""
    root = fresh(bench, "theirs")
    shutil.copytree(data, root / "data")
    remote = fresh(bench, "dvcstore")
    remote.mkdir()
    init_dvc(root, remote)
    return root


def added_and_pushed(bench: Bench, data: Path) -> float:
    """Seconds of ``dvc add`` and ``dvc push`` where nothing knows the data."""
    root = dvc_project(bench, data)
    return bench.timed(*DVC, "add", "-q", "data", cwd=root) + bench.timed(
        *DVC, "push", "-q", cwd=root
    )


def size_of(folder: Path) -> int:
    """Bytes in all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def s3_server(bench: Bench) -> Iterator[RemoteSpec]:
    """A prefix in a bucket of a real server."""
    from tests.support.servers import S3

    server = S3(bench.root / "s3")
    try:
        yield server.spec("bench")
    finally:
        server.end()


def peak_memory(bench: Bench, words: Sequence[str], root: Path) -> int:
    """Bytes that one of our commands had resident at most."""
    said = bench.call(sys.executable, "-c", _PEAK, *words, cwd=root)
    return int(said.split()[-1]) * 1024


_PEAK = """
import resource, sys
from flexlock_hydra.cli.group import cli
cli.main(["-q", *sys.argv[1:]], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
