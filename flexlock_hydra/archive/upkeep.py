"""Look after what was pushed: list it, verify it, remove it, collect what nobody needs."""

from __future__ import annotations

import json
import os
import posixpath
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import Any

from flexlock_hydra.archive import guard, metafiles
from flexlock_hydra.archive.audit import MISSING, Contents, damaged, read_contents
from flexlock_hydra.archive.plan import is_under
from flexlock_hydra.archive.remote import (
    GIT_KEY,
    choose_git_remote,
    choose_remote,
    with_settings,
)
from flexlock_hydra.archive.tagged import MANIFEST_ERRORS, Tagged, check_manifest, read_tagged
from flexlock_hydra.capture.digest import digest_bytes, parse_tree_object
from flexlock_hydra.errors import DataError, RemoteError, RunNotFoundError
from flexlock_hydra.ports.gitcmd import redact_url
from flexlock_hydra.ports.gitremote import fetch_refs, push_refs, remote_refs
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.ports.store import Store, open_store
from flexlock_hydra.record import layout

Progress = Callable[[int, int], None]

MIN_AGE = 24 * 3600.0
"""Seconds: younger objects are never collected, they may be a push's that goes on."""
_READING = "refs/flexlock/reading"


@dataclass(frozen=True)
class Listed:
    """A tag on the remotes."""

    tag: str
    job: str
    id: str
    date: str
    objects: int | None
    bytes: int | None
    by: str | None
    data: bool
    """Whether the data remote knows it; else it was pushed to another one."""
    code: bool
    """Whether the git remote has it; else it may be another repository's, or half deleted."""


@dataclass(frozen=True)
class Check:
    """One thing that was verified."""

    name: str
    ok: bool
    reason: str = ""


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


@dataclass(frozen=True)
class Remotes:
    """The git remote and the data remote of a project."""

    repo: GitRepo
    url: str | None
    store: Store

    @classmethod
    def of(cls, repo: GitRepo, remote: str | None, git_remote: str | None) -> Remotes:
        """Those that a push without further options takes, or the ones that are named."""
        return cls(
            repo, choose_git_remote(repo, git_remote), open_store(choose_remote(repo, remote))
        )

    def tags(self) -> dict[str, str]:
        """The runs' tags on the git remote, or here where there is none: name -> object id."""
        if self.url is None:
            found = self.repo.tags(f"{layout.TAG_PREFIX}/**")
        else:
            refs = remote_refs(self.repo.root, self.url, f"refs/tags/{layout.TAG_PREFIX}/*")
            found = {name.removeprefix("refs/tags/"): oid for name, oid in refs.items()}
        return {name: oid for name, oid in found.items() if layout.parse_tag(name)}


# ls --remote


def ls(remotes: Remotes) -> list[Listed]:
    """Every tag that the git remote or the data remote has, the newest run first."""
    tags = remotes.tags()
    known = _manifests(remotes.store)
    who = {
        posixpath.dirname(each.oid).removeprefix(f"{layout.RUNS}/"): each.oid
        for each in remotes.store.files(layout.RUNS)
        if posixpath.basename(each.oid) == layout.PUSHED
    }
    names = sorted({*tags, *known}, key=lambda tag: tag.rpartition("/")[2], reverse=True)
    return [_listed(remotes.store, tag, tag in tags, known.get(tag), who.get(tag)) for tag in names]


def _listed(
    store: Store, tag: str, code: bool, manifest: Mapping[str, Any] | None, who: str | None
) -> Listed:
    job, run_id = layout.parse_tag(tag) or ("", "")
    said = _json(store.read_file(who)) if who else {}
    plain = manifest or {}
    date = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    return Listed(
        tag=tag,
        job=str(plain.get("job", job)),
        id=run_id,
        date=date.isoformat(),
        objects=plain.get("objects"),
        bytes=plain.get("bytes"),
        by=said.get("by"),
        data=manifest is not None,
        code=code,
    )


# verify TAG --remote


def verify(
    remotes: Remotes,
    tag: str,
    *,
    share: float = 0.0,
    progress: Progress = lambda done, total: None,
) -> list[Check]:
    """Ask the remotes for all that a tag needs.

    Args:
        share: how much of the data is read back and hashed, from 0 to 1.

    Raises:
        RunNotFoundError: no such tag. RemoteError, GitError: out of reach.
    """
    with _read(remotes, tag) as tagged:
        store = open_store(with_settings(tagged.remote, remotes.repo))
        store.require()
        checks = [Check("tag", True), _manifest_check(remotes, tagged)]
        contents = read_contents(tagged, store)
        checks += [Check(path, False, why) for path, why in sorted(contents.lost.items())]
        present = store.sizes(sorted(contents.oids))
        wrong = dict.fromkeys(contents.oids - set(present), MISSING)
        wrong |= damaged(store, _suspicious(tagged, contents, present))
        if share:
            wrong |= damaged(store, set(present) - set(wrong), share, progress)
        names = contents.paths(wrong)
        checks += [
            Check(path, False, why)
            for oid, why in wrong.items()
            for path in names[oid]
            if path not in contents.lost
        ]
        fine = all(check.ok for check in checks)
        name = f"{len(contents.oids)} objects on {store.spec.public_url}"
        return [*checks, Check(name, fine, "" if fine else "not all are there as they were pushed")]


