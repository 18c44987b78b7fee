"""A tag that was fetched, read without a checkout: what it holds, and whether it is safe.

Whoever pushed it may want to harm: nothing of it is believed before it was compared, and
what git or DVC would do with it is not tried out.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PureWindowsPath
from typing import Any

import yaml
from configobj import ConfigObj, ConfigObjError

from flexlock_hydra.archive import metafiles
from flexlock_hydra.archive.plan import with_parents
from flexlock_hydra.errors import DataError, RunNotFoundError, TargetError
from flexlock_hydra.ports.gitrepo import GitRepo, TreeEntry
from flexlock_hydra.ports.store import RemoteSpec
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RunLock

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_LARGEST_FILE = 64 << 20
"""Bytes above which nothing that we write into a tag is read."""
_LONGEST_PATH, _LONGEST_NAME = 4000, 255
_LINK = "120000"
_GIT_LIKE = re.compile(r"(?i)\.git[ .]*(?::.*)?|git~\d+")
MANIFEST_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What comes of a manifest that is none."""
_DISTRUST = "Do not trust this tag; ask who pushed it."


@dataclass(frozen=True)
class TaggedOut:
    """A file or folder that a tag's metafile names."""

    path: str
    md5: str
    size: int
    nfiles: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder: its object is a listing."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True)
class TaggedPiece:
    """An input or the outputs of one of a tag's runs."""

    run: str
    name: str
    path: str
    md5: str


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
        found = {}
        for path in self.tree:
            if layout.is_lock(posixpath.basename(path)):
                content = self.repo.read_file(self.commit, path) or b""
                found[path] = lockfile.loads(content, f"{self.name}:{path}")
        return found

    @property
    def runs(self) -> dict[str, RunLock]:
        """Run id -> lock, of the runs that the tag was made for and those before them."""
        wanted = {*self.own, *self.manifest["predecessors"]}
        return {lock.run.id: lock for lock in self.locks.values() if lock.run.id in wanted}

    @property
    def own(self) -> tuple[str, ...]:
        """The ids of the runs that the tag was made for."""
        return tuple(self.manifest.get("jobs") or [self.manifest["run"]])

    def links(self) -> set[str]:
        """Links and submodules of the tree: nothing is written below them."""
        return {path for path, entry in self.tree.items() if entry.mode == _LINK}


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
    tree = repo.ls_tree(commit)
    for path in tree:
        check_place(path, own=False)
    links = {path for path, entry in tree.items() if entry.mode == _LINK}
    outs = tuple(_metafiles(repo, commit, tree))
    if sorted(map(_plain_out, outs), key=str) != sorted(manifest["outs"], key=str):
        raise DataError(f"tag {tag}: its manifest and its metafiles say different things",
                        hint=_DISTRUST)
    for out in outs:
        check_place(out.path)
        _require_no_link(out.path, links)
    pieces = tuple(map(_piece, manifest["data"]))
    for piece in pieces:
        check_place(piece.path)
        _require_no_link(piece.path, links)
    tagged = Tagged(repo, tag, commit, manifest, tree, outs, pieces, _remote(repo, commit))
    missing = [run_id for run_id in tagged.own if run_id not in tagged.runs]
    if missing:
        raise RunNotFoundError(f"tag {tag} holds no lock of run {missing[0]}", hint=_DISTRUST)
    return tagged


