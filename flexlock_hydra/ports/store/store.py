"""A data remote: objects by their DVC id under ``files/md5``, and a few named files.

DVC reads and writes the same places, so ``dvc pull`` finds what was sent from here.
"""

from __future__ import annotations

import errno
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
from flexlock_hydra.ports.store.object_source import Sendable, md5_of, reason
from flexlock_hydra.ports.store.remote_kinds import kind_of

OBJECTS = "files/md5"
_READ_BACK = 64  # Objects that are read back at once
# Bytes: the listing of some ten million files. Nothing larger is read into memory.
_LARGEST_LISTING = 1 << 30

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
        """The settings that may be written down, as they say nothing of who may use it."""
        kind = kind_of(self.url)
        names = kind.public_options if kind else ()
        return {key: self.options[key] for key in names if key in self.options}

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of this machine."""
        return "://" not in self.url

    def below(self, folder: str) -> RemoteSpec:
        """The same remote, some folders deeper."""
        return replace(self, url=f"{self.url.rstrip('/')}/{folder}")


class Stored(NamedTuple):
    """An object on a remote: bytes, and when it was written (seconds; None: not told)."""

    oid: str
    size: int
    modified: float | None


Sent = Callable[[int, int], None]
"""Called with the number of objects, and of their bytes, that have just been sent."""


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
        """Each object on the remote, with its size and when it was written, in no order."""

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
        return self.read_file(object_path(oid))

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

    # Errors

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn whatever a remote's library raises into a RemoteError that names the remote."""
        try:
            yield
        except FlexlockError:  # it says more: of a file that changed, or of a setting
            raise
        except Exception as error:  # each kind of remote has exceptions of its own
            raise RemoteError(
                f"cannot {doing} the data remote {self.spec.public_url}: {reason(error)}",
                hint=_hint(error),
            ) from error


def object_path(oid: str) -> str:
    """The place of an object below the URL."""
    return f"{OBJECTS}/{oid[:2]}/{oid[2:]}"


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _hint(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Make room there, or choose another with --remote; then push again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return "Choose a place that you may write to with --remote."
    return "Check the URL, the network and the credentials; then try again."
