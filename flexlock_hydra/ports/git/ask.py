"""Questions to git about a working tree: processes that run beside their caller."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.command import Started, git_text, run_git, start_git


@dataclass(frozen=True)
class WorkingTreeRequest:
    """A look at a working tree that git was asked for; it runs side by side."""

    at: int
    """Nanoseconds since the epoch, before git looked."""
    config: Started
    head: Started
    index: Started
    status: Started


@dataclass(frozen=True)
class Ahead:
    """A look that was asked for before it was known where the working tree is."""

    place: Started
    asked: WorkingTreeRequest


@contextmanager
def ask_working_tree(folder: Path) -> Iterator[WorkingTreeRequest]:
    """Ask about the working tree that holds a folder; end what is not answered by the end.

    Raises:
        GitError: git cannot be started.
    """
    at, files = time.time_ns(), ("ls-files", "-v", "-s", "-z", "--full-name", "--", ":/")
    with (
        start_git(folder, "config", "--list", "-z") as config,
        start_git(folder, "cat-file", "--batch", reads=True) as head,
        start_git(folder, *files) as index,
        ask_status(folder) as status,  # the last: its threads take every processor
    ):
        yield WorkingTreeRequest(at, config, head, index, status)


@contextmanager
def ask_working_tree_ahead(folder: Path) -> Iterator[Ahead | None]:
    """Ask about the working tree that holds a folder, and where its root is, before it is needed.

    None where git cannot be started: whoever asks again gets the error.
    """
    with ExitStack() as begun:
        try:
            found = Ahead(
                place=begun.enter_context(ask_place(folder)),
                asked=begun.enter_context(ask_working_tree(folder)),
            )
        except GitError:
            yield None
            return
        yield found


def ask_place(folder: Path) -> Started:
    """Ask for the root of the working tree that holds a folder, and for its git folder."""
    return start_git(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir")


def optional_filters(folder: Path) -> list[str]:
    """Settings with which a file that a filter cannot change is what it is, and no error.

    The filter's program, or what it keeps elsewhere, may not be on this machine.
    """
    pattern = r"^filter\..*\.required$"
    found = run_git(folder, "config", "--name-only", "--get-regexp", pattern).stdout
    return [word for name in git_text(found).splitlines() for word in ("-c", f"{name}=false")]


def ask_status(
    folder: Path,
    *config: str,
    untracked: bool = True,
    ignored: bool = False,
    folded: bool = False,
) -> Started:
    """Ask what differs from HEAD and the index; nothing of the user's is written.

    ``config``: settings for this command alone. ``folded``: a folder that git tracks nothing of is
    named instead of the files in it.
    """
    which = ("normal" if folded else "all") if untracked else "no"
    also = ("matching" if folded else "traditional") if ignored else "no"
    kinds = (f"--untracked-files={which}", f"--ignored={also}", "--ignore-submodules=all")
    how = ("--porcelain=v2", "-z", "--branch", *kinds, "--no-renames")
    return start_git(folder, *config, "status", *how)
