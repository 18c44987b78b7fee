"""Data remotes of every kind, each empty and new, and another way into them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import textwrap
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.object_source import ObjectSource
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store, object_path
from tests.support.loopback import BUCKET, WRITER
from tests.support.servers import Servers

KINDS = ("folder", "sftp", "webdav", "s3")
CLOUDS = KINDS[1:]
BOUND = 60
"""Seconds within which whatever fails has to say so."""
MANIFEST = "runs/flexlock/job-1.x/20260101T000000Z-00000000/manifest.json"
_numbers = itertools.count()


class Door(ABC):
    """Another way to a remote's files than the one that is tested."""

    @abstractmethod
    def get(self, name: str) -> bytes | None:
        """A file's bytes."""

    @abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Write a file."""

    @abstractmethod
    def names(self) -> list[str]:
        """Every file."""


@dataclass(frozen=True)
class FolderDoor(Door):
    """The folder that a server serves."""

    root: Path

    def get(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.exists() else None

    def put(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)

    def names(self) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)


@dataclass(frozen=True)
class DavDoor(FolderDoor):
    """The folder, but for writing: the server would not look at it again."""

    url: str

    def put(self, name: str, content: bytes) -> None:
        self.make_folders(name)
        with self._client() as client:
            client.put(f"{self.url}/{name}", content=content).raise_for_status()

    def make_folders(self, name: str) -> None:
        """Make those that a file is to lie in."""
        with self._client() as client:
            for folder in [*Path(name).parents][::-1]:
                client.request("MKCOL", f"{self.url}/{folder}/")

    def _client(self) -> httpx.Client:
        return httpx.Client(auth=(WRITER, f"{WRITER}-secret"))


@dataclass(frozen=True)
class BucketDoor(Door):
    """The bucket, by Amazon's own client."""

    client: Any
    prefix: str

    def get(self, name: str) -> bytes | None:
        try:
            found = self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}")
        except self.client.exceptions.NoSuchKey:
            return None
        content: bytes = found["Body"].read()
        return content

    def put(self, name: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=content)

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"{self.prefix}/"
        )
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return sorted(key.removeprefix(f"{self.prefix}/") for key in keys)


@dataclass(frozen=True)
class Remote:
    """A new and empty remote of a kind, and another way to it."""

    kind: str
    spec: RemoteSpec
    door: Door

    def store(self) -> Store:
        """Open it anew."""
        return open_store(self.spec)

    def objects(self) -> dict[str, bytes]:
        """What is there under an object's name."""
        names = [name.split("/")[2:] for name in self.door.names() if name.startswith("files/md5/")]
        oids = [f"{folder}{name}" for folder, name in names if not name.endswith(".tmp")]
        return {oid: self.door.get(object_path(oid)) or b"" for oid in oids}


def make_remote(kind: str, servers: Servers, folder: Path, path: str = "") -> Remote:
    """A new remote of a kind, at some path of its server."""
    path = path or f"r{next(_numbers)}"
    if kind == "folder":
        root = folder / "store" / path
        return Remote(kind, RemoteSpec(str(root)), FolderDoor(root))
    if kind == "sftp":
        return Remote(kind, servers.ssh.spec(path), FolderDoor(servers.ssh.folder / path))
    if kind == "webdav":
        url = f"http://127.0.0.1:{servers.webdav.port}/{path}"
        door = DavDoor(servers.webdav.folder / path, url)
        return Remote(kind, servers.webdav.spec(path), door)
    return Remote(kind, servers.s3.spec(path), BucketDoor(servers.s3.client, path))


@pytest.fixture
def no_own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own settings or keys."""
    for name in os.environ:
        if name.startswith(("AWS_", "SSH_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(params=KINDS)
def remote(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Remote:
    """A new remote of each kind."""
    return make_remote(request.param, servers, tmp_path)


@pytest.fixture(params=CLOUDS)
def distant(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Remote:
    """A new remote of each kind that is reached by a network."""
    return make_remote(request.param, servers, tmp_path)


def md5(content: bytes) -> str:
    """An object's id."""
    return hashlib.md5(content).hexdigest()


def some(count: int, seed: str = "", size: int = 100) -> dict[str, bytes]:
    """Objects: id -> bytes."""
    contents = (f"{seed}{number}\n".encode().ljust(size, b".") for number in range(count))
    return {md5(content): content for content in contents}


def alike(count: int) -> dict[str, bytes]:
    """Objects whose ids begin alike."""
    found = ((md5(c), c) for c in (b"%d" % n for n in itertools.count()))
    return dict(itertools.islice(((o, c) for o, c in found if o.startswith("ab")), count))


def as_files(folder: Path, objects: Mapping[str, bytes]) -> dict[str, ObjectSource]:
    """The objects as files of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {}
    for oid, content in objects.items():
        path = folder / oid
        path.write_bytes(content)
        info = path.stat()
        sources[oid] = ObjectSource(str(path), info.st_size, info.st_mtime_ns)
    return sources


def large_file(path: Path, size: int) -> tuple[str, ObjectSource]:
    """A file of bytes that cannot be guessed, made fast."""
    block = random.Random(path.name).randbytes(1024 * 1024)
    found = hashlib.md5()
    with open(path, "wb") as file:
        for number in range(size // len(block)):
            part = number.to_bytes(8, "big") + block[8:]
            found.update(part)
            file.write(part)
    info = path.stat()
    return found.hexdigest(), ObjectSource(str(path), info.st_size, info.st_mtime_ns)


def fetched(store: Store, oids: Iterable[str], folder: Path) -> dict[str, bytes]:
    """What comes back."""
    folder.mkdir(exist_ok=True)
    places = {oid: folder / f"{oid}-back" for oid in oids}
    assert store.fetch([*places.items()]) == {}
    return {oid: place.read_bytes() for oid, place in places.items()}


def sizes_of(objects: Mapping[str, bytes]) -> dict[str, int]:
    """Object id -> bytes."""
    return {oid: len(content) for oid, content in objects.items()}


@contextlib.contextmanager
def refused(what: str | None = None, within: float = BOUND) -> Iterator[None]:
    """A RemoteError that says what to do, in time, and tells no secret."""
    begun = time.monotonic()
    with pytest.raises(RemoteError, match=what) as caught:
        yield
    assert time.monotonic() - begun < within
    assert caught.value.hint
    assert "secret" not in f"{caught.value} {caught.value.hint}"


def in_child(code: str, *words: str, wrap: Callable[[list[str]], list[str]] = list) -> Any:
    """Run code in a process of its own; what it prints last, as JSON."""
    command = wrap([sys.executable, "-c", textwrap.dedent(code), *words])
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def spec_text(spec: RemoteSpec) -> str:
    """A remote for a child."""
    return json.dumps({"url": spec.url, "options": dict(spec.options)})
