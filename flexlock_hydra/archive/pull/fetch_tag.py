"""Find where a tag is, and fetch it; one that is not safe does not stay in the repository."""

from __future__ import annotations

import os

from flexlock_hydra.archive.remotes.choose import choose_git_remote
from flexlock_hydra.archive.remotes.verdicts import merge_theirs
from flexlock_hydra.archive.tag.read_tag import Tagged, read_tagged
from flexlock_hydra.errors import FlexlockError, GitError, RunNotFoundError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.remote import fetch_refs, remote_refs, require_harmless
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout


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
