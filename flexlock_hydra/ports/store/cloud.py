"""The door to DVC's remotes: S3, ssh, WebDAV and the rest.

No DVC repository, lock, cache or workspace is used: objects go straight from the
workspace to the remote and back.
"""

from __future__ import annotations

import errno
import logging
import math
import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store import parallel, protocols
from flexlock_hydra.ports.store.protocols import Kind, Method, folder_of, kind_of
from flexlock_hydra.ports.store.store import (
    OBJECTS,
    SMALL,
    ObjectSource,
    RemoteSpec,
    Sendable,
    Sent,
    Store,
    Stored,
    checked,
    object_path,
    read_small,
    reason,
    size_of,
)

log = logging.getLogger(__name__)

_NAME = "flexlock"
_CHUNK, _CHUNK_BYTES = 128, 16 * 1024 * 1024
"""Small objects that are read before they are sent; two such chunks are under way at a time."""
_LARGE_AT_ONCE = 2
_PAGE = 1000
"""Names that a remote lists with one request."""
_JOBS = 8
_CONNECT_SECONDS, _READ_SECONDS = 10, 20
"""For a server that is silent: with the two tries of S3 it is an error within a minute."""
_ALIVE_SECONDS = 10
"""How often an ssh server is asked whether it is alive; three silences end the connection."""

_MISSING = os.strerror(errno.ENOENT)

_KINDS = "Give a folder, or a URL that DVC knows: s3, ssh, gs, azure, webdav, https"
_EXTRAS = {
    "s3": "s3",
    "ssh": "ssh",
    "sftp": "ssh",
    "gs": "gs",
    "gcs": "gs",
    "azure": "azure",
    "webdav": "webdav",
    "webdavs": "webdav",
}


