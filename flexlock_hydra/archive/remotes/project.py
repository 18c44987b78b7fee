"""The remotes of a project, the tags that they have, and whether all that these need is there."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from flexlock_hydra.archive.remotes.choose import (
    GIT_KEY, choose_git_remote, choose_remote, with_settings
)
from flexlock_hydra.archive.remotes.probe import try_out
from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.tag.listings import MISSING, TagContents, damaged, read_contents
from flexlock_hydra.archive.tag.manifest import MANIFEST_ERRORS, check_manifest, parse_json
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import DataError, RemoteError, RunNotFoundError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.remote import fetch_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import is_under

_READING = "refs/flexlock/reading"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Remotes:
    """The git remote and the data remote of a project."""

    repo: GitRepo
    url: str | None
    store: Store

    @classmethod
    def of(cls, repo: GitRepo, remote: str | None, git_remote: str | None) -> Remotes:
        """Those that a push without further options takes, or the ones that are named."""
        url = choose_git_remote(repo, git_remote)
        return cls(repo, url, open_store(choose_remote(repo, remote)))

    def tags(self) -> dict[str, str]:
        """The runs' tags on the git remote, or here where there is none: name -> object id."""
        if self.url is None:
            found = self.repo.tags(f"{layout.TAG_PREFIX}/**")
        else:
            refs = remote_refs(self.repo.root, self.url, f"refs/tags/{layout.TAG_PREFIX}/*")
            found = {name.removeprefix("refs/tags/"): oid for name, oid in refs.items()}
        return {name: oid for name, oid in found.items() if layout.parse_tag(name)}


def init_remote(repo: GitRepo, url: str) -> list[Check]:
    """Try a data remote, and make it the one that this repository pushes to.

    Raises:
        RemoteError: it cannot be written to, listed, read or deleted from.
    """
    store = open_store(choose_remote(repo, url))
    tried = try_out(store)
    checks = [
        Check("write", True),
        Check("list", tried.listed, "" if tried.listed else "what was written is not listed"),
        Check("read", tried.whole, "" if tried.whole else "other bytes came back"),
        Check("delete", tried.gone),
    ]
    if wrong := [f"{check.name}: {check.reason}" for check in checks if not check.ok]:
        raise RemoteError(f"{store.spec.public_url} is no good as a data remote: {wrong[0]}")
    # A name in DVC's configuration stays one; a URL is kept without its credentials.
    repo.git("config", GIT_KEY, store.spec.public_url if "/" in url or "\\" in url else url)
    return checks


@contextmanager
def read_tag(remotes: Remotes, tag: str) -> Iterator[Tagged]:
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
    # git collects what no ref holds; and a ref among the tags would be the user's.
    ref = f"{_READING}/{oid}"
    fetch_refs(remotes.repo.root, remotes.url, [f"refs/tags/{tag}:{ref}"])
    try:
        yield read_tagged(remotes.repo, tag, ref)
    finally:
        remotes.repo.git("update-ref", "-d", ref)


def files_of_tags(store: Store, name: str) -> dict[str, str]:
    """Tag -> path, of the files of a name that a data remote keeps for tags."""
    found = {
        posixpath.dirname(each.oid).removeprefix(f"{layout.RUNS}/"): each.oid
        for each in store.files(layout.RUNS)
        if posixpath.basename(each.oid) == name
    }
    return {tag: path for tag, path in found.items() if layout.parse_tag(tag)}


def manifests_of(store: Store) -> dict[str, Any]:
    """Tag -> manifest, of all that a data remote knows.

    Raises:
        DataError: one is damaged.
    """
    names = files_of_tags(store, layout.MANIFEST)
    contents = store.read_files([*names.values()])
    found = {}
    for tag, name in names.items():
        if (content := contents.get(name)) is not None:
            try:
                found[tag] = check_manifest(json.loads(content), tag)
            except MANIFEST_ERRORS as error:
                raise DataError(
                    f"{name} on {store.spec.public_url} is damaged: {error!r:.100}",
                    hint="Push the run again, with --repair; or remove that file.",
                ) from error
    return found


@dataclass(frozen=True)
class ListedTag:
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


def ls(remotes: Remotes) -> list[ListedTag]:
    """Every tag that the git remote or the data remote has, the newest run first."""
    tags = remotes.tags()
    manifests = manifests_of(remotes.store)
    who = files_of_tags(remotes.store, layout.PUSHED)
    names = sorted({*tags, *manifests}, key=lambda tag: tag.rpartition("/")[2], reverse=True)
    return [
        _listed_tag(remotes.store, tag, tag in tags, manifests.get(tag), who.get(tag))
        for tag in names
    ]


def _listed_tag(
    store: Store, tag: str, code: bool, manifest: Mapping[str, Any] | None, who: str | None
) -> ListedTag:
    job, run_id = layout.parse_tag(tag) or ("", "")
    said = parse_json(store.read_file(who)) if who else {}
    plain = manifest or {}
    date = datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
    return ListedTag(
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


def verify_tag(
    remotes: Remotes, tag: str, *, share: float = 0.0, progress: Progress = lambda done, total: None
) -> list[Check]:
    """Ask the remotes for all that a tag needs; a check for each thing that is missing or wrong.

    Args:
        share: how much of the data is read back and hashed, from 0 to 1.

    Raises:
        RunNotFoundError: no such tag. RemoteError, GitError: out of reach.
    """
    with read_tag(remotes, tag) as tagged:
        store = open_store(with_settings(tagged.remote, remotes.repo))
        store.require()
        checks = [Check("tag", True), _manifest_check(remotes, tagged)]
        contents = read_contents(tagged, store)
        checks += [Check(path, False, why) for path, why in sorted(contents.lost.items())]
        present = store.sizes(sorted(contents.oids))
        wrong = dict.fromkeys(contents.oids - set(present), MISSING)
        # Sizes are known without reading: where they do not add up, bytes are looked at anyway.
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


def _suspicious(tagged: Tagged, contents: TagContents, present: Mapping[str, int]) -> set[str]:
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
    same = parse_json(content) == tagged.manifest
    return Check("manifest", same, "" if same else f"the one on {where} is not that of the tag")
