"""Links of a checkout that lead into the original one by their absolute paths."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from flexlock_hydra.ports.git.repo import GitRepo

_LINK = "120000"  # the mode of a symbolic link in a tree


def turn_links(repo: GitRepo, commit: str, place: Path, homes: Mapping[str, Path]) -> set[str]:
    """Make links that lead into an original folder lead into its copy; the links' paths.

    What is in the original by now is none of the recorded run. Where the copy lacks a file that
    git ignored, the link leads nowhere.

    Args:
        repo: holds the commit.
        place: where the commit is checked out.
        homes: original folders, absolute -> their copies.

    Raises:
        GitError: the commit is not here.
    """
    turned = set()
    for path, target in _absolute_links(repo, commit):
        new, link = _copy_of(target, homes), place / path
        if new is not None and link.is_symlink():
            link.unlink()
            # Relative: a rerun of the rerun finds it as well.
            link.symlink_to(os.path.relpath(new, link.parent))
            turned.add(path)
    return turned


def _absolute_links(repo: GitRepo, commit: str) -> Iterator[tuple[str, str]]:
    links = {path: leaf.oid for path, leaf in repo.ls_tree(commit).items() if leaf.mode == _LINK}
    targets = dict(repo.read_blobs(sorted(set(links.values()))))
    for path, oid in links.items():
        target = os.fsdecode(targets[oid])
        if os.path.isabs(target):
            yield path, target


def _copy_of(target: str, homes: Mapping[str, Path]) -> str | None:
    """Where in a copy a path of an original leads; the innermost original counts."""
    for old in sorted(homes, key=len, reverse=True):
        # As it is written, and as this machine sees it: a folder above may be a link.
        for seen, home in ((target, old), (os.path.realpath(target), os.path.realpath(old))):
            inside = os.path.relpath(os.path.normpath(seen), home)
            if inside != os.pardir and not inside.startswith(f"{os.pardir}{os.sep}"):
                return os.path.join(homes[old], inside)
    return None
