"""A job as its config and its task describe it, read once when it starts."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from flexlock_hydra.hooks.config.survey import Survey, survey
from flexlock_hydra.hooks.config.values import value_at
from flexlock_hydra.hooks.config_source import run_path
from flexlock_hydra.hooks.rerun.notes import Rerun
from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.job_frames import name_of_app
from flexlock_hydra.record.model import Command, Job, Overrides, Sweep

NOT_THE_TASKS = ("hydra",)
"""Keys of the config that the task gets it without."""
_LOG_BY_NAME = "${hydra.runtime.output_dir}/${hydra.job.name}.log"  # Hydra's default


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

    @cached_property
    def survey(self) -> Survey:
        """The task's config, walked."""
        return survey(self.config, NOT_THE_TASKS)

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
        config_name, number, job_id = (
            value_at(self.config, f"hydra.job.{key}") for key in ("config_name", "num", "id")
        )
        return Job(
            name=job_name(self.config),
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
        places = [Path(self.output_dir, name) for name in self._log_file_names()]
        return [
            place.relative_to(self.output_dir).as_posix()
            for place in places
            if place.is_relative_to(self.output_dir)
        ]

    def _log_file_names(self) -> Iterator[str]:
        """As the config says it; what a resolver of the user's says, as the log has it open."""
        handlers = value_at(self.config, "hydra.job_logging.handlers") or {}
        for name, handler in handlers.items():
            if isinstance(handler, dict) and handler.get("filename"):
                key = f"hydra.job_logging.handlers.{name}.filename"
                file = value_at(self.config, key) or _open_log(name)
                yield from [str(file)] if file else []


def output_dir_of(config: DictConfig) -> Path:
    """The output directory of the job that a callback is given this config for."""
    return Path(value_at(config, "hydra.runtime.output_dir"))


def job_name(config: DictConfig) -> str:
    """The name of a job, or of the jobs of a sweep.

    Where a resolver of the user's makes it, Hydra has called that for the name of its log.
    """
    name = value_at(config, "hydra.job.name")
    if name is None and _raw(config, "hydra.job_logging.handlers.file.filename") == _LOG_BY_NAME:
        folder, log = value_at(config, "hydra.runtime.output_dir"), _open_log("file")
        if folder and log and log.startswith(f"{folder}{os.sep}"):
            name = log[len(folder) + 1 :].removesuffix(".log")
    return str(name or name_of_app())


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
        # Not of sys.modules["__main__"]: that may be a profiler, or what runs a worker.
        spec = getattr(task, "__globals__", {}).get("__spec__")
        module = spec.name if spec else Path(source).stem
    return f"{module}:{task.__qualname__}", Path(source) if source else None


def _open_log(name: str) -> str | None:
    """The file that a handler of the logging configuration writes to, by the handler's name."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = chain.from_iterable(getattr(each, "handlers", ()) for each in loggers)
    files = (each.baseFilename for each in handlers
             if isinstance(each, logging.FileHandler) and each.name == name)
    return next(files, None)


def _raw(config: DictConfig, path: str) -> Any:
    node = config_nodes.node_at(config, path)
    return None if node is config_nodes.ABSENT else config_nodes.raw_value(node)
