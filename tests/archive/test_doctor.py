"""``doctor``: each thing that runs stand on, broken for real, is named with what to type next."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.archive.remotes import doctor
from flexlock_hydra.archive.remotes.probe import Probe
from tests.conftest import Project, with_callback

NAMES = [
    "git", "git identity", "repository", "python", "dvc", "hydra", "plugin", "callback",
    "git remote", "data remote", "clock of files", "clock of the data remote", "hash index",
    "embedded store",
]


@pytest.fixture
def known(project: Project, store: Path) -> Project:
    """A project whose git knows its user, with a data remote."""
    project.git("config", "--global", "user.name", "Ada")
    project.git("config", "--global", "user.email", "ada@example.org")
    store.mkdir()
    project.env["FLEXLOCK_REMOTE"] = str(store)
    return project


def examined(project: Project, *words: str, cwd: Path | None = None, **env: str) -> dict[str, Any]:
    """Name -> check, of a project's doctor; its exit code says whether one is wrong."""
    done = project.flexlock("doctor", "--json", *words, cwd=cwd, check=False, **env)
    checks = {check["name"]: check for check in done.json["checks"]}
    assert done.code == (0 if all(check["ok"] for check in checks.values()) else 1), done.err
    assert all(check["hint"] for check in checks.values() if not check["ok"])
    return checks


def wrong(checks: dict[str, Any]) -> list[str]:
    """The names of what is wrong."""
    return [name for name, check in checks.items() if not check["ok"]]


@pytest.mark.hydra
def test_all_is_well(known: Project, origin: Path, store: Path) -> None:
    """Where all is well each thing is named as fine, and nothing is left on the remotes."""
    known.app("hydra.run.dir=seen")  # Hydra's own files name the callback as well
    known.commit("outputs among the files")
    checks = examined(known)
    assert list(checks) == NAMES
    assert wrong(checks) == []
    assert checks["git remote"]["reason"] == str(origin)
    assert checks["data remote"]["reason"] == str(store)
    assert checks["callback"]["reason"] == "turned on in conf/config.yaml"
    assert [*store.iterdir()] == []
    assert known.git("status", "--porcelain") == ""


def test_for_people(known: Project) -> None:
    """Each line begins with fine or wrong; below a wrong one stands what to type next."""
    known.git("config", "--global", "--unset", "user.email")
    done = known.flexlock("doctor", check=False)
    lines = done.out.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("wrong"))
    assert lines[at].startswith("wrong  git identity: user.email not set")
    assert lines[at + 1] == '       git config --global user.email "..."'
    assert done.code == 1
    assert all(line.startswith(("fine", "wrong", "     ")) for line in lines)


def test_outside_of_a_repository(known: Project, tmp_path: Path) -> None:
    """Without a repository that is what is wrong; what needs none is looked at all the same."""
    checks = examined(known, cwd=tmp_path)
    assert wrong(checks) == ["repository"]
    assert "git init" in checks["repository"]["hint"]
    assert "hydra" in checks and "data remote" not in checks


def test_without_git(known: Project, tmp_path: Path) -> None:
    """Without git on PATH the rest is looked at."""
    checks = examined(known, PATH=str(tmp_path))
    assert wrong(checks) == ["git", "repository"]
    assert "https://git-scm.com" in checks["git"]["hint"]


@pytest.mark.parametrize(("config", "on"), [
    ("defaults:\n  - override /hydra/callbacks:\n      - other\n      - flexlock\n", True),
    ("defaults: [_self_, {override hydra/callbacks: [x, flexlock]}]\n", True),
    ("hydra:\n  callbacks:\n    other: {}\n    flexlock:\n      strict: all\n", True),
    ("# - override /hydra/callbacks: flexlock\ndefaults: [_self_]\n", False),
    ("name: flexlock\n", False),
])
def test_whether_the_callback_is_on(config: str, on: bool, known: Project) -> None:
    """The forms in which a config turns it on are found; a comment turns nothing on."""
    known.write("conf/config.yaml", config)
    check = examined(known)["callback"]
    assert check["ok"] is on
    if not on:
        assert "- override /hydra/callbacks: flexlock" in check["hint"]


@pytest.mark.hydra
def test_a_run_recorded_by_the_command_line(known: Project) -> None:
    """Where no config turns it on but runs were recorded, it is turned on as it should be."""
    known.write("conf/config.yaml", "table: data/table.csv\nlr: 1\n")
    assert wrong(examined(known)) == ["callback"]
    known.app("hydra/callbacks=flexlock")
    assert examined(known)["callback"]["reason"] == "in no config, but runs were recorded"


def test_a_remote_that_is_not_there(known: Project, tmp_path: Path) -> None:
    """Remotes that are gone are named with their places."""
    known.git("remote", "add", "origin", str(tmp_path / "gone.git"))
    checks = examined(known, FLEXLOCK_REMOTE=str(tmp_path / "nowhere"))
    assert wrong(checks) == ["git remote", "data remote"]
    assert "gone.git" in checks["git remote"]["reason"]
    assert "nowhere" in checks["data remote"]["reason"]


