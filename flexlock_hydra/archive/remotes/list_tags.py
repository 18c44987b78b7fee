"""Which tags the remotes have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from flexlock_hydra.archive.remotes.project import Remotes, files_of_tags, manifests_of, parse_json
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout


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
        _listed(remotes.store, tag, tag in tags, manifests.get(tag), who.get(tag)) for tag in names
    ]


def _listed(
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
