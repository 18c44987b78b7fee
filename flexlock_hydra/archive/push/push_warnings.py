"""What a push says beside what it did: what the tag cannot promise, what it may give away."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path, PurePosixPath

import yaml

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.capture.code.scope import is_hydras
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT

_NAMED = 5


def gaps_of_tag(payload: Payload, url: str | None, remote: RemoteSpec) -> tuple[str, ...]:
    """What a tag cannot promise, in words: where its data is, what was not recorded or stays."""
    said: dict[str, None] = {}
    if url is None:
        said["no git remote: the tag stays in this repository"] = None
    if remote.is_local:
        said[f"the data is in {remote.url}, a folder that only this machine may reach"] = None
    for run in payload.subject.runs:
        said |= dict.fromkeys(_gaps(run))
    if payload.subject.is_sweep and (names := _beside_jobs(payload.subject.path.parent)):
        said[f"files of the sweep's own folder do not travel: {', '.join(names)}"] = None
    said |= dict.fromkeys(payload.left)
    return tuple(said)


def _beside_jobs(folder: Path) -> list[str]:
    """Files that a sweeper wrote beside its jobs' folders, some of them."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if not is_hydras(name))[:_NAMED]


def _gaps(run: RecordedRun) -> list[str]:
    """What of one run was not recorded, or does not travel, in words."""
    said = [text for text in run.lock.warnings if not text.startswith(layout.NOT_PUSHED)]
    for name, entry in run.lock.data.items():
        if entry.is_url:
            said.append(f"data {name} stays where it is: {entry.path}")
    if run.lock.outputs and run.lock.outputs.unhashed:
        large = ", ".join(run.lock.outputs.unhashed)
        said.append(f"outputs that were not hashed do not travel: {large}")
    for name, code in run.lock.repos.items():
        if code.completeness != EXACT:
            said.append(f"the code of {name} is {code.completeness}: {'; '.join(code.reasons)}")
    return said


def hydra_secrets(payload: Payload, sent: Container[str]) -> list[str]:
    """Hydra's own files among the outputs that were sent and show what looks like a secret."""
    found = []
    for piece in payload.plan.pieces:
        for rel, file in piece.digest.files.items():
            is_hydras = rel.endswith(".yaml") and PurePosixPath(rel).parent.name == ".hydra"
            if is_hydras and file.md5 in sent:
                plain = yaml.load(piece.source_of(rel).read_bytes(), Loader=_AnyTag)
                if Masker().learn(plain).mask(plain) != plain:
                    found.append(
                        f"{piece.path}/{rel} of {piece.run} shows what looks like a secret "
                        "and travels as it is; --no-outputs leaves it here"
                    )
    return found


class _AnyTag(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads Hydra's files whatever objects their tags name: those come out as None."""


_AnyTag.add_constructor(None, lambda loader, node: None)
