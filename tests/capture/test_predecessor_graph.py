"""Predecessors: found beside the data, kept as one flat graph."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from flexlock_hydra.capture.lineage import find_locks, predecessors
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import lockfile, summary
from flexlock_hydra.record.model import (
    CodeRef,
    Predecessor,
)
from tests.conftest import validator
from tests.support.lineages import SHA, graph, lock_of, numbers, put, run_id

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

    assert find_locks.find_lock(root / data, root) == root / lock


def test_the_nearest_lock_counts(root: Path) -> None:
    """Of locks at several heights the one closest to the data is taken."""
    for folder in (root, root / "a", root / "a" / "b"):
        folder.mkdir(exist_ok=True)
        (folder / "run.lock").touch()

    assert find_locks.find_lock(root / "a" / "x", root) == root / "a" / "run.lock"


def test_a_lock_above_the_root_is_not_found(root: Path) -> None:
    """The search does not leave the repository."""
    (root.parent / "run.lock").touch()
    (root / "data").mkdir()

    assert find_locks.find_lock(root / "data" / "x.csv", root) is None


def test_the_root_stops_the_search_without_git_too(tmp_path: Path) -> None:
    """Without a repository the given root is the end."""
    (tmp_path / "run.lock").touch()
    (tmp_path / "a").mkdir()

    assert find_locks.find_lock(tmp_path / "a" / "x", tmp_path / "a") is None


def test_outside_the_search_ends_at_the_first_repository(root: Path, tmp_path: Path) -> None:
    """Data of another repository has its predecessors there, and not above it."""
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    (tmp_path / "run.lock").touch()

    assert find_locks.find_lock(other / "data" / "x", root) is None
    (other / "run.lock").touch()
    assert find_locks.find_lock(other / "data" / "x", root) == other / "run.lock"


@pytest.mark.parametrize("name", ["uv.lock", "run.20261122T101500Z-3f9c2a7b.lock", "RUN.LOCK"])
def test_another_name_is_no_lock(name: str, root: Path) -> None:
    """Only a file named run.lock tells of a run."""
    (root / name).touch()

    assert find_locks.find_lock(root / "data", root) is None


def test_a_folder_of_that_name_is_no_lock(root: Path) -> None:
    """A folder that is called run.lock is passed over."""
    (root / "a" / "run.lock").mkdir(parents=True)
    (root / "run.lock").touch()

    assert find_locks.find_lock(root / "a" / "x", root) == root / "run.lock"


# Reading


def test_a_lock_is_read_with_the_hash_of_its_bytes(root: Path) -> None:
    """What is found is the folder, the run, and the sha256 of the very file."""
    found = put(root, 1)
    content = (root / "outputs/1/run.lock").read_bytes()

    assert found.folder == root / "outputs" / "1"
    assert found.lock == summary.parse_summary(content)
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
        predecessors.read_found(path)


def test_an_unreadable_lock_is_an_error(root: Path) -> None:
    """A lock that went away between finding and reading is LockError."""
    with pytest.raises(LockError, match="run.lock cannot be read: No such file"):
        predecessors.read_found(root / "run.lock")


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
    found = predecessors.read_found(root / "run.lock")

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
    predecessors.add(before, put(root, 2), "b", root)

    assert before == copy


def test_the_graph_fits_the_schema(root: Path) -> None:
    """A lock with a graph validates and survives its file."""
    lock = lock_of(9, diamond(root))
    validator().validate(lock.to_dict())

    assert lockfile.parse_lock(lockfile.dumps(lock)) == lock


# Dropping an entry


def test_what_an_entry_alone_led_to_goes_with_it(root: Path) -> None:
    """A replaced entry takes its predecessor and all behind it out of the graph."""
    chain = put(root, 2, put(root, 1))
    prevs = graph(root, (chain, "old"), (put(root, 5), "other"))

    assert numbers(predecessors.without_via(prevs, "old")) == {5}


def test_what_another_entry_leads_to_stays(root: Path) -> None:
    """A run that another entry reaches stays, without the dropped entry's name."""
    found = put(root, 1)
    prevs = graph(root, (found, "a"), (found, "b"))

    assert predecessors.without_via(prevs, "a")[run_id(1)].via == ("b",)


def test_one_side_of_a_diamond_goes(root: Path) -> None:
    """Dropping one side keeps the other and what both stand on."""
    kept = predecessors.without_via(diamond(root), "left")

    assert numbers(kept) == {1, 3}


def test_a_run_that_only_others_stand_on_is_direct_no_more(root: Path) -> None:
    """A run that loses its own entry but is behind another becomes an inherited one."""
    base = put(root, 1)
    prevs = graph(root, (base, "base"), (put(root, 2, base), "last"))
    kept = predecessors.without_via(prevs, "base")

    assert (kept[run_id(1)].direct, kept[run_id(1)].via) == (False, ())
    assert kept[run_id(2)] == prevs[run_id(2)]


def test_an_entry_that_led_nowhere_changes_nothing(root: Path) -> None:
    """Dropping an entry without predecessors leaves the graph."""
    prevs = diamond(root)

    assert predecessors.without_via(prevs, "unknown") == prevs


def test_dropping_the_last_entry_empties_the_graph(root: Path) -> None:
    """Without entries there are no predecessors."""
    prevs = predecessors.without_via(diamond(root), "left")

    assert predecessors.without_via(prevs, "right") == {}


def test_a_predecessor_that_its_lock_does_not_hold_is_passed_over(root: Path) -> None:
    """An id in ``prevs`` without an entry of its own does not stop a walk."""
    found = put(root, 1)
    prevs = graph(root, (found, "a"))
    broken = {run_id(1): replace(prevs[run_id(1)], prevs=(run_id(7),))}

    assert predecessors.without_via(broken, "other") == broken


def test_a_cycle_does_not_hang(root: Path) -> None:
    """Runs that name each other, as no honest run does, are walked once."""
    prevs = graph(root, (put(root, 1), "a"), (put(root, 2), "b"))
    cycle = {
        run_id(1): replace(prevs[run_id(1)], prevs=(run_id(2),)),
        run_id(2): replace(prevs[run_id(2)], prevs=(run_id(1),)),
    }

    assert numbers(predecessors.without_via(cycle, "b")) == {1, 2}
    assert predecessors.without_via(predecessors.without_via(cycle, "b"), "a") == {}
