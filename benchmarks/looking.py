"""What it costs to look at runs, and to start at all."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

from harness import ON, Bench, Row, init_dvc, project, small_files
from transfer import DVC, distinct_files, recorded

SCRIPT = Path(sys.executable).with_name("flexlock-hydra")


def verify(bench: Bench) -> Iterator[Row]:
    """A run whose input is a folder of very many files, none of which changed."""
    files = bench.scale.small_files
    root = recorded(bench, "verified", lambda data: distinct_files(data, files))
    theirs = bench.root / "tracked"
    small_files(theirs / "data", files, lambda i: (f"{i:010d}" * 103)[:1024].encode())
    past = time.time() - 3600
    for path in theirs.rglob("*"):
        os.utime(path, (past, past))
    init_dvc(theirs)
    bench.call(*DVC, "add", "-q", "data", cwd=theirs)
    bench.call(*DVC, "status", cwd=theirs)
    ours = (SCRIPT, "verify", "outputs/a")
    bench.call(*ours, cwd=root)
    found = bench.medians(
        ours=lambda: bench.timed(*ours, cwd=root),
        dvc=lambda: bench.timed(*DVC, "status", cwd=theirs),
    )
    yield Row(
        f"verify of a run with {files:,} x 1 KB unchanged", "`dvc status` there",
        found["ours"], found["dvc"], 0.4 * found["dvc"], "0.4 x",
    )


def rerun(bench: Bench) -> Iterator[Row]:
    """An app that does nothing, run again in a repository of very many files."""
    root = project(bench, "again", bench.scale.files, {})
    app = (sys.executable, "app.py", ON)
    bench.call(*app, "hydra.run.dir=outputs/a", cwd=root)
    numbers = count()

    def beside() -> float:
        place = bench.root / f"tree{next(numbers)}"
        taken = bench.timed("git", "worktree", "add", "-q", "--detach", place, "HEAD", cwd=root)
        bench.call("git", "worktree", "remove", "--force", place, cwd=root)
        return taken + bench.timed(*app, cwd=root)

    ours = (SCRIPT, "rerun", "outputs/a")
    found = bench.medians(ours=lambda: bench.timed(*ours, cwd=root), other=beside)
    yield Row(
        f"rerun of a no-op app, repository of {bench.scale.files:,} files",
        "the app + `git worktree add`",
        found["ours"], found["other"], 1.3 * found["other"] + 0.3, "1.3 x + 300 ms",
    )


def ls(bench: Bench) -> Iterator[Row]:
    """Very many runs, listed without an index, and with one that must be looked through."""
    root = recorded(bench, "listed", lambda data: distinct_files(data, 10))
    lock = (root / "outputs" / "a" / "run.lock").read_bytes()
    run_id = lock.partition(b"id: ")[2].split()[0]
    for number in range(bench.scale.runs - 1):
        folder = root / "outputs" / f"day{number % 30}" / str(number)
        (folder / ".hydra").mkdir(parents=True)
        other = run_id[:-8] + f"{number:08x}".encode()
        (folder / "run.lock").write_bytes(lock.replace(run_id, other))
        (folder / "app.log").touch()
    words = (SCRIPT, "ls")

    def cold() -> float:
        shutil.rmtree(bench.root / "home" / ".cache" / "flexlock-hydra", ignore_errors=True)
        return bench.timed(*words, cwd=root)

    def warm() -> float:
        return bench.timed(*words, cwd=root)

    time.sleep(3)  # the index keeps no lock that changed a moment ago
    first = statistics.median(cold() for _ in range(min(bench.scale.rounds, 3)))
    again = statistics.median(warm() for _ in range(bench.scale.rounds))
    work = f"ls of {bench.scale.runs:,} runs"
    yield Row(f"{work}, first time", "", first, 0, 10, "10 s")
    yield Row(f"{work}, again", "", again, 0, 0.5, "0.5 s")


def start_alone(bench: Bench) -> Iterator[Row]:
    """What the command line takes where there is nothing to do, beside Python's own start."""
    root = project(bench, "nothing", 10, {})
    sides = {"help": (("--help",), 3), "version": (("--version",), 3), "ls": (("ls",), 5)}
    often = replace(bench, scale=replace(bench.scale, rounds=bench.scale.rounds + 2))
    found = often.medians(  # they take so little that a median of nine is worth its time
        bare=lambda: bench.timed(sys.executable, "-c", "pass", cwd=root),
        **{
            name: lambda words=words: bench.timed(SCRIPT, *words, cwd=root)
            for name, (words, _) in sides.items()
        },
    )
    for name, (words, most) in sides.items():
        yield Row(
            f"`flexlock-hydra {' '.join(words)}`, nothing recorded", "`python -c pass`",
            found[name], found["bare"], most * found["bare"], f"{most} x",
        )


def start(bench: Bench) -> Iterator[Row]:
    """What the command line takes before and beside its work."""
    root = recorded(bench, "started", lambda data: distinct_files(data, 10))
    sides = {"help": ("--help",), "show": ("show", "outputs/a")}
    found = bench.medians(
        bare=lambda: bench.timed("git", "--version", cwd=root)
        + bench.timed(sys.executable, "-c", "pass", cwd=root),
        **{
            name: lambda words=words: bench.timed(SCRIPT, *words, cwd=root)
            for name, words in sides.items()
        },
    )
    for name, words in sides.items():
        yield Row(
            f"`flexlock-hydra {' '.join(words)}`", "`git --version` + Python's start",
            found[name], found["bare"], found["bare"] + 0.150, "+ 150 ms",
        )
