"""Make git objects: commits, trees, blobs, tags. No ref, no file, no index of the user's moves.

Trees are made in an index of our own beside the user's.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.command import git, git_records, git_text
from flexlock_hydra.ports.git.repo import SCRATCH, GitRepo, TreeEntry
from flexlock_hydra.ports.git.status import GITLINK

_IDENTITY = {
    "GIT_AUTHOR_NAME": "flexlock-hydra",
    "GIT_AUTHOR_EMAIL": "flexlock-hydra@localhost",
    "GIT_COMMITTER_NAME": "flexlock-hydra",
    "GIT_COMMITTER_EMAIL": "flexlock-hydra@localhost",
}
# What a repository's own configuration may say of how to sign
_SIGNING = (
    *("gpg.format", "gpg.program", "gpg.openpgp.program", "gpg.ssh.program"),
    *("gpg.ssh.defaultKeyCommand", "gpg.x509.program"),
)
_DEFAULT_LINE_ENDS = ("-c", "core.autocrlf=false", "-c", "core.eol=native")


def commit_tree(repo: GitRepo, tree: str, parents: Iterable[str], message: str, date: str) -> str:
    """A commit that is a function of its arguments alone."""
    raw = f"@{date}"  # without the sign git reads small numbers as something else
    dates = {"GIT_AUTHOR_DATE": raw, "GIT_COMMITTER_DATE": raw}
    words = [word for parent in parents for word in ("-p", parent)]
    return repo.git("commit-tree", tree, *words, stdin=message.encode(), env=_IDENTITY | dates)


def hash_raw(repo: GitRepo, paths: Sequence[str]) -> list[str]:
    """Store files byte for byte, whatever git's filters say; their ids."""
    return _hash_objects(repo, paths, "-w")


def hash_files(repo: GitRepo, root: Path, paths: Sequence[str]) -> list[str]:
    """The blob ids of files anywhere, byte for byte; nothing is stored."""
    return _hash_objects(repo, [root / path for path in paths])


def _hash_objects(repo: GitRepo, paths: Sequence[str | Path], *how: str) -> list[str]:
    names = b"".join(os.fsencode(path) + b"\n" for path in paths)
    how = ("hash-object", *how, "--no-filters", "--stdin-paths")
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
    blobs = zip(put, write_blobs(repo, [*put.values()]), strict=True)
    nothing = TreeEntry("0", "0" * len(tree))  # which takes a path out
    with own_index(repo, copy=False) as index:
        index.git("read-tree", tree)
        entries = {path: TreeEntry("100644", oid) for path, oid in blobs}
        index.put(dict.fromkeys(remove, nothing) | entries)
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
        kind = repo.git("rev-parse", "--show-object-format")
        git(repo.root, "init", "--quiet", "--bare", f"--object-format={kind}", "--", folder)
        objects = str(repo.common_dir / "objects")
        env = _IDENTITY | dates | {"GIT_DIR": folder, "GIT_OBJECT_DIRECTORY": objects}
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


@contextmanager
def own_index(repo: GitRepo, *, copy: bool = True) -> Iterator[OwnIndex]:
    """A temporary index, a copy of the user's or empty.

    The copy keeps the modification time: git trusts an entry only when it is
    older than the index.
    """
    with tempfile.TemporaryDirectory(prefix="flexlock-index-") as folder:
        index = Path(folder, "index")
        source = repo.git_dir / "index"
        if copy and source.exists():
            shutil.copy2(source, index)
        yield OwnIndex(repo, index)


@dataclass(frozen=True)
class OwnIndex:
    """A temporary index of a repository, in the file ``path``."""

    repo: GitRepo
    path: Path

    def git(self, *args: str, stdin: bytes | None = None) -> str:
        """Run a git command that reads or writes this index; its output."""
        return self.repo.git(*args, stdin=stdin, env={"GIT_INDEX_FILE": str(self.path)})

    def stage(self, paths: Iterable[str]) -> None:
        """Take files from the working tree; those that are gone leave the index."""
        wanted = sorted(set(paths))
        gone = [path for path in wanted if _is_gone(self.repo.root, path)]
        there = sorted(set(wanted).difference(gone))
        for how, names in ((("--force-remove",), gone), (("--add", "--remove"), there)):
            if names:
                self.git("update-index", "-z", *how, "--stdin", stdin=_nul(names))

    def unhide(self, paths: Sequence[str]) -> None:
        """Make git look at files again that the user told it not to look at."""
        for flag in ("--no-assume-unchanged", "--no-skip-worktree") if paths else ():
            self.git("update-index", "-z", flag, "--stdin", stdin=_nul(paths))

    def put(self, entries: Mapping[str, TreeEntry]) -> None:
        """Put entries in as they are."""
        lines = [f"{entry.mode} {entry.oid}\t{path}" for path, entry in entries.items()]
        if lines:
            self.git("update-index", "-z", "--index-info", stdin=_nul(lines))

    def put_links(self, links: Mapping[str, str]) -> None:
        """Put the commits of submodules in."""
        self.put({path: TreeEntry(GITLINK, oid) for path, oid in links.items()})

    def kept_by_lfs(self, paths: Iterable[str], largest: int) -> list[str]:
        """Those of the files of at most so many bytes whose content git LFS keeps elsewhere."""
        files = [path for path in dict.fromkeys(paths) if _is_file(self.repo.root / path)]
        if not files:
            return []
        said = git_records(git(self.repo.root, "check-attr", "-z", "--stdin", "filter",
                               stdin=_nul(files), env={"GIT_INDEX_FILE": str(self.path)}))
        found = (path for path, value in zip(said[0::3], said[2::3]) if value == "lfs")
        return [path for path in found if (self.repo.root / path).stat().st_size <= largest]

    def not_checked_out_alike(self, paths: Iterable[str]) -> list[str]:
        """Those of the index's files that a checkout gives other bytes than they have.

        It is tried with the user's configuration of line ends and without.
        """
        files = [path for path in dict.fromkeys(paths) if _is_file(self.repo.root / path)]
        unlike: set[str] = set()
        for config in ((), _DEFAULT_LINE_ENDS) if files else ():
            with tempfile.TemporaryDirectory(prefix=SCRATCH) as folder:
                self.git(*config, "checkout-index", "-q", "-f", "-z", "--stdin",
                         f"--prefix={folder}/", stdin=_nul(files))
                unlike |= {
                    path for path in files if not _same(Path(folder, path), self.repo.root / path)
                }
        return sorted(unlike)


def _nul(names: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def _same(one: Path, other: Path) -> bool:
    """Whether a file has the bytes of another; one that is gone by now counts as the same."""
    return not _is_file(other) or one.is_file() and filecmp.cmp(one, other, shallow=False)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_gone(root: Path, path: str) -> bool:
    """Whether a tracked file is no more: deleted, or a folder above it is a link now."""
    place = f"{root}{os.sep}{path}"
    if not os.path.lexists(place):
        return True
    while path := path.rpartition("/")[0]:
        if os.path.islink(f"{root}{os.sep}{path}"):
            return True
    return False