def check_place(path: str, *, own: bool = True) -> None:
    """Refuse a path that would leave the folder, or reach into what git, DVC or we keep there.

    Args:
        own: whether it is data, which has no business among what the tag keeps there.

    Raises:
        TargetError: it does.
    """
    parts = path.split("/")
    foreign = "\\" in path or ":" in path
    windows = PureWindowsPath(path if foreign else "")
    climbs = ".." in parts or ".." in windows.parts or "\0" in path
    absolute = path.startswith(("/", "\\")) or bool(windows.drive)
    odd = not path or any(part in ("", ".") for part in parts)
    git_like = any(_is_git_like(part) for part in parts)
    long = len(path) > _LONGEST_PATH or any(
        len(part.encode("utf-8", "surrogateescape")) > _LONGEST_NAME for part in parts
    )
    kept = own and parts[0] in (".dvc", layout.ARCHIVE_DIR) and not path.startswith(
        (f"{layout.FSROOT}/", f"{layout.OTHER_VERSIONS}/")
    )
    if climbs or absolute or odd or git_like or long or kept:
        raise TargetError(f"the tag would write {path!r:.200}, which is not safe", hint=_DISTRUST)


def check_files(paths: Iterable[str], links: set[str]) -> None:
    """Refuse files whose places are not safe, lie below a link, or below one another.

    Raises:
        TargetError: they are.
    """
    wanted = set(paths)
    for path in wanted:
        check_place(path)
        _require_no_link(path, links)
        for up in with_parents(path.rpartition("/")[0]):
            if up in wanted:
                raise TargetError(
                    f"the tag would write {up!r:.200} as a file and as a folder", hint=_DISTRUST
                )


def _is_git_like(part: str) -> bool:
    """Whether some file system takes a name for ``.git``: case, dots, short names, no-width."""
    if part.isascii() and part[:1] not in ".gG":
        return False
    plain = "".join(char for char in part if ord(char) not in _IGNORED)
    return _GIT_LIKE.fullmatch(plain) is not None