class CloudStore(Store):
    """A remote that DVC's own file systems reach."""

    def sizes(self, oids: Sequence[str]) -> dict[str, int]:
        """Where many are asked for, by listing; else one by one."""
        with self._errors("list"):
            if len(oids) <= 2 or not self._kind.can_list:
                return self._ask(oids)
            groups: dict[str, list[str]] = defaultdict(list)
            for oid in oids:
                groups[oid[:2]].append(oid)
            there = self._prefixes() & groups.keys()
            prefixes = sorted(there, key=lambda prefix: -len(groups[prefix]))
            wanted = [oid for prefix in prefixes for oid in groups[prefix]]
            if len(wanted) > 2 * len(prefixes):
                listed = self._list(prefixes[:1])
                requests = math.ceil((len(listed) + 1) / _PAGE) * len(prefixes)
                if requests < len(wanted):
                    listed |= self._list(prefixes[1:])
                    return {oid: listed[oid] for oid in wanted if oid in listed}
            return self._ask(wanted)

    def send(self, objects: Iterable[Sendable], sent: Sent = lambda count, size: None) -> None:
        under_way: deque[tuple[Future[list[Any]], list[Sendable]]] = deque()

        def wait(most: int) -> None:
            while len(under_way) > most:
                future, group = under_way.popleft()
                parallel.finish_calls(future)
                sent(len(group), sum(size_of(source) for _, source in group))

        with self._errors("write to"):
            try:
                for small, large in _portions(objects):
                    log.debug("upload %d objects to %s", len(small + large), self.spec.public_url)
                    files = [(object_path(oid), read_small(oid, source)) for oid, source in small]
                    under_way.append((self._start_put(files), small))
                    for size in self._put_large(large):
                        sent(1, size)
                    wait(1)
                wait(0)
            finally:
                for future, _ in under_way:
                    future.cancel()

    def fetch(self, objects: Sequence[tuple[str, Path]]) -> dict[str, str]:
        with self._errors("read"):
            log.debug("download %d objects from %s", len(objects), self.spec.public_url)
            failed = self._fetch(objects)
            again = {oid for oid, error in failed.items() if not _gone(error)}
            kept = {oid: error for oid, error in failed.items() if oid not in again}
            failed = kept | self._fetch([(oid, to) for oid, to in objects if oid in again])
            return {oid: _MISSING if _gone(e) else reason(e) for oid, e in failed.items()}

    def stored(self) -> Iterator[Stored]:
        with self._errors("list"):
            for each in self._find(OBJECTS):
                *_, folder, name = each.oid.split("/")
                yield each._replace(oid=f"{folder}{name}")

    def remove(self, oids: Sequence[str]) -> None:
        with self._errors("delete from"):
            self._remove([object_path(oid) for oid in oids])

    def _read_object(self, oid: str) -> bytes | None:
        return self.read_file(object_path(oid))

    def read_file(self, name: str) -> bytes | None:
        return self.read_files([name]).get(name)

    def read_files(self, names: Sequence[str]) -> dict[str, bytes]:
        with self._errors("read"):
            places = [(self._place(name),) for name in names]
            found = self._map(self._kind.cat, places, **self._kind.cat_options())
            pairs = zip(names, found, strict=True)
            return {name: bytes(got) for name, got in pairs if not isinstance(got, BaseException)}

    def write_file(self, name: str, content: bytes) -> None:
        with self._errors("write to"):
            parallel.finish_calls(self._start_put([(name, content)]))

    def remove_file(self, name: str) -> None:
        with self._errors("delete from"):
            self._remove([name])

    def files(self, folder: str) -> list[Stored]:
        with self._errors("list"):
            return list(self._find(folder))

    # How

    def _prefixes(self) -> set[str]:
        """The beginnings of the ids of all objects."""
        (entries,) = self._map("ls", [(self._place(OBJECTS),)], detail=True)
        return set() if isinstance(entries, BaseException) else {_name(each) for each in entries}

    def _list(self, prefixes: Sequence[str]) -> dict[str, int]:
        """The sizes of all objects whose ids begin so."""
        places = [(self._place(f"{OBJECTS}/{prefix}"),) for prefix in prefixes]
        listed = self._map("ls", places, detail=True)
        return {
            prefix + _name(entry): _size(entry)
            for prefix, entries in zip(prefixes, listed, strict=True)
            if not isinstance(entries, BaseException)
            for entry in entries
            if _is_file(entry)
        }

    def _ask(self, oids: Sequence[str]) -> dict[str, int]:
        places = [(self._place(object_path(oid)),) for oid in oids]
        return {
            oid: _size(entry)
            for oid, entry in zip(oids, self._map("info", places), strict=True)
            if not isinstance(entry, BaseException) and _is_file(entry)
        }

    def _find(self, folder: str) -> Iterator[Stored]:
        """Every file below a folder, named by its path below the URL."""
        top = self._place(folder)
        try:
            found = self._fs.fs.find(top, detail=True)
        except FileNotFoundError:
            return
        for path, entry in sorted(found.items()):
            rest = path[len(top):] if path.startswith(top) else path.partition(f"{folder}/")[2]
            if rest.strip("/") and _is_file(entry):
                yield Stored(f"{folder}/{rest.strip('/')}", _size(entry), _modified(entry))

    def _fetch(self, objects: Sequence[tuple[str, Path]]) -> dict[str, BaseException]:
        """What failed. When much does, the remote is at fault and not an object."""
        patience = iter(range(2 * self._jobs))
        found = self._map(
            self._kind.get,
            [(self._place(object_path(oid)), str(path)) for oid, path in objects],
            fine=lambda error: _gone(error) or next(patience, None) is not None,
            **self._kind.get_options(len(objects)),
        )
        pairs = zip(objects, found, strict=True)
        return {oid: error for (oid, _), error in pairs if isinstance(error, BaseException)}

    def _start_put(self, files: Sequence[tuple[str, bytes]]) -> Future[list[Any]]:
        placed = [(self._place(name), content) for name, content in files]
        self._make_folders(place for place, _ in placed)
        return parallel.start_calls(
            self._fs.fs, self._kind.put, placed, jobs=self._jobs, fine=lambda error: False
        )

    def _make_folders(self, places: Iterable[str]) -> None:
        """What places lie in, where it was not made before: first what they all lie in."""
        if self._kind.has_folders:
            folders = {folder_of(place) for place in places}
            for group in ({folder_of(folder) for folder in folders}, folders):
                new = sorted(group - self._made)
                self._map(self._kind.make, [(folder,) for folder in new])
                self._made.update(new)

    def _put_large(self, objects: Sequence[tuple[str, ObjectSource]]) -> Iterator[int]:
        """Files that are sent from where they lie, each hashed before; their sizes."""
        self._make_folders(self._place(object_path(oid)) for oid, _ in objects)

        def put(each: tuple[str, ObjectSource]) -> int:
            oid, source = each
            self._kind.put_large(self._place(object_path(oid)), checked(oid, source))
            return source.size

        with ThreadPoolExecutor(_LARGE_AT_ONCE) as threads:
            yield from threads.map(put, objects)

    def _remove(self, names: Sequence[str]) -> None:
        self._map("rm_file", [(self._place(name),) for name in names])

    def _map(
        self,
        method: Method,
        arguments: Sequence[tuple[Any, ...]],
        fine: parallel.Fine = lambda error: _gone(error),
        **options: Any,
    ) -> list[Any]:
        """The results of many calls of one method of the file system; fine errors among them."""
        fs = self._fs.fs
        return parallel.finish_calls(
            parallel.start_calls(fs, method, arguments, jobs=self._jobs, fine=fine, **options)
        )

    def _place(self, name: str) -> str:
        root = str(self._remote[1])
        return f"{root.rstrip('/')}/{name}" if root else name

    @property
    def _fs(self) -> Any:
        return self._remote[0]

    @property
    def _jobs(self) -> int:
        return int(self.spec.options.get("jobs") or max(self._fs.jobs, _JOBS))

    @cached_property
    def _made(self) -> set[str]:
        return set()

    @cached_property
    def _kind(self) -> Kind:
        from dvc_objects.fs.base import ObjectFileSystem

        return kind_of(self._fs, keeps_objects=isinstance(self._fs, ObjectFileSystem))

    @cached_property
    def _remote(self) -> tuple[Any, str]:
        """DVC's own file system, made from settings alone, and the path of the URL in it.

        Raises:
            RemoteError: an unknown kind of URL, a wrong setting, a missing extra.
        """
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        from dvc.config import ConfigError as RepoConfigError
        from dvc.fs import get_cloud_fs
        from dvc_objects.fs import known_implementations
        from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError

        scheme = urlsplit(self.spec.url).scheme
        if scheme not in known_implementations and scheme != "remote":  # one that a config names
            raise RemoteError(
                f"{self.spec.public_url}: there is no kind of data remote {scheme}://", hint=_KINDS
            )
        config = {"core": {}, "remote": {_NAME: {"url": self.spec.url, **self.spec.options}}}
        try:
            cls, options, path = get_cloud_fs(config, name=_NAME)
            fs = cls(**options)
            _bound(fs, self.spec)
            fs.fs  # noqa: B018 - connects, or says what is missing
            return fs, path
        except (RemoteMissingDepsError, ImportError) as error:
            extra = _EXTRAS.get(scheme)
            raise RemoteError(
                f"{self.spec.public_url} needs a package that is not installed",
                hint=f"pip install '{f'flexlock-hydra[{extra}]' if extra else f'dvc-{scheme}'}'",
            ) from error
        except (RepoConfigError, ConfigError) as error:
            raise RemoteError(
                f"{self.spec.public_url} cannot be used as a data remote: {error}",
                hint=_KINDS,
            ) from error


