"""Find where a tag is, and fetch it: into this repository, or into one that is given back."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from flexlock_hydra.archive.remotes.choose import choose_git_remote
from flexlock_hydra.archive.remotes.verdicts import merge_theirs
from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import FlexlockError, GitError, RunNotFoundError
from flexlock_hydra.ports.git.command import git, redact_url, run_git
from flexlock_hydra.ports.git.remote import fetch_refs, remote_refs, require_harmless
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout

_SHA256_HEX = 64
# A URL, ``host:path``, or what must be refused as neither.
_REMOTE = re.compile(r"[\w+.-]+://|[\w.@-]+:(?![\\/]{2})|\s*-")


def fetch_tag(repo: GitRepo, here: GitRepo | None, tag: str, source: str | None) -> Tagged:
    """The tag in a repository, read and found safe; one that is not does not stay there."""
    brought = _bring_tag(repo, here, tag, source)
    try:
        return read_tagged(repo, tag)
    except FlexlockError:
        if brought:
            repo.git("update-ref", "-d", f"refs/tags/{tag}")
        raise


def _bring_tag(repo: GitRepo, here: GitRepo | None, tag: str, source: str | None) -> bool:
    """Fetch a tag, unless the repository has it with all its commits; whether it was fetched."""
    if repo.tags(tag):
        return False
    url = repo.remote_url("origin") if repo != here and source is None else None
    url = url or source_of(here or repo, source, tag)
    ref = f"refs/tags/{tag}"
    found = remote_refs(repo.root, url, ref, layout.VERDICTS)
    if ref not in found:
        raise RunNotFoundError(f"{redact_url(url)} has no tag {tag}", hint=how_to_list_tags(url))
    fetch_refs(repo.root, url, [f"{ref}:{ref}"])
    if layout.VERDICTS in found:
        merge_theirs(repo, url, found[layout.VERDICTS])
    return True


def source_of(here: GitRepo | None, source: str | None, tag: str) -> str:
    """The URL to fetch from: what was given, else where this repository has the tag."""
    if source is not None:
        require_harmless(source)
        local = os.path.expanduser(source)
        return os.path.abspath(local) if os.path.exists(local) else source
    if here is None:
        raise GitError(
            "this is no git repository, so the tag's home is unknown",
            hint="Say where the tag is: --from URL",
        )
    url = choose_git_remote(here, None)
    if url is not None and _remote_has(here, url, tag):
        return url
    if here.tags(tag):
        return str(here.root)
    asked = url or str(here.root)
    raise RunNotFoundError(f"no tag {tag} in {redact_url(asked)}", hint=how_to_list_tags(asked))


def how_to_list_tags(url: str) -> str:
    """The command that lists the runs' tags of a repository, as a hint."""
    return f"See which there are: git ls-remote --tags {redact_url(url)} 'flexlock/*'"


def _remote_has(repo: GitRepo, url: str, tag: str) -> bool:
    """Whether a git remote has a tag; a remote out of reach is as good as one without."""
    ref = f"refs/tags/{tag}"
    try:
        return ref in remote_refs(repo.root, url, ref)
    except GitError:
        if not repo.tags(tag):
            raise
        return False


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
            if place and there and not os.path.lexists(os.path.expanduser(name)):
                if (url := _url_of(place)) is not None:
                    return borrowed.enter_context(_borrowed_run(url, there))
            return find_run(name)

        yield find


def _url_of(place: str) -> str | None:
    """What to fetch from; None where a place is a folder to look around in."""
    folder = Path(os.path.expanduser(place))
    if os.path.isdir(folder):
        asked = ("rev-parse", "--is-bare-repository")
        is_bare = not GitRepo.find(folder) and run_git(folder, *asked).stdout.strip() == b"true"
        return os.path.abspath(folder) if is_bare else None
    require_harmless(place)
    if not _REMOTE.match(place):
        raise RunNotFoundError(
            f"no folder {place}", hint="Before # stands a folder, or the URL of a git repository."
        )
    return place


@contextmanager
def _borrowed_run(url: str, name: str) -> Iterator[RecordedRun]:
    """The run of a tag of a repository elsewhere, in a temporary repository."""
    tag = name.removeprefix("refs/tags/")
    if layout.parse_tag(tag) is None:
        raise RunNotFoundError(
            f"{name} is no tag of a run; of {redact_url(url)}, only tags can be named",
            hint=how_to_list_tags(url),
        )
    with tempfile.TemporaryDirectory(prefix="flexlock-", ignore_cleanup_errors=True) as folder:
        yield _run_of(read_tagged(_bring(Path(folder).resolve(), url, tag), tag))


def _bring(folder: Path, url: str, tag: str) -> GitRepo:
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
    (_, run_id) = layout.parse_tag(tagged.name) or ("", "")
    for path, lock in tagged.locks.items():
        if lock.run.id == run_id:
            ((_, content),) = tagged.repo.read_blobs([tagged.tree[path].oid])
            place = tagged.repo.root
            return RecordedRun(place / path, lock, place, tagged.repo, content, tagged.name)
    raise RunNotFoundError(
        f"{tagged.name} stands for a sweep", hint=f"Restore it: flexlock-hydra pull {tagged.name}"
    )
