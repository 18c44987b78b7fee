"""Every scheduler keeps the same promises, and one that nobody knows is no error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flexlock_hydra.capture.environment.process import UNKNOWN, judge, status_now, this_process
from flexlock_hydra.ports.scheduler import scheduler as schedulers
from flexlock_hydra.ports.scheduler.scheduler import SCHEDULERS, Scheduler, is_queued
from tests.capture.test_process import lock_of

each_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


@dataclass
class Told:
    """A scheduler that knows one job."""

    live: str

    def is_queued(self, job_id: str) -> bool | None:
        return job_id == self.live


@each_scheduler
@pytest.mark.parametrize("job_id", ["", "--help", "1; true", "x" * 10_000])
def test_what_is_no_job_is_not_asked_for(
    name: str, job_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id comes from a lock that anyone may have written: only an id becomes a command."""
    for tool in ("squeue", "sacct"):
        (tmp_path / tool).write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\necho RUNNING\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert SCHEDULERS[name].is_queued(job_id) is None
    assert not (tmp_path / "asked").exists()


@each_scheduler
def test_a_scheduler_that_is_not_at_hand_says_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where its programs are not installed, a job is neither alive nor dead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_queued({name: "4711"}) is None


def test_it_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler that a lock names is asked, and no other."""
    table: dict[str, Scheduler] = {"a_id": Told("1"), "b_id": Told("2")}
    monkeypatch.setattr(schedulers, "SCHEDULERS", table)
    assert is_queued({"b_id": "2"}) is True and is_queued({"b_id": "1"}) is False
    assert is_queued({"b_array": "x", "a_id": "1"}) is True


@pytest.mark.parametrize("recorded", [None, {}, {"pbs_jobid": "12.server"}, {"slurm_procid": "0"}])
def test_a_scheduler_that_nobody_knows_is_no_error(recorded: dict[str, str] | None) -> None:
    """A run of another machine that no known scheduler started reads as unknown."""
    lock = judge(lock_of(replace(this_process(), host="node7", scheduler=recorded)))
    assert status_now(lock) == UNKNOWN
