"""What differs between two runs, section by section."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.listed_outputs import listed_outputs
from flexlock_hydra.capture.data.digest import FileDigest
from flexlock_hydra.capture.data.hash_index import HashIndex, index_path
from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.errors import DataError
from flexlock_hydra.ports.git.tree_diff import Leaf
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import CodeState, DataEntry, Environment, Run, RunLock
from flexlock_hydra.replay.compare.compare import output_files, without_hydra
from flexlock_hydra.replay.compare.path_names import without_addresses
from flexlock_hydra.replay.explain.sections import (
    Change,
    Described,
    Detail,
    Move,
    Section,
    section,
    with_moves,
)
from flexlock_hydra.replay.explain.source_diff import RepoChange, sources
from flexlock_hydra.replay.explain.values import (
    Part,
    changed_parts,
    flatten,
    is_number,
    numerically,
)

__all__ = ["Change", "Detail", "Move", "Section", "diff_document", "diff", "flatten"]


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
    found = _of_parts(changed_parts(old.config or {}, new.config or {}))
    one, other = (_masked(lock.config or {}) for lock in (old, new))
    both = [key for key in one if key in other]
    return replace(found, notes=(f"masked, so not compared: {', '.join(both)}",) if both else ())


def result(old: RunLock, new: RunLock) -> Section:
    """What the tasks returned, by dotted keys; ``result`` where it is one value.

    Where they ended in different ways, ``run.status`` and ``run.error`` stand there too.
    """
    one, other = (_named_result(lock.run.result) for lock in (old, new))
    found = _of_parts(changed_parts(one, other, equal=_alike), _numeric)
    ends = section(*map(_end, (old.run, new.run)))
    return Section(
        {**ends.added, **found.added},
        {**ends.removed, **found.removed},
        {**ends.changed, **found.changed},
    )


def code(old: RecordedRun, new: RecordedRun) -> Section:
    """By file where repositories here have both trees, else by tree id."""
    added: dict[str, Json] = {}
    removed: dict[str, Json] = {}
    changed: dict[str, Change] = {}
    notes = []
    for source in sources(old, new):
        files = source.files()
        if files is None:
            one, other = _tree(source.old), _tree(source.new)
            name = f"{source.prefix}tree"
            _put(name, one, other, added, removed, changed)
            if one and other:
                notes.append(_unknown_code(source))
            continue
        for path, leaf in files.items():
            _put(f"{source.prefix}{path}", *_blobs(leaf), added, removed, changed)
    return with_moves(Section(added, removed, changed, notes=tuple(notes)))


def data(old: RunLock, new: RunLock) -> Section:
    """The inputs by name: hashes, or what a server says of a URL."""
    found = section(*({n: _identity(e) for n, e in lock.data.items()} for lock in (old, new)))
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
    before, after = old.lock.outputs, new.lock.outputs
    if before and after and (before.md5, before.unhashed) == (after.md5, after.unhashed):
        return Section()
    if before is None and after is None:
        return Section()
    try:
        with HashIndex.open(index_path()) as index:
            one, other = (_output_files(run, index) for run in (old, new))
    except DataError as error:
        return _by_hash(old, new, f"outputs compared by their hash alone: {error}")
    return _by_file(one, other)


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
    """The output files of a run: those in its folder, else those that a store here lists.

    Raises:
        DataError: neither is known.
    """
    try:
        return without_hydra(output_files(run, index))
    except DataError:
        listed = listed_outputs(run)
        if listed is None:
            raise
        return without_hydra(listed)


def _of_parts(found: Iterable[Part], change: Any = Change) -> Section:
    """A section of what differs in nested values, in the order of the values."""
    differing = list(found)
    return Section(
        added={part.name: part.new for part in differing if part.is_added},
        removed={part.name: part.old for part in differing if part.is_removed},
        changed={
            part.name: change(part.old, part.new)
            for part in differing
            if not (part.is_added or part.is_removed)
        },
    )


def _numeric(old: Json, new: Json) -> Change:
    """A change with the distance, in decimal: of 0.91 to 0.93 it is 0.02."""
    if not (is_number(old) and is_number(new) and math.isfinite(old) and math.isfinite(new)):
        return Change(old, new)
    delta = Decimal(repr(new)) - Decimal(repr(old))
    percent = float(delta / abs(Decimal(repr(old))) * 100) if old else None
    return Change(old, new, float(delta), percent)


def _put(
    name: str,
    old: str | None,
    new: str | None,
    added: dict[str, Json],
    removed: dict[str, Json],
    changed: dict[str, Change],
) -> None:
    if old is not None and new is not None:
        changed[name] = Change(old, new)
    elif old is not None:
        removed[name] = old
    elif new is not None:
        added[name] = new


def _blobs(leaf: Leaf) -> tuple[str | None, str | None]:
    """The ids of a file on both sides; the modes, where they alone differ."""
    if leaf.old and leaf.new and leaf.old[1] == leaf.new[1]:
        return leaf.old[0], leaf.new[0]
    return leaf.old and leaf.old[1], leaf.new and leaf.new[1]


def _tree(state: CodeState | None) -> str | None:
    return state.tree if state else None


def _unknown_code(source: RepoChange) -> str:
    assert source.old is not None and source.new is not None
    trees = f"{source.old.tree[:12]} and {source.new.tree[:12]}"
    return f"code of {source.name} not compared by file: {trees} are not both in repositories here"


def _masked(config: Json) -> list[str]:
    leaves = flatten(config)
    return [key for key, value in leaves.items() if isinstance(value, str) and MASK in value]


def _end(run: Run) -> dict[str, Json]:
    """How a run ended."""
    error = {"run.error": f"{run.error.type}: {run.error.message}"} if run.error else {}
    return {"run.status": run.status, **error}


def _alike(old: Json, new: Json) -> bool:
    """The same number, or the same value wherever its objects were in memory."""
    if isinstance(old, str) and isinstance(new, str):
        return without_addresses(old) == without_addresses(new)
    return numerically(old, new)


def _named_result(value: Json) -> Json:
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"result": value}


def _identity(entry: DataEntry) -> Json:
    return entry.md5 or (dict(entry.remote) if entry.remote is not None else None)


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
    others = _machine(lock.environment, lock.job.hydra)
    packages = lock.environment.packages.items()
    named = {(f"package {name}" if name in others else name): held for name, held in packages}
    return {**others, **named}


def _machine(recorded: Environment, hydra: str | None) -> dict[str, Json]:
    known = {
        "python": recorded.python,
        "implementation": recorded.implementation,
        "platform": recorded.platform,
        "libc": recorded.libc,
        "hydra": hydra,
        **{f"conda {name}": build for name, build in (recorded.conda or {}).items()},
        **recorded.lockfiles,
        **{f"cpu {name}": value for name, value in (recorded.cpu or {}).items()},
        **{f"torch {name}": value for name, value in (recorded.torch or {}).items()},
        **{f"container {name}": value for name, value in (recorded.container or {}).items()},
        **{f"gpu[{i}]": card for i, card in enumerate(recorded.gpu)},
        **recorded.variables,
    }
    return {name: value for name, value in known.items() if value is not None}
