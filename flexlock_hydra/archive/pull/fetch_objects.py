"""Objects of a store as files of this machine: lent for a while, or recorded data by its hash."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flexlock_hydra.archive.pull.destination import SCRATCH
from flexlock_hydra.archive.remotes.choose import choose_remote, with_settings
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.listings import read_listing
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest_file, of_files
from flexlock_hydra.errors import DataError, FlexlockError
from flexlock_hydra.ports.store.dvc_config import ProjectRemotes
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record.validate import check_path

BLOCK = 1024 * 1024
# What is fetched before it is put into its place: objects, and bytes in them.
_BATCH, _BATCH_BYTES = 256, 256 << 20


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
    is_open = isinstance(source, int)
    try:
        with open(source, "rb", buffering=0, closefd=not is_open) as file:
            if is_open:
                file.seek(0)
            while block := file.read(BLOCK):
                found.update(block)
    except OSError:
        return ""
    return found.hexdigest()


def damage_of(source: str | Path, md5: str = "") -> str:
    """Why an object is not taken, in words; its md5 is read where it is not given."""
    return f"damaged on the remote: md5 {md5 or md5_if_readable(source) or 'unreadable'}"


@dataclass(frozen=True)
class HashFetcher:
    """Brings recorded data to a folder of its own, every byte checked."""

    run: RecordedRun
    folder: Path

    def bring(self, md5: str) -> tuple[Path, Digest]:
        """A file or folder by DVC's object id, from the first place that has it whole.

        Raises:
            DataError: none has; each that was asked is named, with what it said.
        """
        said = []
        # A folder for each source: what one has in part must not mix with the next one's.
        for number, (name, spec) in enumerate(self._sources()):
            place, store = self.folder / str(number) / md5, open_store(spec)
            try:
                store.require()
                return place, _fetch_data(store, md5, place)
            except FlexlockError as error:
                said.append(f"{name}: {error}")
        raise DataError("; ".join(said) or "there is no cache and no data remote")

    def _sources(self) -> Iterator[tuple[str, RemoteSpec]]:
        repo = self.run.repo
        if repo is None:
            return
        if (cache := ProjectRemotes.load(repo.root).cache) is not None:
            yield "DVC's cache", RemoteSpec(str(cache))
        tag, tagged = self.run.lock.tag, None
        if repo.tags(tag):  # where the data of a run is that was pushed from here
            tagged = with_settings(read_tagged(repo, tag).remote, repo)
            yield "the tag's data remote", tagged
        chosen = choose_remote(repo, None)
        if tagged is None or chosen.url != tagged.url:
            yield "the data remote", chosen


def _fetch_data(store: Store, md5: str, place: Path) -> Digest:
    """An object of a store, or all of a folder's."""
    if not md5.endswith(".dir"):
        return Digest(md5, _fetch_files(store, {"": md5}, place))
    listing = read_listing(store, md5)
    for path in listing:
        check_path(path)  # a listing comes from anybody who can write to the remote
        if PurePosixPath(path).is_absolute():
            raise DataError(f"path {path!r:.100} leads out of its folder")
    return of_files(_fetch_files(store, listing, place))


def _fetch_files(store: Store, files: dict[str, str], place: Path) -> dict[str, FileDigest]:
    places = {rel: place / rel for rel in files}  # with nothing below it, a path stays itself
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    if failed := store.fetch([(oid, places[rel]) for rel, oid in files.items()]):
        raise DataError(f"{len(failed)} objects missing, as {min(failed)}")
    found = {rel: digest_file(path) for rel, path in places.items()}
    damaged = [files[rel] for rel, file in found.items() if file.md5 != files[rel]]
    if damaged:
        raise DataError(f"{len(damaged)} objects damaged, as {damaged[0]}")
    return found
