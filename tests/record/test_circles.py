"""Runs on circles, as no honest lock says, and graphs of any form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture.data.digest import digest
from flexlock_hydra.capture.lineage import predecessors
from flexlock_hydra.record import lockfile
from tests.support.lineages import (
    Graph,
    craft,
    lock_of,
    numbers,
    put,
    reader,
    run_id,
    search,
    trace,
)


def assert_sound(prevs: Graph) -> None:
    """Every id that a node names is there, and no run stands on itself."""
    for key, prev in prevs.items():
        assert set(prev.prevs) <= set(prevs)
        assert key not in predecessors._reachable(prevs, prev.prevs)


def test_two_runs_that_name_each_other_are_cut_apart(root: Path) -> None:
    """Of two locks that name each other the link to the later run goes, by name."""
    traced = trace(root, craft(root, 1, 2))
    both = trace(root, craft(root, 2, 1), traced.prevs)

    assert numbers(both.prevs) == {1, 2}
    assert both.prevs[run_id(2)].prevs == (run_id(1),)
    assert_sound(both.prevs)
    assert traced.warnings == (
        f"data x: {run_id(1)} and {run_id(2)} stand on each other: that link is cut",
    )


def test_a_run_that_names_itself_is_cut(root: Path) -> None:
    """A lock whose run is its own predecessor gives one node without a link."""
    traced = trace(root, craft(root, 1, 1))

    assert traced.prevs[run_id(1)].prevs == ()
    assert "stand on each other" in traced.warnings[0]


def test_a_predecessor_that_stands_on_this_run_is_cut(root: Path) -> None:
    """The reader itself is never among its own predecessors."""
    traced = trace(root, craft(root, 1, 99, 5, direct=(99, 5)))

    assert numbers(traced.prevs) == {1, 5}
    assert_sound(traced.prevs)
    assert traced.warnings[0].endswith("that link is cut")


def test_a_circle_behind_a_predecessor_is_cut_the_same_in_any_order(root: Path) -> None:
    """Longer circles lose the link to the later run, whoever is found first."""
    paths = [craft(root, 1, 3, 4, direct=(3,)), craft(root, 2, 4, 3, direct=(4,))]
    graphs = []
    for order in (paths, paths[::-1]):
        prevs: Graph = {}
        for path in order:
            prevs = trace(root, path, prevs, path.parent.name).prevs
        graphs.append(prevs)

    assert_sound(graphs[0])
    assert graphs[0] == graphs[1]


def test_a_run_that_reads_its_own_folder_is_named(root: Path) -> None:
    """Data in the run's own output directory has no predecessor, and that is said."""
    own = craft(root, 99)
    traced = trace(root, own)

    assert not traced.prevs
    (said,) = traced.warnings
    assert said.startswith(f"data x: {own} lies in this run's own output directory")


def test_the_project_as_output_directory_is_no_circle(root: Path) -> None:
    """With ``hydra.run.dir=.`` all data lies in the output directory: nothing to say."""
    (root / "data.csv").touch()
    lockfile.write(lock_of(99), root / "run.lock")
    traced = search(root / "data.csv", reader(root, "."), digest(root / "data.csv"))

    assert traced == predecessors.Trace({})


def test_a_copy_of_the_own_lock_is_named(root: Path) -> None:
    """A lock elsewhere with the reader's own id is no predecessor."""
    path = craft(root, 99).rename(root / "model.pt")
    (root / "outputs/99/run.lock").rename(root / "run.lock")
    traced = trace(root, path)

    assert not traced.prevs
    assert "is a copy of this run's own" in traced.warnings[0]


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_known_of_a_runs_end_counts(order: int, root: Path) -> None:
    """Two predecessors saw a third, one while it ran: its end is kept, in either order."""
    base = put(root, 1)
    early = replace(base.lock, run=replace(base.lock.run, status="running"))
    running = replace(base, lock=early, sha256=f"sha256:{'f' * 64}")
    paths = [put(root, 2, running).folder, put(root, 3, base).folder]
    prevs: Graph = {}
    for path in paths[::order]:
        prevs = trace(root, path, prevs, path.name).prevs

    assert (prevs[run_id(1)].status, prevs[run_id(1)].lock) == ("completed", base.sha256)


def test_a_run_that_nothing_leads_to_is_left_out(root: Path) -> None:
    """Of a lock's graph the runs count that its own data led to, not whatever else it holds."""
    path = craft(root, 1, 2, 3, direct=(2,))
    lock = lockfile.read_lock(path.parent / "run.lock")
    alone = {key: replace(prev, prevs=()) for key, prev in lock.prevs.items()}
    lockfile.write(replace(lock, prevs=alone), path.parent / "run.lock")

    assert numbers(trace(root, path).prevs) == {1, 2}


# Random graphs


@st.composite
def dags(draw: st.DrawFn) -> dict[int, set[int]]:
    """Runs by number, each with the earlier ones that it stands on."""
    size = draw(st.integers(1, 9))
    return {n: draw(st.sets(st.integers(0, n - 1), max_size=3)) if n else set()
            for n in range(size)}


def ancestors(dag: Mapping[int, set[int]], number: int) -> set[int]:
    """A run and all that it stands on."""
    return {number}.union(*(ancestors(dag, below) for below in dag[number]))


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(data=st.data(), dag=dags())
def test_any_graph_holds_every_reachable_run_once(
    data: st.DataObject, dag: dict[int, set[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Of any real graph of locks each run is there once, direct where data led to it."""
    root = tmp_path_factory.mktemp("dag")
    (root / ".git").mkdir()
    for number, below in dag.items():
        put(root, number, *(predecessors.read_found(root / f"outputs/{n}/run.lock") for n in below))
    direct = data.draw(st.lists(st.sampled_from(sorted(dag)), min_size=1, unique=True))
    graphs = []
    for order in (direct, direct[::-1]):
        prevs: Graph = {}
        for number in order:
            prevs = trace(root, root / f"outputs/{number}", prevs, str(number)).prevs
        graphs.append(prevs)

    expected = set().union(*(ancestors(dag, number) for number in direct))
    assert numbers(graphs[0]) == expected
    assert {n for n in expected if graphs[0][run_id(n)].direct} == set(direct)
    assert all(numbers(prev.prevs) == dag[int(key[-8:], 16)] for key, prev in graphs[0].items())
    assert graphs[0] == graphs[1]
