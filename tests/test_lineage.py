"""Predecessors: found beside the data, kept as one flat graph."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture import lineage, origins
from flexlock_hydra.capture.digest import Digest, digest, digest_bytes
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, lockfile, summary
from flexlock_hydra.record.emitter import emit
from flexlock_hydra.record.model import (
    CodeRef,
    CodeState,
    Command,
    DataEntry,
    Environment,
    Job,
    Outputs,
    Predecessor,
    Process,
    Run,
    RunLock,
)
from tests.conftest import Project, validator

SHA = "0123456789abcdef0123456789abcdef01234567"
Graph = Mapping[str, Predecessor]


def run_id(number: int) -> str:
    """The id of the n-th run."""
    return f"20261122T101500Z-{number:08x}"


def lock_of(number: int, prevs: Graph | None = None, job: str = "train") -> RunLock:
    """The lock of the n-th run."""
    code = CodeState(path=".", head=SHA, commit=SHA, tree=SHA[::-1], completeness="exact")
    return RunLock(
        run=Run(
            id=run_id(number),
            status="completed",
            started="2026-11-22T10:15:00+00:00",
            process=Process(host="node7", pid=4711),
        ),
        job=Job(name=job, command=Command(executable="python", argv=(), cwd="/")),
        repos={"main": code},
        data={"raw": DataEntry(path="data/raw.csv", hash={"md5": "0" * 32}, size=1, nfiles=1)},
        prevs=prevs or {},
        environment=Environment(python="3.11.7", implementation="CPython", platform="Linux"),
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a repository, as far as a search upwards can see."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder


def put(root: Path, number: int, *direct: lineage.Found) -> lineage.Found:
    """Write the n-th run, which stands on others, each reached by an entry of its name."""
    prevs: dict[str, Predecessor] = {}
    for found in direct:
        prevs = lineage.add(prevs, found, f"by-{found.lock.run.id[-2:]}", root)
    path = root / "outputs" / str(number) / "run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lockfile.write(lock_of(number, prevs), path)
    return lineage.read_found(path)


def graph(root: Path, *direct: tuple[lineage.Found, str]) -> dict[str, Predecessor]:
    """The graph of a run that reaches these runs by these entries."""
    prevs: dict[str, Predecessor] = {}
    for found, via in direct:
        prevs = lineage.add(prevs, found, via, root)
    return prevs


def numbers(keys: Iterable[str]) -> set[int]:
    """The numbers of runs by their ids."""
    return {int(key[-8:], 16) for key in keys}


# Where a lock is looked for


@pytest.mark.parametrize(("lock", "data"), [
    ("out/run.lock", "out"),
    ("out/run.lock", "out/model.pt"),
    ("out/run.lock", "out/a/b/model.pt"),
    ("out/run.lock", "out/not/there/yet"),
    ("out/a/run.lock", "out/a/model.pt"),
    ("run.lock", "data/raw.csv"),
    ("run.lock", "."),
])
def test_the_lock_at_or_above_the_data_is_found(lock: str, data: str, root: Path) -> None:
    """The lock in the data's folder, or in the nearest one above, is the predecessor's."""
    (root / lock).parent.mkdir(parents=True, exist_ok=True)
    (root / lock).touch()

    assert origins.find_lock(root / data, root) == root / lock


def test_the_nearest_lock_counts(root: Path) -> None:
    """Of locks at several heights the one closest to the data is taken."""
    for folder in (root, root / "a", root / "a" / "b"):
        folder.mkdir(exist_ok=True)
        (folder / "run.lock").touch()

    assert origins.find_lock(root / "a" / "x", root) == root / "a" / "run.lock"


def test_a_lock_above_the_root_is_not_found(root: Path) -> None:
    """The search does not leave the repository."""
    (root.parent / "run.lock").touch()
    (root / "data").mkdir()

    assert origins.find_lock(root / "data" / "x.csv", root) is None


def test_the_root_stops_the_search_without_git_too(tmp_path: Path) -> None:
    """Without a repository the given root is the end."""
    (tmp_path / "run.lock").touch()
    (tmp_path / "a").mkdir()

    assert origins.find_lock(tmp_path / "a" / "x", tmp_path / "a") is None


def test_outside_the_search_ends_at_the_first_repository(root: Path, tmp_path: Path) -> None:
    """Data of another repository has its predecessors there, and not above it."""
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (tmp_path / "run.lock").touch()

    assert origins.find_lock(other / "data" / "x", root) is None
    (other / "run.lock").touch()
    assert origins.find_lock(other / "data" / "x", root) == other / "run.lock"


@pytest.mark.parametrize("name", ["uv.lock", "run.20261122T101500Z-3f9c2a7b.lock", "RUN.LOCK"])
def test_another_name_is_no_lock(name: str, root: Path) -> None:
    """Only a file named run.lock tells of a run."""
    (root / name).touch()

    assert origins.find_lock(root / "data", root) is None


def test_a_folder_of_that_name_is_no_lock(root: Path) -> None:
    """A folder that is called run.lock is passed over."""
    (root / "a" / "run.lock").mkdir(parents=True)
    (root / "run.lock").touch()

    assert origins.find_lock(root / "a" / "x", root) == root / "run.lock"


# Reading


def test_a_lock_is_read_with_the_hash_of_its_bytes(root: Path) -> None:
    """What is found is the folder, the run, and the sha256 of the very file."""
    found = put(root, 1)
    content = (root / "outputs/1/run.lock").read_bytes()

    assert found.folder == root / "outputs" / "1"
    assert found.lock == summary.loads(content)
    assert found.lock.run.id == run_id(1)
    assert found.sha256 == f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "not a lock"),
    (b"format: 1\n", "run is missing"),
    (b"format: 2\n", "format 2 is newer"),
    (b"\xff\xfe{", "is damaged"),
])
def test_a_damaged_lock_is_an_error(content: bytes, reason: str, root: Path) -> None:
    """A lock beside the data that cannot be read is LockError with its path."""
    path = root / "run.lock"
    path.write_bytes(content)
    with pytest.raises(LockError, match=f"^{path}.*{reason}"):
        lineage.read_found(path)


def test_an_unreadable_lock_is_an_error(root: Path) -> None:
    """A lock that went away between finding and reading is LockError."""
    with pytest.raises(LockError, match="run.lock cannot be read: No such file"):
        lineage.read_found(root / "run.lock")


# The graph


def test_a_direct_predecessor_is_recorded_whole(root: Path) -> None:
    """A node holds the job, where it lies, what led there, its code, data and lock's hash."""
    found = put(root, 1)

    assert graph(root, (found, "table")) == {
        run_id(1): Predecessor(
            job="train",
            path="outputs/1",
            direct=True,
            via=("table",),
            status="completed",
            lock=found.sha256,
            repos={"main": CodeRef(commit=SHA, tree=SHA[::-1])},
            data=found.lock.data,
            prevs=(),
        )
    }


