"""Every kind of data remote keeps the same promises, on real servers and bad days."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flexlock_hydra.errors import DataError, RemoteError
from flexlock_hydra.ports.store import cloud, remote_kinds
from flexlock_hydra.ports.store.object_source import SMALL, ObjectSource
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store, object_path
from flexlock_hydra.ports.store.transfer import TimeLimits
from tests.conftest import Project
from tests.support.servers import (
    BUCKET,
    READER,
    S3,
    SMALL_DISK,
    STRANGER,
    WRITER,
    FaultyProxy,
    Relay,
    Servers,
    Silent,
    Trouble,
    WebDav,
    free_port,
    read_only,
    small_disk,
    with_mounts,
)

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


@pytest.fixture(autouse=True)
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


# What every kind does


def test_what_is_sent_comes_back(remote: Remote, tmp_path: Path) -> None:
    """Bytes and files of every size come back as they were, from where DVC would look."""
    edges = (b"", b"a", b"x" * SMALL, b"y" * (SMALL + 1), b"z" * (5 * SMALL))
    objects = some(20) | {md5(content): content for content in edges}
    listing = b"[%s]" % (b" " * SMALL)
    files: dict[str, Any] = dict(as_files(tmp_path / "in", objects))
    told: list[tuple[int, int]] = []
    remote.store().send(
        [*files.items(), (f"{md5(listing)}.dir", listing)],
        lambda count, size: told.append((count, size)),
    )
    whole = objects | {f"{md5(listing)}.dir": listing}
    assert remote.objects() == whole
    assert remote.door.get(f"files/md5/{md5(b'a')[:2]}/{md5(b'a')[2:]}") == b"a"
    assert fetched(remote.store(), whole, tmp_path / "out") == whole
    assert remote.store().read(f"{md5(listing)}.dir") == listing
    assert sum(count for count, _ in told) == len(whole)
    assert sum(size for _, size in told) == sum(map(len, whole.values()))


@pytest.mark.parametrize("objects", [some(2), some(9), alike(9), some(300)], ids=len)
def test_check(remote: Remote, objects: dict[str, bytes]) -> None:
    """Few or many, the sizes of those that are there are known; others are absent."""
    gone, short, *rest = objects
    store = remote.store()
    assert store.sizes([*objects]) == {}
    store.send((oid, content) for oid, content in objects.items() if oid != gone)
    remote.door.put(object_path(short), b"?")
    assert store.sizes([*objects]) == {short: 1, **{oid: len(objects[oid]) for oid in rest}}
    assert [*store.absent(sizes_of(objects))] == [gone, short]
    remote.door.put(object_path(gone), objects[gone])
    assert [*store.absent(sizes_of(objects))] == [short]


def test_list(remote: Remote) -> None:
    """Objects and named files are listed with their sizes and the time they were written."""
    objects = some(5)
    store = remote.store()
    assert [*store.stored()] == [] and store.files("runs") == []
    store.send(objects.items())
    store.write_file(MANIFEST, b"{}")
    (manifest,) = store.files("runs")
    assert (manifest.oid, manifest.size) == (MANIFEST, 2)
    found = {each.oid: each for each in store.stored()}
    assert {oid: each.size for oid, each in found.items()} == sizes_of(objects)
    times = [each.modified for each in (manifest, *found.values())]
    assert all(when is not None and abs(when - time.time()) < 86400 for when in times)


def test_damage_is_found(remote: Remote, tmp_path: Path) -> None:
    """A short object is found by its size, another by reading it back."""
    objects = some(4)
    short, other, *_ = objects
    store = remote.store()
    store.send(objects.items())
    remote.door.put(object_path(short), objects[short][:-1])
    remote.door.put(object_path(other), objects[other][::-1])
    assert [*store.absent(sizes_of(objects))] == [short]
    assert {oid for oid, found in store.md5s([*objects]) if found != oid} == {short, other}
    back = fetched(store, objects, tmp_path / "out")
    assert {oid for oid, content in back.items() if md5(content) != oid} == {short, other}


def test_missing_is_found(remote: Remote, tmp_path: Path) -> None:
    """An object that is not there is named, beside those that are fetched."""
    objects = some(4)
    gone, *rest = objects
    store = remote.store()
    store.send((oid, objects[oid]) for oid in rest)
    failed = store.fetch([(oid, tmp_path / oid) for oid in objects])
    assert failed == {gone: "No such file or directory"}
    assert {oid: (tmp_path / oid).read_bytes() for oid in rest} == {o: objects[o] for o in rest}
    assert store.read(gone) is None


def test_repair(remote: Remote) -> None:
    """What is sent again replaces what is there."""
    objects = some(3)
    store = remote.store()
    store.send(objects.items())
    for oid in objects:
        remote.door.put(object_path(oid), b"damaged")
    remote.store().send(objects.items())
    assert remote.objects() == objects


def test_resume(remote: Remote) -> None:
    """What is there is not sent again."""
    objects = some(40)
    half = [*objects][:20]
    store = remote.store()
    store.send((oid, objects[oid]) for oid in half)
    before = {each.oid: each.modified for each in store.stored()}
    absent = store.absent(sizes_of(objects))
    assert {*absent} == {*objects} - {*half}
    sent: list[int] = []
    store.send(((oid, objects[oid]) for oid in absent), lambda count, size: sent.append(count))
    assert sum(sent) == 20
    assert {e.oid: e.modified for e in store.stored() if e.oid in before} == before
    assert remote.objects() == objects


def test_remove(remote: Remote) -> None:
    """What is removed is gone, as often as it is removed."""
    objects = some(4)
    first, *rest = objects
    store = remote.store()
    store.send(objects.items())
    store.write_file(MANIFEST, b"{}")
    for _ in range(2):
        store.remove([first, md5(b"never there")])
        store.remove_file(MANIFEST)
        assert {*remote.objects()} == {*rest} == {*store.sizes([*objects])}
        assert store.read_file(MANIFEST) is None and store.files("runs") == []


def test_senders_at_once(remote: Remote) -> None:
    """Several that send the same objects, and others, at once lose nothing."""
    shared = some(30)
    errors: list[BaseException] = []

    def send(number: int) -> None:
        try:
            mine = some(10, f"{number}-")
            remote.store().send([*shared.items(), *mine.items(), *shared.items()])
        except BaseException as error:  # told to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors
    assert remote.objects() == shared | some(10, "0-") | some(10, "1-") | some(10, "2-")


def test_named_files(remote: Remote) -> None:
    """Files by their own names are written, replaced, read, listed and removed."""
    store = remote.store()
    assert store.read_file(MANIFEST) is None
    for content in (b"1", b"22"):
        store.write_file(MANIFEST, content)
        assert store.read_file(MANIFEST) == remote.door.get(MANIFEST) == content
    store.write_file("runs/b", b"3")
    assert store.read_files([MANIFEST, "runs/b", "runs/c"]) == {MANIFEST: b"22", "runs/b": b"3"}
    assert [each.oid for each in store.files("runs")] == ["runs/b", MANIFEST]
    store.remove_file(MANIFEST)
    assert remote.door.names() == ["runs/b"]


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_places(kind: str, servers: Servers, tmp_path: Path) -> None:
    """The URL may hold spaces, letters of any language, and what shells and URLs mind."""
    path = f"r{next(_numbers)}/two words/größe ✓/a+b&c=d"
    remote = make_remote(kind, servers, tmp_path, path)
    objects = some(4)
    store = remote.store()
    store.send(objects.items())
    store.write_file(MANIFEST, b"{}")
    assert remote.objects() == objects == fetched(store, objects, tmp_path / "out")
    assert store.sizes([*objects]) == sizes_of(objects)
    assert {each.oid for each in store.stored()} == {*objects}
    assert [each.oid for each in store.files("runs")] == [MANIFEST]
    store.remove([*objects])
    assert remote.objects() == {}


@pytest.mark.slow
def test_many(remote: Remote, tmp_path: Path) -> None:
    """More small files than a page of S3's listing holds are sent, found and checked."""
    objects = some(2200, size=1000)
    files = as_files(tmp_path / "in", objects)
    store = remote.store()
    store.send(files.items())
    assert store.absent(sizes_of(objects)) == {}
    assert store.absent({**sizes_of(objects), md5(b""): 0}) == {md5(b""): 0}
    assert sum(1 for _ in store.stored()) == len(objects)
    assert remote.store().fetch([(oid, tmp_path / oid) for oid in [*objects][:300]]) == {}


