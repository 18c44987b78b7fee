"""Whether this interpreter, its packages and the lock files are those of a run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.runs.extra_repos import ExtraRepo, extra_repos
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled, original_root
from flexlock_hydra.capture.environment import packages
from flexlock_hydra.capture.environment.environment import lockfile_hash, read_lockfile
from flexlock_hydra.capture.environment.packages import (
    editable_folder,
    version_pairs,
    without_own,
)


def environment_checks(run: RecordedRun) -> Iterator[Check]:
    """Python, each package and each lock file, by name."""
    recorded = run.lock.environment
    yield _same_check(
        "python",
        f"{recorded.implementation} {recorded.python}",
        f"{platform.python_implementation()} {platform.python_version()}",
    )
    moved = {name: _moved_version(version, run) for name, version in recorded.packages.items()}
    for name, old, new in version_pairs(without_own(moved), without_own(_installed_for(run))):
        yield _same_check(name, old, new)
    if recorded.conda is not None:
        for name, old, new in version_pairs(recorded.conda, packages.conda() or {}):
            yield _same_check(f"conda {name}", old, new)
    for name, hashed in recorded.lockfiles.items():
        content = read_lockfile(run.root / name)
        yield _same_check(name, hashed, None if content is None else lockfile_hash(content))


def _same_check(name: str, recorded: str | None, here: str | None) -> Check:
    """A check of one thing, by what it was and what it is."""
    if recorded == here:
        return Check(f"environment {name}", True)
    if recorded is None:
        return Check(f"environment {name}", False, f"added: {here}")
    if here is None:
        return Check(f"environment {name}", False, f"removed: recorded {recorded}")
    return Check(f"environment {name}", False, f"changed: recorded {recorded}, here {here}")


def _installed_for(run: RecordedRun) -> Mapping[str, str]:
    """What a job of the run would find, if this interpreter started it."""
    started_from = {"", os.getcwd(), os.path.dirname(os.path.abspath(sys.argv[0]))}
    paths = [entry for entry in sys.path if entry not in started_from]
    own = [str(run.root / entry) for entry in run.lock.job.command.import_paths]
    extra = [
        str(_repo_folder(run, each) / entry)
        for each in extra_repos(run.lock)
        for entry in each.state.import_paths or ()
    ]
    return packages.packages([*own, *extra, *paths])


def _repo_folder(run: RecordedRun, each: ExtraRepo) -> Path:
    restored = is_pulled(run.root) or each.inside is not None
    return run.root / each.restored if restored else Path(each.original)


def _moved_version(version: str, run: RecordedRun) -> str:
    """A version whose source lies in the project, where the project lies now."""
    plain, folder = editable_folder(version)
    root = original_root(run.lock)
    if folder is not None and f"{folder}/".startswith(f"{root}/"):
        return f"{plain}{packages.EDITABLE}{run.root}{folder[len(root):]})"
    return version