_IGNORED = frozenset(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
"""What HFS+ passes over in a name."""


def _require_no_link(path: str, links: set[str]) -> None:
    for up in with_parents(path):
        if up in links:
            raise TargetError(
                f"the tag would write {path!r:.200} through its own link {up!r:.200}",
                hint=_DISTRUST,
            )


def _parse_tag(repo: GitRepo, oid: str, tag: str) -> tuple[str, dict[str, Any]]:
    """The commit and the manifest of an annotated tag object.

    Raises:
        RunNotFoundError: it is none that a push made.
    """
    kind = repo.git("cat-file", "-t", oid)
    if kind != "tag":
        raise RunNotFoundError(f"{tag} is a tag, but none that a push made",
                               hint="It has no message with a manifest.")
    head, _, message = repo.read_tag_object(oid).decode("utf-8", "replace").partition("\n\n")
    fields = dict(line.split(" ", 1) for line in head.splitlines() if " " in line)
    text = message.partition("\n\n")[2]
    try:
        manifest = json.JSONDecoder().raw_decode(text)[0]
        check_manifest(manifest, tag)
    except MANIFEST_ERRORS as error:
        raise RunNotFoundError(
            f"tag {tag} has no manifest of a push: {error!r:.100}", hint=_DISTRUST
        ) from error
    if fields.get("type") != "commit" or fields.get("tag") != tag:
        raise RunNotFoundError(f"{tag} is another tag's object: {fields.get('tag')!r:.100}",
                               hint=_DISTRUST)
    return fields["object"], manifest


def check_manifest(manifest: Any, tag: str) -> dict[str, Any]:
    """The manifest of a tag, if it has the form of one.

    Raises:
        ValueError, KeyError, TypeError: it does not.
    """
    if manifest["format"] != metafiles.MANIFEST_FORMAT:
        raise ValueError(f"format {manifest['format']!r:.20} is not known here")
    named = layout.parse_tag(tag)
    run_id = manifest.get("run", manifest.get("sweep"))
    if manifest["tag"] != tag or named is None or run_id != named[1]:
        raise ValueError("it is of another tag")
    ids = [*manifest["predecessors"], *manifest.get("jobs", [])]
    if not all(isinstance(each, str) and layout.RUN_ID.fullmatch(each) for each in ids):
        raise ValueError("it names runs by what is no id")
    is_sweep = "sweep" in manifest
    if is_sweep != bool(manifest.get("jobs")) or is_sweep == ("run" in manifest):
        raise ValueError("it is neither of a run nor of a sweep")
    if manifest["layout"] not in (metafiles.SHARED, metafiles.PER_TAG):
        raise ValueError("its layout is not known here")
    for item in (*manifest["data"], *manifest["outs"]):
        if not (isinstance(item["path"], str) and _MD5.fullmatch(item["md5"])):
            raise ValueError(f"{item!r:.100} is no data")
    return dict(manifest)


def _piece(item: Any) -> TaggedPiece:
    try:
        found = (item["run"], item["name"], item["path"], item["md5"])
    except KeyError as error:
        raise DataError(f"the manifest's data are damaged: {error!r:.100}") from error
    if not all(isinstance(each, str) for each in found):
        raise DataError(f"the manifest's data are damaged: {item!r:.100}")
    return TaggedPiece(*found)


def _plain_out(out: TaggedOut) -> dict[str, Any]:
    return dict(vars(out))


def _metafiles(repo: GitRepo, commit: str, tree: Mapping[str, TreeEntry]) -> Iterable[TaggedOut]:
    for path, entry in sorted(tree.items()):
        if path.startswith(f"{layout.METAFILES}/"):
            if not (path.endswith(".dvc") and entry.mode == "100644"):
                raise DataError(f"{path!r:.200} is no metafile of a run", hint=_DISTRUST)
            yield parse_metafile(_small(repo, commit, path), path)


def parse_metafile(content: bytes, name: str) -> TaggedOut:
    """A metafile in the form that a push writes.

    Raises:
        DataError: it says anything else.
    """
    try:
        plain = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        (out,) = plain["outs"]
        known = {"md5", "size", "nfiles", "hash", "path", "remote", "desc"}
        fine = (
            set(plain) == {"wdir", "outs"}
            and plain["wdir"] == "../.."
            and set(out) <= known
            and isinstance(out["path"], str)
            and _MD5.fullmatch(out["md5"])
            and (out["hash"], out["remote"]) == ("md5", metafiles.REMOTE_NAME)
            and all(type(each) is int and each >= 0 for each in (out["size"], out.get("nfiles", 1)))
        )
        if fine:
            return TaggedOut(out["path"], out["md5"], out["size"], out.get("nfiles", 1))
    except (*lockfile.YAML_ERRORS, KeyError) as error:
        raise DataError(
            f"{name} is no metafile of a run: {error!r:.200}", hint=_DISTRUST
        ) from error
    raise DataError(f"{name} is no metafile of a run", hint=_DISTRUST)


def _remote(repo: GitRepo, commit: str) -> RemoteSpec:
    """The one remote in the form that a push writes it: its URL and what else is not secret.

    Raises:
        DataError: there is none.
    """
    text = _small(repo, commit, ".dvc/config").decode("utf-8", "replace")
    try:
        config = ConfigObj(text.splitlines(), interpolation=False, list_values=True)
        section = config[f'remote "{metafiles.REMOTE_NAME}"']
        url = section["url"]
    except (ConfigObjError, KeyError, TypeError) as error:
        raise DataError(f"the tag's .dvc/config names no remote: {error!r:.200}") from error
    if not isinstance(url, str) or url.startswith("-") or not url:
        raise DataError(f"the tag's .dvc/config names no remote: {url!r:.100}", hint=_DISTRUST)
    spec = RemoteSpec(url, {key: section[key] for key in section})
    return RemoteSpec(url, spec.public_options)


def _small(repo: GitRepo, commit: str, path: str) -> bytes:
    """A file of ours in a tag's tree, of no more than a reasonable size.

    Raises:
        DataError: there is none, or it is larger.
    """
    size = repo.size_of(f"{commit}:{path}")
    if size is None or size > _LARGEST_FILE:
        raise DataError(f"the tag has no {path} that can be read", hint=_DISTRUST)
    return repo.read_file(commit, path) or b""