@pytest.mark.slow
def test_large(remote: Remote, tmp_path: Path) -> None:
    """A file of 300 MB goes there and comes back; memory hardly grows."""
    oid, source = large_file(tmp_path / "large", 300 * 1024 * 1024)
    code = """
        import json, resource, sys
        from pathlib import Path
        from flexlock_hydra.ports.store.object_source import ObjectSource, md5_of
        from flexlock_hydra.ports.store.open_store import open_store
        from flexlock_hydra.ports.store.store import RemoteSpec

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

        text, oid, path, size, to = sys.argv[1:]
        store = open_store(RemoteSpec(**json.loads(text)))
        store.send([("0cc175b9c0f1b6a831c399e269772661", b"a")])
        begun = peak()
        store.send([(oid, ObjectSource(path, int(size), None))])
        sent = peak()
        failed = store.fetch([(oid, Path(to))])
        assert not failed, failed
        print(json.dumps([sent - begun, peak() - begun, md5_of(to)]))
    """
    words = (spec_text(remote.spec), oid, source.path, str(source.size), str(tmp_path / "back"))
    sent, back, found = in_child(code, *words)
    assert found == oid
    assert remote.store().sizes([oid]) == {oid: source.size}
    assert max(sent, back) < 150 * 1024 * 1024