def test_a_predecessor_outside_has_an_absolute_path(root: Path, tmp_path: Path) -> None:
    """A run in another place is named by its absolute path."""
    found = put(tmp_path / "other", 1)

    assert graph(root, (found, "x"))[run_id(1)].path == f"{tmp_path}/other/outputs/1"


def test_a_predecessor_in_the_root_has_a_dot(root: Path) -> None:
    """A run whose output folder is the root itself lies at ``.``."""
    lockfile.write(lock_of(1), root / "run.lock")
    found = lineage.read_found(root / "run.lock")

    assert graph(root, (found, "x"))[run_id(1)].path == "."


def test_three_generations(root: Path) -> None:
    """Of a chain every run is there once, only the last one direct, each with its own."""
    oldest = put(root, 1)
    middle = put(root, 2, oldest)
    last = put(root, 3, middle)
    prevs = graph(root, (last, "model"))

    assert {key: prev.direct for key, prev in prevs.items()} == {
        run_id(3): True, run_id(2): False, run_id(1): False
    }
    assert {key: prev.prevs for key, prev in prevs.items()} == {
        run_id(3): (run_id(2),), run_id(2): (run_id(1),), run_id(1): ()
    }
    assert {key: prev.via for key, prev in prevs.items()} == {
        run_id(3): ("model",), run_id(2): (), run_id(1): ()
    }


