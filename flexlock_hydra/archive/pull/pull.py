"""Pull: a tag becomes a folder with the code, the data and the locks in their places."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.pull import destination, restore_data, selection
from flexlock_hydra.archive.pull.destination import Destination
from flexlock_hydra.archive.pull.fetch_tag import fetch_tag, source_of
from flexlock_hydra.archive.pull.restore_data import COPY, LINKS, RestoredData
from flexlock_hydra.archive.pull.selection import PullSelection
from flexlock_hydra.archive.remotes.choose import named_remote, with_settings
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import FlexlockError, GitError, RunNotFoundError, TargetError
from flexlock_hydra.ports.git.command import require_version
from flexlock_hydra.ports.git.large_files import lfs_not_fetched
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.worktrees import check_out, unpack_commit
from flexlock_hydra.ports.safe_write import SafeFolder
from flexlock_hydra.ports.store.folder import FolderStore
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.wording import some_of

_MISSING = f"{layout.ARCHIVE_DIR}/MISSING"


@dataclass(frozen=True)
class PullOptions:
    """What the user of a pull may choose.

    Args:
        source: git URL or folder that has the tag; without it this repository and its
            ``origin``.
        into: a new or empty folder, one that an earlier pull of the tag began, or the root
            of a clean repository; ``<job>-<run id>`` without it.
        worktree: a linked worktree of this repository instead of a clone.
        link: ``copy``, ``reflink``, ``hardlink`` or ``symlink``: how files come from the
            cache, or from a data remote that is a folder.
        cache: a folder of objects, in DVC's form, shared by pulls.
        remote: the data remote, where it is another one by now than the tag names.
        only: names of the data, as their locks have them, that are fetched.
        data: whether data is fetched at all.
        outputs: whether the outputs are.
        progress: hears of the download, in objects: done, and in all.
    """

    source: str | None = None
    into: Path | None = None
    worktree: bool = False
    link: str = COPY
    cache: Path | None = None
    remote: str | None = None
    only: tuple[str, ...] = ()
    data: bool = True
    outputs: bool = True
    progress: Callable[[int, int], None] = lambda done, total: None

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise TargetError(f"no kind of link {self.link}", hint=f"There is: {', '.join(LINKS)}")


@dataclass(frozen=True)
class Pulled:
    """A restored run: its folder and branch, files written, and what could not be."""

    path: str
    tag: str
    branch: str
    restored: int
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def pull(tag: str, **options: Any) -> Pulled:
    """Restore a pushed run or sweep.

    Args:
        options: see :class:`PullOptions`.

    Raises:
        RunNotFoundError: no such tag. TargetError: the folder is not free, or the tag
            would write outside of it. DataError, GitError, RemoteError.
    """
    require_version()
    return _pull(tag.removeprefix("refs/tags/"), PullOptions(**options))


def restore_for_drill(repo: GitRepo, tag: str, store: Store) -> tuple[str, ...]:
    """Restore a tag that a new repository has, from the store alone; which code is missing."""
    tagged = read_tagged(repo, tag)
    wanted = PullSelection.of(tagged, store)
    wanted.check()
    check_out(repo, "drill", tagged.commit, new=True, force=False)
    _restore_data(repo, wanted, PullOptions())
    return tuple(_unpack_repos(repo, tagged))


def pull_document(pulled: Pulled) -> dict[str, Any]:
    """The command's JSON document."""
    plain = {**vars(pulled), "missing": list(pulled.missing), "warnings": list(pulled.warnings)}
    return {key: value for key, value in plain.items() if key != "warnings" or value}


def _pull(tag: str, options: PullOptions) -> Pulled:
    named = layout.parse_tag(tag)
    if named is None:
        raise RunNotFoundError(
            f"{tag} is no tag of a run",
            hint=f"Such a tag is {layout.TAG_PREFIX}/<job>/<run id>; "
            "see: flexlock-hydra ls --remote",
        )
    place = Path(os.path.expanduser(options.into or f"{named[0]}-{named[1]}")).absolute()
    branch = f"run-{named[1]}"
    here = GitRepo.find(Path.cwd())
    with _open_destination(place, tag, branch, here, options) as goal:
        tagged = fetch_tag(goal.repo, here, tag, options.source)
        own, asked = here or goal.repo, options.remote  # the tag's with this project's settings
        remote = with_settings(tagged.remote, own) if asked is None else named_remote(own, asked)
        only, data, outputs = options.only, options.data, options.outputs
        store = open_store(remote)
        wanted = PullSelection.of(tagged, store, only=only, data=data, outputs=outputs)
        wanted.check()
        if not goal.has_code:
            if goal.in_use:
                selection.require_no_other(goal.repo, wanted)
            _check_out(goal, tagged)
            goal.checked_out()
    # From here on a failure leaves what is there: the same pull goes on with it.
    missing = _unpack_repos(goal.repo, tagged)
    if wanted.files:
        _note_missing(goal.repo, tag, ["the data: its pull goes on, or was cut off"])
    try:
        filled = _restore_data(goal.repo, wanted, options, resumed=goal.has_code)
    except FlexlockError as error:
        _note_missing(goal.repo, tag, (*missing, f"the data is not complete: {error}"))
        raise
    missing += filled.missing
    _note_missing(goal.repo, tag, missing)
    root, warnings = str(goal.repo.root), _warnings_of(filled, options)
    if pointers := lfs_not_fetched(goal.repo, tagged.commit):
        warnings += (f"git LFS keeps the content of {some_of(pointers)}: git lfs pull",)
    return Pulled(root, tag, branch, filled.restored, tuple(missing), warnings)


