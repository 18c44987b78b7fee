"""What breaks on the way to a server: a proxy, a port that is silent, a relay that cuts."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.git_http import read_body
from tests.support.loopback import HOST

# What breaks


@dataclass(frozen=True)
class Trouble:
    """What a proxy does to requests of one method, after some were let through.

    ``what``: ``refuse`` (answer with ``status``), ``delay`` (by ``seconds``), ``cut request``
    (after ``size`` bytes of its body), ``cut answer`` (after as many of its own), ``short``
    (the answer claims to be whole with as many bytes), ``flip`` (one bit of the answer).
    """

    what: str
    method: str
    skip: int = 0
    times: int = 1_000_000
    size: int = 0
    status: int = 500
    seconds: float = 0


class FaultyProxy:
    """A proxy before an http server; no trouble until it is told to make some."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.requests: list[str] = []
        self.trouble: Trouble | None = None
        self._lock = threading.Lock()
        self._seen = 0
        owner = self

        class Handler(_ProxyHandler):
            proxy = owner

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def make(self, trouble: Trouble | None) -> None:
        """Make trouble from now on, or none."""
        with self._lock:
            self.trouble, self._seen = trouble, 0

    def trouble_for(self, method: str, path: str) -> Trouble | None:
        """What is to be done to a request."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            if self.trouble is None or self.trouble.method != method:
                return None
            self._seen += 1
            first = self.trouble.skip
            return self.trouble if first < self._seen <= first + self.trouble.times else None

    def end(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


class _ProxyHandler(BaseHTTPRequestHandler):
    proxy: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def forward(self) -> None:
        """Pass a request on, and its answer back."""
        trouble = self.proxy.trouble_for(self.command, self.path)
        what = trouble.what if trouble else ""
        if trouble and what == "cut request":
            self.rfile.read(trouble.size)
            return self._cut()
        body = read_body(self)
        if trouble and what == "delay":
            time.sleep(trouble.seconds)
        if trouble and what == "refuse":
            return self._answer(trouble.status, [("Content-Length", "0")], b"")
        upstream = HTTPConnection(HOST, self.proxy.upstream, timeout=60)
        try:
            headers = {**dict(self.headers.items()), "Connection": "close"}
            headers.pop("Transfer-Encoding", None)
            upstream.request(self.command, self.path, body=body or None, headers=headers)
            answer = upstream.getresponse()
            content = answer.read()
        except OSError:
            return self._cut()
        finally:
            upstream.close()
        hidden = ("connection", "transfer-encoding", "content-length")
        fields = [(k, v) for k, v in answer.getheaders() if k.lower() not in hidden]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        if trouble and what == "cut answer" and not trouble.size:
            return self._cut()
        if trouble and what == "short":
            content = content[:trouble.size]
        if trouble and what == "flip" and content:
            content = bytes([content[0] ^ 1]) + content[1:]
        fields.append(("Content-Length", length or str(len(content))))
        if trouble and what == "cut answer":
            self._answer(answer.status, fields, content[:trouble.size])
            return self._cut()
        self._answer(answer.status, fields, content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward
    do_PROPFIND = do_MKCOL = do_MOVE = do_COPY = do_OPTIONS = forward

    def _answer(self, status: int, fields: Sequence[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _cut(self) -> None:
        """Reset the connection."""
        self.close_connection = True
        reset = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.connection.close()


class Silent:
    """A port that accepts connections and never says a word."""

    def __init__(self) -> None:
        self.socket = socket.create_server((HOST, 0), backlog=100)
        self.port = self.socket.getsockname()[1]
        self.held: list[socket.socket] = []
        threading.Thread(target=self._hold, daemon=True).start()

    def _hold(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.held.append(self.socket.accept()[0])

    def end(self) -> None:
        """Let go of them."""
        self.socket.shutdown(socket.SHUT_RDWR)  # ends the accept that waits
        for each in (self.socket, *self.held):
            each.close()


class Relay:
    """A port that passes bytes on to another, until it freezes or cuts after so many."""

    limit: int | None = None
    freezes_at: int | None = None

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.socket = socket.create_server((HOST, 0), backlog=100)
        self.port = self.socket.getsockname()[1]
        self.thawed = threading.Event()
        self.passed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here = self.socket.accept()[0]
                there = socket.create_connection((HOST, self.upstream))
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                self.passed += len(block)
                if self.freezes_at is not None and self.passed > self.freezes_at:
                    self.thawed.wait()
                if self.limit is not None and self.passed > self.limit:
                    break
                sink.sendall(block)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Accept no more."""
        self.thawed.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture(name="silent")
def silent_fixture() -> Iterator[Silent]:
    """A port that never answers."""
    server = Silent()
    yield server
    server.end()
