"""Every kind of data remote keeps the same promises, on real servers and bad days."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store import cloud, remote_kinds
from flexlock_hydra.ports.store.object_source import SMALL
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, object_path
from flexlock_hydra.ports.store.transfer import TimeLimits
from tests.conftest import Project
from tests.support.remotes import (
    KINDS,
    MANIFEST,
    DavDoor,
    FolderDoor,
    Remote,
    _numbers,
    alike,
    as_files,
    fetched,
    in_child,
    large_file,
    make_remote,
    md5,
    refused,
    sizes_of,
    some,
    spec_text,
)
from tests.support.servers import Servers

pytestmark = pytest.mark.usefixtures("no_own_keys")


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
