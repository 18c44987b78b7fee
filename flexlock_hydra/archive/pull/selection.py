"""What a pull asks for of a tag: its files, whether they are safe and in nobody's way."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.archive.pull.restore_data import Shape
from flexlock_hydra.archive.runs.recorded_run import ExtraRepo, extra_repos
from flexlock_hydra.archive.tag.collect import OUTPUTS
from flexlock_hydra.archive.tag.listings import TagContents, read_contents
from flexlock_hydra.archive.tag.read_tag import Tagged
from flexlock_hydra.archive.tag.safe_paths import check_files, check_place
from flexlock_hydra.errors import DataError, TargetError
from flexlock_hydra.ports.git.ask import ask_status
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.status import GITLINK, read_status
from flexlock_hydra.ports.safe_write import SafeFolder
from flexlock_hydra.ports.store.object_source import md5_of
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
        files, lost = contents.files, contents.lost
        if only or not outputs:
            pieces = [each for each in tagged.pieces if outputs or each.name != OUTPUTS]
            roots = [each.path for each in pieces if not only or each.name in only]
            files = {p: oid for p, oid in files.items() if any(is_under(p, r) for r in roots)}
            meets = {p for p in lost for r in roots if is_under(r, p) or is_under(p, r)}
            lost = {path: why for path, why in lost.items() if path in meets}
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
            names = ("" if name == "." else name for name in entry.executable or ())
            executable |= {join_path(piece.path, name) for name in names}
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
    """Refuse a place for a repository that is not safe, or where the tag has a file."""
    place = each.restored
    check_place(place, own=each.inside is not None)
    for up in with_parents(place):
        entry = tagged.tree.get(up)
        if entry is not None and entry.mode != GITLINK:
            raise TargetError(
                f"the tag would put a repository at {place!r:.200}, where it has {up!r:.200}"
            )


def require_no_other(repo: GitRepo, wanted: PullSelection) -> None:
    """Refuse, before anything is changed, where the tag would meet files of the user's.

    Data may be there with the same bytes. What the tag tracks and HEAD does not may not,
    as a run's lock where the run was made: whoever goes back to HEAD would lose it.

    Raises:
        TargetError: one is in the way.
    """
    tracked = repo.ls_tree("HEAD") if repo.rev_parse("HEAD") else {}
    new = [path for path in wanted.tagged.tree if path not in tracked]
    with SafeFolder(repo.root) as inside:
        if here := [path for path in new if inside.look(path) is not None]:
            raise TargetError(
                f"{repo.root} has files of its own that the tag tracks: {', '.join(here[:3])}",
                hint="Restore it beside: --worktree, or --into DIR",
            )
        taken = [path for path in wanted.files if _is_other(inside, repo, wanted, path)]
        places = {each.restored for each in extra_repos_of_tag(wanted.tagged)}
        taken += [place for place in places if _holds_work(inside, repo.root, place)]
    if taken:
        raise TargetError(
            f"{repo.root} has other files where the tag has data: {', '.join(sorted(taken)[:3])}",
            hint="Move them away, or choose another folder: --into DIR",
        )


def _is_other(inside: SafeFolder, repo: GitRepo, wanted: PullSelection, path: str) -> bool:
    if inside.look(path) is None:
        return False
    try:
        return md5_of(repo.root / path) != wanted.files[path]
    except OSError:  # a folder, a link to nowhere
        return True


def _holds_work(inside: SafeFolder, root: Path, place: str) -> bool:
    """Whether a place holds more than a repository without changes: files, or work in one."""
    found, folder = inside.look(place), root / place
    if found is None or stat.S_ISDIR(found.st_mode) and not os.listdir(folder):
        return False
    inner = GitRepo.find(folder) if stat.S_ISDIR(found.st_mode) else None
    if inner is None or inner.root != folder.resolve():
        return True
    with ask_status(inner.root) as asked:
        status = read_status(asked)
    return status.differs or bool(status.untracked)
