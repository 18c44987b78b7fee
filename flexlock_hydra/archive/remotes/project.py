"""The git remote and the data remote of a project, and the tags that they have."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.archive.remotes.choose import GIT_KEY, choose_git_remote, choose_remote
from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.tag.manifest import MANIFEST_ERRORS, check_manifest
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import DataError, RemoteError, RunNotFoundError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.remote import fetch_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout

_READING = "refs/flexlock/reading"


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


def init_remote(repo: GitRepo, url: str) -> list[Check]:
    """Try a data remote, and make it the one that this repository pushes to.

    Raises:
        RemoteError: it cannot be written to, listed, read or deleted from.
    """
    store = open_store(choose_remote(repo, url))
    # Random bytes: an old file of the name, or a cache on the way, cannot pass for them.
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
    repo.git("config", GIT_KEY, _name_to_keep(url, store))
    return checks


def _name_to_keep(url: str, store: Store) -> str:
    """What is written to git's configuration: a DVC name, or a URL without credentials."""
    return store.spec.public_url if "/" in url or "\\" in url else url


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


def parse_json(content: bytes | None) -> Any:
    """What a file of a data remote says; nothing, where it is not there or damaged."""
    try:
        return json.loads(content or b"{}")
    except ValueError:
        return {}
