"""A tag that was fetched, read without a checkout: what it holds, and whether it is safe.

Whoever pushed it may want to harm: nothing of it is believed before it was compared, and
what git or DVC would do with it is not tried out.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flexlock_hydra.archive.tag.manifest import (
    MANIFEST_ERRORS, TaggedPiece, check_manifest, names_outs, parse_piece
)
from flexlock_hydra.archive.tag.metafiles import TaggedOut, parse_dvc_config, parse_metafile
from flexlock_hydra.archive.tag.safe_paths import (
    DISTRUST, FILE_MODES, check_files, check_place, check_tag_file
)
from flexlock_hydra.errors import DataError, RunNotFoundError
from flexlock_hydra.ports.git.make_objects import read_tag_object
from flexlock_hydra.ports.git.objects import lists_more_than, look_up
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RunLock

# Bytes above which nothing that we write into a tag is read; YAML takes a hundred times that.
_LARGEST_FILE, _LARGEST_MESSAGE = 16 << 20, 64 << 20
_LARGEST_TREE = 128 << 20  # bytes of its listing: that of a million files
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class Tagged:
    """A tag in a repository, read and compared; nothing is checked out."""

    repo: GitRepo
    name: str
    commit: str
    manifest: Mapping[str, Any]
    tree: Mapping[str, TreeEntry]
    outs: tuple[TaggedOut, ...]
    pieces: tuple[TaggedPiece, ...]
    remote: RemoteSpec
    """The data remote as the tag names it, without credentials."""

    @cached_property
    def locks(self) -> dict[str, RunLock]:
        """Path -> lock, of the runs whose locks the tag's tree holds."""
        paths = [
            path
            for path, entry in self.tree.items()
            if layout.is_lock(posixpath.basename(path)) and entry.mode in FILE_MODES
        ]
        return {
            path: lockfile.parse_lock(content, f"{self.name}:{path}")
            for path, content in _read_own_files(self.repo, self.tree, paths)
        }

    @cached_property
    def runs(self) -> dict[str, RunLock]:
        """Run id -> lock, of the runs that the tag was made for and those before them."""
        wanted = {*self.own, *self.manifest["predecessors"]}
        return {lock.run.id: lock for lock in self.locks.values() if lock.run.id in wanted}

    @property
    def own(self) -> tuple[str, ...]:
        """The ids of the runs that the tag was made for."""
        return tuple(self.manifest.get("jobs") or [self.manifest["run"]])


def read_tagged(repo: GitRepo, tag: str, ref: str | None = None) -> Tagged:
    """Read a tag that is in a repository.

    Args:
        ref: where it lies; ``refs/tags/<tag>`` without it.

    Raises:
        RunNotFoundError: it is no tag of a push. DataError: it contradicts itself.
        TargetError: it would write where nothing of it belongs. LockError.
    """
    oid = repo.rev_parse(ref or f"refs/tags/{tag}")
    if oid is None:
        raise RunNotFoundError(f"no tag {tag} in {repo.root}")
    commit, manifest = _parse_tag(repo, oid, tag)
    # A tree of trees of trees is small in git and exhausts the memory once it is listed.
    if lists_more_than(repo.root, commit, _LARGEST_TREE):
        raise DataError(f"tag {tag} has more files than can be", hint=DISTRUST)
    tree = repo.ls_tree(commit)
    for path, entry in tree.items():
        check_place(path, own=False)
        check_tag_file(path, entry)
    outs = tuple(_read_metafiles(repo, tree))
    if not names_outs(manifest["outs"], outs):
        raise DataError(f"tag {tag}: its manifest and its metafiles say different things",
                        hint=DISTRUST)
    check_files([out.path for out in outs], tree)
    pieces = tuple(map(parse_piece, manifest["data"]))
    for piece in pieces:
        check_files([piece.path], tree)
    ((_, config),) = _read_own_files(repo, tree, [".dvc/config"])
    remote = parse_dvc_config(config)
    tagged = Tagged(repo, tag, commit, manifest, tree, outs, pieces, remote)
    missing = [run_id for run_id in tagged.own if run_id not in tagged.runs]
    if missing:
        raise RunNotFoundError(f"tag {tag} holds no lock of run {missing[0]}", hint=DISTRUST)
    return tagged


def _parse_tag(repo: GitRepo, oid: str, tag: str) -> tuple[str, dict[str, Any]]:
    """The commit and the manifest of an annotated tag object."""
    ((_, kind, size),) = look_up(repo.root, [oid])
    if kind != "tag" or size > _LARGEST_MESSAGE:
        raise RunNotFoundError(f"{tag} is a tag, but none that a push made",
                               hint="It has no message with a manifest.")
    head, _, message = read_tag_object(repo, oid).decode("utf-8", "replace").partition("\n\n")
    fields = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    text = message.partition("\n\n")[2]
    try:
        manifest = json.JSONDecoder().raw_decode(text)[0]
        check_manifest(manifest, tag)
    except MANIFEST_ERRORS as error:
        raise RunNotFoundError(
            f"tag {tag} has no manifest of a push: {error!r:.100}", hint=DISTRUST
        ) from error
    commit = fields.get("object", "")
    if fields.get("type") != "commit" or not _OID.fullmatch(commit):
        raise RunNotFoundError(f"tag {tag} is of no commit", hint=DISTRUST)
    if fields.get("tag") != tag:
        raise RunNotFoundError(f"{tag} is another tag's object: {fields.get('tag')!r:.100}",
                               hint=DISTRUST)
    return commit, manifest


def _read_metafiles(repo: GitRepo, tree: Mapping[str, TreeEntry]) -> Iterator[TaggedOut]:
    paths = sorted(path for path in tree if path.startswith(f"{layout.METAFILES}/"))
    for path in paths:
        if not (path.endswith(".dvc") and tree[path].mode == "100644"):
            raise DataError(f"{path!r:.200} is no metafile of a run", hint=DISTRUST)
    for path, content in _read_own_files(repo, tree, paths):
        yield parse_metafile(content, path)


def _read_own_files(
    repo: GitRepo, tree: Mapping[str, TreeEntry], paths: Sequence[str]
) -> list[tuple[str, bytes]]:
    """Files of ours in a tag's tree, none larger than is reasonable: path and bytes."""
    oids = [tree[path].oid for path in paths if path in tree and tree[path].mode in FILE_MODES]
    small = [size <= _LARGEST_FILE for _, _, size in look_up(repo.root, oids)]
    if len(oids) < len(paths) or not all(small):
        small += [False] * len(paths)
        bad = next(path for path, fine in zip(paths, small) if not fine)
        raise DataError(f"the tag has no {bad!r:.200} that can be read", hint=DISTRUST)
    contents = (content for _, content in repo.read_blobs(oids))
    return list(zip(paths, contents, strict=True))
