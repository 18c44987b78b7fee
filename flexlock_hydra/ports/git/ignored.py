"""What git ignores, asked once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from flexlock_hydra.ports.git.command import git, run_git
from flexlock_hydra.ports.git.repo import SCRATCH, GitRepo

# Path -> whether git ignores it, of all that this process asked about
_answers: dict[str, bool] = {}


def ignored_paths(repo: GitRepo, paths: Collection[str]) -> set[str]:
    """Those of the paths that git ignores and does not track.

    The jobs of a sweep share a process and ask about the same files at their ends: git is
    asked about each file once in the life of a process, whatever changes meanwhile.

    Args:
        paths: relative to the repository's root.

    Raises:
        GitError: git refused.
    """
    prefix = f"{repo.root}{os.sep}"
    if new := [path for path in paths if prefix + path not in _answers]:
        ignored = set(repo.ignored(new))
        _answers.update((prefix + path, path in ignored) for path in new)
    return {path for path in paths if _answers[prefix + path]}


def would_ignore(gitignore: bytes, path: str) -> bool:
    """Whether a root's ``.gitignore`` hides an untracked file, whoever's machine it is."""
    # In a repository of its own: the user's excludes and what is tracked here do not count.
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        git(Path(folder), "init", "--quiet", "--template=")
        Path(folder, ".gitignore").write_bytes(gitignore)
        how = ("-c", f"core.excludesFile={os.devnull}", "check-ignore", "-q", "--no-index")
        return run_git(Path(folder), *how, "--", path).returncode == 0
