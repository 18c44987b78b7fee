"""Git repositories elsewhere: what they have, what is sent and fetched, who may."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.command import git, redact_url
from flexlock_hydra.ports.git.objects import look_up, oid_lines

# A fetched object is looked at before it is kept: names like .git in any spelling, URLs of
# submodules that would run a command. What old programs wrote and nothing suffers from passes.
_HARMLESS = (
    "badTimezone missingSpaceBeforeDate zeroPaddedDate zeroPaddedFilemode missingEmail "
    "missingSpaceBeforeEmail badName badEmail missingNameBeforeEmail missingTaggerEntry "
    "nullSha1 badFilemode".split()
)
_CHECKED = ["-c", "fetch.fsckObjects=true"]
_CHECKED += [word for name in _HARMLESS for word in ("-c", f"fetch.fsck.{name}=ignore")]
_RUNS_PROGRAMS = re.compile(r"\s*[\w+.-]*::|\s*-")
_UNSAFE = re.compile(r"error: object [0-9a-f]+: (.*)")
_REFUSED = re.compile(
    r"could not read (?:Username|Password)|Authentication failed|Permission denied|"
    r"Host key verification failed|requested URL returned error: 40[13]|terminal prompts disabled"
)


def require_harmless(url: str) -> None:
    """Refuse what git would take for a program to run, or for an option.

    Raises:
        GitError: it is.
    """
    if _RUNS_PROGRAMS.match(url):
        raise GitError(f"{redact_url(url)}: this kind of URL can run programs")


def remote_refs(root: Path, url: str, *patterns: str) -> dict[str, str]:
    """The refs of a remote that match: name -> object id; peeled tags are left out.

    Raises:
        GitError: the remote cannot be reached.
    """
    with _explained(url):
        listed = git(root, "ls-remote", "--", url, *patterns).decode("utf-8", "replace")
    pairs = [line.split("\t", 1) for line in listed.splitlines() if "\t" in line]
    return {name: oid for oid, name in pairs if not name.endswith("^{}")}


def push_refs(root: Path, url: str, refs: Mapping[str, str]) -> None:
    """Point refs of a remote at objects of ours, all or none; an empty id deletes.

    What is there and would be lost is not overwritten.

    Raises:
        GitError: the remote refused, or cannot be reached.
    """
    words = [f"{oid}:{ref}" for ref, oid in refs.items()]
    with _explained(url):
        git(root, "push", "--atomic", "--no-verify", "--quiet", "--", url, *words)


def fetch_refs(root: Path, url: str, refspecs: Sequence[str]) -> None:
    """Fetch refs, every object looked at.

    Raises:
        GitError: the remote refused or cannot be reached, or an object is not safe.
    """
    how = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    with _explained(url):
        git(root, *_CHECKED, *how, "--", url, *refspecs)


def new_blobs(
    root: Path, commits: Iterable[str], known: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Blobs that commits reach and other objects do not: ``(id, path)``.

    ``known`` are object ids; those that are not here are passed over.
    """
    here = [oid for oid, kind, _ in look_up(root, known) if kind in ("commit", "tag")]
    words = [*commits, *(f"^{oid}" for oid in here)]
    listed = git(root, "rev-list", "--objects", "--stdin", stdin=oid_lines(words))
    named = [line.split(" ", 1) for line in listed.decode("utf-8", "surrogateescape").splitlines()]
    paths = {words[0]: words[1] for words in named if len(words) == 2 and words[1]}
    for oid, kind, _ in look_up(root, paths):
        if kind == "blob":
            yield oid, paths[oid]


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Git's refusal with what to do about it."""
    try:
        yield
    except GitError as error:
        if "fsck error" in str(error) or "fsck" in str(error) and "unpack" in str(error):
            why = _UNSAFE.search(str(error))
            raise GitError(
                f"{redact_url(url)} sent an object that is not safe: {why[1] if why else error}",
                hint="Do not trust this tag; ask who pushed it.",
            ) from error
        if _REFUSED.search(str(error)):
            raise GitError(
                f"{redact_url(url)} lets nobody in without credentials: {error}",
                hint="Give git yours (an ssh key, a credential helper), until this works: "
                f"git ls-remote {redact_url(url)}",
            ) from error
        raise
