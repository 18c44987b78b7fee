"""A job's config, read once when the job starts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from flexlock_hydra.hooks.config import values
from flexlock_hydra.hooks.job import job_view
from flexlock_hydra.hooks.job.job_view import JobView
from flexlock_hydra.record.model import Command

COMMAND = Command(executable="python", argv=("app.py",), cwd="/p", file="app.py")


def job_config(folder: Path) -> DictConfig:
    """What a callback is given of a job, as far as the view reads it."""
    source = {"provider": "main", "schema": "file", "path": "/p/conf"}
    return OmegaConf.create(
        {
            "lr": 1,
            "hydra": {
                "runtime": {
                    "output_dir": str(folder),
                    "choices": {"model": "big"},
                    "config_sources": [source],
                },
                "overrides": {"task": ["lr=1"], "hydra": []},
                "job": {
                    "name": "${hydra.job.config_name}", "config_name": "train", "num": 3,
                    "id": None, "env_set": {"SEED": "1"}, "chdir": False,
                },
                "job_logging": {
                    "handlers": {
                        "file": {"filename": "${hydra.runtime.output_dir}/app.log"},
                        "console": {"stream": "ext://sys.stdout"},
                        "away": {"filename": "/var/log/app.log"},
                    }
                },
            },
        }
    )


def test_view_of_a_job(tmp_path: Path) -> None:
    """The view holds what a lock says of a job, with the task that it is given."""
    view = JobView.of(job_config(tmp_path), job_config)
    job = view.record(COMMAND, None, ())
    assert (view.output_dir, view.variables, view.rerun.parent) == (tmp_path, ("SEED",), None)
    assert (job.name, job.num, job.id, job.choices) == ("train", 3, None, {"model": "big"})
    assert job.overrides.task == ("lr=1",)
    assert job.command.task == f"{__name__}:job_config"
    assert view.task_file == Path(__file__)
    assert view.log_files() == ["app.log"]


def test_each_key_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a job's start to its section of the lock, no key of the config is read twice."""
    read: Counter[str] = Counter()

    def value_at(config: Any, path: str) -> Any:
        read[path] += 1
        return values.value_at(config, path)

    monkeypatch.setattr(job_view, "value_at", value_at)
    view = JobView.of(job_config(tmp_path), job_config)
    view.record(COMMAND, None, ())
    assert view.variables
    assert read["hydra.runtime.output_dir"] == 1
    assert set(read.values()) == {1}


def test_a_mapping_that_is_referred_to_is_followed(tmp_path: Path) -> None:
    """Variables that another part of the config sets are known by their names."""
    config = job_config(tmp_path)
    config.variables = {"SEED": "1", "LANG": "C"}
    config.hydra.job.env_set = DictConfig("${variables}")
    assert JobView.of(config, job_config).variables == ("SEED", "LANG")