def test_an_inherited_node_keeps_the_hash_of_its_lock(root: Path) -> None:
    """A predecessor's predecessor is still named by the hash of its lock file."""
    oldest = put(root, 1)
    last = put(root, 2, oldest)

    assert graph(root, (last, "model"))[run_id(1)].lock == oldest.sha256


def diamond(root: Path) -> dict[str, Predecessor]:
    """Two runs on one, both reached by a third."""
    base = put(root, 1)
    left, right = put(root, 2, base), put(root, 3, base)
    return graph(root, (left, "left"), (right, "right"))


def test_a_diamond_counts_once(root: Path) -> None:
    """A run that two predecessors stand on has one entry."""
    prevs = diamond(root)

    assert numbers(prevs) == {1, 2, 3}
    assert [prevs[run_id(n)].prevs for n in (2, 3)] == [(run_id(1),), (run_id(1),)]


def test_two_hundred_that_share_one_cost_201(root: Path) -> None:
    """Two hundred predecessors with a common one of their own: 201 entries."""
    base = put(root, 0)
    many = [put(root, n, base) for n in range(1, 201)]
    prevs = graph(root, *((found, f"in{n}") for n, found in enumerate(many)))

    assert len(prevs) == 201
    assert sum(prev.direct for prev in prevs.values()) == 200


def test_a_run_reached_twice_names_both_entries(root: Path) -> None:
    """The entries that lead to one run add up, each once, in order."""
    found = put(root, 1)
    prevs = graph(root, (found, "table"), (found, "model"), (found, "table"))

    assert numbers(prevs) == {1}
    assert prevs[run_id(1)].via == ("table", "model")


@pytest.mark.parametrize("order", [1, -1])
def test_direct_and_inherited_is_direct(order: int, root: Path) -> None:
    """A run that is reached directly and through another is direct, in either order."""
    base = put(root, 1)
    last = put(root, 2, base)
    prevs = graph(root, *[(base, "base"), (last, "last")][::order])

    assert {key: (prev.direct, prev.via) for key, prev in prevs.items()} == {
        run_id(1): (True, ("base",)), run_id(2): (True, ("last",))
    }


def test_a_graph_is_not_changed_by_adding(root: Path) -> None:
    """Adding gives a new graph; the one before stays as it was."""
    before = graph(root, (put(root, 1), "a"))
    copy = dict(before)
    lineage.add(before, put(root, 2), "b", root)

    assert before == copy


def test_the_graph_fits_the_schema(root: Path) -> None:
    """A lock with a graph validates and survives its file."""
    lock = lock_of(9, diamond(root))
    validator().validate(lock.to_dict())

    assert lockfile.loads(lockfile.dumps(lock)) == lock


# Dropping an entry


def test_what_an_entry_alone_led_to_goes_with_it(root: Path) -> None:
    """A replaced entry takes its predecessor and all behind it out of the graph."""
    chain = put(root, 2, put(root, 1))
    prevs = graph(root, (chain, "old"), (put(root, 5), "other"))

    assert numbers(lineage.without_via(prevs, "old")) == {5}


def test_what_another_entry_leads_to_stays(root: Path) -> None:
    """A run that another entry reaches stays, without the dropped entry's name."""
    found = put(root, 1)
    prevs = graph(root, (found, "a"), (found, "b"))

    assert lineage.without_via(prevs, "a")[run_id(1)].via == ("b",)


def test_one_side_of_a_diamond_goes(root: Path) -> None:
    """Dropping one side keeps the other and what both stand on."""
    kept = lineage.without_via(diamond(root), "left")

    assert numbers(kept) == {1, 3}


def test_a_run_that_only_others_stand_on_is_direct_no_more(root: Path) -> None:
    """A run that loses its own entry but is behind another becomes an inherited one."""
    base = put(root, 1)
    prevs = graph(root, (base, "base"), (put(root, 2, base), "last"))
    kept = lineage.without_via(prevs, "base")

    assert (kept[run_id(1)].direct, kept[run_id(1)].via) == (False, ())
    assert kept[run_id(2)] == prevs[run_id(2)]


