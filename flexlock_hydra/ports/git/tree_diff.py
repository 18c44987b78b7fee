"""Two trees compared by git, also where each lies in a repository of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.ports.git.command import git, git_records, run_git
from flexlock_hydra.ports.git.repo import GitRepo

_RAW = ("-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--ignore-submodules=none")
# Neither a program nor a text form that a configuration or an attribute names.
_PATCH = ("-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames",
          "--submodule=short")


@dataclass(frozen=True)
class Leaf:
    """A file in two trees: its mode and blob id in each; None where it is not there."""

    old: tuple[str, str] | None
    new: tuple[str, str] | None


@dataclass(frozen=True)
class TreePair:
    """Two trees that one git command can see.

    Args:
        repo: where git runs.
        others: further repositories whose objects it may read; nothing is written anywhere.
    """

    repo: GitRepo
    old: str
    new: str
    others: tuple[GitRepo, ...] = ()

    def leaves(self) -> dict[str, Leaf]:
        """What differs: path -> the file in both trees.

        Raises:
            GitError: git cannot read one of them.
        """
        raw = git(self.repo.root, "diff-tree", *_RAW, self.old, self.new, env=self._env)
        return dict(_parse(git_records(raw)))

    def patch(self, below: str = "") -> bytes:
        """The unified diff; ``below`` stands before each path in it.

        Raises:
            GitError: git cannot read one of them.
        """
        prefixes = (f"--src-prefix=a/{below}", f"--dst-prefix=b/{below}")
        how = (*_PATCH, *prefixes)
        return git(self.repo.root, "diff-tree", *how, self.old, self.new, env=self._env)

    def missing(self) -> list[str]:
        """Those of the trees that are in none of the repositories."""
        asked = dict.fromkeys((self.old, self.new))
        found = (run_git(self.repo.root, "cat-file", "-e", oid, env=self._env) for oid in asked)
        return [oid for oid, done in zip(asked, found) if done.returncode]

    @property
    def _env(self) -> Mapping[str, str]:
        folders = dict.fromkeys(each.common_dir / "objects" for each in self.others)
        folders.pop(self.repo.common_dir / "objects", None)
        variable = "GIT_ALTERNATE_OBJECT_DIRECTORIES"
        return {variable: os.pathsep.join(map(_quoted, folders))} if folders else {}


def trees_of(repos: Sequence[GitRepo | None], old: str, new: str) -> TreePair | None:
    """Two trees, if they are in these repositories together.

    Raises:
        GitError: there is no git.
    """
    known = [repo for repo in repos if repo is not None]
    found = TreePair(known[0], old, new, tuple(known[1:])) if known else None
    return None if found is None or found.missing() else found


def _parse(words: Sequence[str]) -> Iterator[tuple[str, Leaf]]:
    for head, path in zip(words[0::2], words[1::2], strict=True):
        mode, new_mode, oid, new_oid, _ = head[1:].split(" ")
        yield path, Leaf(_entry(mode, oid), _entry(new_mode, new_oid))


def _entry(mode: str, oid: str) -> tuple[str, str] | None:
    return (mode, oid) if mode.strip("0") else None


def _quoted(path: Path) -> str:
    """A folder as git takes it from a list in a variable."""
    text = str(path)
    if os.pathsep not in text and not text.startswith('"'):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
