"""What git says of a working tree, parsed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import GitSlowError
from flexlock_hydra.ports.git.ask import WorkingTreeRequest, ask_status, optional_filters
from flexlock_hydra.ports.git.command import Started, git, git_records

STATUS_PATIENCE = 60.0
"""Seconds that a job waits for git to look at its files."""
GITLINK = "160000"
"""The mode of a submodule in a tree."""

# How a line of ``ls-files -v -s`` begins for a file or link that git looks at
_PLAIN_ENTRY = rb"H 1[02]0"


@dataclass(frozen=True)
class Status:
    """``git status`` of a working tree, paths relative to its root; submodules apart."""

    head: str | None
    branch: str | None
    differs: bool
    """Whether any tracked path differs from HEAD or from the index."""
    changed: tuple[str, ...]
    """Tracked paths to take from the working tree."""
    untracked: tuple[str, ...]
    """Untracked paths that are not ignored; a nested repository ends with ``/``."""
    ignored: tuple[str, ...] = ()
    """Paths that git ignores; empty where the status was asked for without them."""


@dataclass(frozen=True)
class GitIndex:
    """What stands out in the index: everything else is a file that git looks at."""

    overlooked: tuple[str, ...]
    """Tracked files that git was told not to look at: assume-unchanged, skip-worktree.

    Of the latter those that are there: in a sparse checkout the others never were.
    """
    links: Mapping[str, str]
    """Submodules: path -> commit."""
    has_attributes: bool
    """Whether a ``.gitattributes`` is tracked."""


@dataclass(frozen=True)
class WorkingTree:
    """A working tree as git sees it at one moment."""

    at: int
    """Nanoseconds since the epoch, before git looked."""
    status: Status
    index: GitIndex
    config: Mapping[str, str]
    """Git's configuration, keys as git prints them."""
    head_tree: str | None
    head_date: str
    """HEAD's committer date, as git's raw ``<seconds> <offset>``."""
    converts: bool
    """Whether git may give files other bytes than it stores: line ends, filters."""
    untracked_seen: bool = True
    """Whether git looked at what it does not track; that may take longer than anybody waits."""


def read_working_tree(root: Path, common_dir: Path, asked: WorkingTreeRequest) -> WorkingTree:
    """Wait for the answers about the working tree at ``root``.

    Raises:
        GitError: git refused.
    """
    index = _parse_index(root, asked.index.output())
    settings = (setting.partition("\n") for setting in git_records(asked.config.output()))
    config = {key: value if newline else "true" for key, newline, value in settings}
    commit = asked.head.output(b"HEAD\n")
    status, seen = _status_in_time(root, asked)
    if status.head and not commit.startswith(status.head.encode()):  # it moved meanwhile
        commit = git(root, "cat-file", "--batch", stdin=f"{status.head}\n".encode())
    tree, date = _parse_commit(commit) if status.head else (None, "")
    user_config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    converts = (
        config.get("core.autocrlf", "false") != "false"
        or "core.attributesfile" in config
        or index.has_attributes
        or any(path.endswith(".gitattributes") for path in status.untracked)
        or (common_dir / "info/attributes").exists()
        # By os: pathlib raises where a folder may not be searched, and git goes on.
        or os.path.exists(os.path.join(user_config, "git", "attributes"))
    )
    return WorkingTree(asked.at, status, index, config, tree, date, converts, seen)


def _status_in_time(root: Path, asked: WorkingTreeRequest) -> tuple[Status, bool]:
    """The status, and whether what is not tracked was looked at: the tree may be a whole disk."""
    try:
        return read_status(asked.status, STATUS_PATIENCE), True
    except GitSlowError:
        with ask_status(root, untracked=False) as tracked_only:
            return read_status(tracked_only, STATUS_PATIENCE), False


