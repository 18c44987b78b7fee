"""An app says what it says without the record, and nothing else."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Project, read_lock, with_callback

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


SETTER = """
import os
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    os.environ["CUDA_MODULE_LOADING"] = "LAZY"  # as torch does when a job first uses CUDA
    os.environ["KMP_INIT_AT_FORK"] = "FALSE"
    os.environ["OMP_NUM_THREADS"] = "2"

main()
"""


def test_variables_that_a_library_sets_are_no_difference_between_jobs(project: Project) -> None:
    """What was not set when the first job began is in no job's lock, unless its config has it."""
    project.write("app.py", SETTER)
    project.write("conf/config.yaml", with_callback("lazy: ${oc.env:CUDA_MODULE_LOADING,no}\n"))
    project.commit()
    sweep = ["hydra.sweep.dir=multirun/a", "hydra.sweep.subdir=${hydra:job.num}", "+x=1,2"]
    project.app("-m", *sweep, "+hydra.job.env_set={TORCH_HOME:'${hydra:job.num}'}",
                OMP_NUM_THREADS="1", MKL_CBWR="AVX2")
    first, second = (
        read_lock(project.path(f"multirun/a/{number}/run.lock")) for number in range(2)
    )
    recorded = [each["environment"]["variables"] for each in (first, second)]
    of_the_test = {"MKL_CBWR", "OMP_NUM_THREADS", "TORCH_HOME", "KMP_INIT_AT_FORK"}
    assert [{name: found[name] for name in found if name in of_the_test} for found in recorded] == [
        {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "1", "TORCH_HOME": "0"},
        {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "2", "TORCH_HOME": "1"},
    ]
    # The config reads it, and what it read is another value.
    assert [found.get("CUDA_MODULE_LOADING") for found in recorded] == [None, "LAZY"]
    assert set(recorded[1]) - set(recorded[0]) == {"CUDA_MODULE_LOADING"}