def test_an_entry_that_led_nowhere_changes_nothing(root: Path) -> None:
    """Dropping an entry without predecessors leaves the graph."""
    prevs = diamond(root)

    assert lineage.without_via(prevs, "unknown") == prevs


def test_dropping_the_last_entry_empties_the_graph(root: Path) -> None:
    """Without entries there are no predecessors."""
    prevs = lineage.without_via(diamond(root), "left")

    assert lineage.without_via(prevs, "right") == {}


def test_a_predecessor_that_its_lock_does_not_hold_is_passed_over(root: Path) -> None:
    """An id in ``prevs`` without an entry of its own does not stop a walk."""
    found = put(root, 1)
    prevs = graph(root, (found, "a"))
    broken = {run_id(1): replace(prevs[run_id(1)], prevs=(run_id(7),))}

    assert lineage.without_via(broken, "other") == broken


def test_a_cycle_does_not_hang(root: Path) -> None:
    """Runs that name each other, as no honest run does, are walked once."""
    prevs = graph(root, (put(root, 1), "a"), (put(root, 2), "b"))
    cycle = {
        run_id(1): replace(prevs[run_id(1)], prevs=(run_id(2),)),
        run_id(2): replace(prevs[run_id(2)], prevs=(run_id(1),)),
    }

    assert numbers(lineage.without_via(cycle, "b")) == {1, 2}
    assert lineage.without_via(lineage.without_via(cycle, "b"), "a") == {}


# Runs on circles, as no honest lock says


READER = run_id(99)


def reader(root: Path, folder: str = "outputs/99") -> origins.Reader:
    """The run that looks for its predecessors."""
    return origins.Reader(READER, root / folder / "run.lock", root)


def trace(root: Path, path: Path, prevs: Graph | None = None, via: str = "x") -> lineage.Trace:
    """What a piece of data leads to, as a job's own entry does."""
    return search(path, reader(root), digest(path), prevs, via)


def search(
    path: Path,
    reader: origins.Reader,
    found: Digest | None,
    prevs: Graph | None = None,
    via: str = "x",
) -> lineage.Trace:
    """Find the locks around a piece of data, and trace them; all that is said of it."""
    locks, left_out = origins.find(path, reader, found)
    traced = lineage.trace(prevs or {}, locks, path, via, reader, found)
    said = (*(f"data {via}: {text}" for text in left_out), *traced.warnings)
    return replace(traced, warnings=said)


def craft(root: Path, number: int, *links: int, direct: Iterable[int] = ()) -> Path:
    """A lock that names other runs as it likes: number -> the runs that each stands on."""
    prevs = {
        run_id(link): Predecessor(
            job="train",
            path=f"outputs/{link}",
            direct=link in direct or not direct,
            status="completed",
            lock=f"sha256:{link:064x}",
            prevs=tuple(run_id(n) for n in links if n != link) if direct else (run_id(number),),
        )
        for link in links
    }
    folder = root / "outputs" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    lockfile.write(lock_of(number, prevs), folder / "run.lock")
    (folder / "model.pt").write_text(str(number))
    return folder / "model.pt"


def assert_sound(prevs: Graph) -> None:
    """Every id that a node names is there, and no run stands on itself."""
    for key, prev in prevs.items():
        assert set(prev.prevs) <= set(prevs)
        assert key not in lineage._reachable(prevs, prev.prevs)


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
    assert traced.warnings == (
        f"data x: {own} is or holds this run's own output directory",
    )


def test_the_project_as_output_directory_is_no_circle(root: Path) -> None:
    """With ``hydra.run.dir=.`` all data lies in the output directory: nothing to say."""
    (root / "data.csv").touch()
    lockfile.write(lock_of(99), root / "run.lock")
    traced = search(root / "data.csv", reader(root, "."), digest(root / "data.csv"))

    assert traced == lineage.Trace({})


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
    lock = lockfile.read(path.parent / "run.lock")
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
        put(root, number, *(lineage.read_found(root / f"outputs/{n}/run.lock") for n in below))
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


