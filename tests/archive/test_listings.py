"""A folder's listing is believed only when its bytes are those that its id says."""

from __future__ import annotations

from pathlib import Path

import pytest

from flexlock_hydra.archive.tag.listings import (
    DAMAGED_LISTING,
    MISSING,
    LostListingError,
    read_listing,
)
from flexlock_hydra.capture.data.digest import digest_bytes, of_files, tree_object
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.store import RemoteSpec

FILES = {"a.csv": digest_bytes(b"1"), "deep/b.csv": digest_bytes(b"2")}
OID = of_files(FILES).md5


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A data remote with the listing of a folder."""
    found = FolderStore(RemoteSpec(str(tmp_path / "store")))
    place = Path(found.path(OID))
    place.parent.mkdir(parents=True)
    place.write_bytes(tree_object(FILES))
    return found


def test_a_listing_is_read(store: FolderStore) -> None:
    """The relative paths of a folder's files lead to their ids."""
    assert read_listing(store, OID) == {name: file.md5 for name, file in FILES.items()}


def test_a_lost_listing_says_how(store: FolderStore) -> None:
    """One that is missing and one that is damaged are told apart, and neither is parsed."""
    Path(store.path(OID)).write_bytes(tree_object({"evil": digest_bytes(b"3")}))
    with pytest.raises(LostListingError, match="is damaged") as damaged:
        read_listing(store, OID)
    Path(store.path(OID)).unlink()
    with pytest.raises(LostListingError, match="no listing") as missing:
        read_listing(store, OID)
    assert (damaged.value.why, missing.value.why) == (DAMAGED_LISTING, MISSING)


def test_whole_bytes_that_are_no_listing(store: FolderStore) -> None:
    """An object with the right id and another form is no lost listing: somebody made it so."""
    content = b'{"not": "a listing"}'
    oid = f"{digest_bytes(content).md5}.dir"
    place = Path(store.path(oid))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    with pytest.raises(DataError, match="damaged listing of a folder") as error:
        read_listing(store, oid)
    assert not isinstance(error.value, LostListingError)
