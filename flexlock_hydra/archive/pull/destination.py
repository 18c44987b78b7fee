"""Where a pull goes: a new folder, a worktree, this repository, or what a pull began."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.tag.manifest import parse_json
from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import GitError, LockError, TargetError
from flexlock_hydra.ports.git.ask import ask_status
from flexlock_hydra.ports.git.command import run_git
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.status import read_status
from flexlock_hydra.ports.git.worktrees import add_worktree, drop_branch, init_with_remote
from flexlock_hydra.record.lockfile import write_bytes
from flexlock_hydra.record.model import Process

# In the git folder of what is pulled: the tag, how far the pull came, and its process.
_STATE = "flexlock-pull.json"
SCRATCH = "flexlock-pull-"
"""In the git folder too: how the names of folders begin in which fetched objects lie a while."""


@dataclass(frozen=True)
class Destination:
    """A repository into which a tag is pulled."""

    repo: GitRepo
    tag: str
    branch: str
    has_code: bool = False
    """Whether an earlier pull of the same tag checked the code out already."""
    in_use: bool = False
    """Whether it was there before, with files of its user's."""

    def checked_out(self) -> None:
        """Note that the code is there: from now on files may be the user's work."""
        write_state(self.repo.git_dir, self.tag, has_code=True)


@contextmanager
def new_clone(place: Path, url: str, tag: str, branch: str) -> Iterator[Destination]:
    """A repository of its own at a new or empty folder; taken away should the pull fail early."""
    existed, real = place.is_dir(), place.resolve()
    above = [up for up in real.parents if not up.exists()]
    _require_free(place)
    git_dir = place / ".git"
    try:
        git_dir.mkdir(parents=True, exist_ok=True)
        _clear(git_dir)
        # Before there is a repository: a pull that is killed from here on can go on.
        write_state(git_dir, tag, has_code=False)
    except OSError as error:
        raise TargetError(
            f"{place} cannot be made: {error.strerror}", hint="Choose another: --into DIR"
        ) from error
    try:
        yield Destination(init_with_remote(url, place), tag, branch)
    except BaseException:
        shutil.rmtree(real, ignore_errors=True)
        if existed:
            real.mkdir(exist_ok=True)  # the root of a disk cannot be taken away
        for up in above:
            with suppress(OSError):  # others may have put something there
                up.rmdir()
        raise


@contextmanager
def new_worktree(
    here: GitRepo, place: Path, commit: str, tag: str, branch: str
) -> Iterator[Destination]:
    """A linked worktree of a repository, taken away should the pull fail early."""
    _require_free(place)
    if here.rev_parse(f"refs/heads/{branch}"):
        raise TargetError(
            f"{here.root} has a branch {branch} already",
            hint=f"It was pulled before. To pull it again: git worktree remove its folder, "
            f"git branch -D {branch}",
        )
    try:
        # Without files: the code comes when the tag's data was found safe too.
        add_worktree(here, place, commit, branch, checkout=False)
        repo = _require_repo(GitRepo.find(place), place)
        write_state(repo.git_dir, tag, has_code=False)
        yield Destination(repo, tag, branch)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        here.git("worktree", "prune")
        drop_branch(here, branch)
        raise


@contextmanager
def begun(place: Path, tag: str, branch: str, url: Callable[[], str]) -> Iterator[Destination]:
    """What an earlier pull of the same tag left, perhaps killed before it had a repository.

    Raises:
        TargetError: that pull still goes on, or what it left is no repository any more.
    """
    has_code = bool(read_state(place, tag))
    if pid := _puller(place):
        raise TargetError(
            f"process {pid} pulls into {place} now", hint="Wait for it, or choose: --into DIR"
        )
    if not has_code:
        _forget_git_locks(place)
    repo = repository_at(place)
    is_clone = (place / ".git").is_dir()
    if not has_code and is_clone and (repo is None or not repo.config("remote.origin.fetch")):
        if repo is not None:
            run_git(repo.root, "config", "--remove-section", "remote.origin")
        repo = init_with_remote(url(), place)
    repo = _require_repo(repo, place)
    write_state(repo.git_dir, tag, has_code=has_code)
    _clear(repo.git_dir)
    yield Destination(repo, tag, branch, has_code)


