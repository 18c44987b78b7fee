"""A tag that was fetched, read without a checkout: what it holds, and whether it is safe.

Whoever pushed it may want to harm: nothing of it is believed before it was compared, and
what git or DVC would do with it is not tried out.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PureWindowsPath
from typing import Any

from configobj import ConfigObj, ConfigObjError

from flexlock_hydra.archive.tag import metafiles
from flexlock_hydra.errors import DataError, RunNotFoundError, TargetError
from flexlock_hydra.ports.git.remote import lists_more_than, look_up
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RunLock
from flexlock_hydra.record.relative_path import with_parents

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_LARGEST_FILE, _LARGEST_MESSAGE = 16 << 20, 64 << 20
"""Bytes above which nothing that we write into a tag is read; YAML takes a hundred times that."""
_LARGEST_TREE = 128 << 20
"""Bytes of its listing: that of a million files."""
_LARGEST_NUMBER = 1 << 60
_LONGEST_PATH, _LONGEST_NAME = 4000, 255
_FILES, _LINK = ("100644", "100755"), "120000"
_ACCOUNT = re.compile(r"[\w-]+")
"""It becomes a part of a server's name."""
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_GIT_LIKE = re.compile(r"\.git|git~\d+")
_OURS_LIKE = re.compile(r"\.dvc|dvc~\d+|\.flexlock|flexlo~\d+")
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
        paths = [
            path
            for path, entry in self.tree.items()
            if layout.is_lock(posixpath.basename(path)) and entry.mode in _FILES
        ]
        return {
            path: lockfile.parse_lock(content, f"{self.name}:{path}")
            for path, content in _read(self.repo, self.tree, paths)
        }

    @property
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
    if lists_more_than(repo.root, commit, _LARGEST_TREE):
        raise DataError(f"tag {tag} has more files than can be", hint=_DISTRUST)
    tree = repo.ls_tree(commit)
    for path, entry in tree.items():
        check_place(path, own=False)
        _check_own(path, entry)
    outs = tuple(_metafiles(repo, tree))
    if not _agree(manifest["outs"], outs):
        raise DataError(f"tag {tag}: its manifest and its metafiles say different things",
                        hint=_DISTRUST)
    check_files([out.path for out in outs], tree)
    pieces = tuple(map(_piece, manifest["data"]))
    for piece in pieces:
        check_files([piece.path], tree)
    tagged = Tagged(repo, tag, commit, manifest, tree, outs, pieces, _remote(repo, tree))
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
    foreign = path.replace("\\", "/").split("/")
    climbs = ".." in foreign or "\0" in path
    absolute = not foreign[0] or bool(PureWindowsPath(path).drive)
    odd = any(part in ("", ".") for part in parts)
    git_like = any(_is_git_like(part) for part in foreign)
    kept = own and _is_ours(foreign[0]) and not path.startswith(
        (f"{layout.FSROOT}/", f"{layout.OTHER_VERSIONS}/")
    )
    if climbs or absolute or odd or git_like or kept or not _is_name(path, own):
        raise TargetError(f"the tag would write {path!r:.200}, which is not safe", hint=_DISTRUST)


def check_files(paths: Sequence[str], tree: Mapping[str, TreeEntry]) -> None:
    """Refuse files whose places are not safe, lie below a link or a file, or meet one another.

    Raises:
        TargetError: they are.
    """
    wanted = set(paths)
    if len(wanted) < len(paths):
        twice = next(path for path, count in Counter(paths).items() if count > 1)
        raise TargetError(f"the tag would write {twice!r:.200} twice", hint=_DISTRUST)
    seen: set[str] = set()
    for path in wanted:
        check_place(path)
        for up in with_parents(path):
            mode = tree[up].mode if up in tree else ""
            if mode == _LINK:
                raise TargetError(
                    f"the tag would write {path!r:.200} through its own link {up!r:.200}",
                    hint=_DISTRUST,
                )
            if up != path and (up in wanted or mode in _FILES):
                raise TargetError(
                    f"the tag would write {up!r:.200} as a file and as a folder", hint=_DISTRUST
                )
            if up in seen:
                break
            seen.add(up)


