"""A data remote: objects by their DVC id under ``files/md5``, and a few named files.

DVC reads and writes the same places, so ``dvc pull`` finds what was sent from here.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from flexlock_hydra.errors import DataError, FlexlockError, RemoteError
from flexlock_hydra.ports.git.command import redact_url

OBJECTS = "files/md5"
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0)
SMALL = 1024 * 1024
"""Bytes up to which a file is sent in one piece, its md5 checked before."""
_READ_BACK = 64
"""Objects that are read back at once."""
_LARGEST_LISTING = 1 << 30
"""Bytes: the listing of some ten million files. Nothing larger is read into memory."""

# Settings that say where a remote is and not who may use it: they go into the tag.
_PUBLIC_OPTIONS = (
    "endpointurl",
    "region",
    "port",
    "user",
    "use_ssl",
    "projectname",
    "account_name",
    "allow_anonymous_login",
)

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteSpec:
    """A data remote: its URL (absolute) and its settings in DVC's own terms."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public_url(self) -> str:
        """The URL without credentials."""
        return redact_url(self.url)

    @property
    def public_options(self) -> dict[str, Any]:
        """The settings that may be written down."""
        return {key: self.options[key] for key in _PUBLIC_OPTIONS if key in self.options}

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of this machine."""
        return "://" not in self.url

    def below(self, folder: str) -> RemoteSpec:
        """The same remote, some folders deeper."""
        return replace(self, url=f"{self.url.rstrip('/')}/{folder}")


class ObjectSource(NamedTuple):
    """Where the bytes of an object are: a file with its size and mtime (ns) when hashed."""

    path: str
    size: int
    mtime_ns: int | None


class Stored(NamedTuple):
    """An object on a remote: bytes, and when it was written (seconds; None: not told)."""

    oid: str
    size: int
    modified: float | None


Sendable = tuple[str, "ObjectSource | bytes"]
"""An object's id and its bytes."""

Sent = Callable[[int, int], None]
"""Hears of objects and bytes that were sent."""


