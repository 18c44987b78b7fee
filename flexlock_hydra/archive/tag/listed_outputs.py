"""The output files of a run whose folder is not here, as the store of its tag lists them."""

from __future__ import annotations

import os

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.listings import read_listing
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.capture.data.digest import FileDigest
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.ports.store.open_store import open_store


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
