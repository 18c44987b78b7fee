"""What differs between two runs, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flexlock_hydra.archive.runs import RecordedRun
from flexlock_hydra.errors import DataError
from flexlock_hydra.record.codec import Json, same
from flexlock_hydra.record.model import RunLock
from flexlock_hydra.replay.compare import result_files


@dataclass(frozen=True)
class Change:
    """The values of one name in the old run and in the new."""

    old: Json
    new: Json


@dataclass(frozen=True)
class Section:
    """Names and their values: only in the new run, only in the old, in both and different."""

    added: Mapping[str, Json] = field(default_factory=dict)
    removed: Mapping[str, Json] = field(default_factory=dict)
    changed: Mapping[str, Change] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def diff(old: RecordedRun, new: RecordedRun) -> dict[str, Section]:
    """Every section's differences, empty ones included."""
    return {
        "config": _section(_config(old.lock), _config(new.lock)),
        "code": _code(old, new),
        "data": _section(_data(old.lock), _data(new.lock)),
        "environment": _section(_environment(old.lock), _environment(new.lock)),
        "result": _section(_result(old.lock), _result(new.lock)),
        "outputs": _outputs(old, new),
    }


def as_json(sections: Mapping[str, Section]) -> dict[str, Any]:
    """The command's JSON document."""
    return {
        name: {
            "added": dict(section.added),
            "removed": dict(section.removed),
            "changed": {key: vars(change) for key, change in section.changed.items()},
        }
        for name, section in sections.items()
    }


def flatten(value: Json, where: str = "") -> dict[str, Json]:
    """A nested value as dotted names of its leaves."""
    if isinstance(value, Mapping) and value:
        children = [(f"{where}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and value:
        children = [(f"{where}[{i}]", item) for i, item in enumerate(value)]
    else:
        return {where: value}
    return {name: leaf for key, item in children for name, leaf in flatten(item, key).items()}


def _section(old: Mapping[str, Json], new: Mapping[str, Json]) -> Section:
    return Section(
        added={name: new[name] for name in sorted(new.keys() - old.keys())},
        removed={name: old[name] for name in sorted(old.keys() - new.keys())},
        changed={
            name: Change(old[name], new[name])
            for name in sorted(old.keys() & new.keys())
            if not same(old[name], new[name])
        },
    )


def _code(old: RecordedRun, new: RecordedRun) -> Section:
    """By file where one repository has both trees, else by tree id."""
    before, after = old.lock.code, new.lock.code
    trees = [{"tree": code.tree} if code else {} for code in (before, after)]
    repo = new.repo or old.repo
    if before is None or after is None or repo is None or before.tree == after.tree:
        return _section(*trees)
    if not all(repo.has_object(tree) for tree in (before.tree, after.tree)):
        return _section(*trees)
    files = repo.diff(before.tree, after.tree)
    one, two = repo.ls_tree(before.tree), repo.ls_tree(after.tree)
    return Section(
        added={path: two[path].oid for path in files.added},
        removed={path: one[path].oid for path in files.removed},
        changed={path: Change(one[path].oid, two[path].oid) for path in files.changed},
    )


def _config(lock: RunLock) -> dict[str, Json]:
    return flatten(lock.config) if lock.config else {}


def _result(lock: RunLock) -> dict[str, Json]:
    return {} if lock.run.result is None else flatten(lock.run.result, "result")


def _data(lock: RunLock) -> dict[str, Json]:
    return {name: entry.md5 for name, entry in lock.data.items()}


def _environment(lock: RunLock) -> dict[str, Json]:
    recorded = lock.environment
    return {
        "python": recorded.python,
        "implementation": recorded.implementation,
        "platform": recorded.platform,
        "libc": recorded.libc,
        "hydra": lock.job.hydra,
        **recorded.packages,
        **{f"conda {name}": build for name, build in (recorded.conda or {}).items()},
        **recorded.lockfiles,
        **{f"cpu {name}": value for name, value in (recorded.cpu or {}).items()},
        **{f"torch {name}": value for name, value in (recorded.torch or {}).items()},
        **{f"container {name}": value for name, value in (recorded.container or {}).items()},
        **{f"gpu[{i}]": card for i, card in enumerate(recorded.gpu)},
        **recorded.variables,
    }


def _outputs(old: RecordedRun, new: RecordedRun) -> Section:
    """By file where both folders are as recorded, else by their hashes."""
    try:
        files = [result_files(run) for run in (old, new)]
    except DataError:
        hashes = [run.lock.outputs.md5 if run.lock.outputs else None for run in (old, new)]
        return _section(*({".": md5} if md5 else {} for md5 in hashes))
    return _section(*({name: file.md5 for name, file in found.items()} for found in files))
