"""The inputs of a pushed run of which its tag has a later version than the recorded one."""

from __future__ import annotations

from collections.abc import Mapping

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.record.relative_path import is_under


def later_inputs(run: RecordedRun) -> Mapping[str, str]:
    """Name -> DVC's id of the version that was pushed, as the tag's manifest owns it to be.

    Empty where the run has no tag here, or one that cannot be read.
    """
    tag = run.tag or run.lock.tag
    if run.repo is None or tag not in run.repo.tags(tag):
        return {}
    try:
        tagged = read_tagged(run.repo, tag)
    except FlexlockError:
        return {}
    later = tuple(tagged.manifest.get("later", ()))
    return {
        piece.name: piece.md5
        for piece in tagged.pieces
        if piece.run == run.lock.run.id and piece.name in run.lock.data
        and any(is_under(path, piece.path) for path in later)
    }