@contextmanager
def this_repository(place: Path, tag: str, branch: str) -> Iterator[Destination]:
    """A repository that is in use; it must be clean."""
    repo = _require_repo(GitRepo.find(place), place)
    if repo.root != place.resolve():
        raise TargetError(f"{place} is not the root of its repository {repo.root}")
    with ask_status(repo.root, untracked=False) as asked:
        status = read_status(asked)
    if status.differs:
        raise TargetError(
            f"{repo.root} has changes that are not committed: {', '.join(status.changed[:3])}",
            hint="Commit or stash them, or choose another folder: --into DIR",
        )
    yield Destination(repo, tag, branch, in_use=True)


def is_begun(place: Path, tag: str, branch: str) -> bool:
    """Whether a pull of a tag began at a place, and nobody went to another branch since."""
    has_code = read_state(place, tag)
    if not has_code:
        return has_code is not None
    repo = repository_at(place)
    return repo is None or repo.symbolic_ref("HEAD") == f"refs/heads/{branch}"


def repository_at(place: Path) -> GitRepo | None:
    """The repository whose root is a place: not one around it, should it be none itself."""
    repo = GitRepo.find(place)
    return repo if repo and repo.root == place.resolve() else None


def read_state(place: Path, tag: str) -> bool | None:
    """Whether the code of a tag is checked out at a place; None: no pull of it began there."""
    said = _read_state(place)
    return said.get("has_code") if said.get("tag") == tag else None


def write_state(git_dir: Path, tag: str, *, has_code: bool) -> None:
    """Note how far a pull came, and who pulls."""
    said = {"tag": tag, "has_code": has_code, "process": process.this_process().to_dict()}
    write_bytes(git_dir / _STATE, json.dumps(said).encode())


def _read_state(place: Path) -> dict[str, Any]:
    git_dir = place / ".git"
    try:
        repo = None if git_dir.is_dir() else GitRepo.find(place)
        return parse_json(((repo.git_dir if repo else git_dir) / _STATE).read_bytes())
    except (OSError, GitError):
        return {}


def _puller(place: Path) -> int | None:
    """Another process that pulls into a place now, as far as can be told from here."""
    try:
        found = Process.parse(_read_state(place).get("process"))
    except LockError:
        return None
    return found.pid if found.pid != os.getpid() and process.is_alive(found) is True else None


def _require_free(place: Path) -> None:
    """Refuse a file, and a folder with anything in it but what a killed pull made first."""
    if place.exists() and not place.is_dir():
        raise TargetError(f"{place} is a file", hint="Choose a folder: --into DIR")
    try:
        names = os.listdir(place) if place.is_dir() else []
        mere_begin = names == [".git"] and all(
            name.startswith(f".{_STATE}.") for name in os.listdir(place / ".git")
        )
    except OSError as error:
        raise TargetError(f"{place} cannot be looked at: {error.strerror}") from error
    if names and not mere_begin:
        raise TargetError(f"{place} is not empty", hint="Choose a new or empty folder: --into DIR")


def _clear(git_dir: Path) -> None:
    for left in git_dir.glob(f"{SCRATCH}*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in git_dir.glob(f".{_STATE}.*"):
        left.unlink(missing_ok=True)


def _forget_git_locks(place: Path) -> None:
    """Remove what a killed git left locked in a repository that only the pull worked in."""
    locks: Iterable[Path] = (place / ".git").rglob("*.lock")
    if not (place / ".git").is_dir() and (repo := repository_at(place)):
        locks = (repo.git_dir / name for name in ("index.lock", "HEAD.lock"))
    for lock in locks:
        lock.unlink(missing_ok=True)


def _require_repo(repo: GitRepo | None, place: Path) -> GitRepo:
    if repo is None:
        raise TargetError(f"{place} is no git repository", hint="Choose another: --into DIR")
    return repo
