"""``flexlock://RUN``: a recorded run, named as the place that a config comes from."""

from __future__ import annotations

import re
from pathlib import Path

from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RunLock

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


def pinned(name: str, start: Path | None = None) -> str:
    """The URL that means the same run from every folder, whatever runs later.

    One that means no run stays as it is: who opens it says so. So does a tag whose run lies
    nowhere but in git.
    """
    try:
        run = named_run(name, start)
    except FlexlockError:
        return name
    return url(run) if run.path.is_file() else name


def run_id(name: str) -> str | None:
    """The id of a run that a pinned URL names, from the first lines of its lock alone."""
    if tag := layout.parse_tag(name):
        return tag[1]
    path = Path(name)
    head = lockfile.read_head(path / layout.LOCK if path.is_dir() else path)
    return head[1] if head else None


def is_source_of(lock: RunLock) -> bool:
    """Whether a run took its config from another run."""
    sources = lock.job.config_sources
    return any(each["schema"] == SCHEME and each["provider"] == "main" for each in sources)


def url(run: RecordedRun) -> str:
    """The URL that means this run here, whatever runs later.

    It names the run's folder, where its lock is the current one there.
    """
    return f"{PREFIX}{run.folder if run.path.name == layout.LOCK else run.path}"
