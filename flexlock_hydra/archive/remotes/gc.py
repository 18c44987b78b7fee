"""Delete tags, and objects that no tag needs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from flexlock_hydra.archive.remotes.announce import deleting
from flexlock_hydra.archive.remotes.project import Remotes, manifests_of
from flexlock_hydra.archive.tag.listings import LostListingError, read_listing
from flexlock_hydra.archive.tag.manifest import SHARED
from flexlock_hydra.errors import DataError, RunNotFoundError
from flexlock_hydra.ports.git.remote import push_refs, remote_refs
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout

MIN_AGE = 24 * 3600.0
"""Seconds: younger objects are never collected, they may be a push's that goes on."""


@dataclass(frozen=True)
class Removal:
    """What goes, or would go: tags, and objects with their bytes."""

    remote: str
    tags: tuple[str, ...] = ()
    objects: int = 0
    bytes: int = 0
    done: bool = False
    kept: tuple[str, ...] = ()
    """Why something that could have gone stays, in words."""


def rm(remotes: Remotes, tag: str, *, yes: bool = False) -> Removal:
    """Delete a tag, and the objects that no other tag of the data remote needs.

    Args:
        yes: really; without it, only say what would go.

    Raises:
        RunNotFoundError: neither remote knows it. RemoteError: somebody pushes now.
    """
    remotes.store.require()
    with deleting(remotes.store) if yes else nullcontext():
        manifests = manifests_of(remotes.store)
        if tag not in manifests and tag not in remotes.tags():
            raise RunNotFoundError(
                f"no tag {tag} on the remotes",
                hint="See which there are: flexlock-hydra ls --remote",
            )
        return _remove(remotes, manifests, {tag}, yes=yes)


def gc(
    remotes: Remotes, *, keep: Iterable[str] = (), min_age: float = MIN_AGE, yes: bool = False
) -> Removal:
    """Delete objects that no tag needs, and the tags that are not to be kept.

    Args:
        keep: patterns of the tags of this git remote that stay; all of them without any.
        min_age: seconds; younger objects stay.
        yes: really; without it, only say what would go.

    Raises:
        RemoteError: somebody pushes now. DataError: it cannot be told what a tag needs.
    """
    patterns = tuple(keep)
    remotes.store.require()
    with deleting(remotes.store) if yes else nullcontext() as turn:
        now = turn.now if turn else time.time()
        manifests, tags = manifests_of(remotes.store), remotes.tags()
        gone = {tag for tag in tags if patterns and not _matches(tag, patterns)}
        removal = _remove(remotes, manifests, gone, yes=yes)
        rest = {tag: each for tag, each in manifests.items() if tag not in gone}
        needed, unread = _needed_objects(remotes.store, rest)
        if unread:
            raise DataError(
                f"it cannot be told what {unread[0]} needs: a listing of it is missing or damaged",
                hint=f"Nothing was collected. Repair it: flexlock-hydra push RUN --repair; "
                f"or give it up: flexlock-hydra rm {unread[0]} --yes",
            )
        # One whose age the remote does not say counts as new.
        # Not what _remove counted already: in a dry run it is there still.
        needed |= _objects_of(remotes.store, manifests, gone)
        rubbish = {
            each.oid: each.size
            for each in remotes.store.stored()
            if each.oid not in needed and now - (each.modified or now) >= min_age
        }
        if yes:
            _delete(remotes.store, rubbish)
        count, size = removal.objects + len(rubbish), removal.bytes + sum(rubbish.values())
        return replace(removal, objects=count, bytes=size)


def _remove(
    remotes: Remotes, manifests: Mapping[str, Any], gone: set[str], *, yes: bool
) -> Removal:
    """Delete tags, the git tag first, and what only they need."""
    store = remotes.store
    rest = {tag: each for tag, each in manifests.items() if tag not in gone}
    own = _objects_of(store, manifests, gone)
    needed, unread = _needed_objects(store, rest) if own else (set(), [])
    kept = tuple(
        f"objects of {tag} may be in what goes: its listing cannot be read, so none of them goes"
        for tag in unread
    )
    sizes = {} if unread else store.sizes(sorted(own - needed))
    count, size = len(sizes), sum(sizes.values())
    for tag in sorted(gone):
        is_apart = tag in manifests and manifests[tag]["layout"] != SHARED
        apart = open_store(store.spec.below(tag)) if is_apart else None
        inside = [*apart.stored()] if apart else []
        count, size = count + len(inside), size + sum(each.size for each in inside)
        if yes:
            _drop_tag(remotes, tag)
            if apart:
                _delete(apart, {each.oid: each.size for each in inside})
    if yes:
        _delete(store, sizes)
    return Removal(store.spec.public_url, tuple(sorted(gone)), count, size, yes, kept)


def _drop_tag(remotes: Remotes, tag: str) -> None:
    """The tag on the git remote, the tag here, what the data remote says of it: in this order."""
    refs = (f"refs/tags/{tag}", f"refs/heads/{tag}")
    # A tag that can be seen has all its data: it goes before that, and first where others look.
    repo, url = remotes.repo, remotes.url
    if url is not None and (there := remote_refs(repo.root, url, *refs)):
        push_refs(repo.root, url, dict.fromkeys(there, ""))
    for ref in filter(repo.rev_parse, refs):
        repo.git("update-ref", "-d", ref)
    for each in remotes.store.files(f"{layout.RUNS}/{tag}"):
        remotes.store.remove_file(each.oid)


def _delete(store: Store, objects: Mapping[str, int]) -> None:
    """Delete objects, listings first: one that is left names files that are gone."""
    store.remove(sorted(objects, key=lambda oid: (not oid.endswith(".dir"), oid)))


def _objects_of(store: Store, manifests: Mapping[str, Any], tags: set[str]) -> set[str]:
    """The objects of tags whose data is in the shared store, as far as listings are there."""
    return _needed_objects(store, {tag: manifests[tag] for tag in tags if tag in manifests})[0]


def _needed_objects(store: Store, manifests: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """All objects that manifests name in the shared store; tags with listings that are lost."""
    needed: set[str] = set()
    unread: dict[str, None] = {}

    @cache  # tags share folders
    def listed_oids(oid: str) -> set[str] | None:
        """The object ids of a folder's files; None where its listing is missing or damaged."""
        with suppress(LostListingError):
            return set(read_listing(store, oid).values())
        return None

    for tag, manifest in manifests.items():
        if manifest["layout"] == SHARED:
            outs, data = ({item["md5"] for item in manifest[key]} for key in ("outs", "data"))
            for oid in outs | data:
                listed = listed_oids(oid) if oid.endswith(".dir") else set()
                if listed is None and oid in outs:
                    unread[tag] = None
                needed |= {oid, *(listed or ())}
    return needed, list(unread)


def _matches(tag: str, patterns: Iterable[str]) -> bool:
    """Whether a tag is meant by a pattern: of its name, of its job, or of its id."""
    job, run_id = layout.parse_tag(tag) or ("", "")
    return any(fnmatchcase(name, each) for each in patterns for name in (tag, job, run_id))