# Who may not, and what does not fit


def use(store: Store) -> list[Callable[[], object]]:
    """Everything that needs a remote to answer."""
    objects = some(9)
    return [
        lambda: store.sizes([*objects]),
        lambda: store.send(objects.items()),
        lambda: store.write_file(MANIFEST, b"{}"),
        lambda: [*store.stored()],
        lambda: store.files("runs"),
        lambda: store.read_file(MANIFEST),
    ]


@pytest.mark.parametrize("kind", CLOUDS)
def test_wrong_credentials(kind: str, servers: Servers) -> None:
    """Whom the server does not know is told so, at every use, and hears no secret."""
    store = open_store(servers.of(kind).spec(f"r{next(_numbers)}", STRANGER))
    for each in use(store):
        with refused("(?i)forbidden|denied|unauthorized|does not exist", within=20):
            each()


def writes(
    store: Store, tmp_path: Path, there: Iterable[str] = ()
) -> list[Callable[[], object]]:
    """Everything that writes or removes."""
    oid, source = large_file(tmp_path / "large", 2 * SMALL)
    return [
        lambda: store.send(some(9).items()),
        lambda: store.send([(oid, source)]),
        lambda: store.write_file(MANIFEST, b"{}"),
        *([lambda: store.remove([*there])] if there else []),
    ]


def test_read_only_s3(servers: Servers, tmp_path: Path) -> None:
    """Who may read only reads, and is refused when writing."""
    remote = make_remote("s3", servers, tmp_path)
    objects = some(3)
    remote.store().send(objects.items())
    path = remote.spec.url.partition(f"{BUCKET}/")[2]
    store = open_store(servers.s3.spec(path, READER))
    assert store.sizes([*objects]) == sizes_of(objects)
    for each in writes(store, tmp_path, objects):
        with refused("(?i)denied|forbidden"):
            each()
    assert remote.objects() == objects


def test_read_only_sftp(servers: Servers, tmp_path: Path) -> None:
    """A server that lets nobody write refuses, and lets read."""
    remote = make_remote("sftp", servers, tmp_path)
    objects = some(3)
    remote.store().send(objects.items())
    store = open_store(servers.ssh.spec(Path(remote.spec.url).name, READER))
    assert fetched(store, objects, tmp_path / "out") == objects
    for each in writes(store, tmp_path, objects):
        with refused("(?i)denied"):
            each()
    assert remote.objects() == objects


def test_read_only_webdav(tmp_path: Path) -> None:
    """A server that lets nobody write refuses, and lets read."""
    objects = some(3)
    for oid, content in objects.items():
        FolderDoor(tmp_path / "dav/r").put(object_path(oid), content)
    server = WebDav(tmp_path / "dav", "--read-only")
    try:
        store = open_store(server.spec("r"))
        assert fetched(store, objects, tmp_path / "out") == objects
        for each in writes(store, tmp_path, objects):
            with refused():
                each()
    finally:
        server.end()
    assert FolderDoor(tmp_path / "dav/r").names() == sorted(map(object_path, objects))


CHILD = """
    import json, sys
    from flexlock_hydra.errors import RemoteError
    from flexlock_hydra.ports.store.object_source import ObjectSource
    from flexlock_hydra.ports.store.open_store import open_store
    from flexlock_hydra.ports.store.store import RemoteSpec

    store = open_store(RemoteSpec(sys.argv[1]))
    said = []
    for each in json.loads(sys.argv[2]):
        try:
            oid, path, size = each
            store.send([(oid, ObjectSource(path, size, None))])
            said.append(["sent", ""])
        except RemoteError as error:
            said.append([str(error), error.hint])
    print(json.dumps(said))
"""


