"""How things are timed side by side, and what a row of the table is."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

APP = '''
import os
import time
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    start = time.perf_counter()
    total = 0
    for i in range(cfg.get("turns", 0)):
        total += i * i
    for folder in sorted(os.listdir(cfg.read)) if "read" in cfg else ():
        for name in sorted(os.listdir(os.path.join(cfg.read, folder))):
            with open(os.path.join(cfg.read, folder, name)) as file:
                total += sum(map(int, file.read().split()))
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
    objects: int = 10_000
    predecessors: int = 200
    crowd: int = 1_000_000
    runs: int = 10_000


TRIAL = Scale(1, 200, 400, 300, 5 * 10**6, 200_000, 500, 3, 300, 3, 2000, 50)


@dataclass(frozen=True)
class Row:
    """One line of the table: seconds of ours, seconds beside it, and the limit in seconds."""

    work: str
    beside: str
    ours: float
    other: float
    limit: float
    at_most: str
    unit: str = ""
    """Of what is no time."""

    @property
    def inside(self) -> bool:
        """Whether the row keeps its limit."""
        return self.ours <= self.limit

    def markdown(self) -> str:
        """The row as the table shows it."""
        cells = (
            self.work,
            self.beside,
            f"{self.ours:.2f} {self.unit}" if self.unit else duration(self.ours),
            duration(self.other) if self.other else "",
            f"{self.ours / self.other:.2f} x" if self.other > 0 else "",
            self.at_most,
            "yes" if self.inside else "**no**",
        )
        return f"| {' | '.join(cells)} |"


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

    def call(self, *words: str | Path, cwd: Path, fine: Container[int] = (0,)) -> str:
        """Run a program that ends with an exit code that is fine; its standard output."""
        done = subprocess.run(
            [str(word) for word in words], cwd=cwd, env=self.env(), capture_output=True, text=True
        )
        if done.returncode not in fine:
            raise SystemExit(f"{words} failed:\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def timed(self, *words: str | Path, cwd: Path, fine: Container[int] = (0,)) -> float:
        """Seconds that a program runs."""
        start = time.perf_counter()
        self.call(*words, cwd=cwd, fine=fine)
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


def init_dvc(folder: Path, remote: Path | str = "", **options: object) -> None:
    """Make a folder a DVC repository without git, as ``dvc init`` and ``dvc remote`` do it.

    Args:
        remote: its default remote, which is named ``r``.
        options: that remote's settings, for ``config.local``.
    """
    lines = ["[core]", "no_scm = True"]
    if remote:
        lines += ["remote = r", "['remote \"r\"']", f"url = {remote}"]
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("\n".join(lines))
    if options:
        settings = (f"{name} = {value}" for name, value in options.items())
        local = ("['remote \"r\"']", *settings)
        (folder / ".dvc" / "config.local").write_text("\n".join(local))


@contextmanager
def fresh_dvc(bench: Bench, folder: Path) -> Iterator[None]:
    """A DVC repository without git, state or cache, removed at the end."""
    init_dvc(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder / ".dvc")
        (folder / "data.dvc").unlink(missing_ok=True)
        for place in (bench.root / "home" / ".cache" / "dvc", bench.root / "dvc"):
            shutil.rmtree(place, ignore_errors=True)


def duration(seconds: float) -> str:
    """Seconds in the unit that people read."""
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"
