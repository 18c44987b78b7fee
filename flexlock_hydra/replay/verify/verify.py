"""Whether a run is still what its lock says: code, data, predecessors, outputs, environment.

Nothing is fetched and nothing is written but the index of hashed files. What one look
answered is kept while many runs are verified: they share commits, data and environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.archive.runs.check import Check
from flexlock_hydra.archive.runs.extra_repos import extra_repos, store_of
from flexlock_hydra.archive.runs.load_predecessors import sha256_of
from flexlock_hydra.archive.runs.places import locks_in, predecessor_locks
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep, load_run
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.lineage.find_files import find_files
from flexlock_hydra.errors import FlexlockError, RunNotFoundError
from flexlock_hydra.ports.git.objects import wrong_in
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, CodeState, Predecessor
from flexlock_hydra.replay.verify.data_checks import CurrentContents
from flexlock_hydra.replay.verify.environment_checks import environment_checks

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VerifyOptions:
    """What is looked at.

    Args:
        environment: also this interpreter and its packages.
        urls: ask the servers of inputs that are URLs; they get the URL as it was recorded.
    """

    environment: bool = True
    urls: bool = False


def verify(run: RecordedRun, *, environment: bool = True, urls: bool = False) -> list[Check]:
    """Compare a run with its lock.

    Args:
        environment, urls: see :class:`VerifyOptions`.
    """
    with HashIndex.open(index_path()) as index:
        return list(_Verifier(VerifyOptions(environment, urls), CurrentContents(index)).checks(run))


def verify_all(
    paths: Iterable[Path],
    *,
    environment: bool = True,
    urls: bool = False,
    progress: Progress = lambda done, total: None,
) -> Iterator[tuple[Path, list[Check]]]:
    """Compare the runs of lock files with them; a damaged lock is one thing that is wrong."""
    locks = list(paths)
    near: GitRepo | None = None
    with HashIndex.open(index_path()) as index:
        verifier = _Verifier(VerifyOptions(environment, urls), CurrentContents(index))
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
    options: VerifyOptions
    contents: CurrentContents
    commits: dict[tuple[Path, str, str], dict[str, str]] = field(default_factory=dict)
    """What is wrong with a commit and its tree in a repository."""

    def checks(self, run: RecordedRun) -> Iterator[Check]:
        """All that can be said of a run."""
        yield _status(run)
        yield from self._code(run)
        for name, entry in run.lock.data.items():
            yield self.contents.input(run, name, entry, urls=self.options.urls)
        for run_id, prev in run.lock.prevs.items():
            yield _predecessor(run, run_id, prev)
        if run.lock.run.status != RUNNING:
            yield self.contents.outputs(run)
        if self.options.environment:
            yield from environment_checks(run)

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
            why = f"commit {each.state.commit} is not here any more"
            try:
                store = store_of(run, each)
            except FlexlockError as error:
                store, why = None, str(error)
            if store is None:
                yield Check(name, False, why)
            else:
                yield from self._objects(name, f"{name}: ", store, each.state)

    def _objects(
        self, name: str, prefix: str, repo: GitRepo, code: CodeState
    ) -> Iterator[Check]:
        key = (repo.root, code.commit, code.tree)
        try:
            if key not in self.commits:
                self.commits[key] = wrong_in(*key)
        except FlexlockError as error:
            yield Check(name, False, str(error))
            return
        wrong = self.commits[key]
        if not wrong:
            yield Check(name, True)
        for path, reason in sorted(wrong.items()):
            yield Check(f"{prefix}{path}" if path else name, False, reason)


def _status(run: RecordedRun) -> Check:
    status = process.status_now(run.lock)
    host = run.lock.run.process.host
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