class Store(ABC):
    """What a data remote does, whatever kind it is. Every method raises RemoteError."""

    def __init__(self, spec: RemoteSpec) -> None:
        self.spec = spec

    def require(self) -> None:  # noqa: B027 - what cannot be reached says so when it is used
        """Refuse a remote that is not there; raises RemoteError."""

    # Objects

    @abstractmethod
    def sizes(self, oids: Sequence[str]) -> dict[str, int]:
        """Object id -> bytes, of those of the objects that are there."""

    @abstractmethod
    def send(self, objects: Iterable[Sendable], sent: Sent = lambda count, size: None) -> None:
        """Write objects, each whole or not at all; one that is there is replaced.

        Raises:
            DataError: a file is not what it was when it was hashed; it was not sent.
            RemoteError: at the first one that cannot be written.
        """

    @abstractmethod
    def fetch(self, objects: Sequence[tuple[str, Path]]) -> dict[str, str]:
        """Copy objects to new files, unchecked; what failed, object id -> reason."""

    @abstractmethod
    def stored(self) -> Iterator[Stored]:
        """Every object."""

    @abstractmethod
    def remove(self, oids: Sequence[str]) -> None:
        """Delete objects; one that is gone already is fine."""

    def read(self, oid: str) -> bytes | None:
        """A folder's listing, or None where it is not there.

        Raises:
            DataError: it is no listing by its size.
        """
        size = self.sizes([oid]).get(oid)
        if size is None:
            return None
        if size > _LARGEST_LISTING:
            raise DataError(f"listing {oid} on {self.spec.public_url} has {size} bytes")
        return self._read_object(oid)

    def absent(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Those of the objects that are not there, or not of their size."""
        there = self.sizes(list(wanted))
        return {oid: size for oid, size in wanted.items() if there.get(oid) != size}

    def md5s(self, oids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Read objects back: ``(id, md5 of its bytes, or why it cannot be read)``."""
        with tempfile.TemporaryDirectory(prefix="flexlock-") as folder:
            for chunk in chunks(oids, _READ_BACK):
                places = {oid: Path(folder, oid) for oid in chunk}
                failed = self.fetch([*places.items()])
                for oid, place in places.items():
                    yield oid, failed.get(oid) or md5_of(place)
                    place.unlink(missing_ok=True)

    def settle(self) -> None:  # noqa: B027 - most remotes have nothing to wait for
        """Wait until what was sent would survive a power cut."""

    @abstractmethod
    def _read_object(self, oid: str) -> bytes | None:
        """The bytes of an object."""

    # Named files

    @abstractmethod
    def read_file(self, name: str) -> bytes | None:
        """A file below the URL, or None."""

    def read_files(self, names: Sequence[str]) -> dict[str, bytes]:
        """Those of some files that are there."""
        found = {name: self.read_file(name) for name in names}
        return {name: content for name, content in found.items() if content is not None}

    @abstractmethod
    def write_file(self, name: str, content: bytes) -> None:
        """Write a file below the URL."""

    @abstractmethod
    def remove_file(self, name: str) -> None:
        """Delete a file below the URL; one that is gone already is fine."""

    @abstractmethod
    def files(self, folder: str) -> list[Stored]:
        """Every file below a folder of the URL, named by its path below the URL."""

    # For all kinds

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Whatever a remote's library raises, as one error that names the remote."""
        try:
            yield
        except FlexlockError:
            raise
        except Exception as error:  # each kind of remote has exceptions of its own
            raise RemoteError(
                f"cannot {doing} the data remote {self.spec.public_url}: {reason(error)}",
                hint=_hint(error),
            ) from error


def open_store(spec: RemoteSpec) -> Store:
    """The store of a data remote; nothing is connected to yet."""
    if spec.is_local:
        from flexlock_hydra.ports.store.folder import FolderStore

        return FolderStore(spec)
    from flexlock_hydra.ports.store.cloud import CloudStore

    return CloudStore(spec)


def object_path(oid: str) -> str:
    """The place of an object below the URL."""
    return f"{OBJECTS}/{oid[:2]}/{oid[2:]}"


def md5_of(path: str | Path) -> str:
    """The md5 of a file's bytes; raises OSError."""
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb", buffering=0) as file:
        while block := file.read(SMALL):
            found.update(block)
    return found.hexdigest()


def is_unchanged(source: ObjectSource) -> bool:
    """Whether a file is still the one that was hashed."""
    try:
        found = os.stat(source.path)
    except OSError:
        return False
    same_time = source.mtime_ns is None or found.st_mtime_ns == source.mtime_ns
    return stat.S_ISREG(found.st_mode) and found.st_size == source.size and same_time


def changed(path: str) -> DataError:
    """The error of a file that is not what it was when it was hashed."""
    return DataError(f"{path} changed while it was pushed", hint="Nothing was tagged; push again.")


def read_small(oid: str, source: ObjectSource | bytes) -> bytes:
    """The bytes of a small object, checked against its id.

    Raises:
        DataError: they are others, or cannot be read.
    """
    if isinstance(source, bytes):
        return source
    with reading(source):
        fd = os.open(source.path, _READ)  # a file object costs three system calls more
        try:
            content = os.read(fd, source.size + 1)
            while len(content) < source.size and (more := os.read(fd, source.size)):
                content += more
        finally:
            os.close(fd)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != oid[:32]:
        raise changed(source.path)
    return content


def checked(oid: str, source: ObjectSource) -> ObjectSource:
    """A file whose bytes are those of its id now, with its mtime now.

    Raises:
        DataError: they are others, or cannot be read.
    """
    with reading(source):
        if source.mtime_ns is None:
            source = source._replace(mtime_ns=os.stat(source.path).st_mtime_ns)
        if not is_unchanged(source) or md5_of(source.path) != oid[:32]:
            raise changed(source.path)
    return source


@contextmanager
def reading(source: ObjectSource) -> Iterator[None]:
    """A file that cannot be read is no fault of the remote: DataError."""
    try:
        yield
    except FileNotFoundError as error:
        raise changed(source.path) from error
    except OSError as error:
        if isinstance(error, FlexlockError):
            raise
        raise DataError(f"{source.path} cannot be read: {reason(error)}") from error


def size_of(source: ObjectSource | bytes) -> int:
    """Bytes of an object to be sent."""
    return len(source) if isinstance(source, bytes) else source.size


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def reason(error: BaseException) -> str:
    """What went wrong, in few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = redact_url(" ".join(str(error).split())[:300])
    return said or ("no answer in time" if "Timeout" in type(error).__name__ else "") or type(
        error
    ).__name__


def _hint(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Make room there, or choose another with --remote; then push again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return "Choose a place that you may write to with --remote."
    return "Check the URL, the network and the credentials; then try again."
