"""A run and its predecessors -> what must travel, and where it comes back. Pure.

A restored checkout is written by two programs: git writes the tree behind the tag,
DVC the data. DVC refuses, or silently drops, whatever overlaps. So a folder that DVC
writes (an *out*) is described whole: its listing holds every file that the restored
folder has, those that git writes too, byte for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from flexlock_hydra.capture.data.digest import Digest, FileDigest, of_files
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import is_under, join_path, with_parents


@dataclass(frozen=True)
class Piece:
    """An input or an output of one run: what it holds and where it comes back."""

    run: str
    name: str
    path: str
    digest: Digest
    source: Path
    left_out: frozenset[str] = frozenset()
    """Paths below it of which it says nothing: Hydra's log in an output directory."""
    partial: bool = False
    """Whether it is a part of its folder alone: the matches of a pattern."""
    aside: Mapping[str, Path] = field(default_factory=dict)
    """Files whose recorded bytes lie elsewhere: name -> where."""
    later: tuple[str, ...] = ()
    """Files that the job changed and of which only the later version is there."""

    def says_nothing_of(self, path: str) -> bool:
        """Whether a file may lie there beside the piece's own: a lock, a log."""
        return (
            layout.is_lock(PurePosixPath(path).name)
            or path.removeprefix(f"{self.path}/") in self.left_out
            or (self.partial and path.removeprefix(f"{self.path}/") not in self.digest.files)
        )

    def files(self) -> dict[str, FileDigest]:
        """Its files by their place in the restored checkout."""
        return {join_path(self.path, rel): file for rel, file in self.digest.files.items()}

    def source_of(self, rel: str) -> Path:
        """Where one of its files lies now."""
        return self.aside.get(rel) or (self.source / rel if rel else self.source)


@dataclass(frozen=True)
class Out:
    """A file or folder that DVC writes, described whole."""

    path: str
    digest: Digest
    pieces: tuple[Piece, ...]
    """What lies in it, the later one where two hold the same file."""

    def source_of(self, rel: str) -> Path | None:
        """Where one of its files lies now; None where git alone has it."""
        path = join_path(self.path, rel)
        for piece in reversed(self.pieces):
            if is_under(path, piece.path):
                inner = path[len(piece.path) + 1:]
                if inner in piece.digest.files:
                    return piece.source_of(inner)
        return None


@dataclass(frozen=True)
class Plan:
    """What a tag holds beside the code."""

    pieces: tuple[Piece, ...]
    """Where every piece comes back; those that git has are among them."""
    outs: tuple[Out, ...]
    remove: tuple[str, ...]
    """Leaves of the code tree that make room for data."""

    @property
    def later(self) -> tuple[str, ...]:
        """Where files come back that are not as recorded: the job changed them."""
        return tuple(join_path(each.path, rel) for each in self.pieces for rel in each.later)


def make_plan(
    pieces: Sequence[Piece], git_files: Mapping[str, FileDigest], leaves: Iterable[str]
) -> Plan:
    """Place the pieces, the pushed run's own first.

    Args:
        pieces: in order of precedence.
        git_files: regular files of the tag's tree, at or below a piece's path.
        leaves: every leaf of the code tree.
    """
    placed = _place_pieces(pieces, git_files)
    roots = _outermost(piece.path for piece in placed if not _in_git(piece, git_files))
    outs = tuple(_out(root, placed, git_files) for root in roots)
    return Plan(tuple(placed), outs, tuple(_in_the_way(outs, git_files, leaves)))


def _place_pieces(pieces: Sequence[Piece], git_files: Mapping[str, FileDigest]) -> list[Piece]:
    """Each piece at its own path, or aside where another version has that path."""
    placed: list[Piece] = []
    met = _PlacedPieces()
    own = pieces[0].run if pieces else ""
    for piece in pieces:
        fits = all(_agree(piece, other) for other in met.by(piece.path))
        if fits and piece.run != own and not _in_git(piece, git_files):
            fits = _agrees_with_git(piece, git_files)
        aside = layout.other_version_path(piece.run, piece.path)
        placed.append(piece if fits else replace(piece, path=aside))
        met.add(placed[-1])
    return placed


