"""Working trees and repositories that we make: temporary ones, and those of a pull."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.ask import optional_filters
from flexlock_hydra.ports.git.command import git, git_text, redact_url, run_git
from flexlock_hydra.ports.git.repo import SCRATCH, GitRepo
from flexlock_hydra.record import layout


def init_with_remote(url: str, into: Path) -> GitRepo:
    """A new repository whose ``origin`` is ``url``; GitPython refuses unsafe kinds."""
    # Git itself would take any URL. GitPython is asked here and nowhere else: its import takes as
    # long as a hundred of git's answers, and it reads 10,000 packed tags in minutes.
    import git as gitpython

    git(into.parent, "init", "--quiet", "--", str(into))
    try:
        with gitpython.Repo(into) as repo:
            repo.create_remote("origin", url)
    except gitpython.exc.UnsafeProtocolError as error:
        raise GitError(f"{redact_url(url)}: this kind of URL can run programs") from error
    return _at_root(into)


def _at_root(folder: Path) -> GitRepo:
    """The repository or working tree that was made at a folder."""
    found = GitRepo.find(folder)
    assert found is not None
    return found


def fetch_snapshot(repo: GitRepo, source: GitRepo, commit: str) -> None:
    """Bring a snapshot commit and its history here from another repository.

    Raises:
        GitError: it has another object format, or a history that is cut off.
    """
    ref = layout.shadow_ref(commit)
    source.update_ref(ref, commit)
    if repo.rev_parse(ref) is None:
        repo.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                 str(source.root), f"{ref}:{ref}")
    if repo.rev_parse(ref) is None:  # of a shallow repository git says so and exits with 0
        raise GitError(f"the history of {source.root} is cut off: git fetch --unshallow")


def unpack_commit(repo: GitRepo, commit: str, place: Path) -> None:
    """A repository of its own at a new or empty place, checked out at a commit of ours."""
    git(repo.root, "init", "--quiet", "--", str(place))
    inner = _at_root(place)
    if inner.rev_parse("HEAD") == commit and (inner.git_dir / "index").exists():
        return
    fetch_snapshot(inner, repo, commit)
    inner.git(*optional_filters(inner.root), "checkout", "--quiet", "--force", "--detach", commit)


def would_ignore(gitignore: bytes, path: str) -> bool:
    """Whether a root's ``.gitignore`` hides an untracked file, whoever's machine it is."""
    # In a repository of its own: the user's excludes and what is tracked here do not count.
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        git(Path(folder), "init", "--quiet", "--template=")
        Path(folder, ".gitignore").write_bytes(gitignore)
        how = ("-c", f"core.excludesFile={os.devnull}", "check-ignore", "-q", "--no-index")
        return run_git(Path(folder), *how, "--", path).returncode == 0


@contextmanager
def temporary_worktree(repo: GitRepo, commit: str, place: Path) -> Iterator[GitRepo]:
    """A temporary working tree of a commit in a new or empty folder, removed at the end."""
    _forget_lost_worktrees(repo)
    add_worktree(repo, place, commit)
    try:
        yield _at_root(place)
    finally:
        repo.git("worktree", "remove", "--force", "--force", str(place))


def _forget_lost_worktrees(repo: GitRepo) -> None:
    """Remove what a killed process left: temporary worktrees whose folder is gone."""
    for note in repo.common_dir.glob("worktrees/*/gitdir"):
        path = Path(git_text(note.read_bytes())).parent
        ours = any(part.lstrip(".").startswith(SCRATCH) for part in path.parts)
        if ours and not path.exists():
            run_git(repo.root, "worktree", "remove", "--force", "--force", str(path))


def add_worktree(
    repo: GitRepo, path: Path, commit: str, branch: str | None = None, *, checkout: bool = True
) -> None:
    """A linked working tree of a commit, on a new branch or detached."""
    how = ["-b", branch] if branch else ["--detach"]
    how += [] if checkout else ["--no-checkout"]
    optional = optional_filters(repo.root)
    repo.git(*optional, "worktree", "add", "--quiet", *how, str(path), commit)


def check_out(repo: GitRepo, branch: str, commit: str, *, new: bool, force: bool) -> None:
    """Go to a branch at a commit; ``force``: whatever files a pull that was killed left."""
    how = [*(["-b"] if new else []), branch, *([commit] if new else [])]
    optional = optional_filters(repo.root)
    repo.git(*optional, "checkout", "--quiet", *(["--force"] if force else []), *how)


def drop_branch(repo: GitRepo, branch: str) -> None:
    """Delete a branch of our own making, if it is there."""
    run_git(repo.root, "branch", "--quiet", "-D", branch)