# Runs below a folder


def test_a_folder_leads_to_every_run_below_it(root: Path) -> None:
    """Each run below a folder is a direct predecessor, at any depth."""
    for number, home in ((1, "sweep/0"), (2, "sweep/a/b"), (3, "elsewhere")):
        put(root / home, number)
    traced = trace(root, root / "sweep")

    assert numbers(traced.prevs) == {1, 2}
    assert all(prev.direct for prev in traced.prevs.values())


def test_a_file_of_one_run_leads_to_that_run_alone(root: Path) -> None:
    """A file in a job's folder has nothing to do with its neighbours."""
    first = craft(root, 1)
    craft(root, 2)

    assert numbers(trace(root, first).prevs) == {1}


def test_runs_inside_of_a_run_are_its_own_affair(root: Path) -> None:
    """Of nested output directories the outer one counts."""
    craft(root, 1)
    lockfile.write(lock_of(2), craft(root, 1).parent / "run.lock")
    (root / "outputs/1/inner").mkdir()
    lockfile.write(lock_of(3), root / "outputs/1/inner/run.lock")

    assert numbers(trace(root, root / "outputs").prevs) == {2}


def test_a_lock_above_counts_beside_those_below(root: Path) -> None:
    """A folder inside one run's directory that holds other runs comes from all of them."""
    craft(root, 1)
    put(root / "outputs/1/children", 2)

    assert numbers(trace(root, root / "outputs/1/children").prevs) == {1, 2}


def test_a_search_without_a_digest_is_bounded(root: Path) -> None:
    """A folder that is named as a predecessor is searched up to a limit, which is said."""
    for number in (1, 2):
        craft(root, number)
    found = search(root / "outputs", reader(root), None)
    for number in range(origins._SEARCHED):
        os.close(os.open(root / "outputs" / f"{number}.txt", os.O_CREAT | os.O_WRONLY))
    cut = search(root / "outputs", reader(root), None)

    assert numbers(found.prevs) == {1, 2}
    assert found.warnings == ()
    assert any("predecessors looked for in 10000 files" in text for text in cut.warnings)


# Predecessors that are not what they should be


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "not a lock"),
    (b"format: 2\n", "format 2 is newer"),
    (b"\xff\xfe{", "is damaged"),
    (b"format: 1\nrun:\n  id: [", "is damaged"),
])
def test_a_lock_that_cannot_be_read_is_named(content: bytes, reason: str, root: Path) -> None:
    """A damaged or newer lock is a warning with its path; the others are still found."""
    path = craft(root, 1)
    craft(root, 2)
    (path.parent / "run.lock").write_bytes(content)
    traced = trace(root, root / "outputs")

    assert numbers(traced.prevs) == {2}
    (warning,) = traced.warnings
    assert warning.startswith("data x: predecessor not recorded: ")
    assert str(path.parent) in warning
    assert reason in warning


@pytest.mark.parametrize("status", ["running", "failed", "interrupted"])
def test_a_predecessor_that_did_not_complete_is_named(status: str, root: Path) -> None:
    """Data of a run that still runs or did not get to its end is a warning."""
    lock = lock_of(1)
    path = craft(root, 1)
    lockfile.write(replace(lock, run=replace(lock.run, status=status)), path.parent / "run.lock")
    traced = trace(root, path)

    assert traced.prevs[run_id(1)].status == status
    assert traced.warnings == (f"data x: predecessor {run_id(1)} is {status}",)


def test_a_killed_predecessor_is_judged(root: Path) -> None:
    """A run whose process is gone is interrupted, whatever its lock still says."""
    from flexlock_hydra.capture import process

    lock, path = lock_of(1), craft(root, 1)
    gone = replace(process.capture(), start_ticks=1)
    run = replace(lock.run, status="running", process=gone)
    lockfile.write(replace(lock, run=run), path.parent / "run.lock")

    assert trace(root, path).prevs[run_id(1)].status == "interrupted"