def _check_own(path: str, entry: TreeEntry) -> None:
    """Refuse what a push never puts where DVC and we keep things: DVC would act upon it.

    Raises:
        TargetError: it is.
    """
    first, _, rest = path.partition("/")
    mine = (".dvc", layout.ARCHIVE_DIR)
    if _is_ours(first) and (
        first not in mine
        or entry.mode not in _FILES
        or _folded(rest.partition("/")[0]) in ("", "config.local", "missing")
    ):
        raise TargetError(f"the tag would write {path!r:.200}, which is not safe", hint=_DISTRUST)


def _is_name(path: str, own: bool) -> bool:
    """Whether a file can have such a path: names of data are UTF-8, none is too long."""
    try:
        raw = path.encode("utf-8", "strict" if own else "surrogateescape")
    except UnicodeEncodeError:
        return False
    return len(raw) <= _LONGEST_PATH and max(map(len, raw.split(b"/"))) <= _LONGEST_NAME


def _is_git_like(part: str) -> bool:
    """Whether some file system takes a name for ``.git``: case, dots, short names, no-width."""
    if part.isascii() and part[:1] not in ".gG":
        return False
    return _GIT_LIKE.fullmatch(_folded(part)) is not None


def _is_ours(part: str) -> bool:
    """Whether some file system takes a name for DVC's folder or ours."""
    if part.isascii() and part[:1] not in ".dDfF":
        return False
    return _OURS_LIKE.fullmatch(_folded(part)) is not None


def _folded(part: str) -> str:
    """A name as file systems compare it that ignore case, no-width letters and last dots."""
    plain = "".join(char for char in part if ord(char) not in _IGNORED)
    return plain.partition(":")[0].rstrip(" .").lower()


