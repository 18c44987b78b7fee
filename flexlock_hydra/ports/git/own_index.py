"""An index of our own beside the user's: trees are made in it, and the user's stays as it is."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flexlock_hydra.ports.git.repo import SCRATCH, GitRepo, TreeEntry
from flexlock_hydra.ports.git.status import GITLINK

_DEFAULT_LINE_ENDS = ("-c", "core.autocrlf=false", "-c", "core.eol=native")


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
        there: list[str] = []
        gone: list[str] = []
        for path in sorted(set(paths)):
            (gone if _is_gone(self.repo.root, path) else there).append(path)
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
