"""Real servers on loopback: S3, ssh, WebDAV, git over http, and a proxy that breaks things.

Each is one process (or thread) of the test session and ends with it. They start side by
side; a test waits for the one that it uses.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import getpass
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from flexlock_hydra.ports.store.store import RemoteSpec

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


# S3


class S3:
    """SeaweedFS: one bucket, one identity that may write and one that may read."""

    def __init__(self, folder: Path, *, disk: str = "", size_mb: int = 256) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self._config().write_text(json.dumps({"identities": list(self._identities())}))
        parts = ("master", "volume", "filer", "s3")
        flags = (f"{part}.port{kind}" for part in parts for kind in ("", ".grpc"))
        self.ports = {flag: free_port() for flag in flags}
        words = [bin_path("weed"), "-logtostderr=true", "server", *self._flags(size_mb)]
        self.program = Program(with_mounts(words, disk) if disk else words, folder / "weed.log")

    def _config(self) -> Path:
        return self.folder / "s3.json"

    @staticmethod
    def _identities() -> Iterator[dict[str, Any]]:
        rights = {WRITER: ["Admin", "Read", "List", "Tagging", "Write"], READER: ["Read", "List"]}
        for name, actions in rights.items():
            key = {"accessKey": name, "secretKey": f"{name}-secret"}
            yield {"name": name, "credentials": [key], "actions": actions}

    def _flags(self, size_mb: int) -> list[str]:
        flags: dict[str, object] = {
            "dir": self.data,
            "ip": HOST,
            "ip.bind": HOST,
            "filer": "true",
            "s3": "true",
            "s3.config": self._config(),
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",
            "volume.max": 40,
            "volume.minFreeSpace": 0,
            "volume.preStopSeconds": 0,
            # One server elects itself: no need to wait for others.
            "master.electionTimeout": "200ms",
            "master.heartbeatInterval": "50ms",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": size_mb,
            **self.ports,
        }
        return [f"-{name}={value}" for name, value in flags.items()]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.ports["s3.port"]

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{HOST}:{self.port}"

    @cached_property
    def client(self) -> Any:
        """A client of Amazon's own, once the server is up and has its bucket."""
        import boto3  # type: ignore[import-untyped]
        from botocore.config import Config  # type: ignore[import-untyped]
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=WRITER,
            aws_secret_access_key=f"{WRITER}-secret",
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, connect_timeout=2, read_timeout=10),
        )

        def writes() -> bool:
            with contextlib.suppress(BotoCoreError, ClientError):
                names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
                if BUCKET not in names:
                    client.create_bucket(Bucket=BUCKET)
                client.put_object(Bucket=BUCKET, Key="up", Body=b"up")
                return True
            return False

        self.program.wait(lambda: self.program.listens(self.port))
        self.program.wait(writes)
        return client

    def spec(self, path: str, who: str = WRITER) -> RemoteSpec:
        """A remote in the bucket."""
        _ = self.client
        options = {
            "endpointurl": self.endpoint,
            "access_key_id": who,
            "secret_access_key": f"{who}-secret",
            "region": "us-east-1",
        }
        return RemoteSpec(f"s3://{BUCKET}/{path}", options)

    def end(self) -> None:
        """End it, with the sockets that it leaves behind."""
        self.program.end()
        for port in self.ports.values():
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


# ssh


def write_key(path: Path) -> None:
    """A new pair of keys, as ssh-keygen makes it."""
    import asyncssh

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(path)
    path.chmod(0o600)
    key.write_public_key(f"{path}.pub")


