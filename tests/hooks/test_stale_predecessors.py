"""Predecessors whose data or outputs became others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flexlock_hydra.capture.data.digest import digest, digest_bytes
from flexlock_hydra.record import layout, lockfile
from tests.hooks.test_predecessors import AFTER, BEFORE, finished, stale, touch_late
from tests.support.lineages import craft, lock_of, run_id, trace


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