def processes(project: Project) -> str:
    """The command lines of all that runs."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_silent_remotes_hang_nothing(known: Project, silent: int) -> None:
    """A server that never answers is an error when the time is over, and nothing runs on."""
    known.git("remote", "add", "origin", f"http://127.0.0.1:{silent}/x.git")
    start = time.monotonic()
    checks = examined(
        known, "--timeout", "3", FLEXLOCK_REMOTE=f"webdav://127.0.0.1:{silent}/store"
    )
    assert time.monotonic() - start < 20
    assert wrong(checks) == ["git remote", "data remote"]
    for name in ("git remote", "data remote"):
        assert "in time" in checks[name]["reason"]
    assert f"127.0.0.1:{silent}/" not in processes(known)


def test_another_remote_than_the_usual(known: Project, tmp_path: Path) -> None:
    """--remote and --git-remote name others."""
    (tmp_path / "other").mkdir()
    checks = examined(known, "--remote", str(tmp_path / "other"), "--git-remote", "nobody")
    assert checks["data remote"]["reason"] == str(tmp_path / "other")
    assert checks["git remote"]["reason"] == "no git remote nobody"


def test_a_damaged_index(known: Project, tmp_path: Path) -> None:
    """An index whose bytes are overwritten is named with what to remove; a sound one is fine."""
    cache = tmp_path / "cache"
    known.flexlock("doctor", check=False, FLEXLOCK_CACHE=str(cache))
    assert not cache.exists()  # looking makes nothing
    (cache / "x").mkdir(parents=True)
    from flexlock_hydra.capture.data.hash_index import HashIndex

    path = cache / f"hashes-1-{socket.gethostname()}.sqlite"
    HashIndex.open(path).close()
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO files VALUES (1, ?, ?)", [(str(n), b"x" * 60) for n in range(500)]
        )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    assert "500 files" in examined(known, FLEXLOCK_CACHE=str(cache))["hash index"]["reason"]
    content = bytearray(path.read_bytes())
    content[4096 * 3:] = b"\xff" * len(content[4096 * 3:])
    path.write_bytes(content)
    check = examined(known, FLEXLOCK_CACHE=str(cache))["hash index"]
    assert not check["ok"]
    assert check["hint"].startswith(f"rm {path}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc takes no folders")
def test_an_index_that_cannot_be_made(known: Project) -> None:
    """Where no index can be made that is told, with the variable that names another folder."""
    check = examined(known, FLEXLOCK_CACHE="/proc/flexlock")["hash index"]
    assert check["reason"] == "/proc cannot be written to: files are hashed anew"
    assert "FLEXLOCK_CACHE=DIR" in check["hint"]


@pytest.mark.hydra
def test_a_damaged_embedded_store(known: Project) -> None:
    """An object of the embedded store whose bytes changed is named."""
    del known.env["FLEXLOCK_REMOTE"]
    known.app()
    known.flexlock("push", "@latest")
    assert wrong(examined(known)) == []
    store = Path(known.env["HOME"], ".local/share/flexlock-hydra/store")
    victim = next(path for path in store.glob("files/md5/*/*"))
    victim.chmod(0o644)
    victim.write_bytes(b"rot")
    check = examined(known)["embedded store"]
    assert f"{victim.parent.name}{victim.name}" in check["reason"]
    assert "--repair" in check["hint"]


def test_a_clock_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of files that are not of now are told, with how far they are off."""
    assert doctor._clock_of_files(tmp_path).ok
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 60)
    assert doctor._clock_of_files(tmp_path).reason == "60 s ahead of the one here"
    monkeypatch.setattr(time, "time", lambda: now() + 60)
    found = doctor._clock_of_files(tmp_path)
    assert found.reason == "59 s behind the one here"
    assert found.hint and not found.ok
    assert doctor._clock("clock of the data remote", 59, 60).ok


def test_a_project_cannot_run_code_in_the_doctor(known: Project) -> None:
    """Modules in the project's folder that bear the names of ours are not imported."""
    for name in ("json", "tempfile", "hydra", "flexlock_hydra/__init__"):
        known.write(f"{name}.py", "open('owned', 'w')\n")
    script = Path(sys.executable).with_name("flexlock-hydra")
    done = known.call(script, "doctor", check=False)
    assert "fine   plugin" in done.out
    assert not known.path("owned").exists()


def test_the_probe_ends_what_it_started(known: Project, tmp_path: Path) -> None:
    """A probe that is not answered in time leaves no process, not even git's own helpers."""
    known.write("slow.sh", "#!/bin/sh\nsleep 300\n").chmod(0o755)
    known.git("remote", "add", "origin", "ssh://nobody@127.0.0.1/x")
    os.environ["GIT_SSH_COMMAND"] = str(known.path("slow.sh"))
    try:
        answer = Probe.start("git remote", known.root, None, 2).finish()
    finally:
        del os.environ["GIT_SSH_COMMAND"]
    assert answer.wrong == "no answer in time"
    end = time.monotonic() + 10  # what was killed is there until its parent has heard of it
    while (started := str(known.path("slow.sh")) in processes(known)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not started


def test_with_callback_is_the_form_that_is_found() -> None:
    """The form that the documentation shows is one of those that are found."""
    assert doctor._TURNED_ON.search(with_callback("a: 1\n"))
