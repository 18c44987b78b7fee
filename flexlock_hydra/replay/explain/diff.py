"""What differs between two runs, section by section, and their code as a patch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from flexlock_hydra.archive.runs.recorded_run import RecordedRun, extra_repos, store_of
from flexlock_hydra.archive.tag.listings import listed_outputs
from flexlock_hydra.capture.data.digest import FileDigest
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.tree_diff import Leaf, TreePair, trees_of
from flexlock_hydra.record.codec import Json, is_number
from flexlock_hydra.record.model import MAIN, CodeState, Run, RunLock
from flexlock_hydra.replay.compare.compare import output_files, without_hydra
from flexlock_hydra.replay.compare.path_names import without_addresses
from flexlock_hydra.replay.explain.sections import (
    MISSING, Change, Described, Detail, Move, Part, Section, changed_parts, flatten, numerically,
    section, section_of, with_moves
)


def diff(old: RecordedRun, new: RecordedRun) -> dict[str, Section]:
    """Every section's differences, empty ones included."""
    return {
        "config": config(old.lock, new.lock),
        "code": code(old, new),
        "data": data(old.lock, new.lock),
        "environment": environment(old.lock, new.lock),
        "result": result(old.lock, new.lock),
        "outputs": outputs(old, new),
    }


def diff_document(sections: Mapping[str, Section]) -> dict[str, Any]:
    """The command's JSON document."""
    return {name: section.to_dict() for name, section in sections.items()}


def config(old: RunLock, new: RunLock) -> Section:
    """The resolved config by dotted keys; of secrets nothing is known but that they are there."""
    found = section_of(changed_parts(old.config or {}, new.config or {}))
    one, other = (_masked(lock.config or {}) for lock in (old, new))
    both = [key for key in one if key in other]
    return replace(found, notes=(f"masked, so not compared: {', '.join(both)}",) if both else ())


def result(old: RunLock, new: RunLock) -> Section:
    """What the tasks returned, by dotted keys; ``result`` where it is one value.

    Where they ended in different ways, ``run.status`` and ``run.error`` stand there too.
    """
    one, other = (_named_result(lock.run.result) for lock in (old, new))
    found = section_of(changed_parts(one, other, equal=_alike), _numeric)
    ends = section(*map(_end, (old.run, new.run)))
    return Section(
        {**ends.added, **found.added},
        {**ends.removed, **found.removed},
        {**ends.changed, **found.changed},
    )


def code(old: RecordedRun, new: RecordedRun) -> Section:
    """By file where repositories here have both trees, else by tree id."""
    parts, notes = [], []
    for source in sources(old, new):
        files = source.files()
        if files is not None:
            parts += [Part(f"{source.prefix}{path}", *_blobs(leaf)) for path, leaf in files.items()]
            continue
        trees = [state.tree if state else MISSING for state in (source.old, source.new)]
        parts.append(Part(f"{source.prefix}tree", *trees))
        if source.old and source.new:
            notes.append(f"code of {source.name} not compared by file: {source.old.tree[:12]} and "
                         f"{source.new.tree[:12]} are not both in repositories here")
    return with_moves(replace(section_of(parts), notes=tuple(notes)))


@dataclass(frozen=True)
class RepoChange:
    """A repository whose code differs between two runs; None: one of them has it not."""

    name: str
    old: CodeState | None
    new: CodeState | None
    trees: TreePair | None
    """Both trees, where repositories here hold them."""

    @property
    def prefix(self) -> str:
        """What stands before a file's path, to tell it from the main repository's."""
        return "" if self.name == MAIN else f"{self.name}:"

    def files(self) -> dict[str, Leaf] | None:
        """What differs by file; None where that is not known here."""
        return None if self.trees is None else self.trees.leaves()

    def patch(self) -> bytes | None:
        """The unified diff; None where the files are not known here."""
        if self.trees is None:
            return None
        return self.trees.patch("" if self.name == MAIN else f"{self.name}/")


def sources(old: RecordedRun, new: RecordedRun) -> Iterator[RepoChange]:
    """The repositories in which two runs differ, the main one first."""
    before, after = old.lock.repos, new.lock.repos
    for name in sorted({*before, *after}, key=lambda name: (name != MAIN, name)):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            yield RepoChange(name, one, other, None)
        elif one.tree != other.tree:
            places = (_repo(new, name), _repo(old, name))
            yield RepoChange(name, one, other, trees_of(places, one.tree, other.tree))


def patch(old: RecordedRun, new: RecordedRun) -> tuple[bytes, list[str]]:
    """The unified diff of all code, and the repositories that it says nothing of."""
    found = {each.name: each.patch() for each in sources(old, new)}
    missing = [name for name, text in found.items() if text is None]
    return b"".join(text for text in found.values() if text is not None), missing


def data(old: RunLock, new: RunLock) -> Section:
    """The inputs by name: hashes, or what a server says of a URL."""
    found = section(*map(_identities, (old, new)))
    named = {*found.added, *found.removed, *found.changed}
    details = {
        name: Detail(*(_described(lock, name) for lock in (old, new))) for name in sorted(named)
    }
    moved = tuple(
        Move(entry.path, new.data[name].path)
        for name, entry in old.data.items()
        if entry.md5 and name in new.data and name not in named
        and entry.path != new.data[name].path
    )
    return with_moves(replace(found, details=details, moved=moved))


