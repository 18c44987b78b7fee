"""Where a recorded path lies now: its own place, where a pull brings it, a renamed folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flexlock_hydra.archive.runs.places import (
    find_predecessor_lock,
    locks_in,
    places_now,
    restored_path,
)
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.lineage.predecessors import Found
from flexlock_hydra.record import layout
from tests.support.lineages import graph, lock_of, put, run_id


def recorded(root: Path, *before: Found) -> RecordedRun:
    """Run 9 of a project in ``root``, which stands on some runs."""
    lock = lock_of(9, graph(root, *((path, "data") for path in before)))
    command = replace(lock.job.command, cwd="/home/ada/project")
    lock = replace(lock, job=replace(lock.job, command=command))
    return RecordedRun(root / "outputs/9" / layout.LOCK, lock, root, None, b"")


def test_its_own_place_comes_first(tmp_path: Path) -> None:
    """A path is looked for where it was recorded, then where a pull would have brought it."""
    own, other_version, outside = places_now(recorded(tmp_path), "data/raw.csv")
    assert own == tmp_path / "data/raw.csv"
    assert other_version == tmp_path / layout.other_version_path(run_id(9), "data/raw.csv")
    assert outside == tmp_path / ".flexlock/fsroot/home/ada/project/data/raw.csv"


def test_a_pulled_project_is_asked_alone(tmp_path: Path) -> None:
    """An absolute path may be anybody's file here: a pulled project does not look at it."""
    run = recorded(tmp_path)
    assert Path("/scratch/raw.csv") in places_now(run, "/scratch/raw.csv")
    (tmp_path / layout.METAFILES).mkdir(parents=True)
    places = [*places_now(run, "/scratch/raw.csv")]
    assert places and all(path.is_relative_to(tmp_path) for path in places)
    assert tmp_path / restored_path("/scratch/raw.csv") in places


def test_a_renamed_folder_is_found(tmp_path: Path) -> None:
    """A predecessor's files are found where its lock lies, whatever its folder is called now."""
    before = put(tmp_path, 1)
    run = recorded(tmp_path, before)
    name = run.lock.prevs[run_id(1)].path
    assert find_predecessor_lock(run, run_id(1)) == tmp_path / name / layout.LOCK
    (tmp_path / name).rename(tmp_path / "kept")
    assert find_predecessor_lock(run, run_id(1)) == tmp_path / "kept" / layout.LOCK
    assert [*places_now(run, f"{name}/model.bin")][-1] == tmp_path / "kept/model.bin"
    assert tmp_path / "kept" not in places_now(run, "elsewhere/model.bin")


def test_a_later_run_in_the_folder(tmp_path: Path) -> None:
    """The lock that a later run moved aside is found, and the later run's not taken for it."""
    before = put(tmp_path, 1)
    run = recorded(tmp_path, before)
    folder = tmp_path / run.lock.prevs[run_id(1)].path
    aside = folder / layout.superseded_lock(run_id(1))
    (folder / layout.LOCK).rename(aside)
    assert locks_in(folder, run_id(1)) == [aside]
    (put(tmp_path, 2).folder / layout.LOCK).rename(folder / layout.LOCK)
    assert locks_in(folder, run_id(1)) == [folder / layout.LOCK, aside]
    assert find_predecessor_lock(run, run_id(1)) == aside
    aside.unlink()
    assert find_predecessor_lock(run, run_id(1)) is None
