"""Stages of reruns that were killed: what their jobs wrote is kept, the rest goes."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.model import RUNNING, Process

PREFIX = ".flexlock-"
"""How the names of stages begin, beside the output directories that come of them."""

_NOTE = "stage.json"


def note(stage: Path, output: Path, target: Path) -> None:
    """Write down what :func:`keep_lost` must know, should this process be killed."""
    said = {
        "process": process.this_process().to_dict(),
        "output": output.relative_to(stage).as_posix(),
        "target": target.name,
    }
    (stage / _NOTE).write_text(json.dumps(said), encoding="utf-8")


def keep_lost(beside: Path) -> None:
    """Finish what killed reruns left in a folder: move the outputs to where they belong."""
    for stage in beside.glob(f"{PREFIX}*"):
        lost = _read_lost_stage(stage)
        if lost is None or _is_at_work(*lost[:2]):
            continue
        _, output, target = lost
        mine = stage.with_name(f"{stage.name}-lost")
        with suppress(FileNotFoundError):  # another rerun was faster
            stage.rename(mine)
            output = mine / output.relative_to(stage)
            if output.is_dir() and _is_free(target):
                shutil.move(output, target)
            shutil.rmtree(mine)


def _read_lost_stage(stage: Path) -> tuple[Process, Path, Path] | None:
    """Whose a stage was, where in it the outputs are, and the folder that waits for them.

    None: it is none, or is just being made.
    """
    try:
        said = json.loads((stage / _NOTE).read_bytes())
        owner = Process.parse(said["process"])
        output, target = stage / said["output"], stage.parent / Path(said["target"]).name
    except (OSError, ValueError, KeyError, TypeError, LockError):
        return None
    return (owner, output, target) if output.resolve().is_relative_to(stage.resolve()) else None


def _is_at_work(owner: Process, output: Path) -> bool:
    """Whether the rerun or its job may still write."""
    if process.is_alive(owner) is not False:
        return True
    try:
        job = lockfile.read_lock(output / layout.LOCK)
    except (LockError, OSError):
        return False
    return process.status_now(process.judge(job)) in (RUNNING, process.UNKNOWN)


def _is_free(target: Path) -> bool:
    """Whether nothing is there; the empty folder that was kept free goes."""
    with suppress(OSError):
        target.rmdir()
    return not target.exists()
