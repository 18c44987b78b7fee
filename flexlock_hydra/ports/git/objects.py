"""Objects of a repository: which are here, and whether each has the bytes of its id.

git itself checks no id when it reads a file. Every object is therefore read once by one
process and hashed here, some megabytes at a time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from flexlock_hydra.ports.git.command import git, git_text, run_git, start_git

_BATCH = 64 << 20  # Bytes of objects that are read at once
_BLOCK = 1 << 20
_ALONE = {"GIT_NO_LAZY_FETCH": "1"}  # A partial clone would fetch what it lacks
_MISSING, _DAMAGED = "missing from the repository", "damaged in the repository"


def wrong_in(root: Path, commit: str, tree: str) -> dict[str, str]:
    """What is missing or damaged of a commit and its tree: path -> reason.

    The commit and its tree stand under the empty path.

    Raises:
        GitError: there is no git, or no folder ``root``.
    """
    content = _contents(root, [commit]).get(commit, b"")
    if _id_of("commit", content, commit) != commit:
        known = run_git(root, "cat-file", "-e", commit, env=_ALONE).returncode == 0
        return {"": f"commit {commit} is {_DAMAGED if known else _MISSING} {root}"}
    if not content.startswith(f"tree {tree}\n".encode()):
        return {"": f"commit {commit} has another tree than {tree}"}
    listed = run_git(root, "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", tree, env=_ALONE)
    if listed.returncode:
        return {"": f"tree {tree} of commit {commit}: {git_text(listed.stderr)}"}
    return dict(_wrong_of(root, tree, listed.stdout))


def _wrong_of(root: Path, tree: str, listing: bytes) -> Iterator[tuple[str, str]]:
    """``(path, reason)`` of each object of a listed tree that is not as it should be."""
    paths: dict[str, list[str]] = {tree: [""]}
    kinds, sizes, found = {tree: "tree"}, {tree: 0}, dict[str, str]()
    for record in listing.split(b"\0")[:-1]:
        meta, path = record.split(b"\t", 1)
        _, kind, oid, size = meta.decode().split()
        if kind == "commit":  # a submodule: its commits are in another repository
            continue
        paths.setdefault(oid, []).append(os.fsdecode(path))
        kinds[oid] = kind
        sizes[oid] = int(size) if size.isdigit() else 0
        if size == "BAD":
            found[oid] = _MISSING
    here = {oid: size for oid, size in sizes.items() if oid not in found}
    for oid, why in (found | _damaged(root, kinds, here)).items():
        yield from ((path, f"{kinds[oid]} {oid} is {why} {root}") for path in paths[oid])


def _damaged(root: Path, kinds: Mapping[str, str], sizes: Mapping[str, int]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    for batch in batched(sizes.items()):
        left = batch
        while left:
            contents = _contents(root, left)
            bad = [oid for oid, what in contents.items() if _id_of(kinds[oid], what, oid) != oid]
            # Git ends at the first object that it cannot read.
            wrong |= dict.fromkeys([*bad, *left[len(contents):][:1]], _DAMAGED)
            left = left[len(contents) + 1:]
    return wrong


def _contents(root: Path, oids: list[str]) -> dict[str, bytes]:
    """The contents of objects, as far as git gets."""
    raw = run_git(root, "cat-file", "--batch", stdin=oid_lines(oids), env=_ALONE).stdout
    return dict(parse_contents(raw, oids))


def _id_of(kind: str, content: bytes, oid: str) -> str:
    """The id of an object with this content, in the form of ``oid``."""
    made = hashlib.new("sha1" if len(oid) == 40 else "sha256", usedforsecurity=False)
    made.update(f"{kind} {len(content)}\0".encode())
    made.update(content)
    return made.hexdigest()


def lists_more_than(root: Path, treeish: str, most: int) -> bool:
    """Whether a tree's leaves, listed by their paths, take more bytes: few objects can hold many.

    Raises:
        GitError: there is no git.
    """
    with start_git(root, "ls-tree", "-r", "-z", "--full-tree", treeish) as listing:
        assert listing.process.stdout is not None
        size = 0
        while size <= most and (block := listing.process.stdout.read(_BLOCK)):
            size += len(block)
    return size > most


def look_up(root: Path, oids: Iterable[str]) -> list[tuple[str, str, int]]:
    """``(id, type, bytes)`` of the objects that are here."""
    if not (asked := oid_lines(oids)):
        return []
    said = git(root, "cat-file", "--batch-check", stdin=asked).decode()
    words = [line.split(" ") for line in said.splitlines()]
    return [(oid, kind, int(size)) for oid, kind, size in (w for w in words if len(w) == 3)]


def held_names(
    root: Path, tree: str, names: Mapping[str, Collection[str]]
) -> dict[str, set[str]]:
    """Those of the names, by their folders relative to the top, that a tree has files at.

    Folders are asked for first: of what lies in one that the tree lacks nothing is asked.

    Raises:
        GitError: there is no git, or no such tree.
    """
    folders = [folder for folder in names if folder and "\n" not in folder]
    there = {*_with_kind(root, tree, folders, b"tree"), *({""} & names.keys())}
    asked = {
        f"{folder}/{name}" if folder else name: (folder, name)
        for folder in there
        for name in names[folder]
        if "\n" not in name  # git reads a path a line
    }
    found: dict[str, set[str]] = {}
    for path in _with_kind(root, tree, [*asked], b"blob"):
        folder, name = asked[path]
        found.setdefault(folder, set()).add(name)
    return found


def _with_kind(root: Path, tree: str, paths: list[str], kind: bytes) -> set[str]:
    lines = b"".join(os.fsencode(f"{tree}:{path}\n") for path in paths)
    said = git(root, "cat-file", "--batch-check=%(objecttype)", stdin=lines) if paths else b""
    return {path for path, answer in zip(paths, said.split(b"\n")) if answer == kind}


def batched(sizes: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """The ids of ``(id, bytes)``, in batches that are read at once."""
    batch: list[str] = []
    pending = 0
    for oid, size in sizes:
        if batch and pending + size > _BATCH:
            yield batch
            batch, pending = [], 0
        batch.append(oid)
        pending += size
    if batch:
        yield batch


def oid_lines(oids: Iterable[str]) -> bytes:
    """Ids as ``cat-file --batch`` takes them."""
    return "".join(f"{oid}\n" for oid in oids).encode()


def parse_contents(raw: bytes, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """``(id, content)`` of what ``cat-file --batch`` printed, up to the first that it has not."""
    view = memoryview(raw)  # slices of it are no copies
    at = 0
    for oid in oids:
        line = bytes(view[at:at + 200]).partition(b"\n")[0]
        words = line.split(b" ")
        if len(words) != 3 or words[0].decode() != oid:
            return
        start = at + len(line) + 1
        at = start + int(words[2]) + 1
        if at > len(view):
            return
        yield oid, bytes(view[start:at - 1])
