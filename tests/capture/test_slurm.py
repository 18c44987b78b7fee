"""A run of another node is judged by Slurm, where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.hooks.test_ends import on_another_host

SLURM = """#!/bin/sh
echo "$@" >> {calls}
{body}
"""


@pytest.mark.parametrize(
    ("squeue", "sacct", "status"),
    [
        ("echo RUNNING", None, "running"),
        ("echo PENDING", None, "running"),
        ("true", None, "interrupted"),
        ("echo Invalid job id specified >&2; exit 1", None, "interrupted"),
        ("echo Invalid job id specified >&2; exit 1", "echo RUNNING", "running"),
        ("echo Unable to contact slurm controller >&2; exit 1", None, "unknown"),
        ("echo Unable to contact slurm controller >&2; exit 1", "echo 'CANCELLED by 7'",
         "interrupted"),
        ("exec sleep 60", None, "unknown"),
        (None, "echo FAILED", "unknown"),
    ],
)
def test_slurm_is_asked(
    project: Project, tmp_path: Path, squeue: str | None, sacct: str | None, status: str
) -> None:
    """A run of another node is judged by the scheduler that it ran under, if it answers."""
    on_another_host(project, scheduler={"slurm_job_id": "4711"})
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, body in (("squeue", squeue), ("sacct", sacct)):
        if body is not None:
            (tools / name).write_text(SLURM.format(calls=tmp_path / "calls", body=body))
            (tools / name).chmod(0o755)
    path = f"{tools}{os.pathsep}{project.env['PATH']}"
    found = project.flexlock("show", "@latest", "--json", PATH=path).json["run"]["status"]
    assert found == status
    if squeue is not None:
        assert "-j 4711" in (tmp_path / "calls").read_text()
