"""The name of this user, as a push and a verdict write it down."""

from __future__ import annotations

import getpass
import os

from flexlock_hydra.ports.git.repo import GitRepo


def user_name(repo: GitRepo | None) -> str:
    """The user by git's name, else the system's; by number where it has none, as in containers."""
    named = os.environ.get("GIT_COMMITTER_NAME") or (repo.config("user.name") if repo else None)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        return f"uid {os.getuid()}"