def environment(old: RunLock, new: RunLock) -> Section:
    """Packages and machine, by name."""
    return section(_environment(old), _environment(new))


def outputs(old: RecordedRun, new: RecordedRun) -> Section:
    """By file where both folders are as recorded or a store lists them, else by their hashes."""
    recorded = [run.lock.outputs and (run.lock.outputs.md5, run.lock.outputs.unhashed)
                for run in (old, new)]
    if recorded[0] == recorded[1]:
        return Section()
    try:
        with HashIndex.open(index_path()) as index:
            return _by_file(*(_output_files(run, index) for run in (old, new)))
    except DataError as error:
        return _by_hash(old, new, f"outputs compared by their hash alone: {error}")


def _by_file(old: Mapping[str, FileDigest], new: Mapping[str, FileDigest]) -> Section:
    hashes = ({name: file.md5 or f"{file.size} bytes" for name, file in files.items()}
              for files in (old, new))
    found = section(*hashes)
    named = sorted({*found.added, *found.removed, *found.changed})
    details = {
        name: Detail(*({"size": files[name].size} if name in files else None
                       for files in (old, new)))
        for name in named
    }
    return with_moves(replace(found, details=details))


def _by_hash(old: RecordedRun, new: RecordedRun, note: str) -> Section:
    recorded = [run.lock.outputs for run in (old, new)]
    found = section(*({".": each.md5} if each else {} for each in recorded))
    sizes = [{"size": each.size, "nfiles": each.nfiles} if each else None for each in recorded]
    return replace(found, details={".": Detail(*sizes)} if found else {}, notes=(note,))


def _output_files(run: RecordedRun, index: HashIndex) -> dict[str, FileDigest]:
    """The output files of a run in its folder, else as a store here lists them, else DataError."""
    try:
        return without_hydra(output_files(run, index))
    except DataError:
        listed = listed_outputs(run)
        if listed is None:
            raise
        return without_hydra(listed)


def _numeric(old: Json, new: Json) -> Change:
    """A change with the distance, in decimal: of 0.91 to 0.93 it is 0.02."""
    if not (is_number(old) and is_number(new) and math.isfinite(old) and math.isfinite(new)):
        return Change(old, new)
    delta = Decimal(repr(new)) - Decimal(repr(old))
    percent = float(delta / abs(Decimal(repr(old))) * 100) if old else None
    return Change(old, new, float(delta), percent)


def _blobs(leaf: Leaf) -> tuple[Any, Any]:
    """The ids of a file on both sides; the modes, where they alone differ."""
    if leaf.old and leaf.new and leaf.old[1] == leaf.new[1]:
        return leaf.old[0], leaf.new[0]
    return leaf.old[1] if leaf.old else MISSING, leaf.new[1] if leaf.new else MISSING


def _masked(config: Json) -> list[str]:
    return [key for key, it in flatten(config).items() if isinstance(it, str) and MASK in it]


def _end(run: Run) -> dict[str, Json]:
    """The status of a run and its error, by the names that ``diff`` shows them under."""
    error = {"run.error": f"{run.error.type}: {run.error.message}"} if run.error else {}
    return {"run.status": run.status, **error}


def _alike(old: Json, new: Json) -> bool:
    """Whether two results are equal; addresses in the text of objects do not count."""
    if isinstance(old, str) and isinstance(new, str):
        return without_addresses(old) == without_addresses(new)
    return numerically(old, new)


def _named_result(value: Json) -> Json:
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"result": value}


def _identities(lock: RunLock) -> dict[str, Json]:
    """The inputs by name: an md5, also of the names in folders, or what a server says."""
    return {name: entry.identity for name, entry in lock.data.items()}


def _described(lock: RunLock, name: str) -> Described | None:
    entry = lock.data.get(name)
    if entry is None:
        return None
    runs = [run_id for run_id, prev in lock.prevs.items() if name in prev.via]
    known = {"path": entry.path, "size": entry.size, "nfiles": entry.nfiles,
             "error": entry.error, "runs": runs or None}
    return {key: value for key, value in known.items() if value is not None}


def _environment(lock: RunLock) -> dict[str, Json]:
    """By name; a package that is called like something else keeps out of its way."""
    recorded = lock.environment
    known = {
        "python": recorded.python,
        "implementation": recorded.implementation,
        "platform": recorded.platform,
        "libc": recorded.libc,
        "hydra": lock.job.hydra,
        **{f"conda {name}": build for name, build in (recorded.conda or {}).items()},
        **recorded.lockfiles,
        **{f"cpu {name}": value for name, value in (recorded.cpu or {}).items()},
        **{f"torch {name}": value for name, value in (recorded.torch or {}).items()},
        **{f"container {name}": value for name, value in (recorded.container or {}).items()},
        **{f"gpu[{i}]": card for i, card in enumerate(recorded.gpu)},
        **recorded.variables,
    }
    others = {name: value for name, value in known.items() if value is not None}
    packages = recorded.packages.items()
    named = {(f"package {name}" if name in others else name): held for name, held in packages}
    return {**others, **named}


def _repo(run: RecordedRun, name: str) -> GitRepo | None:
    if name == MAIN:
        return run.repo
    each = next((each for each in extra_repos(run.lock) if each.name == name), None)
    found = store_of(run, each) if each else None
    return found or run.repo
