"""Objects of a store as files of this machine: where they lie already, or fetched for a while."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flexlock_hydra.archive.pull.destination import SCRATCH
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.store import Store

BLOCK = 1024 * 1024
_BATCH, _BATCH_BYTES = 256, 256 << 20
"""What is fetched before it is put into its place: objects, and bytes in them."""


@contextmanager
def lent_objects(
    store: Store, cache: FolderStore | None, scratch: Path, oids: Sequence[str]
) -> Iterator[Callable[[str], str]]:
    """Give a function that takes an object's id and returns the path of a file with its bytes.

    It raises DataError for an object that the store does not have or that is damaged. Whoever
    copies the file checks its bytes; those in a cache were checked here.

    Args:
        cache: keeps what is fetched; without it a store that is a folder is read in place, and
            what comes from any other is gone at the end.
        scratch: where what is fetched lies meanwhile.
    """
    if cache is None and isinstance(store, FolderStore):
        yield lambda oid: os.path.abspath(store.path(oid))
        return
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=scratch) as folder:
        places = {oid: Path(folder, oid) for oid in oids}
        if cache is not None:
            there = cache.sizes(oids)
            # A cache is shared, and others write to it: what is damaged there is fetched anew.
            damaged = [oid for oid in there if md5_if_readable(cache.path(oid)) != oid]
            cache.remove(damaged)
            places = {oid: p for oid, p in places.items() if oid not in there or oid in damaged}
        failed = {**store.fetch([*places.items()])}
        if cache is not None:
            failed |= _adopt(cache, {oid: p for oid, p in places.items() if oid not in failed})

        def path_of(oid: str) -> str:
            if oid in failed:
                raise DataError(failed[oid])
            return os.path.abspath(cache.path(oid)) if cache is not None else str(places[oid])

        yield path_of


def _adopt(cache: FolderStore, fetched: Mapping[str, Path]) -> dict[str, str]:
    """Move objects into a cache; those that are damaged, object id -> why, are left out."""
    failed = {}
    for oid, place in fetched.items():
        if md5_if_readable(place) == oid:
            cache.adopt(oid, place)
        else:
            failed[oid] = damage_of(place)
    return failed


def batches_of(oids: Iterable[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Objects in groups that are fetched at once, so that no disk has to hold all twice."""
    batch: list[str] = []
    size = 0
    for oid in oids:
        if batch and (len(batch) == _BATCH or size + sizes[oid] > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(oid)
        size += sizes[oid]
    if batch:
        yield batch


def md5_if_readable(source: str | int | Path) -> str:
    """The md5 of a file, or of an open one from its start; empty where it cannot be read."""
    found = hashlib.md5(usedforsecurity=False)
    try:
        fd = source if isinstance(source, int) else os.open(source, os.O_RDONLY)
        try:
            if isinstance(source, int):
                os.lseek(fd, 0, os.SEEK_SET)
            while block := os.read(fd, BLOCK):
                found.update(block)
        finally:
            if not isinstance(source, int):
                os.close(fd)
    except OSError:
        return ""
    return found.hexdigest()


def damage_of(source: str | Path, md5: str = "") -> str:
    """Why an object is not taken, in words; its md5 is read where it is not given."""
    return f"damaged on the remote: md5 {md5 or md5_if_readable(source) or 'unreadable'}"