def test_read_only_folder(tmp_path: Path) -> None:
    """A folder that is mounted read-only refuses with a way on, even root."""
    root = tmp_path / "store"
    root.mkdir()
    oid, source = large_file(tmp_path / "large", 2 * SMALL)
    ((said, hint),) = in_child(
        CHILD,
        str(root),
        json.dumps([[oid, source.path, source.size]]),
        wrap=lambda words: with_mounts(words, read_only(root)),
    )
    assert "Read-only file system" in said and "--remote" in hint
    assert FolderDoor(root).names() == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    """A remote that is a file is refused with a way on."""
    (tmp_path / "store").write_text("a file")
    store = open_store(RemoteSpec(str(tmp_path / "store")))
    for each in writes(store, tmp_path):
        with refused("Not a directory"):
            each()
    assert store.sizes([*some(3)]) == {} == store.fetch([])


def test_full_folder(tmp_path: Path) -> None:
    """On a full disk nothing half is left, and what fits afterwards is taken."""
    root = tmp_path / "store"
    root.mkdir()
    small, fits = large_file(tmp_path / "fits", SMALL)
    large, too_large = large_file(tmp_path / "large", 2 * SMALL_DISK)
    objects = [[large, too_large.path, too_large.size], [small, fits.path, fits.size]]
    full, sent = in_child(
        CHILD,
        str(root),
        json.dumps(objects),
        wrap=lambda words: with_mounts(words, small_disk(root)),
    )
    assert "No space left" in full[0] and "Make room" in full[1]
    assert sent == ["sent", ""]


