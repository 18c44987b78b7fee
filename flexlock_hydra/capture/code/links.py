"""Code that was read through symbolic links: a snapshot has the link, and maybe not the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from flexlock_hydra.capture.code.drift import by_repo
from flexlock_hydra.capture.code.snapshot import Snapshot

_MOST_HOPS = 40  # on the way to a file, as the kernel has it
# (Tree, path) -> whether the tree has it, of all that was asked: the jobs of a sweep ask the same
_in_trees: dict[tuple[str, str], bool] = {}


@dataclass(frozen=True)
class CrossedLink:
    """A link below a repository's root on the way to a file: its path, and what it says."""

    path: str
    target: str


@dataclass(frozen=True)
class LinkedCode:
    """What was read as code, links followed.

    Args:
        files: where the bytes lie, absolute.
        gaps: sentences by repository, on links that lead to what no snapshot brings back.
    """

    files: tuple[str, ...]
    gaps: Mapping[str, list[str]]


def follow_links(snapshots: Mapping[str, Snapshot], read: Iterable[str]) -> LinkedCode:
    """Follow the links below the repositories' roots on the way to files that are read as code.

    A link is no gap where it is relative, and it and the file that it leads to are in snapshots.

    Args:
        read: absolute paths as they are read.

    Raises:
        GitError: git refused.
    """
    files: list[str] = []
    ways: list[tuple[str, list[CrossedLink], str]] = []
    for name, paths in by_repo(snapshots, read).items():
        root = str(snapshots[name].repo.root)
        for path in sorted(paths):
            links, place = _walk(root, path)
            files.append(place)
            if links:
                ways.append((name, links, place))
    gaps: dict[str, list[str]] = {}
    for name, links, place in ways:
        found = _gaps(snapshots, name, links, place)
        gaps[name] = [*dict.fromkeys((*gaps.get(name, ()), *found))]
    return LinkedCode(tuple(files), gaps)


def _gaps(
    snapshots: Mapping[str, Snapshot], name: str, links: list[CrossedLink], place: str
) -> Iterator[str]:
    """Why a way through links to a file is not there in a checkout of the snapshot."""
    root = snapshots[name].repo.root
    for link in links:
        what = f"{link.path}, read as code, is a link to {link.target}"
        if os.path.isabs(link.target):
            yield f"{what}, a place on this machine"
        elif not _is_held(snapshots, str(root / link.path)):
            yield f"{what}, and in no snapshot"
    if not (any(os.path.isabs(link.target) for link in links) or _is_held(snapshots, place)):
        first = links[0]
        yield f"{first.path}, read as code, is a link to {first.target}: that is in no snapshot"


def _walk(root: str, path: str) -> tuple[list[CrossedLink], str]:
    """The links below a root that are crossed on the way to a path, and where it ends."""
    whole = f"{root}{os.sep}{path}"
    if not os.path.islink(whole) and _is_plain(os.path.dirname(whole)):
        return [], whole
    links: list[CrossedLink] = []
    place, left = root, path.split("/")
    while left and f"{place}{os.sep}".startswith(f"{root}{os.sep}") and len(links) < _MOST_HOPS:
        here = os.path.normpath(os.path.join(place, left.pop(0)))
        try:
            target = os.readlink(here)
        except OSError:  # no link
            place = here
            continue
        links.append(CrossedLink(os.path.relpath(here, root).replace(os.sep, "/"), target))
        left = target.replace(os.sep, "/").split("/") + left
        if os.path.isabs(target):
            break
    # Outside of the root links are the machine's, and no snapshot's.
    return links, os.path.realpath(os.path.join(place, *left) if left else place)


@cache
def _is_plain(folder: str) -> bool:
    return os.path.realpath(folder) == folder


def _is_held(snapshots: Mapping[str, Snapshot], file: str) -> bool:
    """Whether a file or link, by its absolute path, is in the snapshot of the repository around."""
    for name, paths in by_repo(snapshots, [file]).items():
        for path in paths:
            kept = snapshots[name]
            key = (kept.state.tree, path)
            if key not in _in_trees:
                _in_trees[key] = kept.repo.tree_has(*key)
            return _in_trees[key]
    return False