def test_many_that_failed_are_one_warning(root: Path) -> None:
    """Seven failed predecessors are one sentence that names five and counts the rest."""
    for number in range(1, 8):
        lock, path = lock_of(number), craft(root, number)
        failed = replace(lock, run=replace(lock.run, status="failed"))
        lockfile.write(failed, path.parent / "run.lock")
    (warning,) = trace(root, root / "outputs").warnings

    assert warning.endswith(f"{run_id(5)} and 2 more is failed")


# Stale predecessors

ENDED = "2026-11-22T10:15:42+00:00"
BEFORE, AFTER = 1_700_000_000, 4_000_000_000
"""Seconds since the epoch, years away from any run's end."""


def finished(root: Path, files: Mapping[str, bytes], **inputs: bytes) -> Path:
    """A finished run's folder: its outputs hashed, its inputs in ``data/``, all files old."""
    folder = root / "outputs" / "1"
    entries = {}
    for name, content in inputs.items():
        path = root / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (BEFORE, BEFORE))
        entries[name] = DataEntry(
            path=f"data/{name}", hash={"md5": digest_bytes(content).md5}, size=len(content)
        )
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        os.utime(folder / name, (BEFORE, BEFORE))
    lock, found = lock_of(1), digest(folder, lambda name: name == "train.log")
    run = replace(lock.run, ended=ENDED, duration=42.0)
    outputs = Outputs(
        path=".", hash={"md5": found.md5}, size=found.size, nfiles=found.nfiles,
        left_out=("train.log",),
    )
    lockfile.write(replace(lock, run=run, data=entries, outputs=outputs), folder / "run.lock")
    return folder


def stale(root: Path, path: Path) -> tuple[str, ...]:
    """Why the one predecessor of some data is stale; its warnings say the same."""
    traced = trace(root, path)
    reasons = traced.prevs[run_id(1)].stale
    assert traced.warnings == tuple(
        f"data x: predecessor {run_id(1)} is stale: {reason}" for reason in reasons
    )
    return reasons


def touch_late(path: Path, content: bytes | None = None) -> None:
    """Write a file after every run's end."""
    if content is not None:
        path.write_bytes(content)
    os.utime(path, (AFTER, AFTER))


@pytest.mark.parametrize("data", ["outputs", "outputs/1", "outputs/1/m.pt", "outputs/1/sub"])
def test_a_fresh_predecessor_is_not_stale(data: str, root: Path) -> None:
    """What lies as the run left it, its log and lock aside, is not called stale."""
    folder = finished(root, {"m.pt": b"m", "sub/n": b"n", "train.log": b"log"}, raw=b"r")
    touch_late(folder / "train.log", b"more")

    assert stale(root, root / data) == ()


@pytest.mark.parametrize("data", ["outputs", "outputs/1", "outputs/1/m.pt"])
def test_an_output_that_changed_makes_its_run_stale(data: str, root: Path) -> None:
    """An output that is another than at the run's end is named with both hashes."""
    folder = finished(root, {"m.pt": b"m"})
    recorded = digest(folder, layout.is_own_file).md5
    touch_late(folder / "m.pt", b"M")
    now = digest(folder, layout.is_own_file).md5

    assert stale(root, root / data) == (f"its outputs changed: recorded {recorded}, now {now}",)


def test_an_output_that_changed_in_secret_is_found_in_the_whole(root: Path) -> None:
    """A whole output directory is compared by hash: no time can hide a change."""
    folder = finished(root, {"m.pt": b"m"})
    (folder / "m.pt").write_bytes(b"M")
    os.utime(folder / "m.pt", (BEFORE, BEFORE))

    assert len(stale(root, folder)) == 1


@pytest.mark.parametrize("data", ["outputs/1", "outputs/1/m.pt"])
def test_a_new_time_alone_is_not_stale(data: str, root: Path) -> None:
    """A file that was written again with the same bytes is the same."""
    folder = finished(root, {"m.pt": b"m"}, raw=b"r")
    touch_late(folder / "m.pt")
    touch_late(root / "data/raw")

    assert stale(root, root / data) == ()


BIG = bytes(9 * 1024**2)


