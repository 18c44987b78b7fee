"""Find runs in repositories elsewhere: ``URL#TAG``, fetched for a while and given back."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flexlock_hydra.archive.pull.fetch_tag import how_to_list_tags
from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import GitError, RunNotFoundError
from flexlock_hydra.ports.git.command import git, redact_url, run_git
from flexlock_hydra.ports.git.remote import fetch_refs, remote_refs, require_harmless
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout

_SHA256_HEX = 64
_REMOTE = re.compile(r"[\w+.-]+://|[\w.@-]+:(?![\\/]{2})|\s*-")
"""A URL, ``host:path``, or what must be refused as neither."""


@contextmanager
def finding() -> Iterator[Callable[[str], RecordedRun]]:
    """Find runs by their names, ``PLACE#NAME`` too; what was fetched is gone at the end.

    PLACE is a folder, from which NAME is seen, or a git URL or a bare repository; there
    NAME is a tag. The function that is given raises what
    :func:`flexlock_hydra.archive.runs.find.find_run` does, and GitError.
    """
    with ExitStack() as borrowed:

        def find(name: str) -> RecordedRun:
            place, _, there = name.rpartition("#")
            if not place or not there or os.path.lexists(os.path.expanduser(name)):
                return find_run(name)
            url = _url_of(place)
            if url is None:
                return find_run(name)
            return borrowed.enter_context(_borrowed_run(url, there))

        yield find


def _url_of(place: str) -> str | None:
    """What to fetch from; None where a place is a folder to look around in.

    Raises:
        RunNotFoundError: it is neither. GitError: it could run programs.
    """
    folder = os.path.expanduser(place)
    if os.path.isdir(folder):
        return os.path.abspath(folder) if _is_bare(Path(folder)) else None
    require_harmless(place)
    if not _REMOTE.match(place):
        raise RunNotFoundError(
            f"no folder {place}", hint="Before # stands a folder, or the URL of a git repository."
        )
    return place


def _is_bare(folder: Path) -> bool:
    if GitRepo.find(folder) is not None:
        return False
    return run_git(folder, "rev-parse", "--is-bare-repository").stdout.strip() == b"true"


@contextmanager
def _borrowed_run(url: str, name: str) -> Iterator[RecordedRun]:
    """The run of a tag of a repository elsewhere, in a temporary repository.

    Raises:
        RunNotFoundError: no such tag, or not a run's. GitError: out of reach.
    """
    tag = name.removeprefix("refs/tags/")
    if layout.parse_tag(tag) is None:
        raise RunNotFoundError(
            f"{name} is no tag of a run; of {redact_url(url)}, only tags can be named",
            hint=how_to_list_tags(url),
        )
    with tempfile.TemporaryDirectory(prefix="flexlock-", ignore_cleanup_errors=True) as folder:
        yield _run_of(read_tagged(_bring(Path(folder).resolve(), url, tag), tag))


def _bring(folder: Path, url: str, tag: str) -> GitRepo:
    """A new repository with a tag of another one."""
    ref = f"refs/tags/{tag}"
    oid = remote_refs(folder, url, ref).get(ref)
    if oid is None:
        raise RunNotFoundError(f"{redact_url(url)} has no tag {tag}", hint=how_to_list_tags(url))
    # git refuses to fetch objects of one kind into a repository of the other.
    kind = "sha256" if len(oid) == _SHA256_HEX else "sha1"
    git(folder, "init", "--quiet", "--template=", f"--object-format={kind}")
    repo = GitRepo.find(folder)
    if repo is None:
        raise GitError(f"git made no repository in {folder}")
    fetch_refs(folder, url, [f"{ref}:{ref}"])
    return repo


def _run_of(tagged: Tagged) -> RecordedRun:
    """The one run of a tag.

    Raises:
        RunNotFoundError: it stands for a sweep.
    """
    (_, run_id) = layout.parse_tag(tagged.name) or ("", "")
    for path, lock in tagged.locks.items():
        if lock.run.id == run_id:
            ((_, content),) = tagged.repo.read_blobs([tagged.tree[path].oid])
            place = tagged.repo.root
            return RecordedRun(place / path, lock, place, tagged.repo, content, tagged.name)
    raise RunNotFoundError(
        f"{tagged.name} stands for a sweep", hint=f"Restore it: flexlock-hydra pull {tagged.name}"
    )
