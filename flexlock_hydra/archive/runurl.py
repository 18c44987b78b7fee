"""``flexlock://RUN``: a recorded run, named as the place that a config comes from."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flexlock_hydra.archive.runs import RecordedRun, find_run, original_root
from flexlock_hydra.errors import FlexlockError, RerunError
from flexlock_hydra.record import layout, lockfile

SCHEME = "flexlock"
PREFIX = f"{SCHEME}://"

_DRIVE = re.compile(r"[/\\][A-Za-z]:")


def named_run(url: str, start: Path | None = None) -> RecordedRun:
    """The run that a URL names, seen from the folder ``start``.

    Raises:
        RunNotFoundError: there is none, or a prefix that fits several.
        LockError: its lock cannot be read.
    """
    name = url.removeprefix(PREFIX)
    return find_run(name[1:] if _DRIVE.match(name) else name, start)


def pinned(url: str, start: Path | None = None) -> str:
    """The URL that means the same run from every folder, whatever runs later.

    One that means no run stays as it is: who opens it says so. So does a tag whose run lies
    nowhere but in git.
    """
    try:
        run = named_run(url, start)
    except FlexlockError:
        return url
    return _url(run.path) if run.path.is_file() else url


def run_id(name: str) -> str | None:
    """The id of a run that a pinned URL names, from the first lines of its lock alone."""
    if tag := layout.parse_tag(name):
        return tag[1]
    path = Path(name)
    head = lockfile.read_head(path / layout.LOCK if path.is_dir() else path)
    return head[1] if head else None


def source_again(run: RecordedRun) -> str | None:
    """Where a run's config came from, if from another run, as a URL that holds here now.

    Raises:
        RerunError: that run is not here.
    """
    for source in run.lock.job.config_sources:
        if source["schema"] == SCHEME and source["provider"] == "main":
            return _found_again(str(source["path"]), run)
    return None


def _found_again(name: str, run: RecordedRun) -> str:
    """The run at its place below the project's root, or the parent by its id.

    Where the place holds another run by now, the parent counts.
    """
    inside = posixpath.relpath(name, original_root(run.lock)) if os.path.isabs(name) else ".."
    here = name if inside.startswith("..") else str(run.root / inside)
    parent = run.lock.run.parent
    found = [*_found(here, run.root), *(_found(parent, run.root) if parent else ())]
    for each in sorted(found, key=lambda each: each.lock.run.id != parent):
        return _url(each.path) if each.path.is_file() else f"{PREFIX}{each.lock.tag}"
    raise RerunError(
        f"run {run.lock.run.id} took its config from {PREFIX}{name}, which is not here",
        hint=f"Bring run {parent or name} back: flexlock-hydra pull TAG",
    )


def _found(name: str, start: Path) -> Iterator[RecordedRun]:
    with suppress(FlexlockError):
        yield find_run(name, start)


def _url(lock: Path) -> str:
    """The URL of a lock file's run: by its folder, where the lock is the current one there."""
    place = lock.parent if lock.name == layout.LOCK else lock
    return f"{PREFIX}{place}"