def _suspicious(tagged: Tagged, contents: Contents, present: Mapping[str, int]) -> set[str]:
    """The objects of outs that together have not the bytes that the tag says."""
    found: set[str] = set()
    for out in tagged.outs:
        below = [oid for path, oid in contents.files.items() if is_under(path, out.path)]
        if sum(present.get(oid, 0) for oid in below) != out.size:
            found |= set(below)
    return found & set(present)


def _manifest_check(remotes: Remotes, tagged: Tagged) -> Check:
    content = remotes.store.read_file(layout.manifest_path(tagged.name))
    where = remotes.store.spec.public_url
    if content is None:
        return Check("manifest", False, f"there is none on {where}")
    same = _json(content) == tagged.manifest
    return Check("manifest", same, "" if same else f"the one on {where} is not that of the tag")


# rm, gc


def rm(remotes: Remotes, tag: str, *, yes: bool = False) -> Removal:
    """Delete a tag, and the objects that no other tag of the data remote needs.

    Args:
        yes: really; without it, only say what would go.

    Raises:
        RunNotFoundError: neither remote knows it. RemoteError: somebody pushes now.
    """
    remotes.store.require()
    with _turn(remotes.store, yes):
        manifests = _manifests(remotes.store)
        if tag not in manifests and tag not in remotes.tags():
            raise RunNotFoundError(
                f"no tag {tag} on the remotes",
                hint="See which there are: flexlock-hydra ls --remote",
            )
        return _remove(remotes, manifests, {tag} & {*manifests, *remotes.tags()}, yes=yes)


