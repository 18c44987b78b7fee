"""A port of this machine, disks that are soon full, and programs that end with the tests."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BUCKET = "bucket"
WRITER, READER, STRANGER = "writer", "reader", "stranger"
"""Who may write, who may read, whom the servers do not know."""
SMALL_DISK = 2 * 1024 * 1024
"""Bytes of the disk below ``full``."""
HOST = "127.0.0.1"
_PORTS = itertools.count(random.SystemRandom().randrange(2500))
_UP_SECONDS = 60


def bin_path(name: str) -> str:
    """A program that a package has put beside this Python."""
    return os.path.join(os.path.dirname(sys.executable), name)


def free_port() -> int:
    """A port that no socket uses, below those that the kernel gives to clients.

    Sessions side by side search in ranges of their own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
    for number in _PORTS:
        port = 10_000 + worker * 2500 + number % 2500
        with contextlib.suppress(OSError), socket.socket() as taken:
            taken.bind((HOST, port))
            return port
    raise AssertionError


def with_mounts(words: Sequence[str], *mounts: str) -> list[str]:
    """A command that sees mounts which nobody else sees, and which end with it."""
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = " && ".join([*mounts, 'exec "$0" "$@"'])
    return ["unshare", *root, "--mount", "sh", "-c", script, *words]


def small_disk(folder: Path, size: int = SMALL_DISK) -> str:
    """The mount of a disk that is soon full."""
    return f"mount -t tmpfs -o size={size},mode=755 none '{folder}'"


def read_only(folder: Path) -> str:
    """The mount that makes a folder read-only, root included."""
    return f"mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'"


@dataclass
class Program:
    """A server that runs until it is told to end, or until its parent ends."""

    words: Sequence[str]
    log: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        prctl = ctypes.CDLL(None).prctl
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                preexec_fn=lambda: prctl(1, signal.SIGKILL),  # PR_SET_PDEATHSIG
            )

    def wait(self, is_up: Callable[[], object]) -> None:
        """Wait until a look at the server neither raises OSError nor is untrue."""
        until = time.monotonic() + _UP_SECONDS
        while True:
            with contextlib.suppress(OSError):
                if is_up():
                    return
            assert self.process.poll() is None and time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def listens(self, port: int) -> bool:
        """Whether someone accepts connections at a port."""
        socket.create_connection((HOST, port), 1).close()
        return True

    def end(self) -> None:
        """End it at once: nothing of it is kept."""
        self.process.kill()
        self.process.wait()
