"""The manifest in a tag's message and on its data remote: what the tag stands for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from flexlock_hydra.archive.tag.metafiles import OBJECT_ID, TaggedOut
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.archive.tag.plan import Out, Piece
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout
from flexlock_hydra.record.summary import worst_of

MANIFEST_FORMAT = 1
SHARED, PER_TAG = "shared", "tag"
"""Layouts of a data remote: one store for all tags, or one for each, below its URL."""
MANIFEST_ERRORS = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What is raised when text that is no manifest is parsed and checked as one."""


@dataclass(frozen=True)
class TaggedPiece:
    """An input or the outputs of one of a tag's runs."""

    run: str
    name: str
    path: str
    md5: str


def make_manifest(payload: Payload, remote: RemoteSpec, layout_of_remote: str) -> dict[str, Any]:
    """What a tag stands for, for people and programs.

    ``data`` is what was recorded, each piece with the place where it comes back; ``outs``
    is what a restore writes: what git brings is not in it. ``later`` names the files that are
    not as they were recorded: the job changed them, and what was before is gone.
    """
    subject = payload.subject
    own = {run.lock.run.id for run in subject.runs}
    return {
        "format": MANIFEST_FORMAT,
        "tag": subject.tag,
        "sweep" if subject.is_sweep else "run": subject.id,
        "job": subject.job,
        **({"jobs": sorted(own)} if subject.is_sweep else {}),
        "date": subject.date.partition(" ")[0],
        "code": subject.code.commit,
        "completeness": worst_of(run.lock for run in subject.runs).to_dict(),
        "predecessors": sorted({run.lock.run.id for run in payload.runs} - own),
        "remote": remote.public_url,
        "layout": layout_of_remote,
        "objects": len(payload.sizes),
        "bytes": sum(payload.sizes.values()),
        "data": [
            {"run": piece.run, "name": piece.name, **_place_and_content(piece)}
            for piece in payload.plan.pieces
        ],
        "outs": [_place_and_content(out) for out in payload.plan.outs],
        **({"later": list(payload.plan.later)} if payload.plan.later else {}),
    }


def _place_and_content(each: Piece | Out) -> dict[str, Any]:
    found = each.digest
    return {"path": each.path, "md5": found.md5, "size": found.size, "nfiles": found.nfiles}


def tag_message(content: Mapping[str, Any]) -> str:
    """The annotated tag's message: a line for people, then the manifest."""
    what = f"sweep {content['sweep']}" if "sweep" in content else content["run"]
    title = f"{content['job']} {what}: {content['objects']} objects at the data remote"
    return f"{title}\n\n{json.dumps(content, indent=1)}\n"


def check_manifest(manifest: Any, tag: str) -> dict[str, Any]:
    """The manifest of a tag, if it has the form of one.

    Raises:
        ValueError, KeyError, TypeError: it does not.
    """
    if manifest["format"] != MANIFEST_FORMAT:
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
    if manifest["layout"] not in (SHARED, PER_TAG):
        raise ValueError("its layout is not known here")
    if not all(isinstance(each, str) for each in manifest.get("later", [])):
        raise ValueError("it names later versions by what is no path")
    for item in (*manifest["data"], *manifest["outs"]):
        if not (isinstance(item["path"], str) and OBJECT_ID.fullmatch(item["md5"])):
            raise ValueError(f"{item!r:.100} is no data")
    return dict(manifest)


def parse_json(content: bytes | str | None) -> dict[str, Any]:
    """What a file that others may have written says; nothing, where it is absent or damaged."""
    try:
        said = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def parse_piece(item: Any) -> TaggedPiece:
    """One of a manifest's ``data``.

    Raises:
        DataError: it has not the form of one.
    """
    try:
        found = (item["run"], item["name"], item["path"], item["md5"])
    except KeyError as error:
        raise DataError(f"the manifest's data are damaged: {error!r:.100}") from error
    if not all(isinstance(each, str) for each in found):
        raise DataError(f"the manifest's data are damaged: {item['path']!r:.100}")
    return TaggedPiece(*found)


def names_outs(said: Iterable[Mapping[str, Any]], outs: Iterable[TaggedOut]) -> bool:
    """Whether the ``outs`` of a manifest, which was checked, are those of the metafiles."""
    try:
        named = [TaggedOut(**item) for item in said]
    except TypeError:
        return False
    by_path = attrgetter("path", "md5")
    return sorted(named, key=by_path) == sorted(outs, key=by_path)