def gc(
    remotes: Remotes,
    *,
    keep: Iterable[str] = (),
    min_age: float = MIN_AGE,
    yes: bool = False,
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
    with _turn(remotes.store, yes) as now:
        manifests = _manifests(remotes.store)
        tags = remotes.tags()
        gone = {tag for tag in tags if patterns and not _matches(tag, patterns)}
        removal = _remove(remotes, manifests, gone, yes=yes)
        rest = {tag: each for tag, each in manifests.items() if tag not in gone}
        needed, unread = _needed(remotes.store, rest)
        if unread:
            raise DataError(
                f"it cannot be told what {unread[0]} needs: a listing of it is missing or damaged",
                hint=f"Nothing was collected. Repair it: flexlock-hydra push RUN --repair; "
                f"or give it up: flexlock-hydra rm {unread[0]} --yes",
            )
        old = [
            each
            for each in remotes.store.stored()
            if each.oid not in needed and now - (each.modified or now) >= min_age
        ]
        mine = _objects_of(remotes.store, manifests, gone)
        rubbish = {each.oid: each.size for each in old if each.oid not in mine}
        if yes:
            _delete(remotes.store, rubbish)
        return replace(
            removal,
            objects=removal.objects + len(rubbish),
            bytes=removal.bytes + sum(rubbish.values()),
        )


def _remove(
    remotes: Remotes, manifests: Mapping[str, Any], gone: set[str], *, yes: bool
) -> Removal:
    """Delete tags, the git tag first, and what only they need."""
    store = remotes.store
    rest = {tag: each for tag, each in manifests.items() if tag not in gone}
    own = _objects_of(store, manifests, gone)
    needed, unread = _needed(store, rest) if own else (set(), [])
    kept = tuple(
        f"objects of {tag} may be in what goes: its listing cannot be read, so none of them goes"
        for tag in unread
    )
    sizes = {} if unread else store.sizes(sorted(own - needed))
    count, size = len(sizes), sum(sizes.values())
    for tag in sorted(gone):
        apart = _store_of_tag(store, manifests.get(tag), tag)
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
    if remotes.url is not None:
        there = remote_refs(remotes.repo.root, remotes.url, *refs)
        if there:
            push_refs(remotes.repo.root, remotes.url, dict.fromkeys(there, ""))
    for ref in refs:
        if remotes.repo.rev_parse(ref):
            remotes.repo.git("update-ref", "-d", ref)
    for each in remotes.store.files(f"{layout.RUNS}/{tag}"):
        remotes.store.remove_file(each.oid)


def _delete(store: Store, objects: Mapping[str, int]) -> None:
    """Listings first: a folder without its files would be a lie, files without it are not."""
    store.remove(sorted(objects, key=lambda oid: (not oid.endswith(".dir"), oid)))


def _objects_of(store: Store, manifests: Mapping[str, Any], tags: set[str]) -> set[str]:
    """The objects of tags whose data is in the shared store, as far as listings are there."""
    return _needed(store, {tag: manifests[tag] for tag in tags if tag in manifests})[0]


def _needed(store: Store, manifests: Mapping[str, Any]) -> tuple[set[str], list[str]]:
    """All objects that manifests name in the shared store; tags with listings that are lost."""
    needed: set[str] = set()
    unread: dict[str, None] = {}
    read: dict[str, set[str] | None] = {}
    for tag, manifest in manifests.items():
        if manifest["layout"] != metafiles.SHARED:
            continue
        for oid in {item["md5"] for key in ("outs", "data") for item in manifest[key]}:
            needed.add(oid)
            if oid.endswith(".dir") and oid not in read:
                read[oid] = _listing(store, oid)
            if oid.endswith(".dir") and read[oid] is None and oid in _outs(manifest):
                unread[tag] = None
            needed |= read.get(oid) or set()
    return needed, list(unread)


def _outs(manifest: Mapping[str, Any]) -> set[str]:
    return {item["md5"] for item in manifest["outs"]}


def _listing(store: Store, oid: str) -> set[str] | None:
    """The files of a folder, or None where its listing is missing or damaged."""
    content = store.read(oid)
    if content is None or digest_bytes(content).md5 != oid.removesuffix(".dir"):
        return None
    return set(parse_tree_object(content).values())


def _store_of_tag(store: Store, manifest: Mapping[str, Any] | None, tag: str) -> Store | None:
    if manifest is None or manifest["layout"] == metafiles.SHARED:
        return None
    return open_store(store.spec.below(tag))


def _matches(tag: str, patterns: Iterable[str]) -> bool:
    """Whether a tag is meant by a pattern: of its name, of its job, or of its id."""
    job, run_id = layout.parse_tag(tag) or ("", "")
    return any(fnmatchcase(name, each) for each in patterns for name in (tag, job, run_id))


@contextmanager
def _turn(store: Store, yes: bool) -> Iterator[float]:
    """The remote's time, and nobody pushing, where something is deleted."""
    if not yes:
        yield time.time()
        return
    with guard.deleting(store) as turn:
        yield turn.now


# remote init


def init(repo: GitRepo, url: str) -> list[Check]:
    """Try a data remote, and make it the one that this repository pushes to.

    Raises:
        RemoteError: it cannot be written to, listed, read or deleted from.
    """
    store = open_store(choose_remote(repo, url))
    name, content = f"{layout.RUNS}/check-{os.urandom(8).hex()}.json", os.urandom(64)
    store.write_file(name, content)
    try:
        listed = any(each.oid == name for each in store.files(layout.RUNS))
        back = store.read_file(name)
    finally:
        store.remove_file(name)
    checks = [
        Check("write", True),
        Check("list", listed, "" if listed else "what was written is not listed"),
        Check("read", back == content, "" if back == content else "other bytes came back"),
        Check("delete", store.read_file(name) is None),
    ]
    if wrong := [f"{check.name}: {check.reason}" for check in checks if not check.ok]:
        raise RemoteError(f"{store.spec.public_url} is no good as a data remote: {wrong[0]}")
    repo.git("config", GIT_KEY, _kept_name(url, store))
    return checks


def _kept_name(url: str, store: Store) -> str:
    """What git's configuration keeps: a DVC name as it is, a folder absolute, no credentials."""
    return store.spec.public_url if "/" in url or "\\" in url else url


# What all of them need


@contextmanager
def _read(remotes: Remotes, tag: str) -> Iterator[Tagged]:
    """A tag as the git remote has it, without a ref of the user's.

    Raises:
        RunNotFoundError: it has none of the name.
    """
    oid = remotes.tags().get(tag)
    if oid is None:
        where = "here" if remotes.url is None else f"on {redact_url(remotes.url)}"
        raise RunNotFoundError(
            f"no tag {tag} {where}", hint="See which there are: flexlock-hydra ls --remote"
        )
    if remotes.url is None or remotes.repo.tags(tag).get(tag) == oid:
        yield read_tagged(remotes.repo, tag)
        return
    ref = f"{_READING}/{oid}"
    fetch_refs(remotes.repo.root, remotes.url, [f"refs/tags/{tag}:{ref}"])
    try:
        yield read_tagged(remotes.repo, tag, ref)
    finally:
        remotes.repo.git("update-ref", "-d", ref)


def _manifests(store: Store) -> dict[str, Any]:
    """Tag -> manifest, of all that a data remote knows.

    Raises:
        DataError: one is damaged.
    """
    names = {
        posixpath.dirname(each.oid).removeprefix(f"{layout.RUNS}/"): each.oid
        for each in store.files(layout.RUNS)
        if posixpath.basename(each.oid) == layout.MANIFEST
    }
    known = {tag: name for tag, name in names.items() if layout.parse_tag(tag)}
    contents = store.read_files([*known.values()])
    found = {}
    for tag, name in known.items():
        if (content := contents.get(name)) is not None:
            try:
                found[tag] = check_manifest(json.loads(content), tag)
            except MANIFEST_ERRORS as error:
                raise DataError(
                    f"{name} on {store.spec.public_url} is damaged: {error!r:.100}",
                    hint="Push the run again, with --repair; or remove that file.",
                ) from error
    return found


def _json(content: bytes | None) -> Any:
    try:
        return json.loads(content or b"{}")
    except ValueError:
        return {}
