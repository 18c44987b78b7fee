"""How each kind of remote takes a file whole or not at all, in the way that suits it."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from flexlock_hydra.ports.store.store import ObjectSource, changed, is_unchanged

Method = str | Callable[..., Any]
"""A method of a file system by its name, or a function (a coroutine's too) in its place."""

_PART, _MOST_PARTS, _PARTS_AT_ONCE = 8 * 1024 * 1024, 9000, 4
"""How S3 takes a large object and gives it back: bytes of a part, parts in all and at a time."""


class Kind:
    """Any file system: a file is written beside its place and renamed."""

    can_list = True
    has_folders = True
    cat: Method = "cat_file"
    get: Method = "get_file"

    def __init__(self, remote: Any) -> None:
        self.remote = remote
        self.fs = remote.fs

    @property
    def make(self) -> Method:
        """Makes a folder that may be there, and those above it: ``make(folder)``."""
        return self._make

    @property
    def put(self) -> Method:
        """Writes the bytes of a small file into a folder that is there: ``put(place, bytes)``."""
        return self._put

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Write a file into a folder that is there.

        Raises:
            DataError: it changed meanwhile; what was sent of it is taken back.
        """
        self._write(place, lambda beside: self._upload(source, beside), source)

    def get_options(self, count: int) -> dict[str, Any]:
        """What ``get`` is told when so many objects are fetched at a time."""
        return {}

    def cat_options(self) -> dict[str, Any]:
        """What ``cat`` is told."""
        return {}

    def _make(self, folder: str) -> None:
        self.fs.makedirs(folder, exist_ok=True)

    def _put(self, place: str, content: bytes) -> None:
        self._write(place, lambda beside: self._upload(content, beside))

    def _write(
        self, place: str, upload: Callable[[str], None], source: ObjectSource | None = None
    ) -> None:
        beside = _beside(place)
        try:
            upload(beside)
            if source is not None and not is_unchanged(source):
                raise changed(source.path)
            self._rename(beside, place)
        except BaseException:
            with contextlib.suppress(Exception):  # it may not be there; the first error counts
                self.fs.rm_file(beside)
            raise

    def _upload(self, content: bytes | ObjectSource, place: str) -> None:
        if isinstance(content, bytes):
            self.fs.pipe_file(place, content)
        else:
            self.fs.put_file(content.path, place)

    def _rename(self, beside: str, place: str) -> None:
        if self.fs.exists(place):
            self.fs.rm_file(place)
        self.fs.mv(beside, place)


class ObjectStore(Kind):
    """Nothing but whole objects is ever seen in it."""

    has_folders = False
    put: Method = "pipe_file"

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Its place is its only one: what changed meanwhile is deleted again."""
        self.fs.put_file(source.path, place, **self._put_options(source.size))
        if not is_unchanged(source):
            self.fs.rm_file(place)
            raise changed(source.path)

    def _put_options(self, size: int) -> dict[str, Any]:
        return {}


class S3(ObjectStore):
    """Large objects go in parts; left alone, s3fs would hold ten of 50 MB in memory."""

    def _put_options(self, size: int) -> dict[str, Any]:
        part = max(_PART, size // _MOST_PARTS + 1)
        return {"chunksize": part, "max_concurrency": _PARTS_AT_ONCE if part == _PART else 1}

    def get_options(self, count: int) -> dict[str, Any]:
        return {"chunksize": _PART, "max_concurrency": max(1, 2 * _PARTS_AT_ONCE // (count or 1))}

    def cat_options(self) -> dict[str, Any]:
        return {"max_concurrency": 1}  # else the size is asked for first


def tune_s3(options: dict[str, Any], connect_seconds: float, read_seconds: float) -> None:
    """Settings of s3fs that make a silent server an error, and small objects cheap."""
    from aiobotocore.session import AioSession  # type: ignore[import-untyped]

    config = options.setdefault("config_kwargs", {})
    config["connect_timeout"] = config.get("connect_timeout") or connect_seconds
    config["read_timeout"] = config.get("read_timeout") or read_seconds
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        config.setdefault("retries", {"total_max_attempts": 2, "mode": "standard"})
    # botocore puts its own together for every request, a tenth of what a small one takes
    config.setdefault("user_agent", "flexlock-hydra")
    _bound_writes(config, read_seconds)
    # An upload would wait, for ever if need be, for leave to send its body.
    session = AioSession(profile=options.get("profile"))
    session.register("before-sign.s3", _send_at_once)
    options["session"] = session


def _send_at_once(request: Any, **_: Any) -> None:
    del request.headers["Expect"]  # as fine where it is not there


def _bound_writes(config: dict[str, Any], seconds: float) -> None:
    """Of what is written, aiohttp does not time anything; the kernel can."""
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
    from botocore.exceptions import ParamValidationError  # type: ignore[import-untyped]

    def connectable(address: Any) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
        return made

    arguments = {"socket_factory": connectable}
    with contextlib.suppress(ParamValidationError):  # an aiobotocore that has no such setting
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            AioConfig(connector_args=arguments)
            config["connector_args"] = arguments


class Ssh(Kind):
    """A rename replaces what is there. Small files go down to the channels of sshfs.

    Its own ``pipe_file`` makes every folder above the file anew: twenty requests a file.
    """

    @property
    def put(self) -> Method:
        return self._put_small

    @property
    def make(self) -> Method:
        return self._make_folder

    async def _make_folder(self, folder: str) -> None:
        from asyncssh.sftp import SFTPError, SFTPFailure

        async with self.fs._pool.get() as channel:
            try:
                await channel.mkdir(folder)
            except SFTPFailure:
                pass  # it is there, or writing says what is wrong
            except SFTPError:
                await self.fs._makedirs(folder, exist_ok=True)

    async def _put_small(self, place: str, content: bytes) -> None:
        beside = _beside(place)
        try:
            async with self.fs._pool.get() as channel, channel.open(beside, "wb") as file:
                await file.write(content)
            await self.fs._mv(beside, place)
        except BaseException:
            with contextlib.suppress(Exception):  # it may not be there; the first error counts
                await self.fs._rm_file(beside)
            raise

    def _rename(self, beside: str, place: str) -> None:
        self.fs.mv(beside, place)


class WebDav(Kind):
    """One request each to write, rename and read; webdav4 would ask twice as often.

    It would also try for ever to read on from where a connection was cut.
    """

    @property
    def get(self) -> Method:  # type: ignore[override]
        return self._get

    @property
    def cat(self) -> Method:  # type: ignore[override]
        return self._cat

    def _get(self, place: str, to: str) -> None:
        with self._asked(place) as answer, open(to, "wb") as file:
            for block in answer.iter_raw():
                file.write(block)

    def _cat(self, place: str) -> bytes:
        with self._asked(place) as answer:
            return b"".join(answer.iter_raw())

    @contextlib.contextmanager
    def _asked(self, place: str) -> Any:
        client = self.fs.client
        url, plain = client.join_url(place), {"Accept-Encoding": "identity"}
        with client.http.stream("GET", url, headers=plain, follow_redirects=True) as answer:
            if answer.status_code == 404:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
            answer.raise_for_status()
            yield answer

    def _make(self, folder: str) -> None:
        self._make_url(self.fs.client.join_url(folder))

    def _make_url(self, url: Any) -> None:
        """Make a folder, and those above it where they are missing, up to the server's root."""
        client = self.fs.client
        answer = client.http.request("MKCOL", url.copy_with(path=f"{url.path.rstrip('/')}/"))
        above = folder_of(url.path.rstrip("/"))
        if answer.status_code in (404, 409) and above:
            self._make_url(url.copy_with(path=above))
            answer = client.http.request("MKCOL", url.copy_with(path=f"{url.path.rstrip('/')}/"))
        if answer.status_code not in (405, 301):  # it is there
            answer.raise_for_status()

    def _upload(self, content: bytes | ObjectSource, place: str) -> None:
        with (
            open(content.path, "rb") if isinstance(content, ObjectSource) else io.BytesIO(content)
        ) as f:
            size = content.size if isinstance(content, ObjectSource) else len(content)
            self.fs.client.upload_fileobj(f, place, overwrite=True, size=size)

    def _rename(self, beside: str, place: str) -> None:
        from webdav4.client import ResourceLocked

        for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0):
            try:
                self.fs.client.move(beside, place, overwrite=True)
                return
            except ResourceLocked:  # for a moment, by another sender of the same
                if not wait:
                    raise
                time.sleep(wait * random.uniform(0.5, 1.5))


class Http(Kind):
    """A server that takes files as they come: it can neither list nor rename."""

    can_list = False
    has_folders = False

    @property
    def put(self) -> Method:
        return self._put_small

    async def _put_small(self, place: str, content: bytes) -> None:
        await self.fs._put_file(io.BytesIO(content), place)

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Nothing can be taken back."""
        self.fs.put_file(source.path, place)
        if not is_unchanged(source):
            raise changed(source.path)


_KINDS: dict[str, type[Kind]] = {
    "s3": S3,
    "ssh": Ssh,
    "sftp": Ssh,
    "webdav": WebDav,
    "webdavs": WebDav,
    "http": Http,
    "https": Http,
}


def kind_of(remote: Any, *, keeps_objects: bool) -> Kind:
    """What a file system of DVC's is like."""
    return _KINDS.get(remote.protocol, ObjectStore if keeps_objects else Kind)(remote)


def folder_of(place: str) -> str:
    """What a place lies in."""
    return place.rpartition("/")[0]


def _beside(place: str) -> str:
    return f"{place}.{os.urandom(4).hex()}.tmp"