class _PlacedPieces:
    """Placed pieces, found by the paths that they could meet."""

    def __init__(self) -> None:
        self.at: dict[str, dict[object, Piece]] = defaultdict(dict)
        self.below: dict[str, list[Piece]] = defaultdict(list)

    def add(self, piece: Piece) -> None:
        """Remember a piece; one that says the same as another once."""
        says = (piece.digest.md5, piece.left_out, piece.partial)  # all that places others
        if says in self.at[piece.path]:
            return
        self.at[piece.path][says] = piece
        for up in with_parents(piece.path.rpartition("/")[0]):
            self.below[up].append(piece)

    def by(self, path: str) -> Iterator[Piece]:
        """Those at a path, above it and below it."""
        for up in with_parents(path):
            yield from self.at.get(up, {}).values()
        yield from self.below.get(path, ())


def _agree(one: Piece, other: Piece) -> bool:
    """Whether two pieces can lie in one checkout: where they meet, they are the same."""
    if is_under(one.path, other.path):
        inner, outer = one, other
    elif is_under(other.path, one.path):
        inner, outer = other, one
    else:
        return True
    if not outer.digest.is_folder:
        return one.digest.md5 == other.digest.md5
    theirs = {path: file for path, file in outer.files().items() if is_under(path, inner.path)}
    ours = inner.files()
    return all(
        theirs.get(path) == ours.get(path)
        for path in {*theirs, *ours}
        if not (inner.says_nothing_of(path) or outer.says_nothing_of(path))
    )


def _agrees_with_git(piece: Piece, git_files: Mapping[str, FileDigest]) -> bool:
    """Whether a predecessor's piece leaves the pushed run's own code as it is."""
    ours = piece.files()
    return all(
        ours.get(path) == file
        for path, file in git_files.items()
        if is_under(path, piece.path) and not piece.says_nothing_of(path)
    )


def _in_git(piece: Piece, git_files: Mapping[str, FileDigest]) -> bool:
    """Whether git alone brings a piece back, byte for byte."""
    files = piece.digest.files
    return bool(files) and all(
        git_files.get(join_path(piece.path, rel)) == file for rel, file in files.items()
    )


def _outermost(paths: Iterable[str]) -> list[str]:
    roots: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not roots or not is_under(path, roots[-1]):
            roots.append(path)
    return roots


def _out(root: str, placed: Sequence[Piece], git_files: Mapping[str, FileDigest]) -> Out:
    inside = tuple(piece for piece in placed if is_under(piece.path, root))
    files = {path: file for path, file in git_files.items() if path.startswith(f"{root}/")}
    for piece in inside:
        if piece.path == root and (not piece.digest.is_folder or len(inside) == 1 and not files):
            return Out(root, piece.digest, (piece,))
    for piece in inside:
        files |= piece.files()
    return Out(root, of_files({path[len(root) + 1:]: files[path] for path in files}), inside)


def _in_the_way(
    outs: Iterable[Out], git_files: Mapping[str, FileDigest], leaves: Iterable[str]
) -> Iterable[str]:
    """Leaves of the code tree where DVC writes something else: links, other bytes."""
    by_root = {out.path: out for out in outs}
    above = {up for root in by_root for up in with_parents(root)} - set(by_root)
    for leaf in leaves:
        out = next((by_root[up] for up in with_parents(leaf) if up in by_root), None)
        if leaf in above:
            yield leaf
        elif out is not None:
            written = out.digest.files.get(leaf.removeprefix(out.path).removeprefix("/"))
            if leaf not in git_files or git_files[leaf] != written:
                yield leaf