def has_line_ends(facts: str, config: Mapping[str, str]) -> bool:
    """Whether a file has the line ends that a checkout gives it.

    ``facts`` is what ``ls-files --eol`` says: https://git-scm.com/docs/git-ls-files.
    """
    stored, _, rest = facts.removeprefix("i/").partition(" ")
    here, _, attributes = rest.strip().removeprefix("w/").partition(" ")
    words = attributes.strip().removeprefix("attr/").split()
    auto = config.get("core.autocrlf", "false")
    if not here or stored == here and not words and auto == "false":
        return True
    text_file = bool(words) and "-text" not in words or not words and auto != "false"
    if "eol=crlf" in words:
        crlf = True
    elif "eol=lf" in words or auto == "input":
        crlf = False
    else:
        native = "crlf" if os.linesep == "\r\n" else "lf"
        wanted = config.get("core.eol", "native")
        crlf = auto == "true" or (native if wanted == "native" else wanted) == "crlf"
    strict = bool(words) and "text=auto" not in words
    changes = text_file and crlf and (stored == "lf" or strict and stored == "mixed")
    return here == ("crlf" if changes else stored)


def _parse_index(root: Path, raw: bytes) -> GitIndex:
    """``ls-files -v -s -z``: only the few lines that stand out are looked at one by one."""
    overlooked, links = [], {}
    folders: dict[str, bool] = {}
    for match in re.finditer(rb"\0(?!%s|\Z)([^\0]*)" % _PLAIN_ENTRY, b"\0" + raw):
        facts, path = os.fsdecode(match[1]).split("\t", 1)
        letter, mode, oid, _ = facts.split(" ")
        if mode == GITLINK:
            links[path] = oid
        elif letter.islower() and letter != "s":
            overlooked.append(path)
        elif letter in "Ss":
            folder = os.path.dirname(path)
            if folder not in folders:
                folders[folder] = os.path.isdir(root / folder)
            if folders[folder] and os.path.lexists(root / path):
                overlooked.append(path)
    attributes = b"\t.gitattributes\0" in raw or b"/.gitattributes\0" in raw
    return GitIndex(tuple(overlooked), links, attributes)


def written_files(root: Path) -> Iterator[str]:
    """What is in a working tree and not in its HEAD, ignored files too; bytecode apart."""
    with ask_status(root, *optional_filters(root), ignored=True) as asked:
        found = read_status(asked)
    for path in (*_differing(root, found.changed), *found.untracked, *found.ignored):
        if not path.endswith((".pyc", ".pyo", "/")):
            yield path


def _differing(root: Path, paths: Sequence[str]) -> list[str]:
    """Those of tracked paths that have other bytes than HEAD has; a filter may say so of others."""
    files = [path for path in paths if "\n" not in path and os.path.isfile(root / path)]
    names = b"".join(os.fsencode(path) + b"\n" for path in files)
    how = ("hash-object", "--no-filters", "--stdin-paths")
    oids = git(root, *how, stdin=names).decode().splitlines() if files else []
    now = dict(zip(files, oids, strict=True))
    listed = git_records(git(root, "ls-tree", "-r", "-z", "--full-tree", "HEAD")) if files else []
    split = (record.split("\t", 1) for record in listed)
    stored = {path: meta.split(" ")[2] for meta, path in split}
    return [path for path in paths if path not in now or stored.get(path) != now[path]]


def _parse_commit(raw: bytes) -> tuple[str, str]:
    """The tree of a commit and its committer date, from ``cat-file --batch``."""
    lines = raw.splitlines()
    committer = next(line for line in lines if line.startswith(b"committer "))
    date = " ".join(committer.decode("utf-8", "replace").split(" ")[-2:])
    return lines[1].decode().removeprefix("tree "), date


def read_status(asked: Started, patience: float | None = None) -> Status:
    """Wait for porcelain v2: https://git-scm.com/docs/git-status#_porcelain_format_version_2.

    Raises:
        GitSlowError: it took longer than ``patience``, seconds. GitError: git refused.
    """
    lines = git_records(asked.output(patience=patience))
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    changed = (line for line in lines if line[:2] in ("1 ", "u "))
    tracked = [line.split(" ", 8 if line[0] == "1" else 10) for line in changed]
    head, branch = headers["branch.oid"], headers["branch.head"]
    return Status(
        head=None if head == "(initial)" else head,
        branch=None if branch == "(detached)" else branch,
        differs=bool(tracked),
        changed=tuple(words[-1] for words in tracked if words[1] != "D."),
        untracked=tuple(line[2:] for line in lines if line.startswith("? ")),
        ignored=tuple(line[2:] for line in lines if line.startswith("! ")),
    )
