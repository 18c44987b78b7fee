"""git over http: git http-backend behind a web server."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.loopback import HOST, WRITER


def new_bare(path: Path) -> Path:
    """A new bare repository that takes pushes over http."""
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
    return path


class GitHttp:
    """``git http-backend`` behind a web server of this process.

    Below ``/private`` it wants the writer's name and password.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.asked: list[str] = []
        owner = self

        class Handler(_GitHandler):
            server_of = owner

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def repository(self, name: str, *, private: bool = False, who: str = "") -> str:
        """The URL of a new bare repository, with a user in it where one is given."""
        path = f"private/{name}.git" if private else f"{name}.git"
        new_bare(self.folder / path)
        return self.url(path, who)

    def url(self, path: str, who: str = "") -> str:
        """A URL of this server."""
        user = f"{who}:{who}-secret@" if who else ""
        return f"http://{user}{HOST}:{self.port}/{path}"

    def end(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()


class _GitHandler(BaseHTTPRequestHandler):
    server_of: GitHttp
    protocol_version = "HTTP/1.0"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """Ask the CGI program that git ships."""
        path, _, query = self.path.partition("?")
        self.server_of.asked.append(path)
        wanted = "Basic " + base64.b64encode(f"{WRITER}:{WRITER}-secret".encode()).decode()
        if path.startswith("/private") and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server_of.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.server_of.folder),
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": HOST,
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=read_body(self),
            env=environment,
            capture_output=True,
            check=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


def read_body(request: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, whole or in chunks."""
    if request.headers.get("Transfer-Encoding", "") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


@pytest.fixture(scope="session", name="git_http")
def git_http_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHttp]:
    """Git over http."""
    server = GitHttp(tmp_path_factory.mktemp("servers") / "git")
    yield server
    server.end()