def _portions(objects: Iterable[Sendable]) -> Iterator[tuple[list[Sendable], list[Any]]]:
    """Small objects in chunks of bounded size, with the large files that came between."""
    small: list[Sendable] = []
    large: list[tuple[str, ObjectSource]] = []
    size = 0
    for oid, source in objects:
        if isinstance(source, ObjectSource) and source.size > SMALL:
            large.append((oid, source))
        else:
            small.append((oid, source))
            size += size_of(source)
        if size >= _CHUNK_BYTES or len(small) + len(large) == _CHUNK:
            yield small, large
            small, large, size = [], [], 0
    yield small, large


def _bound(fs: Any, spec: RemoteSpec) -> None:
    """Let a remote that does not answer be an error within a minute, not an hour.

    Of listings, none is kept: others write there too.
    """
    from dvc_objects.fs.base import ObjectFileSystem

    options = fs.fs_args
    if isinstance(fs, ObjectFileSystem):
        options["use_listings_cache"] = False
    if fs.protocol == "s3":
        protocols.tune_s3(options, _CONNECT_SECONDS, _READ_SECONDS)
        fs.fs.retries = 1  # each of which would be tried so often by botocore
    elif fs.protocol in ("ssh", "sftp"):
        options["timeout"] = spec.options.get("timeout", _READ_SECONDS)
        options["keepalive_interval"] = _ALIVE_SECONDS
    elif fs.protocol in ("webdav", "webdavs"):
        options["timeout"] = spec.options.get("timeout", _READ_SECONDS)


def _gone(error: BaseException) -> bool:
    """Whether an error means that there is no such file."""
    return isinstance(error, FileNotFoundError)


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def _is_file(entry: dict[str, Any]) -> bool:
    return bool(entry.get("type", "file") == "file")


def _size(entry: dict[str, Any]) -> int:
    return int(entry.get("size") or 0)


def _modified(entry: dict[str, Any]) -> float | None:
    """When a file was written, in seconds; each kind of remote has its own name for it."""
    for key in ("LastModified", "last_modified", "mtime", "modified", "updated"):
        value = entry.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None
