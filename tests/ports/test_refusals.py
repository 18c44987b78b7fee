"""Who may not use a data remote, and what does not fit there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from flexlock_hydra.ports.store.object_source import SMALL
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store, object_path
from tests.support.loopback import (
    BUCKET,
    READER,
    SMALL_DISK,
    STRANGER,
    read_only,
    small_disk,
    with_mounts,
)
from tests.support.remotes import (
    CLOUDS,
    MANIFEST,
    FolderDoor,
    _numbers,
    fetched,
    in_child,
    large_file,
    make_remote,
    md5,
    refused,
    sizes_of,
    some,
)
from tests.support.servers import S3, Servers, WebDav

pytestmark = pytest.mark.usefixtures("no_own_keys")


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
