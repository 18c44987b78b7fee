"""What recording costs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import ON, Bench, Row, fresh_dvc, project, small_files


def callback(bench: Bench) -> Iterator[Row]:
    """A job's start and end in a large repository, nothing to hash."""
    for count, extra in ((bench.scale.files, 0.1), (bench.scale.many_files, 0.15)):
        root = project(bench, f"files{count}", count, {"lr": 0.1})
        found = bench.medians(
            off=lambda root=root: bench.app(root),  # type: ignore[misc]
            on=lambda root=root: bench.app(root, ON),  # type: ignore[misc]
            status=lambda root=root: bench.timed(  # type: ignore[misc]
                "git", "--no-optional-locks", "status", "--porcelain", cwd=root
            ),
        )
        yield Row(
            f"callback, repository of {count:,} files, nothing to hash",
            "`git status` there",
            found["extra"],
            found["status"],
            2 * found["status"] + extra,
            f"2 x + {extra * 1000:.0f} ms",
        )


def further_job(bench: Bench) -> Iterator[Row]:
    """What a further job of a sweep costs."""
    root = project(bench, "sweep", 100, {"lr": 0.1})
    jobs = bench.scale.jobs

    def sweep(*words: str) -> float:
        """Seconds a job, the sweep's own start and end left out."""
        values = ",".join(map(str, range(jobs + 1)))
        one = bench.app(root, "-m", "lr=0", *words)
        return (bench.app(root, "-m", f"lr={values}", *words) - one) / jobs

    found = bench.medians(off=sweep, on=lambda: sweep(ON))
    yield Row(
        "a further job of a sweep",
        "the same app without the callback",
        found["off"] + found["extra"],
        found["off"],
        found["off"] + 0.010,
        "+ 10 ms",
    )


def unmarked_reads(bench: Bench) -> Iterator[Row]:
    """A job that opens very many small files that nobody marked, and one that opens none."""
    files = bench.scale.files
    root = project(bench, "reads", 10, {"read": "data"})
    small_files(root / "data", files, lambda i: f"{i} ".encode() * 200)
    found = bench.medians(off=lambda: bench.app(root), on=lambda: bench.app(root, ON))
    yield Row(
        f"a job that reads {files:,} small files, none of them marked",
        "bare Hydra",
        found["off"] + found["extra"],
        found["off"],
        1.15 * found["off"] + 0.1,  # what the callback costs that has nothing to hash
        "1.15 x + 100 ms",
    )
    said = bench.call(sys.executable, "-c", _OPENED, str(bench.scale.crowd), cwd=root)
    yield Row(
        f"memory of {bench.scale.crowd:,} opened paths", "", float(said) / 1e9, 0.0, 0.3, "0.3 GB",
        unit="GB",
    )


def many_small_files(bench: Bench) -> Iterator[Row]:
    """Hash a folder of small files, new and unchanged, as DVC does and as we do."""
    count = bench.scale.small_files
    data = bench.root / "work" / "data"
    small_files(data, count, lambda i: (f"{i:010d}" * 103)[:1024].encode())
    past = time.time() - 3600
    for path in data.rglob("*"):
        os.utime(path, (past, past))
    time.sleep(2.1)  # a file younger than the clock's grain is not trusted
    work = data.parent
    dvc = (Path(sys.executable).with_name("dvc"), "add", "--no-commit", "data")

    def cold_dvc() -> float:
        with fresh_dvc(bench, work):
            return bench.timed(*dvc, cwd=work)

    cold = bench.medians(dvc=cold_dvc, ours=lambda: hashed(bench, data, cold=True))
    yield Row(
        f"hash {count:,} x 1 KB, first time",
        "`dvc add --no-commit`, cold",
        cold["ours"],
        cold["dvc"],
        0.7 * cold["dvc"],
        "0.7 x",
    )
    with fresh_dvc(bench, work):
        bench.call(*dvc, cwd=work)
        hashed(bench, data)
        warm = bench.medians(
            dvc=lambda: bench.timed(*dvc, cwd=work),
            ours=lambda: hashed(bench, data),
            bare=lambda: in_process(bench, _BARE, data),
        )
    for side, name, ratio in (("dvc", "`dvc add --no-commit`, warm", 0.35),
                              ("bare", "a bare scandir + stat", 3.5)):
        yield Row(
            "the same unchanged", name, warm["ours"], warm[side], ratio * warm[side], f"{ratio} x"
        )


