"""A git repository and what is read of it; of the rest, only a ref is ever moved here."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.ask import WorkingTreeRequest, ask_place
from flexlock_hydra.ports.git.command import Started, git, git_records, git_text, run_git
from flexlock_hydra.ports.git.objects import batched, look_up, oid_lines, parse_contents
from flexlock_hydra.ports.git.status import WorkingTree, has_line_ends, read_working_tree

_LOCK_PATIENCE = 10.0  # Seconds to wait for another process to be done with a ref

SCRATCH = "flexlock-"
"""How the names of our temporary folders begin; one that a killed process left is known by it."""
# Path -> whether git ignores it, of all that this process asked about
_ignored: dict[str, bool] = {}


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
        """The added, removed and changed paths together, sorted."""
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
            if not os.path.lexists(os.path.join(places[0], ".git")):
                # From there git does not find the repository; and it may be a whole disk.
                raise GitError(
                    f"the working tree of {places[1]} is {places[0]} (try: "
                    "git config --unset core.worktree)",
                    hint=f"git -C {folder} config --unset core.worktree",
                )
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

    def look(self, asked: WorkingTreeRequest) -> WorkingTree:
        """What git says of this working tree, asked before.

        Raises:
            GitError: git refused.
        """
        return read_working_tree(self.root, self.common_dir, asked)

    def rev_parse(self, name: str) -> str | None:
        """The id that a revision stands for, or None."""
        return self._answer("rev-parse", "-q", "--verify", "--end-of-options", name)

    def symbolic_ref(self, name: str) -> str | None:
        """The ref that a symbolic one stands for, or None where it is none."""
        return self._answer("symbolic-ref", "-q", name)

    def remote_url(self, name: str) -> str | None:
        """The URL of a remote by its name, credentials included."""
        return self.config(f"remote.{name}.url")

    def config(self, key: str) -> str | None:
        """A value of git's configuration, or None."""
        return self._answer("config", "--get", key)

    def _answer(self, *args: str) -> str | None:
        done = run_git(self.root, *args)
        return git_text(done.stdout) or None if done.returncode == 0 else None

    def ls_tree(self, treeish: str) -> dict[str, TreeEntry]:
        """Every leaf of a tree: path -> entry."""
        tree = {}
        for record in git_records(git(self.root, "ls-tree", "-r", "-z", "--full-tree", treeish)):
            meta, path = record.split("\t", 1)
            mode, _, oid = meta.split(" ")
            tree[path] = TreeEntry(mode, oid)
        return tree

    def read_file(self, commit: str, path: str) -> bytes | None:
        """A file of a commit, or None where it has none of that path."""
        oid = self.rev_parse(f"{commit}:{path}")
        return next(content for _, content in self.read_blobs([oid])) if oid else None

    def read_blobs(
        self, oids: Sequence[str], largest: int | None = None
    ) -> Iterator[tuple[str, bytes]]:
        """The contents of blobs by id, some megabytes of them at once.

        ``largest``: pass over those with more bytes.

        Raises:
            GitError: one is not here.
        """
        found = look_up(self.root, oids)
        if len(found) != len(oids):
            raise GitError(f"{self.root} lacks objects that a commit of it names: git fsck")
        wanted = [(oid, size) for oid, _, size in found if largest is None or size <= largest]
        for batch in batched(wanted):
            raw = git(self.root, "cat-file", "--batch", stdin=oid_lines(batch))
            yield from parse_contents(raw, batch)

    def diff(self, old: str, new: str) -> TreeDiff:
        """The paths in which two commits differ."""
        how = ("-r", "-z", "--no-renames", "--ignore-submodules=none", "--name-status")
        words = git_records(git(self.root, "diff-tree", *how, old, new))
        found: dict[str, list[str]] = {"A": [], "D": [], "M": []}
        for letter, path in zip(words[0::2], words[1::2], strict=True):
            found[letter if letter in "AD" else "M"].append(path)
        return TreeDiff(*map(tuple, found.values()))

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
        words = oid_lines(f"{commit}^{{tree}}" for commit in asked)
        said = self.git("cat-file", "--batch-check", stdin=words).splitlines() if asked else []
        return {oid for oid, line in zip(asked, said, strict=True) if " tree " in line}

    def has_object(self, oid: str) -> bool:
        """Whether the repository holds an object."""
        return run_git(self.root, "cat-file", "-e", oid).returncode == 0

    def tree_has(self, tree: str, path: str) -> bool:
        """Whether a tree has a file, link or folder of a path.

        Raises:
            GitError: git refused.
        """
        return bool(git(self.root, "ls-tree", "-z", "--full-tree", tree, "--", path))

    def ignored(self, paths: Sequence[str]) -> list[str]:
        """Those of the paths that are ignored and not tracked.

        Raises:
            GitError: git refused.
        """
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        how = ("check-ignore", "-z", "--stdin")
        return git_records(git(self.root, *how, stdin=names, fine=(0, 1)))

    def tags(self, pattern: str) -> dict[str, str]:
        """Local tags that match: name -> id of the tag object."""
        form = "--format=%(objectname) %(refname:strip=2)"
        lines = self.git("for-each-ref", form, f"refs/tags/{pattern}").splitlines()
        return {name: oid for oid, name in (line.split(" ", 1) for line in lines)}

    def other_line_ends(self, config: Mapping[str, str]) -> list[str]:
        """Tracked files with line ends that a checkout would not give them."""
        files = git_records(git(self.root, "ls-files", "--eol", "-z"))
        records = (record.partition("\t") for record in files)
        return [path for facts, _, path in records if not has_line_ends(facts, config)]

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
        with suppress(OSError):
            return (self.common_dir / ref).read_bytes().strip() == oid.encode()
        with suppress(OSError):
            return f"\n{oid} {ref}\n".encode() in (self.common_dir / "packed-refs").read_bytes()
        return False


def ignored_paths(repo: GitRepo, paths: Collection[str]) -> set[str]:
    """Those of the paths that git ignores and does not track.

    The jobs of a sweep share a process and ask about the same files at their ends: git is
    asked about each file once in the life of a process, whatever changes meanwhile.

    Args:
        paths: relative to the repository's root.

    Raises:
        GitError: git refused.
    """
    prefix = f"{repo.root}{os.sep}"
    if new := [path for path in paths if prefix + path not in _ignored]:
        ignored = set(repo.ignored(new))
        _ignored.update((prefix + path, path in ignored) for path in new)
    return {path for path in paths if _ignored[prefix + path]}
