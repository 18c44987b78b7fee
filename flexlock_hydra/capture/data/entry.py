"""An input as the config gives it -> an entry of the lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from flexlock_hydra.capture.data.globs import Pattern, all_but, outside
from flexlock_hydra.capture.data.hash_worker import HashAnswer, HashTask
from flexlock_hydra.capture.data.paths import Places, is_remote
from flexlock_hydra.capture.data.url_identity import masked
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.record.layout import is_url
from flexlock_hydra.record.model import MARKED, DataEntry


@dataclass(frozen=True)
class FolderPart:
    """What of a folder is an input: some of its files, and the names in it that the job saw.

    Args:
        files: relative to the folder; empty for all that are in it.
        listed: folders, relative to it, with the md5 of their names.
    """

    files: tuple[str, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)


WHOLE = FolderPart()


def describe(
    given: str,
    places: Places,
    config_key: str | None = None,
    since: int = 0,
    *,
    how: str = MARKED,
    part: FolderPart = WHOLE,
) -> tuple[DataEntry, HashTask]:
    """The entry of an input as far as it is known before a look at it, and how to look.

    Args:
        how: what made it an input.
        part: what of a folder is the input.
    """
    if is_remote(given):
        entry = DataEntry(path=masked(given), how=how, config_key=config_key)
        return entry, HashTask(given, is_url=True)
    path = places.locate(given)
    pattern = Pattern.parse(path)
    is_short = given.startswith("~") or "$" in given or is_url(given)
    entry = DataEntry(
        path=places.written(given),
        how=how,
        given=given if is_short else None,
        base=places.record(pattern.base) if pattern else None,
        files=part.files or None,
        listed=part.listed or None,
        config_key=config_key,
    )
    if pattern:
        return entry, HashTask(str(pattern.base), pattern.parts, since)
    return entry, HashTask(str(path), since=since, files=part.files)


def passed_over(entry: DataEntry) -> LeaveOut | None:
    """What of an input's folder is no part of it; None where it is all of it."""
    return all_but(entry.files) if entry.files else outside(entry.parts)


def filled(entry: DataEntry, answer: HashAnswer) -> DataEntry:
    """The entry with what was found."""
    found = answer.summary
    if found is None:
        return replace(entry, remote=answer.remote, error=answer.error or None)
    if entry.base is not None and not found.nfiles:
        return replace(entry, error=f"{entry.path} matches no file")
    return replace(
        entry,
        hash={"md5": found.md5},
        size=found.size,
        nfiles=found.nfiles,
        executable=found.executable or None,
        links=found.links or None,
        empty=found.empty or None,
        error=None,
    )
