"""Whether files of its user's are in the way of a tag that is pulled into a repository."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from flexlock_hydra.archive.pull.selection import PullSelection, extra_repos_of_tag
from flexlock_hydra.errors import TargetError
from flexlock_hydra.ports.git.ask import ask_status
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.status import read_status
from flexlock_hydra.ports.safe_write import SafeFolder
from flexlock_hydra.ports.store.object_source import md5_of


def require_no_other(repo: GitRepo, wanted: PullSelection) -> None:
    """Refuse, before anything is changed, where the tag would meet files of the user's.

    Data may be there with the same bytes. What the tag tracks and HEAD does not may not,
    as a run's lock where the run was made: whoever goes back to HEAD would lose it.

    Raises:
        TargetError: one is in the way.
    """
    tracked = repo.ls_tree("HEAD") if repo.rev_parse("HEAD") else {}
    new = [path for path in wanted.tagged.tree if path not in tracked]
    with SafeFolder(repo.root) as inside:
        if here := [path for path in new if inside.look(path) is not None]:
            raise TargetError(
                f"{repo.root} has files of its own that the tag tracks: {', '.join(here[:3])}",
                hint="Restore it beside: --worktree, or --into DIR",
            )
        taken = [path for path in wanted.files if _is_other(inside, repo, wanted, path)]
        places = {each.restored for each in extra_repos_of_tag(wanted.tagged)}
        taken += [place for place in places if _holds_work(inside, repo.root, place)]
    if taken:
        raise TargetError(
            f"{repo.root} has other files where the tag has data: {', '.join(sorted(taken)[:3])}",
            hint="Move them away, or choose another folder: --into DIR",
        )


def _is_other(inside: SafeFolder, repo: GitRepo, wanted: PullSelection, path: str) -> bool:
    """Whether something else lies where the tag has a file."""
    if inside.look(path) is None:
        return False
    try:
        return md5_of(repo.root / path) != wanted.files[path]
    except OSError:  # a folder, a link to nowhere
        return True


def _holds_work(inside: SafeFolder, root: Path, place: str) -> bool:
    """Whether a place holds more than a repository without changes: files, or work in one."""
    found, folder = inside.look(place), root / place
    if found is None or stat.S_ISDIR(found.st_mode) and not os.listdir(folder):
        return False
    inner = GitRepo.find(folder) if stat.S_ISDIR(found.st_mode) else None
    if inner is None or inner.root != folder.resolve():
        return True
    with ask_status(inner.root) as asked:
        status = read_status(asked)
    return status.differs or bool(status.untracked)
