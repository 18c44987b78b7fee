"""The door to git repositories: the only user of GitPython."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.gitcmd import git, redact_url, run, text

if TYPE_CHECKING:
    import git as gitpython

_IDENTITY = {
    "GIT_AUTHOR_NAME": "flexlock-hydra",
    "GIT_AUTHOR_EMAIL": "flexlock-hydra@localhost",
    "GIT_COMMITTER_NAME": "flexlock-hydra",
    "GIT_COMMITTER_EMAIL": "flexlock-hydra@localhost",
}


GITLINK = "160000"
"""The mode of a submodule in a tree."""


@dataclass(frozen=True)
class Status:
    """``git status`` of a working tree, paths relative to its root."""

    head: str | None
    branch: str | None
    differs: bool
    """Whether any tracked path differs from HEAD or from the index."""
    changed: tuple[str, ...]
    """Tracked paths to take from the working tree."""
    untracked: tuple[str, ...]
    """Untracked paths that are not ignored; a nested repository ends with ``/``."""
    dirty_submodules: tuple[str, ...]
    """Submodules with edited or untracked files of their own."""


@dataclass(frozen=True)
class TreeEntry:
    """A leaf of a git tree."""

    mode: str
    oid: str


@dataclass(frozen=True)
class TreeDiff:
    """The paths in which two commits' trees differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


