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
from functools import cached_property
from pathlib import Path
from typing import Any

from flexlock_hydra.ports.store import parallel
from flexlock_hydra.ports.store.connection import (
    Connection, connect, entry_is_file, entry_name, entry_size, entry_time
)
from flexlock_hydra.ports.store.object_source import (
    SMALL, ObjectSource, Sendable, checked, read_small, reason, size_of
)
from flexlock_hydra.ports.store.store import OBJECTS, Sent, Store, Stored, object_path
from flexlock_hydra.ports.store.transfer import Method, Transfer, folder_of

log = logging.getLogger(__name__)

# Small objects that are read before they are sent; two such chunks are under way at a time.
_CHUNK, _CHUNK_BYTES = 128, 16 * 1024 * 1024
_LARGE_AT_ONCE = 2
_PAGE = 1000  # Names that a remote lists with one request
_NO_SUCH_FILE = os.strerror(errno.ENOENT)


def _is_missing(error: BaseException) -> bool:
    return isinstance(error, FileNotFoundError)


class CloudStore(Store):
    """A remote that DVC's own file systems reach."""

    def sizes(self, oids: Sequence[str]) -> dict[str, int]:
        """Where many are asked for, by listing; else one by one.

        A listing takes one request for a thousand names, whoever's objects they are: on a
        remote that holds far more than is asked for, asking for each is cheaper. Ids are
        spread evenly, so that the first folder tells how large the others are.
        """
        with self._errors("list"):
            if len(oids) <= 2 or not self._transfer.can_list:
                return self._sizes_one_by_one(oids)
            groups: dict[str, list[str]] = defaultdict(list)
            for oid in oids:
                groups[oid[:2]].append(oid)
            there = self._prefixes() & groups.keys()
            prefixes = sorted(there, key=lambda prefix: -len(groups[prefix]))
            wanted = [oid for prefix in prefixes for oid in groups[prefix]]
            if len(wanted) > 2 * len(prefixes):
                listed = self._sizes_by_listing(prefixes[:1])
                requests = math.ceil((len(listed) + 1) / _PAGE) * len(prefixes)
                if requests < len(wanted):
                    listed |= self._sizes_by_listing(prefixes[1:])
                    return {oid: listed[oid] for oid in wanted if oid in listed}
            return self._sizes_one_by_one(wanted)

    def send(self, objects: Iterable[Sendable], sent: Sent = lambda count, size: None) -> None:
        # While one chunk is sent the next is read: neither disk nor network waits for the other.
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
            # A second try: servers cut connections, and throttle, for a moment.
            again = {oid for oid, error in failed.items() if not _is_missing(error)}
            kept = {oid: error for oid, error in failed.items() if oid not in again}
            failed = kept | self._fetch([(oid, to) for oid, to in objects if oid in again])
            return {
                oid: _NO_SUCH_FILE if _is_missing(error) else reason(error)
                for oid, error in failed.items()
            }

    def stored(self) -> Iterator[Stored]:
        with self._errors("list"):
            for each in self._files_below(OBJECTS):
                *_, folder, name = each.oid.split("/")
                yield each._replace(oid=f"{folder}{name}")

    def remove(self, oids: Sequence[str]) -> None:
        with self._errors("delete from"):
            self._remove([object_path(oid) for oid in oids])

    def read_file(self, name: str) -> bytes | None:
        return self.read_files([name]).get(name)

    def read_files(self, names: Sequence[str]) -> dict[str, bytes]:
        with self._errors("read"):
            places = [(self._path_of(name),) for name in names]
            found = self._call_each(self._transfer.cat, places, **self._transfer.cat_options())
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
            return list(self._files_below(folder))

    # Calls of the file system

    def _prefixes(self) -> set[str]:
        """The beginnings of the ids of all objects."""
        (entries,) = self._call_each("ls", [(self._path_of(OBJECTS),)], detail=True)
        missing = isinstance(entries, BaseException)
        return set() if missing else {entry_name(each) for each in entries}

    def _sizes_by_listing(self, prefixes: Sequence[str]) -> dict[str, int]:
        """The sizes of all objects whose ids begin so."""
        places = [(self._path_of(f"{OBJECTS}/{prefix}"),) for prefix in prefixes]
        listed = self._call_each("ls", places, detail=True)
        return {
            prefix + entry_name(entry): entry_size(entry)
            for prefix, entries in zip(prefixes, listed, strict=True)
            if not isinstance(entries, BaseException)
            for entry in entries
            if entry_is_file(entry)
        }

    def _sizes_one_by_one(self, oids: Sequence[str]) -> dict[str, int]:
        """The sizes of those of the objects that are there, with a request for each."""
        places = [(self._path_of(object_path(oid)),) for oid in oids]
        return {
            oid: entry_size(entry)
            for oid, entry in zip(oids, self._call_each("info", places), strict=True)
            if not isinstance(entry, BaseException) and entry_is_file(entry)
        }

    def _files_below(self, folder: str) -> Iterator[Stored]:
        """Every file below a folder, named by its path below the URL."""
        top = self._path_of(folder)
        try:
            found = self._connection.fs.find(top, detail=True)
        except FileNotFoundError:
            return
        for path, entry in sorted(found.items()):
            # Some file systems name files by other paths than they were asked for.
            rest = path[len(top):] if path.startswith(top) else path.partition(f"{folder}/")[2]
            if rest.strip("/") and entry_is_file(entry):
                yield Stored(f"{folder}/{rest.strip('/')}", entry_size(entry), entry_time(entry))

    def _fetch(self, objects: Sequence[tuple[str, Path]]) -> dict[str, BaseException]:
        """Copy objects to files; the errors of those that failed.

        Raises:
            Exception: of the file system, when much fails: the remote is at fault then.
        """
        patience = iter(range(2 * self._connection.jobs))
        found = self._call_each(
            self._transfer.get,
            [(self._path_of(object_path(oid)), str(path)) for oid, path in objects],
            fine=lambda error: _is_missing(error) or next(patience, None) is not None,
            **self._transfer.get_options(len(objects)),
        )
        pairs = zip(objects, found, strict=True)
        return {oid: error for (oid, _), error in pairs if isinstance(error, BaseException)}

    def _start_put(self, files: Sequence[tuple[str, bytes]]) -> Future[list[Any]]:
        """Begin to write small files; any error ends all of it."""
        placed = [(self._path_of(name), content) for name, content in files]
        self._make_folders(place for place, _ in placed)
        return self._start(self._transfer.put, placed, lambda error: False)

    def _make_folders(self, places: Iterable[str]) -> None:
        """Make the folders that some paths lie in, where that was not done before.

        Those above them come first: made side by side, each would find them missing.
        """
        if self._transfer.has_folders:
            folders = {folder_of(place) for place in places}
            for group in ({folder_of(folder) for folder in folders}, folders):
                new = sorted(group - self._made)
                self._call_each(self._transfer.make, [(folder,) for folder in new])
                self._made.update(new)

    def _put_large(self, objects: Sequence[tuple[str, ObjectSource]]) -> Iterator[int]:
        """Files that are sent from where they lie, each hashed before; their sizes."""
        self._make_folders(self._path_of(object_path(oid)) for oid, _ in objects)

        def put(each: tuple[str, ObjectSource]) -> int:
            oid, source = each
            self._transfer.put_large(self._path_of(object_path(oid)), checked(oid, source))
            return source.size

        with ThreadPoolExecutor(_LARGE_AT_ONCE) as threads:
            yield from threads.map(put, objects)

    def _remove(self, names: Sequence[str]) -> None:
        self._call_each("rm_file", [(self._path_of(name),) for name in names])

    def _call_each(
        self, method: Method, arguments: parallel.Arguments, fine: parallel.Fine = _is_missing,
        **options: Any,
    ) -> list[Any]:
        """The results of many calls of one method of the file system; fine errors among them."""
        return parallel.finish_calls(self._start(method, arguments, fine, **options))

    def _start(
        self, method: Method, arguments: parallel.Arguments, fine: parallel.Fine, **options: Any
    ) -> Future[list[Any]]:
        """Begin many calls of one method; :func:`parallel.finish_calls` waits for them."""
        fs, jobs = self._connection.fs, self._connection.jobs
        return parallel.start_calls(fs, method, arguments, jobs=jobs, fine=fine, **options)

    def _path_of(self, name: str) -> str:
        root = self._connection.root
        return f"{root.rstrip('/')}/{name}" if root else name

    @property
    def _transfer(self) -> Transfer:
        return self._connection.transfer

    @cached_property
    def _made(self) -> set[str]:
        return set()

    @cached_property
    def _connection(self) -> Connection:
        return connect(self.spec)


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
