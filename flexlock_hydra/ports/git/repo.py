"""The door to git repositories: the only user of GitPython."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.ask import WorkingTreeRequest, ask_place
from flexlock_hydra.ports.git.command import Started, git, git_text, redact_url, run_git
from flexlock_hydra.ports.git.remote import look_up
from flexlock_hydra.ports.git.status import GITLINK, WorkingTree, has_line_ends, read_working_tree
from flexlock_hydra.record import layout

if TYPE_CHECKING:
    import git as gitpython

_IDENTITY = {
    "GIT_AUTHOR_NAME": "flexlock-hydra",
    "GIT_AUTHOR_EMAIL": "flexlock-hydra@localhost",
    "GIT_COMMITTER_NAME": "flexlock-hydra",
    "GIT_COMMITTER_EMAIL": "flexlock-hydra@localhost",
}


_LOCK_PATIENCE = 10.0
"""Seconds to wait for another process to be done with a ref."""

_SIGNING = (
    "gpg.format",
    "gpg.program",
    "gpg.openpgp.program",
    "gpg.ssh.program",
    "gpg.ssh.defaultKeyCommand",
    "gpg.x509.program",
)
_WORKTREE_PREFIX = "flexlock-"
_BATCH = 64 << 20
"""Bytes of blobs that are read at once."""
_DEFAULT_LINE_ENDS = ("-c", "core.autocrlf=false", "-c", "core.eol=native")


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

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them, sorted."""
        return tuple(sorted((*self.added, *self.removed, *self.changed)))


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
        return cls.told(ask_place(folder))

    @classmethod
    def told(cls, asked: Started) -> GitRepo | None:
        """The repository by git's answer to the question for its place.

        Raises:
            GitError: git refuses to use it.
        """
        folder, done = asked.cwd, asked.finish()
        if done.returncode == 0:
            places = os.fsdecode(done.stdout).split("\n")[:-1]
            if len(places) != 2:  # a line break in the path: ask for one at a time
                flags = ("--show-toplevel", "--absolute-git-dir")
                places = [git_text(git(folder, "rev-parse", flag)) for flag in flags]
            return cls(Path(places[0]), Path(places[1]))
        said = git_text(done.stderr)
        if "not a git repository" in said or "must be run in a work tree" in said:
            return None
        raise GitError(f"git in {folder}: {said}")

    @property
    def common_dir(self) -> Path:
        """The repository's own folder, which its linked worktrees share."""
        try:
            said = git_text((self.git_dir / "commondir").read_bytes())
        except OSError:
            return self.git_dir
        return Path(os.path.normpath(self.git_dir / said))

    def git(
        self, *args: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a git command at the root; its output without the last line end."""
        return git_text(git(self.root, *args, stdin=stdin, env=env))

    # Reading

    def look(self, asked: WorkingTreeRequest) -> WorkingTree:
        """What git says of this working tree, asked before.

        Raises:
            GitError: git refused.
        """
        return read_working_tree(self.root, self.common_dir, asked)

    def rev_parse(self, name: str) -> str | None:
        """The id that a revision stands for, or None."""
        done = run_git(self.root, "rev-parse", "-q", "--verify", "--end-of-options", name)
        return git_text(done.stdout) if done.returncode == 0 else None

    def symbolic_ref(self, name: str) -> str | None:
        """The ref that a symbolic one stands for, or None where it is none."""
        done = run_git(self.root, "symbolic-ref", "-q", name)
        return git_text(done.stdout) or None

    def remote_url(self, name: str) -> str | None:
        """The URL of a remote by its name, credentials included."""
        done = run_git(self.root, "config", "--get", f"remote.{name}.url")
        return git_text(done.stdout) or None

    def config(self, key: str) -> str | None:
        """A value of git's configuration, or None."""
        done = run_git(self.root, "config", "--get", key)
        return git_text(done.stdout) or None

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

    def size_of(self, name: str) -> int | None:
        """The bytes of the object that a name like ``<commit>:<path>`` means, or None."""
        oid = self.rev_parse(name)
        found = look_up(self.root, [oid]) if oid else []
        return found[0][2] if found else None

    def read_blobs(
        self, oids: Sequence[str], largest: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """The contents of blobs by id, some megabytes of them at once.

        ``largest``: pass over those with more bytes.

        Raises:
            GitError: one is not here.
        """
        batch: list[str] = []
        pending = 0
        found = look_up(self.root, oids)
        if len(found) != len(oids):
            raise GitError(f"{self.root} lacks objects that a commit of it names: git fsck")
        for oid, _, size in found:
            if largest is not None and size > largest:
                continue
            if batch and pending + size > _BATCH:
                yield from self._read_batch(batch)
                batch, pending = [], 0
            batch.append(oid)
            pending += size
        yield from self._read_batch(batch)

    def _read_batch(self, oids: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        asked = "".join(f"{oid}\n" for oid in oids).encode()
        raw = memoryview(git(self.root, "cat-file", "--batch", stdin=asked) if oids else b"")
        at = 0
        for oid in oids:
            line = bytes(raw[at:at + 200]).partition(b"\n")[0]
            start = at + len(line) + 1
            at = start + int(line.split(b" ")[2])
            yield oid, bytes(raw[start:at])
            at += 1

    def diff(self, old: str, new: str) -> TreeDiff:
        """The paths in which two commits differ."""
        how = ("-r", "-z", "--no-renames", "--ignore-submodules=none", "--name-status")
        raw = git(self.root, "diff-tree", *how, old, new)
        words = [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]
        pairs = list(zip(words[0::2], words[1::2], strict=True))
        return TreeDiff(
            added=tuple(path for letter, path in pairs if letter == "A"),
            removed=tuple(path for letter, path in pairs if letter == "D"),
            changed=tuple(path for letter, path in pairs if letter not in "AD"),
        )

    def has_grown(self, tree: str, path: str) -> bool:
        """Whether a file in the working tree is that of a tree, with more at its end."""
        listed = git(self.root, "ls-tree", "-z", tree, "--", path)
        mode = os.lstat(self.root / path).st_mode
        if not listed.startswith(b"100644 ") or not stat.S_ISREG(mode) or mode & stat.S_IXUSR:
            return False
        before = git(self.root, "cat-file", "blob", f"{tree}:{path}")
        with open(self.root / path, "rb") as file:
            return file.read(len(before)) == before

    def having_trees(self, commits: Iterable[str]) -> set[str]:
        """Those of the commits that are here with their trees."""
        asked = list(dict.fromkeys(commits))
        words = "".join(f"{commit}^{{tree}}\n" for commit in asked).encode()
        said = self.git("cat-file", "--batch-check", stdin=words).splitlines() if asked else []
        return {oid for oid, line in zip(asked, said, strict=True) if " tree " in line}

    def has_object(self, oid: str) -> bool:
        """Whether the repository holds an object."""
        return run_git(self.root, "cat-file", "-e", oid).returncode == 0

    def would_ignore(self, gitignore: bytes, path: str) -> bool:
        """Whether a root's ``.gitignore`` hides an untracked file, whoever's machine it is."""
        with tempfile.TemporaryDirectory(prefix=_WORKTREE_PREFIX) as folder:
            git(Path(folder), "init", "--quiet", "--template=")
            Path(folder, ".gitignore").write_bytes(gitignore)
            how = ("-c", f"core.excludesFile={os.devnull}", "check-ignore", "-q", "--no-index")
            return run_git(Path(folder), *how, "--", path).returncode == 0

    def ignored(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that are ignored and not tracked.

        Raises:
            GitError: git refused.
        """
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        found = git(self.root, "check-ignore", "-z", "--stdin", stdin=names, fine=(0, 1))
        return [os.fsdecode(name) for name in found.split(b"\0")[:-1]]

    def tags(self, pattern: str) -> dict[str, str]:
        """Local tags that match: name -> id of the tag object."""
        lines = self.git(
            "for-each-ref", "--format=%(objectname) %(refname:strip=2)", f"refs/tags/{pattern}"
        ).splitlines()
        return {name: oid for oid, name in (line.split(" ", 1) for line in lines)}

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

    def stage(self, paths: Iterable[str], env: Mapping[str, str]) -> None:
        """Take files from the working tree into an index; those that are gone leave it."""
        there: list[str] = []
        gone: list[str] = []
        for path in sorted(set(paths)):
            (gone if _is_gone(self.root, path) else there).append(path)
        for how, names in ((("--force-remove",), gone), (("--add", "--remove"), there)):
            if names:
                self.git("update-index", "-z", *how, "--stdin", stdin=_nul(names), env=env)

    def unhide(self, paths: Sequence[str], env: Mapping[str, str]) -> None:
        """Make git look at files again, in an index of our own."""
        for flag in ("--no-assume-unchanged", "--no-skip-worktree") if paths else ():
            self.git("update-index", "-z", flag, "--stdin", stdin=_nul(paths), env=env)

    def put(self, entries: Mapping[str, TreeEntry], env: Mapping[str, str]) -> None:
        """Put entries into an index as they are."""
        lines = [f"{entry.mode} {entry.oid}\t{path}" for path, entry in entries.items()]
        if lines:
            self.git("update-index", "-z", "--index-info", stdin=_nul(lines), env=env)

    def put_links(self, links: Mapping[str, str], env: Mapping[str, str]) -> None:
        """Put submodules' commits into an index."""
        self.put({path: TreeEntry(GITLINK, oid) for path, oid in links.items()}, env)

    def hash_raw(self, paths: Sequence[str]) -> list[str]:
        """Store files byte for byte, whatever git's filters say; their ids."""
        names = b"".join(os.fsencode(path) + b"\n" for path in paths)
        return self.git(
            "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names
        ).splitlines()

    def hash_files(self, root: Path, paths: Sequence[str]) -> list[str]:
        """The blob ids of files anywhere, byte for byte; nothing is stored."""
        names = b"".join(os.fsencode(root / path) + b"\n" for path in paths)
        how = ("hash-object", "--no-filters", "--stdin-paths")
        return self.git(*how, stdin=names).splitlines() if paths else []

    def not_checked_out_alike(
        self, paths: Iterable[str], env: Mapping[str, str]
    ) -> list[str]:
        """Those of an index's files that a checkout gives other bytes than they have.

        It is tried with the user's configuration of line ends and without.
        """
        files = [path for path in dict.fromkeys(paths) if _is_file(self.root / path)]
        unlike: set[str] = set()
        for config in ((), _DEFAULT_LINE_ENDS) if files else ():
            with tempfile.TemporaryDirectory(prefix=_WORKTREE_PREFIX) as folder:
                self.git(*config, "checkout-index", "-q", "-f", "-z", "--stdin",
                         f"--prefix={folder}/", stdin=_nul(files), env=env)
                unlike |= {
                    path for path in files if not _same(Path(folder, path), self.root / path)
                }
        return sorted(unlike)

    def other_line_ends(self, config: Mapping[str, str]) -> list[str]:
        """Tracked files with line ends that a checkout would not give them."""
        raw = git(self.root, "ls-files", "--eol", "-z")
        records = [os.fsdecode(record).partition("\t") for record in raw.split(b"\0")[:-1]]
        return [path for facts, _, path in records if not has_line_ends(facts, config)]

    def write_blobs(self, contents: Sequence[bytes]) -> list[str]:
        """Store bytes as blobs; their ids."""
        with tempfile.TemporaryDirectory(prefix=_WORKTREE_PREFIX) as folder:
            for number, content in enumerate(contents):
                Path(folder, str(number)).write_bytes(content)
            return self.hash_raw([os.path.join(folder, str(n)) for n in range(len(contents))])

    def edit_tree(
        self, tree: str, put: Mapping[str, bytes], remove: Iterable[str] = ()
    ) -> str:
        """A tree with files put in and leaves removed."""
        null = "0" * len(tree)
        lines = [b"0 %s\t%s" % (null.encode(), os.fsencode(path)) for path in remove]
        for path, oid in zip(put, self.write_blobs([*put.values()]), strict=True):
            lines.append(b"100644 %s 0\t%s" % (oid.encode(), os.fsencode(path)))
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
            return git_text(git(self.root, "write-tree", env=env))

    def make_tag_object(self, tag: str, commit: str, message: str, date: str) -> str:
        """An annotated tag object, not yet reachable by any ref."""
        name, email = _IDENTITY["GIT_COMMITTER_NAME"], _IDENTITY["GIT_COMMITTER_EMAIL"]
        content = (
            f"object {commit}\ntype commit\ntag {tag}\ntagger {name} <{email}> {date}\n\n{message}"
        )
        return self.git("mktag", stdin=content.encode())

    def read_tag_object(self, oid: str) -> bytes:
        """The bytes of a tag object.

        Raises:
            GitError: it is none, or not here.
        """
        return git(self.root, "cat-file", "tag", oid)

    def sign_tag(self, tag: str, commit: str, message: str, date: str) -> str:
        """The same as :meth:`make_tag_object`, signed as git's configuration says.

        It is made beside a repository that shares this one's objects: no ref of ours moves.

        Raises:
            GitError: there is no key, or it cannot be used.
        """
        key = self.config("user.signingkey") or self.config("user.email")
        kept = {name: self.config(name) for name in _SIGNING}
        config = [w for name, value in kept.items() if value for w in ("-c", f"{name}={value}")]
        dates = {"GIT_AUTHOR_DATE": f"@{date}", "GIT_COMMITTER_DATE": f"@{date}"}
        with tempfile.TemporaryDirectory(prefix=_WORKTREE_PREFIX) as folder:
            git(self.root, "init", "--quiet", "--bare", self._object_format(), "--", folder)
            env = {
                **_IDENTITY,
                **dates,
                "GIT_DIR": folder,
                "GIT_OBJECT_DIRECTORY": str(self.common_dir / "objects"),
            }
            how = ("tag", "--sign", f"--local-user={key}", "--cleanup=verbatim", "--file=-")
            try:
                if not key:
                    raise GitError("no user.signingkey")
                self.git(*config, *how, tag, commit, stdin=message.encode(), env=env)
            except GitError as error:
                raise GitError(
                    f"tag {tag} cannot be signed: {error}",
                    hint="Name your key: git config user.signingkey KEY, for ssh also: "
                    "git config gpg.format ssh; or leave --sign out.",
                ) from error
            return git_text(git(self.root, "rev-parse", f"refs/tags/{tag}", env=env))

    def _object_format(self) -> str:
        said = self.git("rev-parse", "--show-object-format")
        return f"--object-format={said}"

    def update_ref(self, ref: str, oid: str) -> None:
        """Point a ref at an object; whoever else does the same now is waited for.

        Raises:
            GitError: the ref stayed locked, or cannot be written.
        """
        patience = time.monotonic() + _LOCK_PATIENCE
        while not self._has_ref(ref, oid):
            try:
                self.git("update-ref", ref, oid)
            except GitError as error:
                if ".lock'" not in str(error) or time.monotonic() > patience:
                    raise
                time.sleep(0.02)

    def _has_ref(self, ref: str, oid: str) -> bool:
        """Whether a ref is known to point at an object already, without asking git."""
        try:
            return (self.common_dir / ref).read_bytes().strip() == oid.encode()
        except OSError:
            pass
        try:
            return f"\n{oid} {ref}\n".encode() in (self.common_dir / "packed-refs").read_bytes()
        except OSError:
            return False

    def fetch_snapshot(self, source: GitRepo, commit: str) -> None:
        """Bring a snapshot commit and its history here from another repository.

        Raises:
            GitError: it has another object format, or a history that is cut off.
        """
        ref = layout.shadow_ref(commit)
        source.update_ref(ref, commit)
        if self.rev_parse(ref) is None:
            self.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                     str(source.root), f"{ref}:{ref}")
        if self.rev_parse(ref) is None:  # of a shallow repository git says so and exits with 0
            raise GitError(f"the history of {source.root} is cut off: git fetch --unshallow")

    def unpack(self, commit: str, place: Path) -> None:
        """A repository of its own at a new or empty place, checked out at a commit of ours."""
        git(self.root, "init", "--quiet", "--", str(place))
        inner = GitRepo.find(place)
        assert inner is not None
        if inner.rev_parse("HEAD") == commit and (inner.git_dir / "index").exists():
            return
        inner.fetch_snapshot(self, commit)
        inner.git("checkout", "--quiet", "--force", "--detach", commit)

    @contextmanager
    def worktree(self, commit: str, place: Path) -> Iterator[GitRepo]:
        """A temporary working tree of a commit in a new or empty folder, removed at the end."""
        self._forget_lost_worktrees()
        self.add_worktree(place, commit)
        try:
            found = GitRepo.find(place)
            assert found is not None
            yield found
        finally:
            self.git("worktree", "remove", "--force", "--force", str(place))

    def _forget_lost_worktrees(self) -> None:
        """Remove what a killed process left: temporary worktrees whose folder is gone."""
        for note in self.common_dir.glob("worktrees/*/gitdir"):
            path = Path(git_text(note.read_bytes())).parent
            ours = any(part.lstrip(".").startswith(_WORKTREE_PREFIX) for part in path.parts)
            if ours and not path.exists():
                run_git(self.root, "worktree", "remove", "--force", "--force", str(path))

    def check_out(self, branch: str, commit: str, *, new: bool, force: bool) -> None:
        """Go to a branch at a commit; ``force``: whatever files a pull that was killed left."""
        how = [*(["-b"] if new else []), branch, *([commit] if new else [])]
        self.git("checkout", "--quiet", *(["--force"] if force else []), *how)

    def add_worktree(
        self, path: Path, commit: str, branch: str | None = None, *, checkout: bool = True
    ) -> None:
        """A linked working tree of a commit, on a new branch or detached."""
        how = ["-b", branch] if branch else ["--detach"]
        how += [] if checkout else ["--no-checkout"]
        self.git("worktree", "add", "--quiet", *how, str(path), commit)

    def drop_branch(self, branch: str) -> None:
        """Delete a branch of our own making, if it is there."""
        run_git(self.root, "branch", "--quiet", "-D", branch)

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


def _nul(names: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(name) + b"\0" for name in names)


def _same(one: Path, other: Path) -> bool:
    """Whether a file has the bytes of another; one that is gone by now counts as the same."""
    if not _is_file(other):
        return True
    return one.is_file() and filecmp.cmp(one, other, shallow=False)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_gone(root: Path, path: str) -> bool:
    """Whether a tracked file is no more: deleted, or a folder above it is a link now."""
    place = root / path
    ups = [root / up for up in PurePosixPath(path).parents]
    return not os.path.lexists(place) or any(up.is_symlink() for up in ups[:-1])
