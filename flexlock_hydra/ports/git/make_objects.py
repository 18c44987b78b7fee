"""Make git objects: commits, trees, blobs, tags. No ref, no file, no index of the user's moves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.command import git, git_text
from flexlock_hydra.ports.git.own_index import own_index
from flexlock_hydra.ports.git.repo import SCRATCH, GitRepo

_IDENTITY = {
    "GIT_AUTHOR_NAME": "flexlock-hydra",
    "GIT_AUTHOR_EMAIL": "flexlock-hydra@localhost",
    "GIT_COMMITTER_NAME": "flexlock-hydra",
    "GIT_COMMITTER_EMAIL": "flexlock-hydra@localhost",
}
# What a repository's own configuration may say of how to sign
_SIGNING = (
    "gpg.format",
    "gpg.program",
    "gpg.openpgp.program",
    "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand",
    "gpg.x509.program",
)


def commit_tree(
    repo: GitRepo, tree: str, parents: Iterable[str], message: str, date: str
) -> str:
    """A commit that is a function of its arguments alone."""
    raw = f"@{date}"  # without the sign git reads small numbers as something else
    dates = {"GIT_AUTHOR_DATE": raw, "GIT_COMMITTER_DATE": raw}
    words = [word for parent in parents for word in ("-p", parent)]
    return repo.git(
        "commit-tree", tree, *words, stdin=message.encode(), env=_IDENTITY | dates
    )


def hash_raw(repo: GitRepo, paths: Sequence[str]) -> list[str]:
    """Store files byte for byte, whatever git's filters say; their ids."""
    names = b"".join(os.fsencode(path) + b"\n" for path in paths)
    return repo.git(
        "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names
    ).splitlines()


def hash_files(repo: GitRepo, root: Path, paths: Sequence[str]) -> list[str]:
    """The blob ids of files anywhere, byte for byte; nothing is stored."""
    names = b"".join(os.fsencode(root / path) + b"\n" for path in paths)
    how = ("hash-object", "--no-filters", "--stdin-paths")
    return repo.git(*how, stdin=names).splitlines() if paths else []


def write_blobs(repo: GitRepo, contents: Sequence[bytes]) -> list[str]:
    """Store bytes as blobs; their ids."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        for number, content in enumerate(contents):
            Path(folder, str(number)).write_bytes(content)
        return hash_raw(repo, [os.path.join(folder, str(n)) for n in range(len(contents))])


def edit_tree(
    repo: GitRepo, tree: str, put: Mapping[str, bytes], remove: Iterable[str] = ()
) -> str:
    """A tree with files put in and leaves removed."""
    null = "0" * len(tree)
    lines = [b"0 %s\t%s\0" % (null.encode(), os.fsencode(path)) for path in remove]
    for path, oid in zip(put, write_blobs(repo, [*put.values()]), strict=True):
        lines.append(b"100644 %s 0\t%s\0" % (oid.encode(), os.fsencode(path)))
    with own_index(repo, copy=False) as index:
        index.git("read-tree", tree)
        index.git("update-index", "-z", "--index-info", stdin=b"".join(lines))
        return index.git("write-tree")


def make_tag_object(repo: GitRepo, tag: str, commit: str, message: str, date: str) -> str:
    """An annotated tag object, not yet reachable by any ref."""
    name, email = _IDENTITY["GIT_COMMITTER_NAME"], _IDENTITY["GIT_COMMITTER_EMAIL"]
    content = (
        f"object {commit}\ntype commit\ntag {tag}\ntagger {name} <{email}> {date}\n\n{message}"
    )
    return repo.git("mktag", stdin=content.encode())


def read_tag_object(repo: GitRepo, oid: str) -> bytes:
    """The bytes of a tag object.

    Raises:
        GitError: it is none, or not here.
    """
    return git(repo.root, "cat-file", "tag", oid)


def sign_tag(repo: GitRepo, tag: str, commit: str, message: str, date: str) -> str:
    """An annotated tag object, signed as git's configuration says; not yet reachable by any ref.

    It is made beside a repository that shares this one's objects: no ref of ours moves.

    Raises:
        GitError: there is no key, or it cannot be used.
    """
    key = repo.config("user.signingkey") or repo.config("user.email")
    kept = {name: repo.config(name) for name in _SIGNING}
    config = [w for name, value in kept.items() if value for w in ("-c", f"{name}={value}")]
    dates = {"GIT_AUTHOR_DATE": f"@{date}", "GIT_COMMITTER_DATE": f"@{date}"}
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
        git(repo.root, "init", "--quiet", "--bare", _object_format(repo), "--", folder)
        env = {
            **_IDENTITY,
            **dates,
            "GIT_DIR": folder,
            "GIT_OBJECT_DIRECTORY": str(repo.common_dir / "objects"),
        }
        how = ("tag", "--sign", f"--local-user={key}", "--cleanup=verbatim", "--file=-")
        try:
            if not key:
                raise GitError("no user.signingkey")
            repo.git(*config, *how, tag, commit, stdin=message.encode(), env=env)
        except GitError as error:
            raise GitError(
                f"tag {tag} cannot be signed: {error}",
                hint="Name your key: git config user.signingkey KEY, for ssh also: "
                "git config gpg.format ssh; or leave --sign out.",
            ) from error
        return git_text(git(repo.root, "rev-parse", f"refs/tags/{tag}", env=env))


def _object_format(repo: GitRepo) -> str:
    said = repo.git("rev-parse", "--show-object-format")
    return f"--object-format={said}"