_IGNORED = frozenset(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
"""What HFS+ passes over in a name."""


def _parse_tag(repo: GitRepo, oid: str, tag: str) -> tuple[str, dict[str, Any]]:
    """The commit and the manifest of an annotated tag object.

    Raises:
        RunNotFoundError: it is none that a push made.
    """
    ((_, kind, size),) = look_up(repo.root, [oid])
    if kind != "tag" or size > _LARGEST_MESSAGE:
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
    commit = fields.get("object", "")
    if fields.get("type") != "commit" or not _OID.fullmatch(commit):
        raise RunNotFoundError(f"tag {tag} is of no commit", hint=_DISTRUST)
    if fields.get("tag") != tag:
        raise RunNotFoundError(f"{tag} is another tag's object: {fields.get('tag')!r:.100}",
                               hint=_DISTRUST)
    return commit, manifest


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
        raise DataError(f"the manifest's data are damaged: {item['path']!r:.100}")
    return TaggedPiece(*found)


def _agree(said: Iterable[Mapping[str, Any]], outs: Iterable[TaggedOut]) -> bool:
    """Whether a manifest names the same as the metafiles; its items have a path and an md5."""
    try:
        named = [TaggedOut(**item) for item in said]
    except TypeError:
        return False
    return sorted(named, key=_order) == sorted(outs, key=_order)


def _order(out: TaggedOut) -> tuple[str, str]:
    return out.path, out.md5


def _metafiles(repo: GitRepo, tree: Mapping[str, TreeEntry]) -> Iterator[TaggedOut]:
    paths = sorted(path for path in tree if path.startswith(f"{layout.METAFILES}/"))
    for path in paths:
        if not (path.endswith(".dvc") and tree[path].mode == "100644"):
            raise DataError(f"{path!r:.200} is no metafile of a run", hint=_DISTRUST)
    for path, content in _read(repo, tree, paths):
        yield parse_metafile(content, path)


def parse_metafile(content: bytes, name: str) -> TaggedOut:
    """A metafile in the form that a push writes.

    Raises:
        DataError: it says anything else.
    """
    try:
        plain = lockfile.load_yaml(content)
        (out,) = plain["outs"]
        known = {"md5", "size", "nfiles", "hash", "path", "desc"}
        fine = (
            set(plain) == {"wdir", "outs"}
            and plain["wdir"] == "../.."
            and set(out) <= known
            and isinstance(out["path"], str)
            and _MD5.fullmatch(out["md5"])
            and out["hash"] == "md5"
            and all(
                type(each) is int and 0 <= each < _LARGEST_NUMBER
                for each in (out["size"], out.get("nfiles", 1))
            )
        )
        if fine:
            return TaggedOut(out["path"], out["md5"], out["size"], out.get("nfiles", 1))
    except (*lockfile.YAML_ERRORS, KeyError) as error:
        raise DataError(
            f"{name} is no metafile of a run: {error!r:.200}", hint=_DISTRUST
        ) from error
    raise DataError(f"{name} is no metafile of a run", hint=_DISTRUST)


def _remote(repo: GitRepo, tree: Mapping[str, TreeEntry]) -> RemoteSpec:
    """The one remote in the form that a push writes it: its URL and what else is not secret.

    Anything more is refused: once it is checked out, DVC would act upon it, and so would we.

    Raises:
        DataError: there is none, or more than that.
    """
    ((_, content),) = _read(repo, tree, [".dvc/config"])
    name = f'remote "{metafiles.REMOTE_NAME}"'
    try:
        lines = content.decode("utf-8", "replace").splitlines()
        config = ConfigObj(lines, interpolation=False, list_values=True).dict()
        core, options = config.pop("core", {}), {**config.pop(name)}
        url = options.pop("url")
    except (ConfigObjError, KeyError, TypeError) as error:
        raise DataError(f"the tag's .dvc/config names no remote: {error!r:.200}") from error
    if not isinstance(url, str) or url.startswith("-") or not url:
        raise DataError(f"the tag's .dvc/config names no remote: {url!r:.100}", hint=_DISTRUST)
    spec = RemoteSpec(url, options)
    more = [*config, *(options.keys() - spec.public_options.keys() - {"verify"})]
    if core != {"remote": metafiles.REMOTE_NAME, "analytics": "false"}:
        more.append("core")
    more += [key for key, value in options.items() if not isinstance(value, str)]
    if not _ACCOUNT.fullmatch(options.get("account_name", "a")):
        more.append("account_name")
    if url.lower().startswith(("gs://", "gcs://")) and "endpointurl" in options:
        options["allow_anonymous_login"] = "true"  # else that server gets a token for Google's
        spec = RemoteSpec(url, options)
    if more:
        raise DataError(
            f"the tag's .dvc/config says more than a push writes: {sorted(more)[0]!r:.100}",
            hint=_DISTRUST,
        )
    return RemoteSpec(url, spec.public_options)


def _read(
    repo: GitRepo, tree: Mapping[str, TreeEntry], paths: Sequence[str]
) -> list[tuple[str, bytes]]:
    """Files of ours in a tag's tree, none larger than is reasonable: path and bytes.

    Raises:
        DataError: there is none of a path, or it is larger.
    """
    oids = [tree[path].oid for path in paths if path in tree and tree[path].mode in _FILES]
    small = [size <= _LARGEST_FILE for _, _, size in look_up(repo.root, oids)]
    if len(oids) < len(paths) or not all(small):
        small += [False] * len(paths)
        bad = next(path for path, fine in zip(paths, small) if not fine)
        raise DataError(f"the tag has no {bad!r:.200} that can be read", hint=_DISTRUST)
    contents = (content for _, content in repo.read_blobs(oids))
    return list(zip(paths, contents, strict=True))
