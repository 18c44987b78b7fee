"""Predecessors that are many, damaged, failed or stale, and what a job says of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from flexlock_hydra.capture.data.digest import digest, digest_bytes
from flexlock_hydra.capture.lineage import find_locks
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import lockfile, summary
from flexlock_hydra.record.emitter import emit
from flexlock_hydra.record.model import (
    DataEntry,
    Outputs,
)
from tests.conftest import Project
from tests.support.lineages import (
    craft,
    graph,
    lock_of,
    numbers,
    put,
    reader,
    run_id,
    search,
    trace,
)

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
    for number in range(find_locks._SEARCHED):
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
    from flexlock_hydra.capture.environment import process

    lock, path = lock_of(1), craft(root, 1)
    gone = replace(process.this_process(), start_ticks=1)
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
    pieces = summary._of_pieces(summary.cut(content), True)
    whole = summary._of_lock(lockfile.parse_lock(content))

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
        read = summary.parse_summary(other, more=more)
        assert (read.run.id, read.prevs, read.data) == (lock.run.id, lock.prevs, lock.data)


def test_damage_where_nothing_is_read_is_passed_over(root: Path) -> None:
    """A predecessor's config and environment are not parsed: that is what saves the time."""
    content = lockfile.dumps(replace(lock_of(1), config={"a": "b"}))

    assert summary.parse_summary(content.replace(b"  a: b\n", b"  a: [\n")).run.id == run_id(1)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_lock_that_was_cut_short_is_damaged(at: float, root: Path) -> None:
    """A lock without its end is read as a whole is: refused, or with what is left."""
    content = lockfile.dumps(lock_of(3, graph(root, (put(root, 1), "model"))))
    cut = content[: int(len(content) * at)]
    try:
        whole: object = summary._of_lock(lockfile.parse_lock(cut))
    except LockError as error:
        whole = str(error)
    try:
        assert summary.parse_summary(cut) == whole
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
