"""Of a run.lock, what a list of runs shows of it and may be asked for.

Read in pieces like a :mod:`summary`: the sections that many runs share are parsed once.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from flexlock_hydra.errors import LockError
from flexlock_hydra.record import lockfile, summary
from flexlock_hydra.record.brief_fields import WORLD_SECTIONS, ShownRun
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import MAIN, RUNNING, RunLock
from flexlock_hydra.record.summary import JobSummary, RunSummary

_RUN_KEYS = frozenset({"id", "status", "started", "duration", "result"})
_JOB_KEYS = frozenset({"name", "overrides", "num", "sweep", "command"})


@dataclass(frozen=True)
class Brief:
    """A lock in texts, each JSON: what every list shows, and what it may be asked for."""

    shown: str
    """A :class:`ShownRun`."""
    config: str
    world: str
    """The sections of :data:`WORLD_SECTIONS` by their names."""


def parse_brief(content: bytes, where: str = "run.lock") -> Brief:
    """What a list needs of a lock.

    Raises:
        LockError: as reading the whole lock does. Damage in a section that is not needed
            goes unnoticed.
    """
    try:
        return _of_pieces(summary.cut(content))
    except (LockError, *lockfile.YAML_ERRORS):  # its own words come from reading it whole
        lock = lockfile.parse_lock(content, where)
    try:
        return _of_lock(lock)
    except (ValueError, TypeError, RecursionError) as error:  # e.g. a number of 5000 digits
        raise LockError(f"{where} holds a value that is none of JSON: {error}") from error


def _of_pieces(pieces: Mapping[str, bytes]) -> Brief:
    plain = lockfile.load_plain(summary.head_of(pieces, _RUN_KEYS, _JOB_KEYS))
    run, job = RunSummary.parse(plain["run"], "run"), JobSummary.parse(plain["job"], "job")
    world = (f'"{key}":{_json_of_section(pieces[key])}' for key in WORLD_SECTIONS)
    return Brief(
        shown=_shown(run, job, plain["job"]["command"]["cwd"], _main_path(pieces["repos"])),
        config=_json_of_section(pieces.get("config", b"")),
        world=f"{{{','.join(world)}}}",
    )


def _of_lock(lock: RunLock) -> Brief:
    run, job = summary.part_of(RunSummary, lock.run), summary.part_of(JobSummary, lock.job)
    plain = lock.to_dict()
    return Brief(
        shown=_shown(run, job, lock.job.command.cwd, lock.code.path if lock.code else None),
        config=_json_of(plain.get("config")),
        world=_json_of({key: plain[key] for key in WORLD_SECTIONS}),
    )


def _shown(run: RunSummary, job: JobSummary, cwd: str, path: str | None) -> str:
    shown = ShownRun(
        id=run.id,
        job=job.name,
        status=run.status,
        started=run.started,
        duration=run.duration,
        overrides=[*job.overrides.task],
        result=run.result,
        num=job.num,
        sweep=job.sweep.id if job.sweep else None,
        process=run.process.to_dict() if run.process and run.status == RUNNING else None,
        root=None if path is None else posixpath.normpath(posixpath.join(cwd, path)),
    )
    return _json_of(shown)


@lru_cache(maxsize=256)
def _main_path(section: bytes) -> str | None:
    """Where the main repository lies, seen from the working folder."""
    repos = lockfile.load_yaml(section)["repos"]
    path = repos[MAIN]["path"] if MAIN in repos else None
    if path is not None and not isinstance(path, str):
        raise LockError("repos.main.path should be text")
    return path


@lru_cache(maxsize=256)
def _json_of_section(lines: bytes) -> str:
    """The value of a top-level key; runs of an app share most of them."""
    if not lines:
        return "null"
    (value,) = lockfile.load_yaml(lines).values()
    return _json_of(value)


def _json_of(value: Json) -> str:
    """JSON; a date or bytes, which YAML has and JSON has not, as text."""
    return json.dumps(value, separators=(",", ":"), skipkeys=True, default=str)
