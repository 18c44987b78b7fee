"""What happens to data and to its sender while it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.store.object_source import SMALL, ObjectSource
from tests.ports.test_data_remotes import at_port
from tests.support.faults import FaultyProxy
from tests.support.remotes import (
    KINDS,
    Remote,
    as_files,
    large_file,
    make_remote,
    md5,
    sizes_of,
    some,
    spec_text,
)
from tests.support.servers import Servers

pytestmark = pytest.mark.usefixtures("no_own_keys")


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
