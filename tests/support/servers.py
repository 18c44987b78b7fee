"""Real servers on loopback: S3, ssh and WebDAV.

Each is one process (or thread) of the test session and ends with it. They start side by
side; a test waits for the one that it uses.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest

from flexlock_hydra.ports.store.store import RemoteSpec
from tests.support.git_http import new_bare
from tests.support.loopback import (
    BUCKET,
    HOST,
    READER,
    STRANGER,
    WRITER,
    Program,
    bin_path,
    free_port,
    small_disk,
    with_mounts,
)

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
