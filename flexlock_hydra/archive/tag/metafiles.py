"""The plan -> the files that the tag's tree holds beside the code. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

import yaml

from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.archive.tag.plan import Out, Plan
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout

REMOTE_NAME = "flexlock"
MANIFEST_FORMAT = 1
SHARED, PER_TAG = "shared", "tag"
"""Layouts of a data remote: one store for all tags, or one for each, below its URL."""

_DVC_IGNORE = "/config.local\n/tmp\n/cache\n"
_ARCHIVE_IGNORE = "/fsroot/\n/repos/\n/runs/*/**\n/MISSING\n/tmp-*/\n"
_NOT_IGNORED = "\n!/.flexlock/\n!/.flexlock/**\n!/.flexlock/data/*.dvc\n"


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
        files[".dvcignore"] = "".join(f"/{_escape(path)}\n" for path in hidden).encode()
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


def manifest(cargo: Payload, remote: RemoteSpec, layout_of_remote: str) -> dict[str, Any]:
    """What a tag stands for, for people and programs.

    ``data`` is what was recorded, each piece with the place where it comes back; ``outs``
    is what a restore writes: what git brings is not in it.
    """
    subject = cargo.subject
    own = {run.lock.run.id for run in subject.runs}
    return {
        "format": MANIFEST_FORMAT,
        "tag": subject.tag,
        "sweep" if subject.is_sweep else "run": subject.id,
        "job": subject.job,
        **({"jobs": sorted(own)} if subject.is_sweep else {}),
        "date": subject.date.partition(" ")[0],
        "code": subject.commit,
        "predecessors": sorted(run.lock.run.id for run in cargo.runs if run.lock.run.id not in own),
        "remote": remote.public_url,
        "layout": layout_of_remote,
        "objects": len(cargo.sizes),
        "bytes": sum(cargo.sizes.values()),
        "data": [
            {
                "run": piece.run,
                "name": piece.name,
                "path": piece.path,
                "md5": piece.digest.md5,
                "size": piece.digest.size,
                "nfiles": piece.digest.nfiles,
            }
            for piece in cargo.plan.pieces
        ],
        "outs": [
            {
                "path": out.path,
                "md5": out.digest.md5,
                "size": out.digest.size,
                "nfiles": out.digest.nfiles,
            }
            for out in cargo.plan.outs
        ],
    }


def tag_message(content: Mapping[str, Any]) -> str:
    """The annotated tag's message: a line for people, then the manifest."""
    what = f"sweep {content['sweep']}" if "sweep" in content else content["run"]
    title = f"{content['job']} {what}: {content['objects']} objects at the data remote"
    return f"{title}\n\n{json.dumps(content, indent=1)}\n"


def _quote(value: str) -> str:
    """ConfigObj's quoting: needed where a comment or a list would begin."""
    if value == value.strip() and not re.search(r"[#,'\"]", value):
        return value
    quote = '"' if '"' not in value else "'"
    return f"{quote}{value}{quote}"


def _escape(path: str) -> str:
    """A path as a literal gitignore pattern."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)
