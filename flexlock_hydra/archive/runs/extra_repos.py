"""The repositories of a run beside its main one: where their commits are, where they go."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.archive.runs.recorded_run import RecordedRun, is_pulled, original_root
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import CodeState, RunLock


@dataclass(frozen=True)
class ExtraRepo:
    """A repository of a run that is not the main one."""

    name: str
    state: CodeState
    original: str
    """Its root on the machine where the run was recorded."""
    inside: str | None
    """Its place below the main one's root; None where it lies outside."""

    @property
    def restored(self) -> str:
        """Where it comes back in a restored project, relative to the root."""
        if self.inside is not None:
            return self.inside
        folder = re.sub(r"[^\w.-]+|^\.+", "-", self.name, flags=re.ASCII)
        return f"{layout.REPOS}/{folder}"


def extra_repos(lock: RunLock) -> list[ExtraRepo]:
    """The repositories of a lock beside the main one, outer ones before those inside them."""
    root = original_root(lock)
    found = [
        _extra_repo(name, state, root, lock.job.command.cwd)
        for name, state in lock.repos.items()
        if state is not lock.code
    ]
    return sorted(found, key=lambda each: each.original.count("/"))


def store_of(run: RecordedRun, each: ExtraRepo) -> GitRepo | None:
    """A repository here that holds the commit: its own, the restored one, or the main one."""
    for folder in _candidates(run, each):
        if folder.is_dir():
            repo = GitRepo.find(folder)
            if repo is not None and repo.has_object(f"{each.state.commit}^{{tree}}"):
                return repo
    return None


def _candidates(run: RecordedRun, each: ExtraRepo) -> Iterator[Path]:
    if each.inside is not None:
        yield run.root / each.inside
    elif not is_pulled(run.root):
        yield Path(each.original)
    yield run.root / each.restored
    yield run.root


def _extra_repo(name: str, state: CodeState, root: str, cwd: str) -> ExtraRepo:
    place = posixpath.normpath(posixpath.join(cwd, state.path))
    inside = place.removeprefix(f"{root}/") if place.startswith(f"{root}/") else None
    return ExtraRepo(name, state, place, inside)
