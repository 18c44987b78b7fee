"""Whether this interpreter, its packages and the lock files are those of a run."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.runs.extra_repos import ExtraRepo, extra_repos
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled, original_root
from flexlock_hydra.capture.environment import packages
from flexlock_hydra.capture.environment.environment import is_lockfile

_LARGEST = 256 << 20
"""Bytes of a lock file that is read; no tool writes a larger one."""


def environment_checks(run: RecordedRun) -> Iterator[Check]:
    """Python, each package and each lock file, by name."""
    recorded = run.lock.environment
    yield _same(
        "python",
        f"{recorded.implementation} {recorded.python}",
        f"{platform.python_implementation()} {platform.python_version()}",
    )
    yield from _packages(_without_own(recorded.packages), _without_own(_installed(run)), run)
    if recorded.conda is not None:
        for name, check in _compared(recorded.conda, packages.conda() or {}):
            yield _same(f"conda {name}", *check)
    for name, hashed in recorded.lockfiles.items():
        yield _same(name, hashed, _hash_of(run.root / name))


def _packages(
    recorded: Mapping[str, str], here: Mapping[str, str], run: RecordedRun
) -> Iterator[Check]:
    moved = {name: _moved(version, run) for name, version in recorded.items()}
    for name, (old, new) in _compared(moved, here):
        yield _same(name, old, new)


def _compared(
    old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str | None, str | None]]]:
    for name in sorted({*old, *new}):
        yield name, (old.get(name), new.get(name))


def _same(name: str, recorded: str | None, here: str | None) -> Check:
    """A check of one thing, by what it was and what it is."""
    if recorded == here:
        return Check(f"environment {name}", True)
    if recorded is None:
        return Check(f"environment {name}", False, f"added: {here}")
    if here is None:
        return Check(f"environment {name}", False, f"removed: recorded {recorded}")
    return Check(f"environment {name}", False, f"changed: recorded {recorded}, here {here}")


def _without_own(found: Mapping[str, str]) -> dict[str, str]:
    """Without this package: the recorder changes no result."""
    return {name: version for name, version in found.items() if name != packages.OWN}


def _installed(run: RecordedRun) -> Mapping[str, str]:
    """What a job of the run would find, if this interpreter started it."""
    started_from = {"", os.getcwd(), os.path.dirname(os.path.abspath(sys.argv[0]))}
    paths = [entry for entry in sys.path if entry not in started_from]
    own = [str(run.root / entry) for entry in run.lock.job.command.import_paths]
    further = [
        str(_place(run, each) / entry)
        for each in extra_repos(run.lock)
        for entry in each.state.import_paths or ()
    ]
    return packages.packages([*own, *further, *paths])


def _place(run: RecordedRun, each: ExtraRepo) -> Path:
    restored = is_pulled(run.root) or each.inside is not None
    return run.root / each.restored if restored else Path(each.original)


def _moved(version: str, run: RecordedRun) -> str:
    """A version whose source lies in the project, where the project lies now."""
    plain, editable, place = version.partition(packages.EDITABLE)
    root = original_root(run.lock)
    if editable and f"{place.rstrip(')')}/".startswith(f"{root}/"):
        return f"{plain}{editable}{run.root}{place[len(root):]}"
    return version


def _hash_of(path: Path) -> str | None:
    """The hash of a lock file that is there; a path that names something else is not read."""
    try:
        if not (is_lockfile(path.name) and path.is_file() and path.stat().st_size < _LARGEST):
            return None
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    except OSError:
        return None