@dataclass(frozen=True)
class GitRepo:
    """A repository with a working tree at ``root``."""

    root: Path
    git_dir: Path

    @classmethod
    def find(cls, folder: Path) -> GitRepo | None:
        """The repository whose working tree holds ``folder``; None where there is none.

        Raises:
            GitError: no git, or a repository that git refuses to use.
        """
        done = run(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir")
        if done.returncode == 0:
            places = os.fsdecode(done.stdout).split("\n")[:-1]
            if len(places) != 2:  # a line break in the path: ask for one at a time
                asked = ("--show-toplevel", "--absolute-git-dir")
                places = [text(git(folder, "rev-parse", flag)) for flag in asked]
            return cls(Path(places[0]), Path(places[1]))
        said = text(done.stderr)
        if "not a git repository" in said or "must be run in a work tree" in said:
            return None
        raise GitError(f"git in {folder}: {said}")

    def git(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a git command at the root; its output without the last line end."""
        return text(git(self.root, *args, stdin=stdin, env=env))

    # Reading

    def status(self) -> Status:
        """What differs from HEAD and the index, without writing to the user's index."""
        raw = git(
            self.root,
            "status",
            "--porcelain=v2",
            "-z",
            "--branch",
            "--untracked-files=all",
            "--ignore-submodules=none",
            "--no-renames",
        )
        return _parse_status(raw)

    def rev_parse(self, name: str) -> str | None:
        """The id that a revision stands for, or None."""
        done = run(self.root, "rev-parse", "-q", "--verify", "--end-of-options", name)
        return text(done.stdout) if done.returncode == 0 else None

    def commit_date(self, commit: str) -> str:
        """The committer date, as git's raw ``<seconds> <offset>``."""
        lines = git(self.root, "cat-file", "commit", commit).splitlines()
        committer = next(line for line in lines if line.startswith(b"committer "))
        return " ".join(committer.decode("utf-8", "replace").split(" ")[-2:])

    def overlooked(self) -> tuple[str, ...]:
        """Tracked files that git was told not to look at: assume-unchanged, skip-worktree.

        Of the latter those that are there: in a sparse checkout the others never were.
        """
        records = git(self.root, "ls-files", "-v", "-z").split(b"\0")[:-1]
        flagged = [(record[:1], os.fsdecode(record[2:])) for record in records]
        return tuple(
            name
            for letter, name in flagged
            if (letter.islower() and letter != b"s")
            or (letter in b"Ss" and os.path.lexists(self.root / name))
        )

    def remote_url(self, name: str) -> str | None:
        """The URL of a remote by its name, credentials included."""
        done = run(self.root, "config", "--get", f"remote.{name}.url")
        return text(done.stdout) or None

    def config(self, key: str) -> str | None:
        """A value of git's configuration, or None."""
        done = run(self.root, "config", "--get", key)
        return text(done.stdout) or None

    def default_remote(self, branch: str | None) -> str | None:
        """The remote that the branch follows, else ``origin``, else the only one."""
        if branch and (name := self.config(f"branch.{branch}.remote")) not in (None, "."):
            return name
        names = self.git("remote").split()
        return "origin" if "origin" in names else names[0] if len(names) == 1 else None

    def ls_tree(self, treeish: str) -> dict[str, TreeEntry]:
        """Every leaf of a tree: path -> entry."""
        raw = git(self.root, "ls-tree", "-r", "-z", "--full-tree", treeish)
        tree = {}
        for record in raw.split(b"\0")[:-1]:
            meta, path = record.split(b"\t", 1)
            mode, _, oid = meta.decode().split(" ")
            tree[os.fsdecode(path)] = TreeEntry(mode, oid)
        return tree

    def read_file(self, commit: str, path: str) -> bytes | None:
        """A file of a commit, or None where it has none of that path."""
        oid = self.rev_parse(f"{commit}:{path}")
        return next(content for _, content in self.read_blobs([oid])) if oid else None

    def read_blobs(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The contents of blobs by id."""
        with self._gitpython() as repo:
            for oid in oids:
                yield oid, repo.odb.stream(bytes.fromhex(oid)).read()

    def diff(self, old: str, new: str) -> TreeDiff:
        """The paths in which two commits differ."""
        raw = git(self.root, "diff-tree", "-r", "-z", "--no-renames", "--name-status", old, new)
        words = [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]
        pairs = list(zip(words[0::2], words[1::2], strict=True))
        return TreeDiff(
            added=tuple(path for letter, path in pairs if letter == "A"),
            removed=tuple(path for letter, path in pairs if letter == "D"),
            changed=tuple(path for letter, path in pairs if letter not in "AD"),
        )

    def has_object(self, oid: str) -> bool:
        """Whether the repository holds an object."""
        return run(self.root, "cat-file", "-e", oid).returncode == 0

    def is_ignored(self, path: str) -> bool:
        """Whether git would ignore an untracked file of this path."""
        done = run(self.root, "check-ignore", "-q", "--no-index", "--", path)
        return done.returncode == 0

    def ignored(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that are ignored and not tracked."""
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        done = run(self.root, "check-ignore", "-z", "--stdin", stdin=names)
        return [os.fsdecode(name) for name in done.stdout.split(b"\0")[:-1]]

    def tags(self, pattern: str) -> dict[str, str]:
        """Local tags that match: name -> id of the tag object."""
        lines = self.git(
            "for-each-ref", "--format=%(objectname) %(refname:strip=2)", f"refs/tags/{pattern}"
        ).splitlines()
        return {name: oid for oid, name in (line.split(" ", 1) for line in lines)}

    def remote_tag(self, url: str, tag: str) -> str | None:
        """The id of a tag's object on a remote, or None.

        Raises:
            GitError: the remote cannot be reached.
        """
        listed = self.git("ls-remote", "--", url, f"refs/tags/{tag}").split()
        return listed[0] if listed else None

    # Writing: objects and refs only; never the index, HEAD or files

    @contextmanager
    def temporary_index(self, *, copy: bool = True) -> Iterator[dict[str, str]]:
        """An index of our own, a copy of the user's or empty, as environment for git.

        The copy keeps the modification time: git trusts an entry only when it is
        older than the index.
        """
        with tempfile.TemporaryDirectory(prefix="flexlock-index-") as folder:
            index = Path(folder, "index")
            source = self.git_dir / "index"
            if copy and source.exists():
                shutil.copy2(source, index)
            yield {"GIT_INDEX_FILE": str(index)}

    def commit_tree(
        self, tree: str, parents: Iterable[str], message: str, date: str
    ) -> str:
        """A commit that is a function of its arguments alone."""
        raw = f"@{date}"  # without the sign git reads small numbers as something else
        dates = {"GIT_AUTHOR_DATE": raw, "GIT_COMMITTER_DATE": raw}
        words = [word for parent in parents for word in ("-p", parent)]
        return self.git(
            "commit-tree", tree, *words, stdin=message.encode(), env=_IDENTITY | dates
        )

    def write_blob(self, content: bytes) -> str:
        """Store bytes as a blob; its id."""
        return self.git("hash-object", "-w", "--stdin", "--no-filters", stdin=content)

    def edit_tree(
        self, tree: str, put: Mapping[str, bytes], remove: Iterable[str] = ()
    ) -> str:
        """A tree with files put in and leaves removed."""
        null = "0" * len(tree)
        lines = [b"0 %s\t%s" % (null.encode(), os.fsencode(path)) for path in remove]
        for path, content in put.items():
            oid = self.write_blob(content).encode()
            lines.append(b"100644 %s 0\t%s" % (oid, os.fsencode(path)))
        with self.temporary_index(copy=False) as env:
            git(self.root, "read-tree", tree, env=env)
            git(
                self.root,
                "update-index",
                "-z",
                "--index-info",
                stdin=b"".join(line + b"\0" for line in lines),
                env=env,
            )
            return text(git(self.root, "write-tree", env=env))

    def make_tag_object(self, tag: str, commit: str, message: str, date: str) -> str:
        """An annotated tag object, not yet reachable by any ref."""
        name, email = _IDENTITY["GIT_COMMITTER_NAME"], _IDENTITY["GIT_COMMITTER_EMAIL"]
        content = (
            f"object {commit}\ntype commit\ntag {tag}\ntagger {name} <{email}> {date}\n\n{message}"
        )
        return self.git("mktag", stdin=content.encode())

    def update_ref(self, ref: str, oid: str, *, must_be_new: bool = False) -> None:
        """Point a ref at an object."""
        old = ["0" * len(oid)] if must_be_new else []
        self.git("update-ref", ref, oid, *old)

    def push_tag(self, url: str, tag: str, oid: str) -> None:
        """Push one tag, atomically; the tag on the remote must be new or the same."""
        self.git("push", "--atomic", "--no-verify", "--", url, f"{oid}:refs/tags/{tag}")

    @contextmanager
    def worktree(self, commit: str) -> Iterator[GitRepo]:
        """A temporary working tree of a commit, removed at the end."""
        with tempfile.TemporaryDirectory(prefix="flexlock-") as folder:
            path = Path(folder, self.root.name)
            self.add_worktree(path, commit)
            try:
                found = GitRepo.find(path)
                assert found is not None
                yield found
            finally:
                self.git("worktree", "remove", "--force", "--force", str(path))

    def add_worktree(self, path: Path, commit: str, branch: str | None = None) -> None:
        """A linked working tree of a commit, on a new branch or detached."""
        how = ["-b", branch] if branch else ["--detach"]
        self.git("worktree", "add", "--quiet", *how, str(path), commit)

    def drop_branch(self, branch: str) -> None:
        """Delete a branch of our own making, if it is there."""
        run(self.root, "branch", "--quiet", "-D", branch)

    @classmethod
    def clone_tag(cls, url: str, tag: str, into: Path, branch: str) -> GitRepo:
        """Fetch one tag of a repository into a new folder, on a branch of its own.

        Raises:
            GitError: the URL cannot be reached or is of an unsafe kind, or has no such tag.
        """
        repo = cls.init_with_remote(url, into)
        ref = f"refs/tags/{tag}"
        if repo.remote_tag("origin", tag) is None:
            raise GitError(
                f"{redact_url(url)} has no tag {tag}",
                hint=f"See which there are: git ls-remote --tags {redact_url(url)}",
            )
        repo.git("fetch", "--quiet", "--no-tags", "origin", f"{ref}:{ref}")
        repo.git("checkout", "--quiet", "-b", branch, f"{ref}^{{commit}}")
        return repo

    @classmethod
    def init_with_remote(cls, url: str, into: Path) -> GitRepo:
        """A new repository whose ``origin`` is ``url``; GitPython refuses unsafe kinds."""
        import git as gitpython

        git(into.parent, "init", "--quiet", "--", str(into))
        try:
            with gitpython.Repo(into) as repo:
                repo.create_remote("origin", url)
        except gitpython.exc.UnsafeProtocolError as error:
            raise GitError(f"{redact_url(url)}: this kind of URL can run programs") from error
        found = cls.find(into)
        assert found is not None
        return found

    @contextmanager
    def _gitpython(self) -> Iterator[gitpython.Repo]:
        import git as gitpython

        with gitpython.Repo(self.root) as repo:
            repo.git.update_environment(GIT_DIR=str(self.git_dir))
            yield repo


def blob_id(content: bytes, digits: int) -> str:
    """The id that bytes have as a blob, of as many hex digits as the repository's ids."""
    hasher = hashlib.sha1 if digits == 40 else hashlib.sha256
    return hasher(b"blob %d\0" % len(content) + content).hexdigest()


def _parse_status(raw: bytes) -> Status:
    """Porcelain v2: https://git-scm.com/docs/git-status#_porcelain_format_version_2."""
    lines = os.fsdecode(raw).split("\0")[:-1]
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    tracked = [
        line.split(" ", 8 if line[0] == "1" else 10) for line in lines if line[:2] in ("1 ", "u ")
    ]
    head, branch = headers["branch.oid"], headers["branch.head"]
    return Status(
        head=None if head == "(initial)" else head,
        branch=None if branch == "(detached)" else branch,
        differs=bool(tracked),
        changed=tuple(words[-1] for words in tracked if words[1] != "D."),
        untracked=tuple(line[2:] for line in lines if line.startswith("? ")),
        dirty_submodules=tuple(
            words[-1] for words in tracked if words[2][0] == "S" and words[2][2:] != ".."
        ),
    )
