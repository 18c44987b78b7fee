"""Repositories beside the main one: those asked for, and those of editable installs.

Of the latter a job has to do with those alone that it imports a module from: others are
looked at when it starts, for it may import from them later, and are not recorded.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from flexlock_hydra.capture.code import imports
from flexlock_hydra.capture.code.snapshot import Snapshot, find_repo
from flexlock_hydra.capture.environment.packages import editable_installs
from flexlock_hydra.capture.lineage.find_files import repo_above
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record.model import MAIN, CodeState


@dataclass
class ExtraRepos:
    """Repositories beside the main one by name, and warnings of those that are not recorded."""

    repos: dict[str, GitRepo] = field(default_factory=dict)
    installed: set[str] = field(default_factory=set)  # those that editable installs alone bring
    warnings: list[str] = field(default_factory=list)
    main: Path | None = None

    def failures_that_matter(self, failed: Mapping[str, str]) -> list[str]:
        """Of failures by repository, those of repositories that were asked for or imported from."""
        return [
            text
            for name, text in failed.items()
            if name not in self.installed or imports.is_used(self.repos[name].root, self.main)
        ]


def find_extra_repos(
    asked: Mapping[str, str], main: GitRepo | None, *, editable: bool
) -> ExtraRepos:
    """Repositories beside the main one, each once; those inside it are recorded with it."""
    found = ExtraRepos(main=main.root if main else None)
    folders = [(name, Path(os.path.abspath(path)), True) for name, path in asked.items()]
    if editable:
        installed = editable_installs().items()
        folders += [(name, path, False) for name, path in installed if name not in asked]
    roots = {main.root} if main else set()
    for name, folder, must in folders:
        # Known repositories are passed over before git is asked, which takes a process.
        place = repo_above(folder)
        if place in roots:
            continue
        try:
            repo = find_repo(place) if place else None
        except FlexlockError as error:
            if must or imports.is_used(folder, found.main):
                found.warnings.append(f"repository {name} not recorded: {error}")
            continue
        if repo is not None and repo.root not in roots:
            roots.add(repo.root)
            key = repo.root.name if name == asked.get(name) else name
            numbered = (f"{key}#{number}" for number in count(2))
            key = next(each for each in chain([key], numbered) if each not in {MAIN, *found.repos})
            found.repos[key] = repo
            if not must:
                found.installed.add(key)
        elif repo is None and must:
            reason = f"{folder} is in no git repository"
            found.warnings.append(f"repository {name} not recorded: {reason}")
    return found


def unused(snapshots: Mapping[str, Snapshot], installed: Collection[str]) -> set[str]:
    """Names of the editable installs' repositories that no module was imported from so far.

    A repository inside of one counts as that.

    Args:
        snapshots: all repositories, the main one too.
    """
    roots = {name: snapshots[name].repo.root for name in installed if name in snapshots}
    main = snapshots[MAIN].repo.root if MAIN in snapshots else None
    idle = {name: root for name, root in roots.items() if not imports.is_used(root, main)}
    return {
        name
        for name, kept in snapshots.items()
        if (outer := idle.get(name.partition("/")[0])) and kept.repo.root.is_relative_to(outer)
    }


def keep_used(snapshots: Mapping[str, Snapshot], names: Iterable[str]) -> list[str]:
    """Keep the snapshots of repositories alive that a job has to do with; warnings where not."""
    warnings = []
    for name in names:
        try:
            snapshots[name].keep()
        except FlexlockError as error:
            warnings.append(f"the snapshot of repository {name} is kept by no ref: {error}")
    return warnings


def with_imports(state: CodeState, kept: Snapshot) -> CodeState:
    """The state with the import paths as they are by now; of one inside main none are kept."""
    if state.import_paths is None:
        return state
    return replace(state, import_paths=tuple(imports.import_paths(kept.repo.root)))