def test_a_large_output_is_told_by_its_time(root: Path) -> None:
    """Where hashing would take long, what is known is said: when it was written."""
    folder = finished(root, {"m.pt": BIG}, raw=BIG)
    touch_late(folder / "m.pt")
    touch_late(root / "data/raw")

    assert stale(root, folder / "m.pt") == (
        "its input raw (data/raw) was written after its end",
        "m.pt was written after its end",
    )


def test_what_is_written_before_the_lock_is_not_late(root: Path) -> None:
    """Loggers write after a job's recorded end: later than the lock's own writing is late."""
    folder = finished(root, {"m.pt": BIG})
    os.utime(folder / "m.pt")
    os.utime(folder / "run.lock", (AFTER, AFTER))

    assert stale(root, folder / "m.pt") == ()


def test_times_say_nothing_in_a_pulled_project(root: Path) -> None:
    """Every file of a restored project is new: only sizes and hashes count there."""
    folder = finished(root, {"m.pt": BIG}, raw=BIG)
    (root / layout.METAFILES).mkdir(parents=True)
    touch_late(folder / "m.pt")
    touch_late(root / "data/raw")

    assert stale(root, folder / "m.pt") == ()


def test_an_input_that_changed_makes_its_run_stale(root: Path) -> None:
    """Data made of another version of its own input is named."""
    folder = finished(root, {"m.pt": b"m"}, raw=b"r", more=b"m", gone=b"g")
    touch_late(root / "data/raw", b"R")
    (root / "data/more").write_bytes(b"longer")
    (root / "data/gone").unlink()

    assert stale(root, folder / "m.pt") == (
        f"its input raw (data/raw) changed: recorded {digest_bytes(b'r').md5}, "
        f"now {digest_bytes(b'R').md5}",
        "its input more (data/more) has another size",
    )


def test_a_stale_predecessor_stays_so_for_later_runs(root: Path) -> None:
    """What a run saw of its predecessor is what its successors say of it."""
    folder = finished(root, {"m.pt": b"m"})
    touch_late(folder / "m.pt", b"M")
    prevs = trace(root, folder / "m.pt").prevs
    last = craft(root, 2)
    lockfile.write(lock_of(2, prevs), last.parent / "run.lock")

    assert trace(root, last).prevs[run_id(1)].stale == prevs[run_id(1)].stale


# What is read of a lock

ODD = {
    "text": "two\nlines\n\nrun:\n  id: x\njob: y\n",
    "nel": "a\x85b\u2028c",
    "nested": {"run": {"id": 1}, "prevs": {}, "- x": ["- y", {"job": "z: w"}]},
    "numbers": [1, 1.5, 1e300, -0.0, None, True, "1", "null", "1e3", "2026-11-22", "=", "<<"],
    "long": "word " * 100,
    "status: running": "'\"\t: #",
}


@pytest.mark.parametrize("result", [None, *ODD.values(), ODD], ids=lambda value: str(value)[:12])
def test_the_pieces_of_a_lock_say_what_the_whole_says(result: object, root: Path) -> None:
    """A lock that this package wrote is read in pieces, with what it says as a whole."""
    lock = lock_of(3, graph(root, (put(root, 2, put(root, 1)), "model")))
    lock = replace(
        lock, config=ODD, unresolved=ODD, warnings=("a\n\nb", "run: c"),
        run=replace(lock.run, result=result, duration=1.0),
        job=replace(lock.job, num=7, choices={"run": "id"}),
        environment=replace(lock.environment, variables={"A": "x\nprevs:\n"}),
    )
    content = lockfile.dumps(lock)
    pieces = summary._of_pieces(summary._cut(content), True)
    whole = summary._of_lock(lockfile.loads(content))

    assert replace(pieces, run=replace(pieces.run, process=lock.run.process)) == whole


