"""The files that a tag's tree holds beside the code: how they are written, how they are read.

Pure. A tag is read back more strictly than it would have to be: what a push never writes is
refused, for git or DVC could act upon it once it is checked out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from flexlock_hydra.archive.tag.plan import Out, Plan
from flexlock_hydra.archive.tag.safe_paths import DISTRUST
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.store.remote_kinds import kind_of
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout, lockfile

REMOTE_NAME = "flexlock"
OBJECT_ID = re.compile(r"[0-9a-f]{32}(\.dir)?")
_LARGEST_NUMBER = 1 << 60
_ACCOUNT = re.compile(r"[\w-]+")  # an Azure account: it becomes a part of a server's name

_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"
_ARCHIVE_IGNORE = "/fsroot/\n/repos/\n/runs/*/**\n/MISSING\n/tmp-*/\n"
_NOT_IGNORED = "\n!/.flexlock/\n!/.flexlock/**\n!/.flexlock/data/*.dvc\n"


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


def tree_files(
    plan: Plan,
    locks: Mapping[str, bytes],
    remote: RemoteSpec,
    leaves: Iterable[str],
    gitignore: bytes | None,
) -> dict[str, bytes]:
    """Path -> content of everything that the tag adds to the code tree.

    ``gitignore`` is the root's ``.gitignore`` where it would hide the metafiles.
    """
    files = {
        ".dvc/config": dvc_config(remote).encode(),
        ".dvc/.gitignore": _DVC_IGNORE.encode(),
        f"{layout.ARCHIVE_DIR}/.gitignore": _ARCHIVE_IGNORE.encode(),
        **locks,
    }
    for number, out in enumerate(plan.outs):
        files[f"{layout.METAFILES}/{number:04d}.dvc"] = metafile(out)
    if hidden := users_metafiles(leaves):
        literal = (re.sub(r"([\\*?\[\]!# ])", r"\\\1", path) for path in hidden)
        files[".dvcignore"] = "".join(f"/{path}\n" for path in literal).encode()
    if gitignore is not None:
        files[".gitignore"] = gitignore + _NOT_IGNORED.encode()
    return files


def users_metafiles(leaves: Iterable[str]) -> list[str]:
    """The project's own DVC files: their data is not on our remote."""
    return sorted(
        leaf
        for leaf in leaves
        if leaf.endswith(".dvc") or PurePosixPath(leaf).name in ("dvc.yaml", "dvc.lock")
    )


def nested_dvc(leaves: Iterable[str]) -> list[str]:
    """Leaves of DVC repositories below the root: DVC would pass over all data there."""
    return [leaf for leaf in leaves if ".dvc" in PurePosixPath(leaf).parts[1:-1]]


def dvc_config(remote: RemoteSpec) -> str:
    """``.dvc/config`` with one remote, nothing secret, and every object checked."""
    options = {"url": remote.public_url, **remote.public_options, "verify": "true"}
    lines = "".join(f"    {key} = {_quote(str(value))}\n" for key, value in options.items())
    return (
        f"[core]\n    remote = {REMOTE_NAME}\n    analytics = false\n"
        f"['remote \"{REMOTE_NAME}\"']\n{lines}"
    )


def metafile(out: Out) -> bytes:
    """A ``.dvc`` file. Nothing in it but what the recorded run says."""
    plain = {
        "wdir": "../..",
        "outs": [
            {
                "md5": out.digest.md5,
                "size": out.digest.size,
                **({"nfiles": out.digest.nfiles} if out.digest.is_folder else {}),
                "hash": "md5",
                "path": out.path,
                "desc": ", ".join(f"{piece.run} {piece.name}" for piece in out.pieces),
            }
        ],
    }
    text: str = yaml.safe_dump(plain, sort_keys=False, width=1 << 20)
    return text.encode()


def parse_metafile(content: bytes, name: str) -> TaggedOut:
    """A metafile in the form that a push writes.

    Raises:
        DataError: it says anything else.
    """
    try:
        plain = lockfile.load_yaml(content)
        (out,) = plain["outs"]
        fields = {"md5", "size", "nfiles", "hash", "path", "desc"}
        fine = (
            set(plain) == {"wdir", "outs"}
            and plain["wdir"] == "../.."
            and set(out) <= fields
            and isinstance(out["path"], str)
            and OBJECT_ID.fullmatch(out["md5"])
            and out["hash"] == "md5"
            and all(
                type(each) is int and 0 <= each < _LARGEST_NUMBER
                for each in (out["size"], out.get("nfiles", 1))
            )
        )
        if fine:
            return TaggedOut(out["path"], out["md5"], out["size"], out.get("nfiles", 1))
    except (*lockfile.YAML_ERRORS, KeyError) as error:
        raise DataError(f"{name} is no metafile of a run: {error!r:.200}", hint=DISTRUST) from error
    raise DataError(f"{name} is no metafile of a run", hint=DISTRUST)


def parse_dvc_config(content: bytes) -> RemoteSpec:
    """The one remote in the form that a push writes it: its URL and what else is not secret.

    Anything more is refused: once it is checked out, DVC would act upon it, and so would we.

    Raises:
        DataError: there is none, or more than that.
    """
    from configobj import ConfigObj, ConfigObjError  # who reads locks alone does not wait for it

    name = f'remote "{REMOTE_NAME}"'
    try:
        lines = content.decode("utf-8", "replace").splitlines()
        config = ConfigObj(lines, interpolation=False, list_values=True).dict()
        core, options = config.pop("core", {}), {**config.pop(name)}
        url = options.pop("url")
    except (ConfigObjError, KeyError, TypeError) as error:
        raise DataError(f"the tag's .dvc/config names no remote: {error!r:.200}") from error
    if not isinstance(url, str) or url.startswith("-") or not url:
        raise DataError(f"the tag's .dvc/config names no remote: {url!r:.100}", hint=DISTRUST)
    spec = RemoteSpec(url, options)
    more = [*config, *(options.keys() - spec.public_options.keys() - {"verify"})]
    if core != {"remote": REMOTE_NAME, "analytics": "false"}:
        more.append("core")
    more += [key for key, value in options.items() if not isinstance(value, str)]
    if not _ACCOUNT.fullmatch(options.get("account_name", "a")):
        more.append("account_name")
    kind = kind_of(url)
    if kind and kind.sends_login_anywhere and "endpointurl" in options:
        options["allow_anonymous_login"] = "true"  # else that server gets a token for Google's
        spec = RemoteSpec(url, options)
    if more:
        raise DataError(
            f"the tag's .dvc/config says more than a push writes: {sorted(more)[0]!r:.100}",
            hint=DISTRUST,
        )
    return RemoteSpec(url, spec.public_options)


def _quote(value: str) -> str:
    """ConfigObj's quoting: needed where a comment or a list would begin."""
    if value == value.strip() and not re.search(r"[#,'\"]", value):
        return value
    quote = '"' if '"' not in value else "'"
    return f"{quote}{value}{quote}"
