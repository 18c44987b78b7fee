"""A job as its config and its task describe it, read once when it starts."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from flexlock_hydra.hooks.config.survey import survey, value_at
from flexlock_hydra.hooks.config_source import run_path
from flexlock_hydra.hooks.rerun.notes import Rerun
from flexlock_hydra.record.model import Command, Job, Overrides, Sweep


@dataclass(frozen=True, eq=False)
class JobView:
    """What the recorder needs of a job's config, so that nothing reads its keys again.

    The job's own config says it: HydraConfig is one for all threads of a process.
    """

    config: DictConfig
    output_dir: Path
    sources: tuple[Mapping[str, Any], ...]
    """Where Hydra looks for configs: provider, schema and path of each."""
    choices: Mapping[str, Any]
    """The option that was chosen of each config group."""
    task: str | None
    """The task function, ``module:qualified name``."""
    task_file: Path | None
    rerun: Rerun
    """The run that this job repeats."""

    @classmethod
    def of(cls, config: DictConfig, task_function: Callable[..., Any] | None) -> JobView:
        """The view of a job that starts, in the process that it runs in."""
        output_dir = output_dir_of(config)
        sources = config_sources(config)
        task, task_file = task_name(task_function)
        rerun = Rerun.of(output_dir)
        if rerun.parent is None:
            rerun = replace(rerun, parent=run_path.parent_id(sources))
        choices = value_at(config, "hydra.runtime.choices")
        return cls(config, output_dir, sources, choices, task, task_file, rerun)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that Hydra sets for the job."""
        return tuple(value_at(self.config, "hydra.job.env_set") or ())

    def record(self, command: Command, part_of: Sweep | None, volatile: tuple[str, ...]) -> Job:
        """The job's section of the lock.

        Args:
            command: what the main process was started with.
            part_of: the sweep that the job belongs to.
            volatile: patterns of the outputs that differ in each run.
        """
        overrides = value_at(self.config, "hydra.overrides")
        name, config_name, number, job_id = (
            value_at(self.config, f"hydra.job.{key}")
            for key in ("name", "config_name", "num", "id")
        )
        return Job(
            name=name,
            overrides=Overrides(
                task=tuple(map(str, overrides["task"])), hydra=tuple(map(str, overrides["hydra"]))
            ),
            choices=dict(self.choices),
            config_name=config_name,
            config_sources=self.sources,
            id=None if job_id is None else str(job_id),
            num=None if number is None else int(number),
            sweep=part_of,
            command=replace(command, task=self.task),
            hydra=hydra.__version__,
            volatile=volatile or None,
            output_dir=str(self.output_dir),
        )

    def log_files(self) -> list[str]:
        """Files below the output directory that Hydra's job logging writes to."""
        logging_config, _ = survey(self.config.hydra.job_logging).resolve()
        handlers = logging_config.get("handlers") if isinstance(logging_config, dict) else None
        files = (handler.get("filename") for handler in (handlers or {}).values() if handler)
        places = [Path(self.output_dir, name) for name in files if name]
        return [
            place.relative_to(self.output_dir).as_posix()
            for place in places
            if place.is_relative_to(self.output_dir)
        ]


def output_dir_of(config: DictConfig) -> Path:
    """The output directory of the job that a callback is given this config for."""
    return Path(value_at(config, "hydra.runtime.output_dir"))


def runs_in_output_dir(config: DictConfig) -> bool:
    """Whether jobs run in their output directories."""
    return bool(value_at(config, "hydra.job.chdir"))


def config_sources(config: DictConfig) -> tuple[Mapping[str, Any], ...]:
    """Where Hydra looks for configs: provider, schema and path of each."""
    return tuple(value_at(config, "hydra.runtime.config_sources"))


def task_name(task: Callable[..., Any] | None) -> tuple[str | None, Path | None]:
    """``module:qualified name`` of a task function and the file that it is in."""
    task = getattr(task, "func", task)  # hydra-zen's wrapper, functools.partial
    task = inspect.unwrap(task) if task is not None else None
    if task is None or not hasattr(task, "__qualname__"):
        return None, None
    try:
        source = inspect.getsourcefile(task)
    except TypeError:
        source = None
    module = getattr(task, "__module__", None)
    if module == "__main__" and source:
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec else Path(source).stem
    return f"{module}:{task.__qualname__}", Path(source) if source else None
