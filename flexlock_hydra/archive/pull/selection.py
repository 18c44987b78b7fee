"""What a pull asks for of a tag: the files, where their bytes are, and whether they are safe."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from flexlock_hydra.archive.pull.restore_data import Shape
from flexlock_hydra.archive.runs.extra_repos import ExtraRepo, extra_repos
from flexlock_hydra.archive.tag.collect import OUTPUTS
from flexlock_hydra.archive.tag.listings import TagContents, read_contents
from flexlock_hydra.archive.tag.read_tag import Tagged
from flexlock_hydra.archive.tag.safe_paths import check_files, check_place
from flexlock_hydra.errors import DataError, TargetError
from flexlock_hydra.ports.git.status import GITLINK
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record.relative_path import is_under, join_path, with_parents


@dataclass(frozen=True)
class PullSelection:
    """The files of a tag that are to be there, and where their bytes are."""

    tagged: Tagged
    store: Store | None
    contents: TagContents
    files: Mapping[str, str]
    """Path -> object id, of the wanted ones."""
    lost: Mapping[str, str]

    @classmethod
    def of(
        cls,
        tagged: Tagged,
        store: Store,
        *,
        only: Collection[str] = (),
        data: bool = True,
        outputs: bool = True,
    ) -> PullSelection:
        """The files of a tag that its user asks for.

        Args:
            only: names of the data, as their locks have them; all without any.
            data: whether data is wanted at all.
            outputs: whether the outputs are.

        Raises:
            DataError: a name that nothing has. RemoteError: the listings cannot be read.
        """
        names = sorted({piece.name for piece in tagged.pieces})
        if unknown := [name for name in only if name not in names]:
            raise DataError(
                f"tag {tagged.name} has no data {unknown[0]}", hint=f"It has: {', '.join(names)}"
            )
        if not data or not tagged.outs:
            return cls(tagged, None, TagContents({}, {}, {}), {}, {})
        store.require()
        contents = read_contents(tagged, store)
        folders = [
            piece.path
            for piece in tagged.pieces
            if (outputs or piece.name != OUTPUTS)
            and (not only or piece.name in only)
        ]
        whole = outputs and not only
        files = {
            path: oid
            for path, oid in contents.files.items()
            if whole or any(is_under(path, folder) for folder in folders)
        }
        lost = {
            path: why
            for path, why in contents.lost.items()
            if whole or any(is_under(f, path) or is_under(path, f) for f in folders)
        }
        return cls(tagged, store, contents, files, lost)

    def check(self) -> None:
        """Refuse places that are not safe.

        Raises:
            TargetError: one is not.
        """
        tree = self.tagged.tree
        check_files([*self.contents.files], tree)
        for folder in self.shape().empty:
            above = self.contents.files.keys() & set(with_parents(folder))
            check_files([folder, *(above - {folder})], tree)
        for each in extra_repos_of_tag(self.tagged):
            _check_repo(self.tagged, each)

    def shape(self) -> Shape:
        """What the runs' locks say of the wanted files beside their bytes."""
        executable: set[str] = set()
        links: dict[str, str] = {}
        empty: dict[str, None] = {}
        for piece in self.tagged.pieces:
            lock = self.tagged.runs.get(piece.run)
            if lock is None:
                continue
            outputs = lock.outputs if piece.name == OUTPUTS else None
            entry = outputs if outputs and outputs.md5 == piece.md5 else lock.data.get(piece.name)
            if entry is None:
                continue
            executable |= {
                join_path(piece.path, "" if name == "." else name)
                for name in entry.executable or ()
            }
            for name, text in (entry.links or {}).items():
                path = join_path(piece.path, name)
                # Only a link within its own data, to the same bytes: any other could lead anywhere.
                leads = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
                same = path in self.files and self.files.get(leads) == self.files[path]
                if same and is_under(leads, piece.path) and leads != path:
                    links[path] = leads
            empty |= {join_path(piece.path, name): None for name in entry.empty or ()}
        # A link leads to a file, never to another link: such a one comes as a file itself.
        direct = {path: leads for path, leads in links.items() if leads not in links}
        return Shape(frozenset(executable), direct, tuple(empty))


def extra_repos_of_tag(tagged: Tagged) -> Iterator[ExtraRepo]:
    """The repositories of a tag's own runs beside their main one."""
    for run_id in tagged.own:
        yield from extra_repos(tagged.runs[run_id])


def _check_repo(tagged: Tagged, each: ExtraRepo) -> None:
    """Refuse a place for a repository that is not safe, or where the tag has a file.

    Raises:
        TargetError: it is there.
    """
    place = each.restored
    check_place(place, own=each.inside is not None)
    for up in with_parents(place):
        entry = tagged.tree.get(up)
        if entry is not None and entry.mode != GITLINK:
            raise TargetError(
                f"the tag would put a repository at {place!r:.200}, where it has {up!r:.200}"
            )
