"""How a remote takes a file whole or not at all, and gives it back: what all kinds share."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.ports.store.object_source import (
    ObjectSource, changed, is_unchanged, name_beside
)

Options = Mapping[str, Any]
"""What DVC's configuration says of a remote, in its own terms."""
Method = str | Callable[..., Any]
"""A method of a file system by its name, or a function (a coroutine's too) in its place."""


@dataclass(frozen=True)
class TimeLimits:
    """Seconds after which a server that is silent is an error.

    With the two tries of S3 that is within a minute; DVC's own limits add up to hours.

    Args:
        connect: until it accepts a connection.
        read: until it answers.
        alive: how often an ssh server is asked whether it is alive; three silences in a row
            end the connection.
    """

    connect: float = 10
    read: float = 20
    alive: float = 10


class Transfer:
    """Any file system of fsspec's: a file is written beside its place and renamed.

    Attributes:
        put: writes the bytes of a small file into a folder that is there: ``put(place, bytes)``.
        make: makes a folder that may be there, and those above it: ``make(folder)``.
        get: copies to a local file: ``get(place, path)``.
        cat: reads into memory: ``cat(place)``.
    """

    can_list = True
    has_folders = True

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.put: Method = self._put
        self.make: Method = self._make
        self.get: Method = "get_file"
        self.cat: Method = "cat_file"

    @classmethod
    def prepare(cls, arguments: dict[str, Any], options: Options, limits: TimeLimits) -> None:
        """Change what the file system will be made from, as no settings of DVC's can.

        Args:
            arguments: of the constructor of fsspec's file system; changed in place.
            options: what the user's DVC configuration says of the remote; it counts more.
            limits: for a server that is silent.
        """

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Write a file into a folder that is there.

        Raises:
            DataError: it changed meanwhile; what was sent of it is taken back.
        """
        self._write(place, lambda beside: self._upload(source, beside), source)

    def get_options(self, count: int) -> dict[str, Any]:
        """Arguments of ``get`` by name, when so many objects are fetched at a time."""
        return {}

    def cat_options(self) -> dict[str, Any]:
        """Arguments of ``cat`` by name."""
        return {}

    def _make(self, folder: str) -> None:
        self.fs.makedirs(folder, exist_ok=True)

    def _put(self, place: str, content: bytes) -> None:
        self._write(place, lambda beside: self._upload(content, beside))

    def _write(
        self, place: str, upload: Callable[[str], None], source: ObjectSource | None = None
    ) -> None:
        beside = name_beside(place)
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
        if self.fs.exists(place):  # not every file system renames onto what is there
            self.fs.rm_file(place)
        self.fs.mv(beside, place)


class ObjectTransfer(Transfer):
    """An object store: nothing but whole objects is ever seen in it, so none is renamed."""

    has_folders = False

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self.put = "pipe_file"

    @classmethod
    def prepare(cls, arguments: dict[str, Any], options: Options, limits: TimeLimits) -> None:
        arguments["use_listings_cache"] = False  # others write there too

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Its place is its only one: what changed meanwhile is deleted again."""
        self.fs.put_file(source.path, place, **self._put_options(source.size))
        if not is_unchanged(source):
            self.fs.rm_file(place)
            raise changed(source.path)

    def _put_options(self, size: int) -> dict[str, Any]:
        return {}


class HttpTransfer(Transfer):
    """A server that takes files as they come: it can neither list nor rename."""

    can_list = False
    has_folders = False

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self.put = self._put_small

    async def _put_small(self, place: str, content: bytes) -> None:
        await self.fs._put_file(io.BytesIO(content), place)

    def put_large(self, place: str, source: ObjectSource) -> None:
        """Nothing can be taken back: what changed meanwhile stays, and no tag names it."""
        self.fs.put_file(source.path, place)
        if not is_unchanged(source):
            raise changed(source.path)


def folder_of(place: str) -> str:
    """The place of the folder that a place lies in."""
    return place.rpartition("/")[0]
