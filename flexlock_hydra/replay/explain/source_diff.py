"""The code of two runs, repository by repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flexlock_hydra.archive.runs.extra_repos import extra_repos, store_of
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.tree_diff import Leaf, TreePair, trees_of
from flexlock_hydra.record.model import MAIN, CodeState


@dataclass(frozen=True)
class RepoChange:
    """A repository whose code differs between two runs; None: one of them has it not."""

    name: str
    old: CodeState | None
    new: CodeState | None
    trees: TreePair | None
    """Both trees, where repositories here hold them."""

    @property
    def prefix(self) -> str:
        """What stands before a file's path, to tell it from the main repository's."""
        return "" if self.name == MAIN else f"{self.name}:"

    def files(self) -> dict[str, Leaf] | None:
        """What differs by file; None where that is not known here."""
        return None if self.trees is None else self.trees.leaves()

    def patch(self) -> bytes | None:
        """The unified diff; None where the files are not known here."""
        if self.trees is None:
            return None
        return self.trees.patch("" if self.name == MAIN else f"{self.name}/")


def sources(old: RecordedRun, new: RecordedRun) -> Iterator[RepoChange]:
    """The repositories in which two runs differ, the main one first."""
    before, after = old.lock.repos, new.lock.repos
    for name in sorted({*before, *after}, key=lambda name: (name != MAIN, name)):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            yield RepoChange(name, one, other, None)
        elif one.tree != other.tree:
            places = (_repo(new, name), _repo(old, name))
            yield RepoChange(name, one, other, trees_of(places, one.tree, other.tree))


def patch(old: RecordedRun, new: RecordedRun) -> tuple[bytes, list[str]]:
    """The unified diff of all code, and the repositories that it says nothing of."""
    found: Mapping[str, bytes | None] = {
        each.name: each.patch() for each in sources(old, new)
    }
    missing = [name for name, text in found.items() if text is None]
    return b"".join(text for text in found.values() if text is not None), missing


def _repo(run: RecordedRun, name: str) -> GitRepo | None:
    if name == MAIN:
        return run.repo
    each = next((each for each in extra_repos(run.lock) if each.name == name), None)
    found = store_of(run, each) if each else None
    return found or run.repo
