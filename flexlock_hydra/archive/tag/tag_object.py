"""The tag of a push: its object, whether its name is free, who made it."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flexlock_hydra.archive.tag.manifest import parse_json
from flexlock_hydra.errors import GitError, PushError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.make_objects import make_tag_object, read_tag_object, sign_tag
from flexlock_hydra.ports.git.remote import fetch_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import with_parents

_RENAME = {"tag": "git tag NEW {0} && git tag -d {0}", "branch": "git branch -m {0} NEW"}


class TagObject(NamedTuple):
    """What a tag object says: a function of the run, the same on any machine."""

    name: str
    commit: str
    message: str
    date: str


def local_refs(repo: GitRepo, refs: Iterable[str]) -> dict[str, str | None]:
    """Refs and those above them -> the objects that they point at here; None: no such ref."""
    names = sorted({*refs, *_above(refs)})
    asked = "".join(f"{name}\n" for name in names).encode()
    said = repo.git("cat-file", "--batch-check=%(objectname)", stdin=asked).splitlines()
    return {
        name: None if line.endswith(" missing") else line
        for name, line in zip(names, said, strict=True)
    }


def make_tag(
    repo: GitRepo,
    wanted: TagObject,
    here: str | None,
    there: str | None,
    url: str | None,
    *,
    sign: bool,
) -> str:
    """Make the tag object, unless there is one already, signed or not; its id.

    Args:
        here: the id of the object that this repository has under its name.
        there: the id of the object that the git remote, whose URL follows, has.

    Raises:
        PushError: a tag of the name with other content, there or here.
        GitError: it cannot be signed.
    """
    plain = make_tag_object(repo, *wanted)
    if there is not None:
        if url and not repo.has_object(there):  # brought without a ref
            fetch_refs(repo.root, url, [f"refs/tags/{wanted.name}"])
        if there != plain and not _says_the_same(repo, plain, there):
            raise PushError(
                f"tag {wanted.name} exists in {redact_url(url or '')} with other content",
                hint="It was pushed before, with another data remote, another layout or without "
                f"outputs. If it is not wanted: flexlock-hydra rm {wanted.name} --yes",
            )
        if sign and there == plain:
            raise PushError(
                f"tag {wanted.name} exists in {redact_url(url or '')}, unsigned",
                hint="A tag that others may have is not replaced; leave --sign out.",
            )
        return there
    if here is not None and here != plain:
        if _says_the_same(repo, plain, here):
            return here
        if not _is_ours(repo, wanted.name):
            raise PushError(
                f"tag {wanted.name} exists in {repo.root} with other content",
                hint=f"Delete it if it is not wanted: git tag -d {wanted.name}",
            )
    return sign_tag(repo, *wanted) if sign else plain


def require_free(
    repo: GitRepo,
    url: str | None,
    here: Mapping[str, str | None],
    there: Mapping[str, str],
    wanted: Mapping[str, str],
) -> None:
    """Refuse, before anything is sent, what could not be pushed in the end.

    Args:
        here: the refs of this repository, see :func:`local_refs`.
        there: the refs of the git remote.

    Raises:
        PushError: a ref above a wanted one, or a branch of the name that is somewhere else.
    """
    require_branch(repo, here, wanted)
    for ref in _above(wanted):
        kind, name = _kind_and_name(ref)
        for where, has in ((redact_url(url or ""), there.get(ref)), (str(repo.root), here[ref])):
            if has is not None:
                raise PushError(
                    f"{kind} {name} in {where} leaves no room for {kind}s below {name}/",
                    hint=f"Give it another name there: {_RENAME[kind].format(name)}",
                )
    for ref, oid in wanted.items():
        if ref.startswith("refs/heads/") and there.get(ref, oid) != oid:
            name = _kind_and_name(ref)[1]
            raise PushError(
                f"branch {name} exists in {redact_url(url or '')} at {there[ref]}",
                hint="Delete it there if it is not wanted, or leave --branch out.",
            )


def _above(refs: Iterable[str]) -> list[str]:
    """The names that refs must leave free: ``refs/tags/a`` for ``refs/tags/a/b``."""
    return [up for ref in refs for up in [*with_parents(ref)][1:-2]]


def _kind_and_name(ref: str) -> tuple[str, str]:
    _, kind, name = ref.split("/", 2)
    return {"tags": "tag", "heads": "branch"}[kind], name


def require_branch(
    repo: GitRepo, here: Mapping[str, str | None], wanted: Mapping[str, str]
) -> None:
    """Refuse to move a branch that is somewhere else.

    Raises:
        PushError: there is one.
    """
    for ref, oid in wanted.items():
        if ref.startswith("refs/heads/") and here[ref] not in (None, oid):
            name = ref.removeprefix("refs/heads/")
            raise PushError(
                f"branch {name} exists in {repo.root} at {here[ref]}",
                hint=f"Delete it if it is not wanted: git branch -D {name}",
            )


def note_who(store: Store, repo: GitRepo, tag: str) -> None:
    """Write down, beside the manifest, who pushed a tag first: no tag object can say so."""
    name = layout.pushed_path(tag)
    if store.read_file(name) is None:
        who = user_name(repo)
        email = os.environ.get("GIT_COMMITTER_EMAIL") or repo.config("user.email")
        said = {
            "by": f"{who} <{email}>" if email else who,
            "host": socket.gethostname(),
            "at": layout.utc_now().isoformat(timespec="seconds"),
        }
        store.write_file(name, json.dumps(said).encode())


def _says_the_same(repo: GitRepo, plain: str, other: str) -> bool:
    """Whether a tag object is another one with a signature below it."""
    try:
        said = read_tag_object(repo, other)
    except GitError:
        return False
    return said.startswith(read_tag_object(repo, plain)) and b"-----BEGIN" in said


def _is_ours(repo: GitRepo, tag: str) -> bool:
    """Whether a local tag came from an earlier push of the same run: it may be replaced."""
    message = repo.git("for-each-ref", "--format=%(contents:body)", f"refs/tags/{tag}")
    return bool(parse_json(message).get("tag") == tag)


def user_name(repo: GitRepo | None) -> str:
    """The user by git's name, else the system's; by number where it has none, as in containers."""
    named = os.environ.get("GIT_COMMITTER_NAME") or (repo.config("user.name") if repo else None)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        return f"uid {os.getuid()}"