@pytest.mark.parametrize("form", ["json", "order", "crlf", "comment", "unknown"])
def test_a_lock_of_another_form_is_read_whole(form: str, root: Path) -> None:
    """A lock that another program wrote means the same."""
    lock = lock_of(3, graph(root, (put(root, 1), "model")))
    content = lockfile.dumps(lock)
    plain = lock.to_dict()
    other = {
        "json": json.dumps(plain).encode(),
        "order": emit(dict(reversed(plain.items()))).encode(),
        "crlf": content.replace(b"\n", b"\r\n"),
        "comment": b"# by hand\n" + content,
        "unknown": b"new: {}\n" + content,
    }[form]

    for more in (False, True):
        read = summary.loads(other, more=more)
        assert (read.run.id, read.prevs, read.data) == (lock.run.id, lock.prevs, lock.data)


def test_damage_where_nothing_is_read_is_passed_over(root: Path) -> None:
    """A predecessor's config and environment are not parsed: that is what saves the time."""
    content = lockfile.dumps(replace(lock_of(1), config={"a": "b"}))

    assert summary.loads(content.replace(b"  a: b\n", b"  a: [\n")).run.id == run_id(1)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_lock_that_was_cut_short_is_damaged(at: float, root: Path) -> None:
    """A lock without its end is read as a whole is: refused, or with what is left."""
    content = lockfile.dumps(lock_of(3, graph(root, (put(root, 1), "model"))))
    cut = content[: int(len(content) * at)]
    try:
        whole: object = summary._of_lock(lockfile.loads(cut))
    except LockError as error:
        whole = str(error)
    try:
        assert summary.loads(cut) == whole
    except LockError as error:
        assert str(error) == whole


# Time


def test_two_hundred_predecessors_are_read_in_time(root: Path) -> None:
    """200 locks with configs of 5 kB that share an ancestor: 0.1 s, here at most 0.5 s of CPU."""
    base = put(root, 0)
    config = {f"key{n}": f"a value of usual length, number {n}" for n in range(100)}
    packages = {f"package-{n}": f"1.{n}.0" for n in range(150)}
    for number in range(1000, 1200):
        lock = lock_of(number, graph(root, (base, "in")))
        env = replace(lock.environment, packages=packages)
        path = craft(root, number)
        lockfile.write(
            replace(lock, config=config, unresolved=config, environment=env),
            path.parent / "run.lock",
        )
    found = digest(root / "outputs")
    start = time.process_time()
    traced = search(root / "outputs", reader(root), found)
    took = time.process_time() - start

    assert len(traced.prevs) == 201
    assert took < 0.5


@pytest.mark.hydra
def test_a_job_names_what_its_predecessor_was(project: Project) -> None:
    """End to end: a failed and changed predecessor is in the successor's warnings, and shown."""
    project.app("lr=-1", "hydra.run.dir=outputs/first", check=False)
    touch_late(project.path("outputs/first/model.txt"), b"changed")
    project.app("table='${snapshot:outputs/first/model.txt}'", "hydra.run.dir=outputs/second")
    lock = project.lock()
    (prev,) = lock["prevs"].values()

    assert prev["status"] == "failed"
    assert prev["stale"][0].startswith("its outputs changed: recorded ")
    assert len([text for text in lock["warnings"] if "predecessor" in text]) == 2
    assert "failed via table, stale: its outputs" in project.flexlock("show", "@latest").out


@pytest.mark.hydra
def test_a_job_whose_data_became_another_has_its_predecessors(project: Project) -> None:
    """End to end: the run behind a path that the config names no more is none of them."""
    for name in ("a", "b"):
        project.app(f"hydra.run.dir=outputs/{name}")
    text = project.path("app.py").read_text()
    project.write("app.py", text.replace("    text = ", "    cfg.which = 'b'\n    text = "))
    project.app("+which=a", "table='${snapshot:outputs/${which}/model.txt}'",
                "hydra.run.dir=outputs/c")

    assert [prev["path"] for prev in project.lock()["prevs"].values()] == ["outputs/b"]


@pytest.mark.hydra
def test_a_job_that_reads_its_own_folder_says_so(project: Project) -> None:
    """End to end: data in the job's own output directory is named, and no predecessor."""
    project.app("hydra.run.dir=outputs/same")
    project.app("table='${snapshot:outputs/same/model.txt}'", "hydra.run.dir=outputs/same")
    lock = project.lock()

    assert lock["prevs"] == {}
    assert any("own output directory" in text for text in lock["warnings"])
