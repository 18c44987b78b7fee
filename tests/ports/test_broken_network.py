"""Data remotes behind a network that breaks: an error soon, and nothing that is wrong."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.object_source import SMALL
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store, object_path
from tests.ports.test_data_remotes import at_port, with_limits
from tests.support.faults import FaultyProxy, Relay, Trouble
from tests.support.remotes import Remote, fetched, large_file, make_remote, refused, sizes_of, some
from tests.support.servers import Servers

pytestmark = pytest.mark.usefixtures("no_own_keys")


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