def _open_destination(
    place: Path, tag: str, branch: str, here: GitRepo | None, options: PullOptions
) -> AbstractContextManager[Destination]:
    """Where a pull goes: on with one that began there, a worktree, a repository, a new clone."""
    if destination.is_begun(place, tag, branch):
        return destination.begun(place, tag, branch, lambda: source_of(here, options.source, tag))
    if options.worktree:
        if here is None:
            hint = "Leave --worktree out, or go to one."
            raise GitError("a worktree needs a git repository here", hint=hint)
        commit = fetch_tag(here, here, tag, options.source).commit
        return destination.new_worktree(here, place, commit, tag, branch)
    if (place / ".git").exists() and destination.repository_at(place):
        return destination.this_repository(place, tag, branch)
    return destination.new_clone(place, source_of(here, options.source, tag), tag, branch)


def _check_out(goal: Destination, tagged: Tagged) -> None:
    repo = goal.repo
    at = repo.rev_parse(f"refs/heads/{goal.branch}")
    if at not in (None, tagged.commit):
        raise TargetError(
            f"{repo.root} has a branch {goal.branch} that is somewhere else",
            hint=f"Rename or delete it: git branch -D {goal.branch}",
        )
    check_out(repo, goal.branch, tagged.commit, new=at is None, force=not goal.in_use)


def _unpack_repos(repo: GitRepo, tagged: Tagged) -> list[str]:
    """Check the runs' other repositories out in their places; those that did not travel."""
    missing = []
    done: dict[str, str] = {}
    for each in selection.extra_repos_of_tag(tagged):
        place, commit = each.restored, each.state.commit
        if done.setdefault(place, commit) != commit:
            missing.append(f"{place}: another job's code of repository {each.name}")
        elif repo.has_object(f"{commit}^{{tree}}"):
            with SafeFolder(repo.root) as inside:  # a link of an outer one could be on the way
                inside.make_folder(place)
            unpack_commit(repo, commit, repo.root / place)
        else:
            missing.append(f"{place}: the code of repository {each.name}")
    return list(dict.fromkeys(missing))


def _restore_data(
    repo: GitRepo, wanted: PullSelection, options: PullOptions, *, resumed: bool = False
) -> RestoredData:
    if wanted.store is None:
        return RestoredData()
    sizes = wanted.store.sizes(sorted(set(wanted.contents.files.values())))
    restore_data.check_sizes(wanted.contents, sizes, sum(out.size for out in wanted.tagged.outs))
    cache = FolderStore(RemoteSpec(str(options.cache.absolute()))) if options.cache else None
    filler = restore_data.DataRestorer(
        repo.root, repo.git_dir, wanted.store, options.link, cache, options.progress, resumed
    )
    filled = filler.fill(wanted.files, wanted.shape(), sizes)
    lost = tuple(f"{path}: {why}" for path, why in sorted(wanted.lost.items()))
    return RestoredData(filled.restored, (*lost, *filled.missing), filled.copied)


def _note_missing(repo: GitRepo, tag: str, missing: Collection[str]) -> None:
    """Leave a file in the folder that says what is missing; take it away when nothing is."""
    with SafeFolder(repo.root) as inside:
        if missing:
            lines = [f"flexlock-hydra pull {tag} --into {repo.root}  # finishes this", *missing]
            text = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
            inside.write(_MISSING, lambda fd: _write(fd, text))
        elif inside.look(_MISSING) is not None:
            inside.remove(_MISSING)


def _write(fd: int, content: bytes) -> None:
    with open(fd, "wb", closefd=False) as file:
        file.write(content)


def _warnings_of(filled: RestoredData, options: PullOptions) -> tuple[str, ...]:
    if filled.copied:
        return (f"{filled.copied} files are copies: no {options.link} can be made here",)
    if options.link in (restore_data.HARDLINK, restore_data.SYMLINK) and filled.restored:
        origin = options.cache or "the data remote"
        return (
            f"the files are {options.link}s into {origin} and read-only: "
            "copy one before you change it, or you change it for everybody",
        )
    return ()