@pytest.mark.parametrize("kind", ["sftp", "webdav"])
def test_full_server(kind: str, servers: Servers, tmp_path: Path) -> None:
    """A server whose disk is full refuses; no object is there in part."""
    store = make_remote(kind, servers, tmp_path, f"full/r{next(_numbers)}").store()
    small, fits = large_file(tmp_path / "fits", SMALL // 2)
    large, too_large = large_file(tmp_path / "large", 2 * SMALL_DISK)
    many = some(200, size=SMALL_DISK // 100)
    for each in ([(large, too_large)], many.items()):
        with refused():
            store.send(each)
        assert store.absent({large: too_large.size}) == {large: too_large.size}
        there = store.sizes([*many])
        assert all(size == len(many[oid]) for oid, size in there.items())
        store.remove([*many])
    store.send([(small, fits)])
    assert store.sizes([small, large]) == {small: fits.size}


@pytest.mark.slow
def test_full_s3(tmp_path: Path) -> None:
    """A bucket whose disk is full refuses; what was taken is there."""
    (tmp_path / "s3/data").mkdir(parents=True)
    server = S3(tmp_path / "s3", disk=small_disk(tmp_path / "s3/data", 24 * SMALL))
    try:
        store = open_store(server.spec("r"))
        sent: list[int] = []
        oid, source = large_file(tmp_path / "large", 64 * SMALL)
        with refused():
            store.send([(oid, source)])
        assert store.sizes([oid]) == {}
        # The server packs what can be packed.
        many = {md5(content): content for content in (os.urandom(SMALL // 2) for _ in range(150))}
        with refused():
            store.send(many.items(), lambda count, size: sent.append(count))
        there = store.sizes([*many])
        assert {*[*many][: sum(sent)]} <= {*there} < {*many}
        back = fetched(store, there, tmp_path / "out")
        assert {oid: md5(content) for oid, content in back.items()} == {oid: oid for oid in there}
    finally:
        server.end()


# What happens meanwhile


@pytest.mark.parametrize("size", [100, 3 * SMALL])
@pytest.mark.parametrize("how", ["other bytes", "longer", "gone", "same size and time"])
def test_changed_before_it_is_sent(remote: Remote, tmp_path: Path, size: int, how: str) -> None:
    """A file that is not what was hashed is not sent, and nothing stands under its old id."""
    path = tmp_path / "data"
    path.write_bytes(b"a" * size)
    oid, info = md5(b"a" * size), path.stat()
    source = ObjectSource(str(path), info.st_size, info.st_mtime_ns)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"b" * (size + (how == "longer")))
    if how == "same size and time":
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    others = some(3)
    with pytest.raises(DataError, match="changed while it was pushed"):
        remote.store().send([*others.items(), (oid, source)])
    assert oid not in remote.objects()
    assert oid not in remote.store().sizes([oid])


KILLED = """
    import json, sys
    from flexlock_hydra.ports.store.object_source import ObjectSource
    from flexlock_hydra.ports.store.open_store import open_store
    from flexlock_hydra.ports.store.store import RemoteSpec

    text, objects = sys.argv[1:]
    sources = [(oid, ObjectSource(*rest)) for oid, *rest in json.load(open(objects))]
    store = open_store(RemoteSpec(**json.loads(text)))
    store.send(sources, lambda count, size: print(count, flush=True))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_killed(kind: str, servers: Servers, tmp_path: Path) -> None:
    """A sender that is killed leaves whole objects only; a second one finishes its work."""
    remote = make_remote(kind, servers, tmp_path)
    objects = some(600)
    sources = as_files(tmp_path / "in", objects)
    listed = [[oid, *source] for oid, source in sources.items()]
    (tmp_path / "list").write_text(json.dumps(listed))
    words = [sys.executable, "-c", textwrap.dedent(KILLED), spec_text(remote.spec)]
    with subprocess.Popen([*words, str(tmp_path / "list")], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline()
        child.kill()
    left = remote.objects()
    assert 0 < len(left) < 600 and left.items() <= objects.items()
    store = remote.store()
    absent = store.absent(sizes_of(objects))
    assert {*absent} == {*objects} - {*left}
    store.send((oid, sources[oid]) for oid in absent)
    assert remote.objects() == objects


@contextlib.contextmanager
def stopped_half_way(
    remote: Remote, servers: Servers, folder: Path, oid: str, source: ObjectSource
) -> Iterator[subprocess.Popen[str]]:
    """A process that was stopped while it sent a large file, part of which is there."""
    proxy = FaultyProxy(servers.s3.port)
    spec = at_port(remote.spec, proxy.port) if remote.kind == "s3" else remote.spec
    (folder / "list").write_text(json.dumps([[oid, *source]]))
    words = [sys.executable, "-c", textwrap.dedent(KILLED), spec_text(spec), str(folder / "list")]

    def has_begun() -> bool:
        parts = any("partNumber=3" in each for each in proxy.requests)
        return parts or any(name.endswith(".tmp") for name in remote.door.names())

    try:
        for _ in range(20):  # it may be done before it is noticed
            with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as child:
                while child.poll() is None and not has_begun():
                    time.sleep(0.001)
                child.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if has_begun() and not remote.objects() and child.poll() is None:
                    yield child
                    return
                child.kill()
            remote.store().remove([oid])
            proxy.requests.clear()
        pytest.fail("it was always done before it was noticed")
    finally:
        proxy.end()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_a_large_file(kind: str, servers: Servers, tmp_path: Path) -> None:
    """A sender that is killed in the middle of a file leaves nothing under its id."""
    remote = make_remote(kind, servers, tmp_path)
    oid, source = large_file(tmp_path / "large", (40 if kind == "s3" else 96) * SMALL)
    with stopped_half_way(remote, servers, tmp_path, oid, source) as child:
        child.kill()
        child.wait()
        assert remote.objects() == {} == remote.store().sizes([oid])
    remote.store().send([(oid, source)])
    assert remote.store().sizes([oid]) == {oid: source.size}
    assert dict(remote.store().md5s([oid])) == {oid: oid}


@pytest.mark.parametrize("kind", KINDS)
def test_changed_while_it_is_sent(kind: str, servers: Servers, tmp_path: Path) -> None:
    """A large file that is written to while it is sent is not kept with other bytes."""
    remote = make_remote(kind, servers, tmp_path)
    oid, source = large_file(tmp_path / "large", (40 if kind == "s3" else 96) * SMALL)
    with stopped_half_way(
        remote, servers, tmp_path, oid, source._replace(mtime_ns=None)
    ) as child:
        with open(source.path, "r+b") as file:
            file.seek(-SMALL, os.SEEK_END)  # what is not read yet
            file.write(b"changed")
        child.send_signal(signal.SIGCONT)
        _, said = child.communicate(timeout=60)
    there = dict(remote.store().md5s([*remote.objects()]))
    assert there in ({}, {oid: oid})  # it may be stopped when all was read
    assert there or "DataError" in said and "changed while it was pushed" in said


# Servers that are not there


def with_limits(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> list[TimeLimits]:
    """Let all kinds of remotes wait for so long; what they wait for else."""
    kinds = remote_kinds.REMOTE_KINDS
    short = tuple(replace(kind, limits=replace(kind.limits, **seconds)) for kind in kinds)
    monkeypatch.setattr(remote_kinds, "REMOTE_KINDS", short)
    return [kind.limits for kind in kinds]


def at_port(spec: RemoteSpec, port: int) -> RemoteSpec:
    """A remote behind another port of this machine."""
    if spec.url.startswith("s3:"):
        return replace(spec, options={**spec.options, "endpointurl": f"http://127.0.0.1:{port}"})
    if spec.url.startswith("ssh:"):
        return replace(spec, options={**spec.options, "port": port})
    path = spec.url.partition("://")[2].partition("/")[2]
    return replace(spec, url=f"webdav://127.0.0.1:{port}/{path}")


@pytest.mark.parametrize("kind", CLOUDS)
def test_no_server(kind: str, servers: Servers) -> None:
    """Where nobody listens, every use says so soon."""
    for each in use(open_store(at_port(servers.of(kind).spec("r"), free_port())))[:3]:
        with refused("(?i)connect|refused", within=10):
            each()


@pytest.mark.parametrize("kind", CLOUDS)
def test_silent_server(
    kind: str, servers: Servers, silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that accepts and never answers is given up after two tries at most."""
    usual = with_limits(monkeypatch, connect=1, read=1)
    assert all(each.connect < each.read and 2 * each.read < BOUND - 10 for each in usual)
    for each in use(open_store(at_port(servers.of(kind).spec("r"), silent.port)))[:2]:
        with refused(within=4):
            each()


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("size", [1000, 24 * SMALL])
def test_silence_in_the_middle(
    kind: str, size: int, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that falls silent while it is sent to is noticed, and has no object in part."""
    usual = with_limits(monkeypatch, read=1, alive=0.5)
    assert all(4 * each.alive < BOUND for each in usual)
    remote = make_remote(kind, servers, tmp_path)
    port = {"s3": servers.s3.port, "sftp": servers.ssh.port, "webdav": servers.webdav.port}[kind]
    relay = Relay(port)
    store = open_store(at_port(remote.spec, relay.port))
    objects = {md5(content): content for content in (os.urandom(size) for _ in range(2))}
    sources = as_files(tmp_path / "in", objects)
    try:
        store.send(some(3).items())
        relay.freezes_at = relay.passed + size // 2
        with refused(within=10):
            store.send(sources.items())
    finally:
        relay.end()
    left = remote.objects()
    assert some(3).items() <= left.items() <= (some(3) | objects).items()


# Kinds without a server here


@pytest.mark.parametrize(
    "spec",
    [
        RemoteSpec("gs://bucket/p", {"allow_anonymous_login": True, "projectname": "p"}),
        RemoteSpec("azure://box/p", {"account_name": "a", "account_key": "c2VjcmV0"}),
        RemoteSpec("azure://box/p", {"account_name": "a", "allow_anonymous_login": True}),
    ],
    ids=lambda spec: spec.url,
)
def test_settings_of_other_clouds(spec: RemoteSpec) -> None:
    """Settings for Google and Azure are taken as DVC takes them, before anything is asked."""
    store = open_store(spec)
    assert isinstance(store, cloud.CloudStore)
    made = store._connection
    assert made.root == spec.url.partition("://")[2]
    assert made.fs is not None and made.transfer.put == "pipe_file"


@pytest.mark.parametrize("scheme", ["oss", "hdfs", "webhdfs", "gdrive"])
def test_a_package_is_missing(scheme: str) -> None:
    """A kind of remote that DVC has a package for names it."""
    with pytest.raises(RemoteError, match=f"{scheme}://b/p needs a package") as caught:
        open_store(RemoteSpec(f"{scheme}://b/p")).sizes(["a" * 32])
    assert caught.value.hint == f"pip install 'dvc-{scheme}'"


@pytest.mark.parametrize(
    ("url", "options"),
    [("gopher://b/p", {}), ("s3://b/p", {"no_such_option": "1"}), ("s3://b/p", {"use_ssl": "x"})],
)
def test_what_dvc_does_not_know(url: str, options: dict[str, str]) -> None:
    """A URL or a setting that DVC does not know is refused in its words."""
    with refused():
        open_store(RemoteSpec(url, options)).sizes(["a" * 32])


def test_plain_http(servers: Servers, tmp_path: Path) -> None:
    """A web server that takes files as DVC sends them takes ours; it is asked for each."""
    remote = make_remote("webdav", servers, tmp_path)
    objects = some(9)
    oid, large = large_file(tmp_path / "large", 2 * SMALL)
    assert isinstance(remote.door, DavDoor)
    for each in (oid, *objects):
        remote.door.make_folders(object_path(each))
    options = {**remote.spec.options, "auth": "basic", "method": "PUT"}
    store = open_store(RemoteSpec(remote.spec.url.replace("webdav:", "http:"), options))
    store.send([*objects.items(), (oid, large)])
    assert store.sizes([*objects, oid, md5(b"gone")]) == {**sizes_of(objects), oid: large.size}
    assert fetched(store, objects, tmp_path / "out") == objects
    assert dict(store.md5s([oid])) == {oid: oid}


# DVC beside us


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_dvc_reads_and_writes_the_same(
    kind: str, servers: Servers, tmp_path: Path, project: Project
) -> None:
    """DVC pulls what we sent and has nothing to push; we find what DVC pushed."""
    remote = make_remote(kind, servers, tmp_path)
    lines = [f"{name} = {value}" for name, value in remote.spec.options.items()]
    config = ["[core]", "remote = r", "['remote \"r\"']", f"url = {remote.spec.url}", *lines]
    project.write(".dvc/config", "\n".join(config))
    for number in range(9):
        project.write(f"set/{number}", f"number {number}\n")
    project.dvc("add", "-q", "set")
    cached = FolderDoor(project.path(".dvc/cache"))
    store = remote.store()
    known = {name.replace("/", "")[8:]: cached.get(name) or b"" for name in cached.names()}
    store.send(sorted(known.items(), key=lambda each: each[0].endswith(".dir")))
    assert "Everything is up to date" in project.dvc("push").out
    assert remote.door.names() == cached.names()
    project.call("rm", "-rf", ".dvc/cache", "set")
    project.dvc("pull", "-q")
    assert project.path("set/3").read_text() == "number 3\n"
    store.remove([*known])
    project.dvc("push", "-q")
    assert store.absent(sizes_of(known)) == {}
    assert fetched(store, known, tmp_path / "out") == known


# A network that breaks


@dataclass(frozen=True)
class Shaky:
    """A remote behind a proxy."""

    remote: Remote
    proxy: FaultyProxy

    def store(self) -> Store:
        """The store behind the proxy."""
        return open_store(at_port(self.remote.spec, self.proxy.port))


@pytest.fixture(params=["s3", "webdav"])
def shaky(
    request: pytest.FixtureRequest, servers: Servers, tmp_path: Path
) -> Iterator[Shaky]:
    """A remote of each kind that speaks http, behind a proxy that makes no trouble yet."""
    remote = make_remote(request.param, servers, tmp_path)
    port = servers.s3.port if request.param == "s3" else servers.webdav.port
    proxy = FaultyProxy(port)
    yield Shaky(remote, proxy)
    proxy.end()


LASTING = [
    Trouble("refuse", "PUT", skip=20, status=500),
    Trouble("refuse", "PUT", skip=20, status=503),
    Trouble("cut request", "PUT", skip=20, size=1000),
    Trouble("cut answer", "PUT", skip=20, size=0),
]


@pytest.mark.parametrize("trouble", LASTING, ids=lambda t: f"{t.what} {t.status}")
def test_trouble_while_sending(shaky: Shaky, trouble: Trouble) -> None:
    """When sending fails, no object is there in part, and a retry sends the rest."""
    objects = some(60, size=5000)
    store = shaky.store()
    sent: list[int] = []
    shaky.proxy.make(trouble)
    with refused(within=20):
        store.send(objects.items(), lambda count, size: sent.append(count))
    left = shaky.remote.objects()
    assert left.items() <= objects.items()
    assert [*objects][: sum(sent)] == [oid for oid in [*objects][: sum(sent)] if oid in left]
    shaky.proxy.make(None)
    absent = store.absent(sizes_of(objects))
    assert {*absent} == {*objects} - {*left}
    store.send((oid, objects[oid]) for oid in absent)
    assert shaky.remote.objects() == objects


@pytest.mark.parametrize("what", ["cut request", "refuse"])
def test_trouble_in_a_large_file(shaky: Shaky, tmp_path: Path, what: str) -> None:
    """A large file whose sending fails half-way is not there at all."""
    oid, source = large_file(tmp_path / "large", 24 * SMALL)
    shaky.proxy.make(Trouble(what, "PUT", skip=int(shaky.remote.kind == "s3"), size=SMALL))
    store = shaky.store()
    with refused(within=20):
        store.send([(oid, source)])
    assert shaky.remote.objects() == {} == store.sizes([oid])
    shaky.proxy.make(None)
    store.send([(oid, source)])
    assert dict(store.md5s([oid])) == {oid: oid}


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble("cut answer", "GET", size=50),
        Trouble("cut answer", "GET", size=0),
        Trouble("refuse", "GET", status=500),
        Trouble("refuse", "GET", status=503),
    ],
    ids=lambda t: f"{t.what} {t.size} {t.status}",
)
def test_trouble_while_fetching(shaky: Shaky, tmp_path: Path, trouble: Trouble) -> None:
    """What cannot be fetched is named with a reason; when all fails, the remote is."""
    objects = some(60)
    store = shaky.store()
    store.send(objects.items())
    shaky.proxy.make(trouble)
    few = [*objects][:3]
    begun = time.monotonic()
    failed = store.fetch([(oid, tmp_path / oid) for oid in few])
    assert {*failed} == {*few} and all(failed.values())
    assert time.monotonic() - begun < 10
    with refused(within=20):
        store.fetch([(oid, tmp_path / oid) for oid in objects])
    with refused(within=20):
        store.read_file(object_path(few[0]))


@pytest.mark.parametrize("what", ["short", "flip"])
def test_bad_bytes_are_found(shaky: Shaky, what: str) -> None:
    """Bytes that are lost or flipped on the way are found by their hash."""
    objects = some(5)
    store = shaky.store()
    store.send(objects.items())
    shaky.proxy.make(Trouble(what, "GET", size=50))
    assert all(found != oid for oid, found in store.md5s([*objects]))
    shaky.proxy.make(None)
    assert dict(store.md5s([*objects])) == {oid: oid for oid in objects}


@pytest.mark.parametrize("trouble", [
    Trouble("refuse", "PUT", skip=5, times=1, status=503),
    Trouble("refuse", "GET", times=1, status=503),
    Trouble("cut answer", "GET", times=1, size=10),
], ids=lambda t: f"{t.what} {t.method}")
def test_trouble_once(servers: Servers, tmp_path: Path, trouble: Trouble) -> None:
    """What S3 refuses once is tried again."""
    remote = make_remote("s3", servers, tmp_path)
    proxy = FaultyProxy(servers.s3.port)
    store = open_store(at_port(remote.spec, proxy.port))
    objects = some(20)
    try:
        proxy.make(trouble if trouble.method == "PUT" else None)
        store.send(objects.items())
        proxy.make(trouble)
        assert fetched(store, objects, tmp_path / "out") == objects
    finally:
        proxy.end()


@pytest.mark.parametrize("status", [403, 503])
@pytest.mark.parametrize("count", [2, 60])
def test_no_answer_is_no_absence(shaky: Shaky, status: int, count: int) -> None:
    """An error when asked what is there is an error: nothing is called absent for it."""
    objects = some(count)
    store = shaky.store()
    store.send(objects.items())
    s3 = shaky.remote.kind == "s3"
    for method in ("HEAD", "GET") if s3 else ("PROPFIND",):
        shaky.proxy.make(Trouble("refuse", method, status=status))
        with contextlib.suppress(RemoteError):
            assert store.sizes([*objects]) == sizes_of(objects)
    if status == 403 or s3:
        with refused():
            [*store.stored()]
        with refused():
            store.files("runs")


def test_delay(shaky: Shaky, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes its time is waited for; one that takes too long is given up."""
    with_limits(monkeypatch, read=1)
    store = shaky.store()
    shaky.proxy.make(Trouble("delay", "PUT", seconds=0.3, times=3))
    store.send(some(10).items())
    shaky.proxy.make(Trouble("delay", "PUT", seconds=3))
    with refused(within=8):
        store.send(some(40, "more").items())


def test_cut_ssh(servers: Servers, tmp_path: Path) -> None:
    """An ssh connection that is cut is an error soon; what was sent is whole."""
    remote = make_remote("sftp", servers, tmp_path)
    relay = Relay(servers.ssh.port)
    objects = some(300, size=5000)
    try:
        store = open_store(at_port(remote.spec, relay.port))
        store.send([])
        relay.limit = relay.passed + 500_000
        with refused(within=10):
            store.send(objects.items())
    finally:
        relay.end()
    left = remote.objects()
    assert 0 < len(left) < 300 and left.items() <= objects.items()
    remote.store().send(objects.items())
    assert remote.objects() == objects