def large_file(bench: Bench) -> Iterator[Row]:
    """Hash one large file, alone and beside a job."""
    size = bench.scale.large_file
    root = project(bench, "large", 10, {"turns": bench.scale.turns, "file": "none"})
    (root / "data").mkdir()
    with (root / "data" / "large.bin").open("wb") as file:
        block = os.urandom(1 << 20)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
    path = root / "data" / "large.bin"
    found = bench.medians(
        md5=lambda: bench.timed("openssl", "md5", path, cwd=root),
        ours=lambda: hashed(bench, path, cold=True),
    )
    yield Row(
        f"one {size / 1e9:g} GB file, first time",
        "`openssl md5`",
        found["ours"],
        found["md5"],
        1.05 * found["md5"],
        "1.05 x",
    )

    def beside() -> float:
        shutil.rmtree(bench.root / "home" / ".cache", ignore_errors=True)
        return bench.task(root, ON, "file='${snapshot:data/large.bin}'")

    task = bench.medians(alone=lambda: bench.task(root), beside=beside)
    yield Row(
        "a job while that file is hashed beside it",
        "the same job alone",
        task["beside"],
        task["alone"],
        1.05 * task["alone"],
        "1.05 x",
    )


def large_config(bench: Bench) -> Iterator[Row]:
    """A large config with some inputs in it."""
    groups = bench.scale.nodes // 10
    config: dict[str, object] = {
        f"group{i}": {f"key{j}": (i, 0.5, "text", True, None)[j % 5] for j in range(9)}
        for i in range(groups)
    }
    config["inputs"] = {f"input{i}": f"${{snapshot:data/{i}.csv}}" for i in range(20)}
    root = project(bench, "config", 10, config)
    (root / "data").mkdir()
    for i in range(20):
        (root / "data" / f"{i}.csv").write_text(f"{i}\n")
    found = bench.medians(off=lambda: bench.app(root), on=lambda: bench.app(root, ON))
    yield Row(
        f"a config of {bench.scale.nodes:,} nodes with 20 snapshots",
        "bare Hydra",
        found["off"] + found["extra"],
        found["off"],
        found["off"] + 0.1,
        "+ 100 ms",
    )


def peer(bench: Bench) -> Iterator[Row]:
    """The snapshot of a large repository by FlexLock 0.10.0 and by us, each in a new process."""
    if bench.peer_python is None:
        return
    root = project(bench, "peer", bench.scale.files, {"lr": 0.1})
    (root / "src" / "0000" / "f1.txt").write_text("edited\n")

    def run(python: str, code: str) -> Callable[[], float]:
        return lambda: bench.timed(python, "-c", code, bench.root / "out", cwd=root)

    found = bench.medians(theirs=run(bench.peer_python, _PEER), ours=run(sys.executable, _OURS))
    yield Row(
        f"snapshot of {bench.scale.files:,} files",
        "FlexLock 0.10.0",
        found["ours"],
        found["theirs"],
        found["theirs"] / 1.5,
        "0.67 x",
    )


_HASH = """
import sys, time
from pathlib import Path
from flexlock_hydra.capture.data.digest import summarize
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
start = time.perf_counter()
with HashIndex.open(index_path()) as index:
    summarize(Path(sys.argv[1]), index=index)
print(time.perf_counter() - start)
"""
_BARE = """
import os, sys, time
def walk(folder):
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path)
            else:
                entry.stat()
start = time.perf_counter()
walk(sys.argv[1])
print(time.perf_counter() - start)
"""
_OPENED = """
import os, resource, sys
from flexlock_hydra.capture.reads.audit_hook import Watch
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, watch = peak(), Watch()
watch.start()
for i in range(int(sys.argv[1])):
    try:
        open(f"/some/where/a/data/set/of/images/{i // 1000:04d}/sample_{i:08d}.jpg")
    except OSError:
        pass
watch.end()
watch.read()
print(peak() - before)
"""
_OURS = """
import sys
from omegaconf import OmegaConf
from flexlock_hydra import snapshot
snapshot(OmegaConf.create({"lr": 0.1}), output_dir=sys.argv[1])
"""
_PEER = """
import sys
from omegaconf import OmegaConf
from flexlock.snapshot import snapshot
snapshot(OmegaConf.create({"lr": 0.1, "save_dir": sys.argv[1]}), repos={"main": {"path": "."}})
"""


def in_process(bench: Bench, code: str, path: Path) -> float:
    """The seconds that a piece of code prints, run in a new process."""
    return float(bench.call(sys.executable, "-c", code, path, cwd=path.parent))


def hashed(bench: Bench, path: Path, *, cold: bool = False) -> float:
    """Seconds to hash a file or folder; cold: nothing is known of it."""
    if cold:
        shutil.rmtree(bench.root / "home" / ".cache", ignore_errors=True)
    return in_process(bench, _HASH, path)
