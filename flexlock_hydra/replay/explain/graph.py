"""What a run stands on, as a graph: the runs before it and the data that no run made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.data.paths import record_path
from flexlock_hydra.capture.environment import process
from flexlock_hydra.record.relative_path import is_under

RUN, DATA = "run", "data"


@dataclass(frozen=True)
class Vertex:
    """A run, or an input that no recorded run made.

    Args:
        kind: ``run`` or ``data``.
        name: the job of a run; the path of an input.
        details: status, id, folder; the beginning of a hash.
        size: of an input, bytes.
    """

    key: str
    kind: str
    name: str
    details: tuple[str, ...]
    stale: bool = False
    """Whether its record no longer held when its data was taken."""
    size: int | None = None

    @property
    def is_data(self) -> bool:
        """Whether it is an input that no recorded run made."""
        return self.kind == DATA


@dataclass(frozen=True)
class Graph:
    """Vertices by their keys, and for each those that it stands on directly."""

    root: str
    vertices: Mapping[str, Vertex]
    below: Mapping[str, tuple[str, ...]]

    def edges(self) -> Iterator[tuple[str, str]]:
        """From what was taken to who took it."""
        for key, taken in self.below.items():
            yield from ((each, key) for each in taken)

    def depths(self) -> dict[str, int]:
        """How many steps lie between each vertex and the root, on the longest way."""
        found: dict[str, int] = {}
        layer = [self.root]
        for depth in range(len(self.vertices)):  # a circle, which no honest lock has, ends
            found.update(dict.fromkeys(layer, depth))
            layer = list(dict.fromkeys(each for key in layer for each in self.below[key]))
        return found

    def as_json(self) -> dict[str, Any]:
        """The command's JSON document."""
        return {
            "root": self.root,
            "nodes": [
                {**vars(each), "details": list(each.details)} for each in self.vertices.values()
            ],
            "edges": [list(edge) for edge in self.edges()],
        }


def graph_of(run: RecordedRun) -> Graph:
    """The lineage of a run, as its lock tells it: nothing else need be here."""
    lock = run.lock
    root = lock.run.id
    status = process.status_now(lock)
    folder = record_path(run.folder, run.root)
    vertices = {root: Vertex(root, RUN, lock.job.name, (status, root, folder))}
    taken = {root: [run_id for run_id, prev in lock.prevs.items() if prev.direct]}
    made = {name for prev in lock.prevs.values() for name in prev.via}
    inputs = {root: {name: entry for name, entry in lock.data.items() if name not in made}}
    for run_id, prev in lock.prevs.items():
        details = (prev.status, run_id, prev.path)
        vertices[run_id] = Vertex(run_id, RUN, prev.job, details, bool(prev.stale))
        taken[run_id] = [each for each in prev.prevs if each in lock.prevs]
        folders = [lock.prevs[each].path for each in taken[run_id]]
        inputs[run_id] = {
            name: entry
            for name, entry in prev.data.items()
            if not any(is_under(entry.place, folder) for folder in folders)
        }
    for run_id, entries in inputs.items():
        for entry in entries.values():
            # The same path with the same contents is the same vertex.
            known = entry.md5 or entry.error or ""
            key = f"{entry.path} {known}"
            vertices[key] = Vertex(key, DATA, entry.path, (known[:10],), size=entry.size)
            taken[run_id].append(key)
    below = {key: tuple(dict.fromkeys(taken.get(key, ()))) for key in vertices}
    return Graph(root, vertices, below)
