"""An app says what it says without the record, and nothing else."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.hydra

WARNER = """
import warnings
import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    warnings.warn("once, of the task")
    warnings.warn("another, as a deprecation", DeprecationWarning)

main()
"""


def said(project: Project, *words: str) -> list[str]:
    """What an app prints to stderr, with the warnings that Python shows by default."""
    done = project.app(*words, PYTHONWARNINGS="")
    return [line for line in done.err.splitlines() if not re.match(r".*Hydra15Migration", line)]


@pytest.mark.parametrize("words", [[], ["-m", "+x=1,2,3"]], ids=["run", "sweep"])
def test_warnings_are_shown_as_often_as_without_the_record(
    project: Project, words: list[str]
) -> None:
    """What Python shows once a place it shows once, however many jobs a process records."""
    project.write("app.py", WARNER)
    project.write("conf/config.yaml", "lr: 1\n")
    project.commit()
    bare = said(project, *words)
    assert said(project, *words, "hydra/callbacks=flexlock") == bare
    assert bool(project.locks())
    assert sum("once, of the task" in line for line in bare) > 0
