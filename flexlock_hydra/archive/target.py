"""Where a pull goes: a new folder, a worktree, this repository, or what a pull began."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitError, TargetError
from flexlock_hydra.ports import gitask, gitlook
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record.lockfile import write_bytes

_STATE = "flexlock-pull.json"
"""In the git folder of what is pulled: the tag, and how far the pull came."""


@dataclass(frozen=True)
class Target:
    """A repository into which a tag is pulled."""

    repo: GitRepo
    tag: str
    branch: str
    has_code: bool = False
    """Whether an earlier pull of the same tag checked the code out already."""

    def checked_out(self) -> None:
        """Note that the code is there: from now on files may be the user's work."""
        write_state(self.repo.git_dir, self.tag, has_code=True)


@contextmanager
def new_clone(place: Path, url: str, tag: str, branch: str) -> Iterator[Target]:
    """A repository of its own at a new or empty folder; taken away should the pull fail early."""
    existed = place.is_dir()
    _require_free(place)
    git_dir = place / ".git"
    try:
        git_dir.mkdir(parents=True, exist_ok=True)
        write_state(git_dir, tag, has_code=False)
    except OSError as error:
        raise TargetError(
            f"{place} cannot be made: {error.strerror}", hint="Choose another: --into DIR"
        ) from error
    try:
        yield Target(GitRepo.init_with_remote(url, place), tag, branch)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        if existed:
            place.mkdir()
        raise


@contextmanager
def new_worktree(
    here: GitRepo, place: Path, commit: str, tag: str, branch: str
) -> Iterator[Target]:
    """A linked worktree of a repository, taken away should the pull fail early."""
    _require_free(place)
    if here.rev_parse(f"refs/heads/{branch}"):
        raise TargetError(
            f"{here.root} has a branch {branch} already",
            hint=f"It was pulled before. To pull it again: git worktree remove its folder, "
            f"git branch -D {branch}",
        )
    try:
        here.add_worktree(place, commit, branch, checkout=False)
        repo = _repo_at(place)
        write_state(repo.git_dir, tag, has_code=False)
        yield Target(repo, tag, branch)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        here.git("worktree", "prune")
        here.drop_branch(branch)
        raise


@contextmanager
def begun(place: Path, tag: str, branch: str) -> Iterator[Target]:
    """What an earlier pull of the same tag left."""
    repo = _repo_at(place)
    yield Target(repo, tag, branch, bool(read_state(place, tag)))


@contextmanager
def this_repository(place: Path, tag: str, branch: str) -> Iterator[Target]:
    """A repository that is in use; it must be clean."""
    repo = _repo_at(place)
    if repo.root != place.resolve():
        raise TargetError(f"{place} is not the root of its repository {repo.root}")
    with gitask.status(repo.root, untracked=False) as asked:
        status = gitlook.read_status(asked)
    if status.differs:
        raise TargetError(
            f"{repo.root} has changes that are not committed: {', '.join(status.changed[:3])}",
            hint="Commit or stash them, or choose another folder: --into DIR",
        )
    yield Target(repo, tag, branch)


def read_state(place: Path, tag: str) -> bool | None:
    """Whether the code of a tag is checked out at a place; None: no pull of it began there."""
    git = place / ".git"
    try:
        git_dir = git if git.is_dir() else GitRepo.find(place)
        folder = git_dir.git_dir if isinstance(git_dir, GitRepo) else git_dir
        said = json.loads((folder / _STATE).read_bytes()) if folder else {}
        return bool(said["has_code"]) if said["tag"] == tag else None
    except (OSError, ValueError, KeyError, TypeError, GitError):
        return None


def write_state(git_dir: Path, tag: str, *, has_code: bool) -> None:
    """Note how far a pull came."""
    write_bytes(git_dir / _STATE, json.dumps({"tag": tag, "has_code": has_code}).encode())


def _require_free(place: Path) -> None:
    """Refuse a file, and a folder with anything in it but what a killed pull made first."""
    if place.exists() and not place.is_dir():
        raise TargetError(f"{place} is a file", hint="Choose a folder: --into DIR")
    try:
        names = os.listdir(place) if place.is_dir() else []
        mere_begin = names == [".git"] and not os.listdir(place / ".git")
    except OSError as error:
        raise TargetError(f"{place} cannot be looked at: {error.strerror}") from error
    if names and not mere_begin:
        raise TargetError(
            f"{place} is not empty", hint="Choose a new or empty folder: --into DIR"
        )


def _repo_at(place: Path) -> GitRepo:
    repo = GitRepo.find(place)
    if repo is None:
        raise TargetError(f"{place} is no git repository", hint="Choose another: --into DIR")
    return repo
