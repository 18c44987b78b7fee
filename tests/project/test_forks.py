"""A forked process of a test is as one that was started."""

from __future__ import annotations

import os
import shutil
import signal
from typing import Any

import pytest

from tests.conftest import Done, Project, read_plain
from tests.support import forks

FACTS = '''
import atexit
import json
import logging
import os
import signal
import sys
import threading

main = sys.modules["__main__"]
atexit.register(lambda: print("the end"))
print(json.dumps({
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "path": sys.path,
    "main": [__name__, __file__, type(__loader__).__name__, __spec__ is None, __package__],
    "main is this": main.__dict__ is globals(),
    "cwd": os.getcwd(),
    "env": dict(os.environ),
    "flags": str(sys.flags),
    "streams": [(s.fileno(), s.encoding, s.line_buffering) for s in (sys.stdout, sys.stderr)],
    "input": sys.stdin.read(),
    "files": sorted(os.listdir("/proc/self/fd")),
    "handlers": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "threads": threading.active_count(),
    "umask": os.umask(0o22),
    "loggers": [str(handler) for handler in logging.getLogger().handlers],
    "hooks": sys.excepthook is sys.__excepthook__,
    "leader": os.getsid(0) == os.getpid(),
}), flush=True)
'''


def twice(project: Project, monkeypatch: pytest.MonkeyPatch, *words: str, **env: str) -> list[Done]:
    """What a forked and what a started process say."""
    said = []
    for allowed in (True, False):
        monkeypatch.setattr(forks, "allowed", allowed)
        said.append(project.call(project.python, *words, cwd=None, check=False, **env))
    return said


def test_what_a_process_sees_of_itself(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, paths, environment, streams, signals: all the same but for its id."""
    project.write("app.py", FACTS)
    forked, started = twice(project, monkeypatch, "app.py", "a b", "--c", TZ="Asia/Tokyo", X="ä")
    assert forked == started
    assert forked.out.endswith("the end\n")


@pytest.mark.parametrize(
    "end",
    [
        "sys.exit(7)",
        "sys.exit('words')",
        "os._exit(9)",
        "os.kill(os.getpid(), 15)",
        "os.kill(os.getpid(), 9)",
        "threading.Thread(target=lambda: print('later')).start()",
    ],
)
def test_how_a_process_ends(project: Project, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """Exit codes, signals and threads that outlive the script."""
    project.write("app.py", f"import os, sys, threading\nprint('line')\n{end}\n")
    forked, started = twice(project, monkeypatch, "app.py")
    assert forked == started


def test_an_error_of_a_script(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback ends alike; above it the fork shows who ran the script."""
    project.write("app.py", "def broken():\n    raise ValueError('x')\n\n\nbroken()\n")
    forked, started = twice(project, monkeypatch, "app.py")
    assert forked.code == started.code == 1
    assert forked.err.endswith(started.err.partition("\n")[2])


@pytest.mark.hydra
def test_what_is_recorded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked job records what a started one does, but for what differs between any two."""
    locks = []
    for allowed in (True, False):
        monkeypatch.setattr(forks, "allowed", allowed)
        project.app("hydra.run.dir=outputs/a", "lr=2")
        locks.append(read_plain(project.path("outputs/a/run.lock")))
        shutil.rmtree(project.path("outputs"))
    forked, started = map(timeless, locks)
    assert forked == started


def timeless(lock: dict[str, Any]) -> dict[str, Any]:
    """A lock without the id, the times and the number of the process."""
    for name in ("id", "started", "ended", "duration"):
        assert lock["run"].pop(name)
    for name in ("pid", "start_ticks"):
        assert lock["run"]["process"].pop(name)
    return lock


def test_a_command_in_another_folder(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line says and returns the same, wrong words included."""
    for words in (["ls", "--json"], ["nope"], ["--version"], ["show", "none"]):
        forked, started = twice(project, monkeypatch, "-m", "flexlock_hydra", *words)
        assert forked == started


def test_kill_of_a_group(project: Project) -> None:
    """A fork with a session of its own is killed with it."""
    project.write("app.py", "import time\nprint(1, flush=True)\ntime.sleep(60)\n")
    words = [project.python, "app.py"]
    process = forks.start(words, project.root, project.env, new_session=True)
    assert process is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.started
def test_what_is_marked_is_started(project: Project) -> None:
    """No fork where a test wants real processes."""
    assert forks.start([project.python, "app.py"], project.root, project.env) is None
