"""Recorded data by its hash: from the project's DVC cache, or from a data remote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flexlock_hydra.archive.remotes.choose import choose_remote, with_settings
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.listings import read_listing
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest_file, of_files
from flexlock_hydra.errors import DataError, FlexlockError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.dvc_config import ProjectRemotes
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record.validate import check_path


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
        tagged = _remote_of_tag(repo, self.run.lock.tag)
        if tagged is not None:
            yield "the tag's data remote", tagged
        chosen = choose_remote(repo, None)
        if tagged is None or chosen.url != tagged.url:
            yield "the data remote", chosen


def _remote_of_tag(repo: GitRepo, tag: str) -> RemoteSpec | None:
    """Where the data of a run is that was pushed from here."""
    return with_settings(read_tagged(repo, tag).remote, repo) if repo.tags(tag) else None


def _fetch_data(store: Store, md5: str, place: Path) -> Digest:
    """An object of a store, or all of a folder's.

    Raises:
        DataError: something is missing or damaged. RemoteError: out of reach.
    """
    if not md5.endswith(".dir"):
        file = _fetch_files(store, {"": md5}, place)[""]
        return Digest(md5, {"": file})
    listing = read_listing(store, md5)
    for path in listing:
        check_path(path)  # a listing comes from anybody who can write to the remote
        if PurePosixPath(path).is_absolute():
            raise DataError(f"path {path!r:.100} leads out of its folder")
    return of_files(_fetch_files(store, listing, place))


def _fetch_files(store: Store, files: dict[str, str], place: Path) -> dict[str, FileDigest]:
    for rel in files:
        (place / rel).parent.mkdir(parents=True, exist_ok=True)
    wanted = [(oid, place / rel if rel else place) for rel, oid in files.items()]
    failed = store.fetch(wanted)
    if failed:
        raise DataError(f"{len(failed)} objects missing, as {min(failed)}")
    found = {rel: digest_file(place / rel if rel else place) for rel in files}
    damaged = [files[rel] for rel, file in found.items() if file.md5 != files[rel]]
    if damaged:
        raise DataError(f"{len(damaged)} objects damaged, as {damaged[0]}")
    return found
