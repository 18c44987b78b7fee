"""Data remotes whose server is not there, or says nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flexlock_hydra.ports.store.object_source import SMALL
from flexlock_hydra.ports.store.open_store import open_store
from tests.ports.test_data_remotes import at_port, with_limits
from tests.ports.test_refusals import use
from tests.support.faults import Relay, Silent
from tests.support.loopback import free_port
from tests.support.remotes import BOUND, CLOUDS, as_files, make_remote, md5, refused, some
from tests.support.servers import Servers

pytestmark = pytest.mark.usefixtures("no_own_keys")


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
        with refused(within=12):
            each()
    # a listing, then as many small files at a time as are sent: each is tried twice at most
    assert len(silent.held) <= 2 * (1 + len(some(9)))


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
