"""What of a tag's data is on its remote, and whether it is what it should be."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.metafiles import TaggedOut
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.capture.data.digest import FileDigest, digest_bytes, parse_tree_object
from flexlock_hydra.errors import DataError, FlexlockError
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record.relative_path import join_path, with_parents

MISSING = "missing on the remote"
DAMAGED_LISTING = "its listing is damaged on the remote"
# Bytes: a path of four thousand letters in a listing, each written as two escapes.
_LONGEST_ENTRY = 64 + 12 * 4000


class LostListingError(DataError):
    """A store has no listing of a folder, or a damaged one; ``why`` says which, of a path."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def read_listing(store: Store, oid: str) -> dict[str, str]:
    """Relative path -> object id, of the files of a folder whose listing a store holds.

    Raises:
        LostListingError: it is not there, or has other bytes than its id says.
        DataError: it has the bytes, but no listing's form. RemoteError: out of reach.
    """
    return parse_tree_object(_read_listing_bytes(store, oid))


def _read_listing_bytes(store: Store, oid: str) -> bytes:
    content = store.read(oid)
    if content is None:
        raise LostListingError(f"no listing of {oid}", MISSING)
    if digest_bytes(content).md5 != oid.removesuffix(".dir"):
        raise LostListingError(f"{oid} is damaged", DAMAGED_LISTING)
    return content


@dataclass(frozen=True)
class TagContents:
    """The files that a tag's outs name, as far as their listings could be read."""

    files: Mapping[str, str]
    """Path in the checkout -> the id of the object with its bytes."""
    roots: Mapping[str, str]
    """The outs: path -> object id, a folder's listing."""
    lost: Mapping[str, str]
    """Outs whose listing is not there or damaged: path -> why."""
    recorded: Mapping[str, str] = field(default_factory=dict)
    """Folders inside the outs, as they were recorded: path -> the object of their listing."""

    @property
    def oids(self) -> set[str]:
        """All objects, listings included."""
        return {*self.files.values(), *self.roots.values(), *self.recorded.values()}

    def paths(self, oids: Collection[str]) -> dict[str, list[str]]:
        """Object id -> the paths that need it."""
        found: dict[str, list[str]] = {}
        for path, oid in chain(self.files.items(), self.roots.items(), self.recorded.items()):
            if oid in oids and path not in found.get(oid, ()):
                found.setdefault(oid, []).append(path)
        return found


def read_contents(tagged: Tagged, store: Store) -> TagContents:
    """Read the listings of a tag's folders from its remote.

    Raises:
        RemoteError: it cannot be reached. DataError: a listing has other files than the tag
            says.
    """
    files: dict[str, str] = {}
    lost: dict[str, str] = {}
    for out in tagged.outs:
        if not out.is_folder:
            files[out.path] = out.md5
            continue
        try:
            listing = _parse_listing(_read_listing_bytes(store, out.md5), out)
        except LostListingError as error:
            lost[out.path] = error.why
            continue
        files |= {join_path(out.path, rel): md5 for rel, md5 in listing.items()}
    roots = {out.path: out.md5 for out in tagged.outs}
    recorded = {
        piece.path: piece.md5
        for piece in tagged.pieces
        if piece.md5.endswith(".dir") and any(up in roots for up in with_parents(piece.path))
    }
    return TagContents(files, roots, lost, recorded)


def _parse_listing(content: bytes, out: TaggedOut) -> dict[str, str]:
    """The files of a folder: relative path -> object id.

    Whoever pushed the tag may want to exhaust the memory of who pulls it: more bytes than its
    number of files can take are not parsed.
    """
    found = f"{len(content):,} bytes of names"
    if len(content) <= (out.nfiles + 1) * _LONGEST_ENTRY:
        try:
            listing = parse_tree_object(content)
        except RecursionError as error:
            raise DataError(f"damaged listing of {out.path!r:.200}: {error}") from error
        if len(listing) == out.nfiles and "" not in listing:
            return listing
        found = f"{len(listing):,} files"
    raise DataError(f"{out.path!r:.200} has {found} on the remote and {out.nfiles:,} by its tag")


def damaged(
    store: Store,
    oids: Collection[str],
    share: float = 1.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """Read a share of the objects back, at least one: those that are damaged, and how."""
    chosen = sorted(oids)
    if share < 1 and chosen:
        chosen = random.sample(chosen, max(1, round(len(chosen) * share)))
    found = {}
    for done, (oid, md5) in enumerate(store.md5s(chosen), start=1):
        if md5 != oid.removesuffix(".dir"):
            found[oid] = f"damaged on the remote: {md5}"
        progress(done, len(chosen))
    return found


def listed_outputs(run: RecordedRun) -> dict[str, FileDigest] | None:
    """The output files of a pushed run by their relative paths.

    Only a store that is a folder of this machine is asked: for any other, a comparison
    would need the network and somebody's credentials. None: there is no listing here.
    """
    recorded = run.lock.outputs
    if recorded is None or run.repo is None or not recorded.md5.endswith(".dir"):
        return None
    tag = run.tag or run.lock.tag
    if tag not in run.repo.tags(tag):
        return None
    try:
        spec = read_tagged(run.repo, tag).remote
        if not spec.is_local or not os.path.isdir(spec.url):
            return None
        store = open_store(spec)
        listing = read_listing(store, recorded.md5)
        sizes = store.sizes(sorted(set(listing.values())))
    except FlexlockError:  # a damaged tag or store lists nothing: the comparison goes on without
        return None
    return {name: FileDigest(md5, sizes.get(md5, 0)) for name, md5 in listing.items()}
