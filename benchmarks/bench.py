"""What recording costs, side by side with what else could do the work.

``make bench`` runs this and writes the table of docs/performance.md. Each figure is the
median of several rounds; in a round the two sides take turns, so that a busy machine is
busy for both. Limits are ratios to the other side, or time added to it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
TABLE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"

APP = '''
import time
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    start = time.perf_counter()
    total = 0
    for i in range(cfg.get("turns", 0)):
        total += i * i
    print("TASK", time.perf_counter() - start)

if __name__ == "__main__":
    main()
'''
ON = "hydra/callbacks=flexlock"


@dataclass(frozen=True)
class Scale:
    """How large the work is; small in a trial."""

    rounds: int = 7
    files: int = 10_000
    many_files: int = 100_000
    small_files: int = 100_000
    large_file: int = 2 * 10**9
    turns: int = 80_000_000
    nodes: int = 10_000
    jobs: int = 40


TRIAL = Scale(1, 200, 400, 300, 5 * 10**6, 200_000, 500, 3)


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds of ours, seconds beside it, and the limit in seconds."""

    work: str
    beside: str
    ours: float
    other: float
    limit: float
    at_most: str

    @property
    def inside(self) -> bool:
        """Whether the row keeps its limit."""
        return self.ours <= self.limit

    def markdown(self) -> str:
        """The row as the table shows it."""
        cells = (
            self.work,
            self.beside,
            duration(self.ours),
            duration(self.other),
            f"{self.ours / self.other:.2f} x" if self.other > 0 else "",
            self.at_most,
            "yes" if self.inside else "**no**",
        )
        return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run all rows or those named; exit 1 when one is outside its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", help="functions to run; all without any")
    parser.add_argument(
        "--peer-python", type=os.path.abspath, help="a Python that has FlexLock 0.10.0"
    )
    parser.add_argument("--trial", action="store_true", help="small and once; writes no table")
    parser.add_argument("--rounds", type=int, help="of how many rounds the median is taken")
    options = parser.parse_args()
    scale = TRIAL if options.trial else Scale()
    if options.rounds:
        scale = replace(scale, rounds=options.rounds)
    rows = []
    for make in ROWS:
        if options.rows and make.__name__ not in options.rows:
            continue
        with tempfile.TemporaryDirectory(
            prefix="flexlock-bench-", ignore_cleanup_errors=True
        ) as folder:
            bench = Bench(Path(folder), scale, options.peer_python)
            for row in make(bench):
                rows.append(row)
                print(row.markdown(), flush=True)
    if not options.trial and not options.rows:
        write_table(rows, scale)
    return 0 if options.trial or all(row.inside for row in rows) else 1


@dataclass(frozen=True)
class Bench:
    """A scratch folder with an empty HOME, and how to time things in it."""

    root: Path
    scale: Scale
    peer_python: str | None

    def env(self) -> dict[str, str]:
        """Nothing of the user's; no analytics, no prompts."""
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.root / "dvc"),
            "PYTHONWARNINGS": "ignore",
        }

    def call(self, *words: str | Path, cwd: Path) -> str:
        """Run a program; its standard output."""
        done = subprocess.run(
            [str(word) for word in words], cwd=cwd, env=self.env(), capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{words} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def timed(self, *words: str | Path, cwd: Path) -> float:
        """Seconds that a program runs."""
        start = time.perf_counter()
        self.call(*words, cwd=cwd)
        return time.perf_counter() - start

    def medians(self, **sides: Callable[[], float]) -> dict[str, float]:
        """The median seconds of each side; in each round every side runs once.

        Of sides named ``on`` and ``off``, ``extra`` is the median of what ``on`` took
        longer: a machine that slows down in between slows both.
        """
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(self.scale.rounds):
            for name in sorted(sides, reverse=number % 2 == 1):
                taken[name].append(sides[name]())
        if "on" in taken:
            taken["extra"] = [on - off for on, off in zip(taken["on"], taken["off"])]
        return {name: statistics.median(values) for name, values in taken.items()}

    def app(self, folder: Path, *overrides: str) -> float:
        """Seconds of the Hydra app in a folder."""
        return self.timed(sys.executable, "app.py", *overrides, cwd=folder)

    def task(self, folder: Path, *overrides: str) -> float:
        """Seconds of the app's task function alone."""
        said = self.call(sys.executable, "app.py", *overrides, cwd=folder)
        return float(said.rpartition("TASK")[2].split()[0])


def project(bench: Bench, name: str, files: int, config: Mapping[str, object]) -> Path:
    """A repository with a Hydra app and so many more tracked files."""
    root = bench.root / name
    (root / "conf").mkdir(parents=True)
    (root / "app.py").write_text(APP)
    (root / "conf" / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))
    (root / ".gitignore").write_text("/outputs/\n/multirun/\n/data/\n")
    small_files(root / "src", files, lambda i: f"value = {i}\n".encode())
    settings = (  # a git that tidies up in the background would be timed as well
        ["config", "user.name", "bench"],
        ["config", "user.email", "bench@localhost"],
        ["config", "gc.auto", "0"],
        ["config", "maintenance.auto", "false"],
    )
    for words in (["init", "-q"], *settings, ["add", "-A"], ["commit", "-q", "-m", "all"]):
        bench.call("git", *words, cwd=root)
    return root


def small_files(folder: Path, count: int, content: Callable[[int], bytes]) -> None:
    """Files in subfolders of at most a thousand."""
    for i in range(count):
        if i % 1000 == 0:
            (folder / f"{i // 1000:04d}").mkdir(parents=True)
        (folder / f"{i // 1000:04d}" / f"f{i}.txt").write_bytes(content(i))


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


ROWS = (callback, further_job, many_small_files, large_file, large_config, peer)

_HASH = """
import sys, time
from pathlib import Path
from flexlock_hydra.capture.digest import summarize
from flexlock_hydra.capture.index import Index, index_path
start = time.perf_counter()
with Index.open(index_path()) as index:
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


@contextmanager
def fresh_dvc(bench: Bench, folder: Path) -> Iterator[None]:
    """A DVC repository without git, state or cache, removed at the end."""
    bench.call(Path(sys.executable).with_name("dvc"), "init", "--no-scm", "-q", cwd=folder)
    try:
        yield
    finally:
        for name in (".dvc", "data.dvc", ".dvcignore"):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        for place in (bench.root / "home" / ".cache" / "dvc", bench.root / "dvc"):
            shutil.rmtree(place, ignore_errors=True)


def duration(seconds: float) -> str:
    """Seconds in the unit that people read."""
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"


def write_table(rows: Iterable[Row], scale: Scale) -> None:
    """Put the table into the page, between its marks."""
    head = "| work | beside | ours | the other | ratio | at most | inside |"
    lines = [head, "|---|---|---|---|---|---|---|", *(row.markdown() for row in rows)]
    where = (
        f"Medians of {scale.rounds} rounds on {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, hydra-core "
        f"{version('hydra-core')}, DVC {version('dvc')}, page cache warm."
    )
    text = TABLE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    block = "\n".join([BEGIN, "", *lines, "", where, "", END])
    TABLE.write_text(f"{before}{block}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
