"""Whether a run is still what its lock says: code, data, predecessors, outputs, environment.

Nothing is fetched and nothing is written but the index of hashed files. What one look
answered is kept while many runs are verified: they share commits, data and environment.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.runs.places import locks_in, predecessor_locks, sha256_of
from flexlock_hydra.archive.runs.recorded_run import (
    RecordedRun, RecordedSweep, extra_repos, is_pulled, load_run, original_root, store_of
)
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
from flexlock_hydra.capture.environment import packages, process
from flexlock_hydra.capture.environment.environment import lockfile_hash, read_lockfile
from flexlock_hydra.capture.environment.packages import editable_folder, version_pairs, without_own
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.errors import FlexlockError, RunNotFoundError
from flexlock_hydra.ports.git.objects import wrong_in
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, CodeState, Predecessor
from flexlock_hydra.replay.verify.data_checks import CurrentContents

Progress = Callable[[int, int], None]


def verify(run: RecordedRun, *, environment: bool = True, urls: bool = False) -> list[Check]:
    """Compare a run with its lock.

    Args:
        environment: also this interpreter and its packages.
        urls: ask the servers of inputs that are URLs; they get the URL as it was recorded.
    """
    with HashIndex.open(index_path()) as index:
        return list(_Verifier(environment, urls, CurrentContents(index)).checks(run))


def verify_all(
    paths: Iterable[Path],
    *,
    environment: bool = True,
    urls: bool = False,
    progress: Progress = lambda done, total: None,
) -> Iterator[tuple[Path, list[Check]]]:
    """Compare the runs of lock files with them; a damaged lock is one thing that is wrong.

    Args:
        environment, urls: see :func:`verify`.
    """
    locks = list(paths)
    near: GitRepo | None = None
    with HashIndex.open(index_path()) as index:
        verifier = _Verifier(environment, urls, CurrentContents(index))
        for number, path in enumerate(locks):
            progress(number, len(locks))
            try:
                run = load_run(path, near)
            except FlexlockError as error:
                yield path, [Check("lock", False, str(error))]
                continue
            near = run.repo or near
            yield path, list(verifier.checks(run))
    progress(len(locks), len(locks))


def lock_files_below(folders: Iterable[Path]) -> list[Path]:
    """Every lock of a run below some folders, readable or not.

    Raises:
        RunNotFoundError: a folder is none, or holds no run.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        locks = sorted(find_files(folder.absolute(), layout.is_lock))
        if not locks:
            raise RunNotFoundError(
                f"no run below {folder}" if folder.is_dir() else f"no folder {folder}",
                hint="Name a folder that has runs below it.",
            )
        found |= dict.fromkeys(locks)
    return list(found)


def locks_of(sweep: RecordedSweep) -> list[Path]:
    """The locks of a sweep's jobs, where they should be."""
    found = []
    for job in sweep.lock.jobs:
        folder = sweep.folder / job.path
        there = locks_in(folder, job.run)
        # One that was moved aside comes last, and names its run: the other is a later run's.
        found.append(there[-1] if there else folder / layout.LOCK)
    return found


@dataclass(frozen=True)
class _Verifier:
    environment: bool
    urls: bool
    contents: CurrentContents
    commits: dict[tuple[Path, str, str], dict[str, str]] = field(default_factory=dict)
    """What is wrong with a commit and its tree in a repository."""

    def checks(self, run: RecordedRun) -> Iterator[Check]:
        """All that can be said of a run."""
        yield _status(run)
        yield from self._code(run)
        for name, entry in run.lock.data.items():
            yield self.contents.input(run, name, entry, urls=self.urls)
        for run_id, prev in run.lock.prevs.items():
            yield _predecessor(run, run_id, prev)
        if run.lock.run.status != RUNNING:
            yield self.contents.outputs(run)
        if self.environment:
            yield from _environment_checks(run)

    def _code(self, run: RecordedRun) -> Iterator[Check]:
        code = run.lock.code
        if code is None:
            yield Check("code", False, "it was not recorded: the run lay in no git repository")
        elif run.repo is None:
            yield Check("code", False, f"commit {code.commit}: {run.folder} is in no repository")
        else:
            yield from self._objects("code", "code ", run.repo, code)
        for each in extra_repos(run.lock):
            name = f"repository {each.name}"
            try:
                if store := store_of(run, each):
                    yield from self._objects(name, f"{name}: ", store, each.state)
                else:
                    yield Check(name, False, f"commit {each.state.commit} is not here any more")
            except FlexlockError as error:
                yield Check(name, False, str(error))

    def _objects(self, name: str, prefix: str, repo: GitRepo, code: CodeState) -> Iterator[Check]:
        key = (repo.root, code.commit, code.tree)
        wrong = self.commits.get(key)
        if wrong is None:
            try:
                wrong = self.commits[key] = wrong_in(*key)
            except FlexlockError as error:
                wrong = {"": str(error)}  # not kept: another look may find it
        if not wrong:
            yield Check(name, True)
        for path, reason in sorted(wrong.items()):
            yield Check(f"{prefix}{path}" if path else name, False, reason)


def _status(run: RecordedRun) -> Check:
    status, host = process.status_now(run.lock), run.lock.run.process.host
    if status == RUNNING:
        return Check("run", False, f"it still runs, on {host}; verify it when it has ended")
    if status == process.UNKNOWN:
        return Check("run", True, f"whether it still runs on {host} cannot be judged from here")
    return Check("run", True)


def _predecessor(run: RecordedRun, run_id: str, prev: Predecessor) -> Check:
    """Whether the lock of a predecessor is there with the bytes that were recorded.

    One that was still written when it was recorded need only be there.
    """
    name = f"predecessor {prev.job} {run_id}"
    changed = ""
    for path in predecessor_locks(run, run_id):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        sha256 = sha256_of(content)
        if sha256 == prev.lock:
            return Check(name, True)
        head = lockfile.parse_head(content)
        if head is None or head[1] == run_id:
            changed = f"{path} changed: recorded {prev.lock}, now {sha256}"
            if head and prev.status == RUNNING:
                return Check(name, True)
    return Check(name, False, changed or f"its {layout.LOCK} is not in {prev.path}")


def _environment_checks(run: RecordedRun) -> Iterator[Check]:
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
    if recorded is None:
        reason = f"added: {here}"
    elif here is None:
        reason = f"removed: recorded {recorded}"
    else:
        reason = f"changed: recorded {recorded}, here {here}"
    same = recorded == here
    return Check(f"environment {name}", same, "" if same else reason)


def _installed_for(run: RecordedRun) -> Mapping[str, str]:
    """What a job of the run would find, if this interpreter started it."""
    started_from = {"", os.getcwd(), os.path.dirname(os.path.abspath(sys.argv[0]))}
    paths = [entry for entry in sys.path if entry not in started_from]
    own = [str(run.root / entry) for entry in run.lock.job.command.import_paths]
    extra = []
    for each in extra_repos(run.lock):
        restored = is_pulled(run.root) or each.inside is not None
        folder = run.root / each.restored if restored else Path(each.original)
        extra += [str(folder / entry) for entry in each.state.import_paths or ()]
    return packages.packages([*own, *extra, *paths])


def _moved_version(version: str, run: RecordedRun) -> str:
    """A version whose source lies in the project, where the project lies now."""
    plain, folder = editable_folder(version)
    root = original_root(run.lock)
    if folder is not None and f"{folder}/".startswith(f"{root}/"):
        return f"{plain}{packages.EDITABLE}{run.root}{folder[len(root):]})"
    return version