class Ssh:
    """asyncssh's server: sftp and commands at one port, sftp without writing at another.

    Below ``full`` in its folder is a small disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "full").mkdir(parents=True)
        for name in ("host", WRITER, STRANGER):
            write_key(folder / name)
        self.port, self.read_only_port = free_port(), free_port()
        program = Path(__file__).with_name("ssh_server.py")
        ports = (str(self.port), str(self.read_only_port))
        words = [sys.executable, str(program), str(folder), *ports]
        self.program = Program(with_mounts(words, small_disk(folder / "full")), folder / "log")

    def key(self, who: str) -> Path:
        """A private key."""
        return self.folder / who

    def spec(self, path: str, who: str = WRITER) -> RemoteSpec:
        """A remote in a folder below the server's own."""
        self.program.wait(lambda: self.program.listens(self.port))
        options = {
            "port": self.read_only_port if who == READER else self.port,
            "keyfile": str(self.key(WRITER if who == READER else who)),
        }
        return RemoteSpec(f"ssh://{getpass.getuser()}@{HOST}{self.folder}/{path}", options)

    def git_environment(self, who: str = WRITER) -> dict[str, str]:
        """How git calls ssh."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes")
        words = ["ssh", "-F", "/dev/null", "-i", str(self.key(who)), "-o", "IdentitiesOnly=yes"]
        return {"GIT_SSH_COMMAND": " ".join([*words, *(f"-o {each}" for each in options)])}

    def repository(self, name: str) -> str:
        """The URL of a new bare repository."""
        self.program.wait(lambda: self.program.listens(self.port))
        bare = new_bare(self.folder / f"{name}.git")
        return f"ssh://{getpass.getuser()}@{HOST}:{self.port}{bare}"

    def end(self) -> None:
        """End it; sessions end with their clients."""
        self.program.end()


# WebDAV


class WebDav:
    """rclone's WebDAV server with one user. Below ``full`` is a small disk."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        (folder / "full").mkdir(parents=True)
        self.port = free_port()
        words = [
            bin_path("rclone"),
            *("serve", "webdav", str(folder), "--config", "", "--addr", f"{HOST}:{self.port}"),
            *("--user", WRITER, "--pass", f"{WRITER}-secret", *flags),
        ]
        log = folder.with_name(f"{folder.name}.log")
        self.program = Program(with_mounts(words, small_disk(folder / "full")), log)

    def spec(self, path: str, who: str = WRITER) -> RemoteSpec:
        """A remote in a folder below the server's own."""
        self.program.wait(lambda: self.program.listens(self.port))
        options = {"user": WRITER, "password": f"{who}-secret"}
        return RemoteSpec(f"webdav://{HOST}:{self.port}/{path}", options)

    def end(self) -> None:
        """End it."""
        self.program.end()


# git over http


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


# Fixtures


class Server(Protocol):
    """What has places for data remotes."""

    def spec(self, path: str, who: str = WRITER) -> RemoteSpec:
        """A remote, for someone."""


@dataclass(frozen=True)
class Servers:
    """Those that every session starts."""

    s3: S3
    ssh: Ssh
    webdav: WebDav

    def of(self, kind: str) -> Server:
        """The server of a kind of remote."""
        servers: dict[str, Server] = {"s3": self.s3, "sftp": self.ssh, "webdav": self.webdav}
        return servers[kind]


@pytest.fixture(scope="session", name="servers")
def servers_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """S3, ssh and WebDAV, started side by side; none is waited for."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as ends:
        s3 = S3(folder / "s3")
        ends.callback(s3.end)
        ssh = Ssh(folder / "ssh")
        ends.callback(ssh.end)
        webdav = WebDav(folder / "webdav")
        ends.callback(webdav.end)
        yield Servers(s3, ssh, webdav)
    shutil.rmtree(folder, ignore_errors=True)  # pytest would keep those of three sessions


@pytest.fixture(scope="session", name="ssh")
def ssh_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    """The ssh server alone."""
    server = Ssh(tmp_path_factory.mktemp("servers") / "ssh")
    yield server
    server.end()


@pytest.fixture(scope="session", name="git_http")
def git_http_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHttp]:
    """Git over http."""
    server = GitHttp(tmp_path_factory.mktemp("servers") / "git")
    yield server
    server.end()
