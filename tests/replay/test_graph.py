"""``graph`` draws what a run stands on, whatever the names in its lock are."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.cli.views import drawing
from flexlock_hydra.record.model import DataEntry
from flexlock_hydra.replay.explain.graph import Graph, graph_of
from tests.conftest import Project
from tests.support.lineages import graph as prevs_of
from tests.support.lineages import lock_of, put, run_id


def graph(root: Path, **names: str) -> Graph:
    """A run on two that stand on a third, with some names changed."""
    first = put(root, 1)
    second, third = put(root, 2, first), put(root, 3, first)
    prevs = prevs_of(root, (second, "left"), (third, "right"))
    lock = lock_of(4, prevs, job=names.get("job", "train"))
    data = {"raw": DataEntry(path=names.get("path", "data/raw.csv"), hash={"md5": "0" * 32})}
    lock = replace(lock, data=data)
    return graph_of(RecordedRun(root / "outputs/4/run.lock", lock, root, None, b""))


@pytest.mark.hydra
def test_a_pipeline(ran: Project) -> None:
    """The tree of a real run shows each step once, and the data that no run made."""
    last = "outputs/a/evaluate"
    lines = ran.flexlock("graph", last).out.splitlines()
    names = [line.lstrip("│├└─ ").split("  ")[0] for line in lines]
    assert names[0] == "evaluate" and sorted({*names}) == sorted(
        ["evaluate", "clean", "ingest", "data/table.csv", "train", "features"]
    )
    assert sum("(see above)" in line for line in lines) == 2
    document = ran.flexlock("graph", last, "--json").json
    jobs = {node["key"]: node["name"] for node in document["nodes"]}
    assert {(jobs[old], jobs[new]) for old, new in document["edges"]} == {
        ("data/table.csv", "ingest"), ("ingest", "clean"), ("ingest", "features"),
        ("clean", "features"), ("features", "train"), ("train", "evaluate"), ("clean", "evaluate"),
    }


def test_a_diamond_is_drawn_once(tmp_path: Path) -> None:
    """A run that two others stand on has one vertex in each format."""
    found = graph(tmp_path)
    assert drawing.mermaid(found).count(run_id(1)) == drawing.dot(found).count(run_id(1)) == 1
    assert drawing.svg(found).count(run_id(1)) == 1


HOSTILE = '"]; click n0 call alert(1)\x1b[2J</text><script>\\"&#x;'


@pytest.mark.parametrize("kind", ["job", "path"])
def test_hostile_names_are_names(tmp_path: Path, kind: str) -> None:
    """No name in a lock leaves its place in a drawing, or steers a terminal."""
    found = graph(tmp_path, **{kind: HOSTILE})
    assert "\x1b" not in "".join(draw(found) for draw in drawing.FORMATS.values())
    ElementTree.fromstring(drawing.svg(found))
    assert "<script>" not in drawing.svg(found)
    for line in drawing.mermaid(found).splitlines()[1:]:
        assert line.count('"') in (0, 2) and "<script" not in line
    for line in drawing.dot(found).splitlines():
        assert line.replace("\\\\", "").replace('\\"', "").count('"') % 2 == 0


@pytest.mark.needs("dot")
def test_graphviz_takes_it(tmp_path: Path) -> None:
    """Graphviz reads what ``dot`` prints."""
    text = drawing.dot(graph(tmp_path, job=HOSTILE))
    subprocess.run(["dot", "-Tsvg"], input=text.encode(), check=True, capture_output=True)


def test_circles_and_long_chains_end(tmp_path: Path) -> None:
    """A lock that leads in a circle, and one of three thousand steps, are drawn."""
    found = graph(tmp_path)
    circle = replace(found, below={key: tuple(found.vertices) for key in found.vertices})
    keys = [f"k{n}" for n in range(3000)]
    one = found.vertices[found.root]
    long = Graph(
        keys[0],
        {key: replace(one, key=key) for key in keys},
        {key: tuple(keys[n + 1:n + 2]) for n, key in enumerate(keys)},
    )
    for each in (circle, long):
        for draw in drawing.FORMATS.values():
            assert draw(each)
