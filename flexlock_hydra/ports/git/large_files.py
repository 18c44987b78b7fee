"""Files that git LFS keeps: in git stands a pointer, the content lies elsewhere.

A pointer is a short text: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md. It is known
by its bytes, so this works without the program.
"""

from __future__ import annotations

import os
from pathlib import Path

from flexlock_hydra.ports.git.command import git, git_records, run_git
from flexlock_hydra.ports.git.repo import GitRepo

_POINTER = b"version https://git-lfs.github.com/spec/"
_SHORTEST, _LONGEST = 100, 1024  # bytes of a pointer
_ATTRIBUTES = ":(glob)**/.gitattributes"


def lfs_pointers(repo: GitRepo, commit: str) -> dict[str, str]:
    """The files of a commit that are pointers: path -> blob id.

    Raises:
        GitError: the commit is not here.
    """
    how = ("grep", "--quiet", "--fixed-strings", "filter=lfs", commit, "--", _ATTRIBUTES)
    if run_git(repo.root, *how).returncode:
        return {}
    found = {}
    listed = git(repo.root, "ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    for record in git_records(listed):
        meta, path = record.split("\t", 1)
        _, _, oid, size = meta.split()
        if size.isdigit() and _SHORTEST <= int(size) <= _LONGEST:
            found[path] = oid
    contents = dict(repo.read_blobs(sorted(set(found.values()))))
    return {path: oid for path, oid in found.items() if contents[oid].startswith(_POINTER)}


def lfs_only_here(repo: GitRepo, commit: str) -> list[str]:
    """Pointers of a commit that no branch of a remote has, as far as is known here.

    Where a branch was pushed, git LFS has sent what it keeps for that; for our tags it does not.

    Raises:
        GitError: the commit is not here.
    """
    pointers = lfs_pointers(repo, commit)
    if not pointers:
        return []
    how = ("rev-list", "--objects", "--no-object-names", commit, "--not", "--remotes")
    new = set(repo.git(*how).splitlines())
    return sorted(path for path, oid in pointers.items() if oid in new)


def lfs_not_fetched(repo: GitRepo, commit: str) -> list[str]:
    """Files of a checked out commit that are their pointers still.

    Raises:
        GitError: the commit is not here.
    """
    return sorted(path for path in lfs_pointers(repo, commit) if _is_pointer(repo.root / path))


def _is_pointer(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(len(_POINTER))
            return head == _POINTER and os.fstat(file.fileno()).st_size <= _LONGEST
    except OSError:
        return False
