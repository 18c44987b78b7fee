"""``show`` for people: what ran, on what, what came out, and what was not exact."""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.cli.views import render, show
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import Failure
from tests.conftest import Project
from tests.support.lineages import lock_of

ERROR = "first line\n\x1b[31mred\x1b[0m \x1b]0;title\x07" + "x" * 150 + "\nlast"


def rows(out: str) -> dict[str, str]:
    """Name -> value, of the lines above the first section."""
    pairs = [line.partition(" ") for line in out.splitlines() if not line.startswith(" ")]
    return {name: value.strip() for name, _, value in pairs}


@pytest.mark.hydra
def test_a_run(recorded: Project) -> None:
    """What ran, with what, on what, what came out and what it stands on."""
    out = recorded.flexlock("show", "outputs/a").out
    found = rows(out)
    assert found["job"] == "app (python app.py)"
    assert found["overrides"].endswith("lr=0.2")
    assert found["edited"] == "app.py, new.py"
    assert re.fullmatch(r"\w+ 3\.[\d.]+\w*, \d+ packages", found["python"])
    assert "6 files" in found["outputs"]
    assert "\n  table   data/table.csv  (8 B, " in out
    assert re.search(r"\nstands on\n  app  \S+  completed via before\n", out)
    assert "not exact" not in out


@pytest.mark.hydra
def test_config_groups(recorded: Project) -> None:
    """The options of the app's own groups are named, Hydra's own are not."""
    recorded.write("conf/model/big.yaml", "depth: 9\n")
    recorded.app("hydra.run.dir=outputs/g", "+model=big")
    assert rows(recorded.flexlock("show", "outputs/g").out)["groups"] == "model=big"


@pytest.mark.hydra
def test_what_is_not_exact(recorded: Project) -> None:
    """Gaps of code and data stand in a section of their own, each once."""
    recorded.write("big.bin", b"x" * (1 << 20) + b"y")
    recorded.path("data/table.csv").unlink()
    done = recorded.app(
        "hydra.run.dir=outputs/x", "hydra.callbacks.flexlock.max_untracked_mb=0", check=False
    )
    assert done.code == 1
    out = recorded.flexlock("show", "outputs/x").out
    section = out.partition("not exact\n")[2].splitlines()
    assert any("big.bin" in line for line in section)
    assert any("data/table.csv" in line for line in section)
    assert len(section) == len(set(section))
    assert all(line.startswith("  -  ") for line in section)


def failed(project: Project) -> Project:
    """A project with a run that failed with a long, coloured message of several lines."""
    lock = lock_of(1)
    run = replace(
        lock.run, status="failed", error=Failure(type="ValueError", message=ERROR, traceback="t")
    )
    folder = project.path("outputs/it's bad")
    folder.mkdir(parents=True)
    lockfile.write(replace(lock, run=run), folder / "run.lock")
    return project


def test_an_error_is_one_line(project: Project) -> None:
    """Of a long message its beginning is shown, without colours, and where all of it is."""
    out = failed(project).flexlock("show", "outputs/it's bad").out
    line = next(line for line in out.splitlines() if line.startswith("error"))
    assert "ValueError: first line red xxx" in line and line.endswith("…")
    assert len(line) <= 80
    where = rows(out)["traceback"]
    again = where.removesuffix(", under run.error")
    assert where != again
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    assert project.call("sh", "-c", again, PATH=path).json["run"]["error"]["message"] == ERROR
    assert "\x1b" not in out


@pytest.mark.parametrize(("text", "shown_as"), [
    ("\x1b[1;31mred\x1b[0m", "red"), ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ("a\n\n  b\tc", "a b c"), ("\x1bMup", "up"),
])
def test_colours_go(text: str, shown_as: str) -> None:
    """What programs write to colour or steer a terminal is no part of a message."""
    assert render.one_line(text, 40) == shown_as


@pytest.mark.hydra
def test_a_sweep_shows_what_differs(recorded: Project) -> None:
    """What all jobs share stands once, above; each job has what is its own, whole."""
    long = "+a.very.long.key.that.all.jobs.share=and-a-value-that-is-long-as-well"
    recorded.write("conf/hydra/sweeper/grid.yaml", "defaults: [basic]\nparams: {+extra: 5}\n")
    recorded.app(
        "-m", "hydra.sweep.dir=multirun/s", long, "lr=0.1,0.2", "hydra/sweeper=grid",
    )
    out = recorded.flexlock("show", "multirun/s").out
    table = out.partition("jobs\n")[2].splitlines()
    assert [re.split(r"  +", line.strip())[3] for line in table] == ["lr=0.1", "lr=0.2"]
    assert out.count("a-value-that-is-long") == 1
    assert rows(out)["in"] == "all jobs  +extra=5"


def in_terminal(project: Project, columns: int, *words: str) -> list[str]:
    """The lines that a terminal of a width shows."""
    import fcntl
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    env = {key: value for key, value in project.env.items() if key not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "flexlock_hydra", *words], cwd=project.root, env=env,
        stdin=follower, stdout=follower, stderr=follower,
    )
    os.close(follower)
    said = b""
    while select.select([leader], [], [], 20)[0]:
        try:
            block = os.read(leader, 65536)
        except OSError:  # Linux: its other end is closed
            break
        if not block:
            break
        said += block
    process.wait()
    os.close(leader)
    return re.sub(r"\x1b\[[\d;]*m", "", said.decode()).split("\r\n")


@pytest.mark.hydra
@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(columns: int, recorded: Project) -> None:
    """Long values go on below their beginning; nothing that matters is cut."""
    words = [f"+key{n}=value-{n}" for n in range(12)]
    recorded.app("hydra.run.dir=outputs/w", *words)
    lines = in_terminal(recorded, columns, "show", "outputs/w")
    assert all(len(line) <= columns for line in lines if " " in line.strip()[11:])
    text = " ".join(line.strip() for line in lines)
    assert all(word in text for word in words)
    at = next(n for n, line in enumerate(lines) if line.startswith("overrides"))
    assert lines[at + 1].startswith(" " * 11 + "+key")


@pytest.mark.hydra
def test_times_that_it_was_run_again(
    recorded: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is known of later runs of the same has a section at the end."""
    found = find_run("outputs/a", recorded.root)
    show.show_run(found, "outputs/a", ["2026-11-26 on node8: identical"])
    assert capsys.readouterr().out.endswith("reproduced\n  -  2026-11-26 on node8: identical\n")
