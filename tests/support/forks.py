"""Processes of Python that are forked from one that has imported what they need.

Nine tenths of a short command are the start of Python and its imports. A server, one for each
kind of command in each process of tests, imports once what such a command imports, and forks
for each call. The child has the arguments, folder, environment, streams and exit code of a
process that was started, and ends as one. What differs: its hash seed and
``/proc/PID/cmdline`` are the server's, its parent is the server, and modules are loaded
already. So whoever tests these marks it ``started``; and a call whose environment says how
Python starts, or that is not for this Python, gets a process of its own in any case.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.support.environ import clean_variables

_SERVER = Path(__file__).with_name("fork_server.py")
_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC", "GLIBC", "COVERAGE")
"""Beginnings of the variables that a process reads when it starts."""

allowed = True
"""Whether the test that runs lets its processes be forked."""


def start(
    words: Sequence[str], cwd: Path, env: Mapping[str, str], *, new_session: bool = False
) -> Fork | None:
    """Start ``python -m flexlock_hydra ...`` or ``python app.py ...`` as a fork of a server.

    Returns:
        None where only a process of its own will do.
    """
    kind = _kind(words)
    if kind is None or not allowed or not sys.platform.startswith("linux"):
        return None
    if _read_at_start(env) != _read_at_start(clean_variables()):
        return None
    return _server(kind).start(words, cwd, env, new_session)


def _kind(words: Sequence[str]) -> str | None:
    if words[0] != sys.executable:
        return None
    if words[1:3] == ["-m", "flexlock_hydra"]:
        return "command"
    return "app" if words[1] == "app.py" else None


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_AT_START)}


class Fork:
    """A forked process: what ``subprocess.Popen`` has of it, with its output as text."""

    def __init__(self, words: Sequence[str], status: socket.socket, out: int, err: int) -> None:
        self.words = words
        self.returncode: int | None = None
        self._status = status
        self._read: dict[int, list[bytes]] = {out: [], err: []}
        self._open = {out, err}
        self.pid = int(status.recv(64))

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Read what it says until it ends.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        until = time.monotonic() + timeout
        try:
            self._read_all(until)
            self._status.settimeout(max(0.01, until - time.monotonic()))
            self.returncode = int(self._status.recv(64))
        except TimeoutError:
            raise subprocess.TimeoutExpired([*self.words], timeout) from None
        self._status.close()
        out, err = (b"".join(blocks).decode() for blocks in self._read.values())
        return out.replace("\r\n", "\n"), err.replace("\r\n", "\n")

    def _read_all(self, until: float) -> None:
        with selectors.DefaultSelector() as selector:
            for number in self._open:
                selector.register(number, selectors.EVENT_READ)
            while self._open:
                ready = selector.select(max(0, until - time.monotonic()))
                if not ready:
                    raise TimeoutError
                for key, _ in ready:
                    block = os.read(key.fd, 1 << 16)
                    self._read[key.fd].append(block)
                    if not block:
                        selector.unregister(key.fd)
                        self._open.remove(key.fd)
                        os.close(key.fd)

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end, two minutes at most."""
        try:
            said = self.communicate()
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            raise
        assert self.returncode is not None
        return subprocess.CompletedProcess([*self.words], self.returncode, *said)


@cache
def _server(kind: str) -> _Server:
    return _Server(kind)


class _Server:
    """One server; it ends with this process."""

    def __init__(self, kind: str) -> None:
        self.door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, str(_SERVER), kind, str(theirs.fileno())],
                cwd="/",
                env=clean_variables(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.end)

    def start(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], new_session: bool
    ) -> Fork:
        """Let it fork for a call."""
        call = {"words": words, "cwd": str(cwd), "env": {**env}, "new_session": new_session}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        text = os.memfd_create("call")  # a message would have a greatest size
        os.pwrite(text, json.dumps(call).encode(), 0)
        sent = [theirs.detach(), their_out, their_err, text]
        socket.send_fds(self.door, [b"call"], sent)
        for number in sent:
            os.close(number)
        return Fork(words, ours, out, err)

    def end(self) -> None:
        """End it, when its children did."""
        self.door.close()
        self.process.wait()
