"""The Hydra callback: job start and end, run and multirun start.

Hydra turns an Exception that leaves a callback into a warning and goes on, so a
problem here never stops a job; a refusal under ``strict`` is a SystemExit.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from flexlock_hydra.capture.scope import Scope
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.hooks import sweep, tracking, watch
from flexlock_hydra.hooks.again import Rerun, changed_keys
from flexlock_hydra.hooks.begin import (
    Start,
    begin,
    foreign_code,
    named_data,
    observe_start,
    observe_task,
    task_name,
)
from flexlock_hydra.hooks.options import SaveConfig, Selection, Strict, named
from flexlock_hydra.hooks.survey import survey
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import (
    COMPLETED,
    EXACT,
    FAILED,
    INTERRUPTED,
    Command,
    Failure,
    Job,
    Overrides,
    Sweep,
)

_RESULT_LIMIT = 100_000
"""Characters of JSON above which a result is kept as the beginning of its repr."""

_NOT_THE_TASKS = ("hydra",)
"""Keys of the config that the task gets it without."""

log = logging.getLogger("flexlock_hydra")


class FlexlockCallback(Callback):
    """Writes run.lock at the start and the end of each job.

    Arguments: see :class:`flexlock_hydra.hooks.options.FlexlockConf`.
    """

    def __init__(
        self,
        enabled: bool = True,
        strict: Any = "off",
        outputs: Any = True,
        max_output_mb: float | None = None,
        save_config: SaveConfig = SaveConfig.unresolved,
        ignore: Iterable[str] = (),
        secrets: Iterable[str] = (),
        max_untracked_mb: int = 50,
        repos: Any = None,
        editable: bool = True,
    ) -> None:
        self.enabled = enabled
        self.strict = Strict.parse(strict)
        self.outputs = Selection.parse(outputs, max_output_mb)
        self.save_config = save_config
        self.ignore = tuple(ignore)
        self.masker = Masker(patterns=tuple(secrets))
        self.size_limit = max_untracked_mb * 1024**2
        self.repos = named(repos)
        self.editable = editable
        self.start: Start | None = None
        self.sweep: Sweep | None = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Observe the code, once, in the main process."""
        if self.enabled:
            self.start = self._observe(config, [config.hydra.run.dir])
            self._refuse_inexact_code()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """The same for a sweep: Hydra carries what is set here to every worker."""
        if self.enabled:
            folder = Path(config.hydra.sweep.dir).absolute()
            self.sweep = Sweep(id=tracking.new_run_id(), dir=str(folder))
            self.start = self._observe(config, [folder])
            self._refuse_inexact_code()
            try:
                sweep.begin(self.sweep, config, self.masker)
            except OSError as error:
                reason = f"{layout.SWEEP_LOCK} not written: {error}"
                self.start = replace(self.start, warnings=(*self.start.warnings, reason))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the sweep's own lock, built from those of its jobs."""
        if self.sweep is not None:
            sweep.end(self.sweep)

    def on_job_start(self, config: DictConfig, *, task_function: Any, **kwargs: Any) -> None:
        """Write the lock with status ``running``."""
        if not self.enabled:
            return
        settings = HydraConfig.get()
        folder = Path(settings.runtime.output_dir)
        name, source = task_name(task_function)
        start = self.start or self._observe(config, [folder])
        if watch.MAIN not in start.repos and source is not None:
            start = observe_task(start, source, self._scope([folder], ()))
        start = self._with_gaps(start, settings, source)
        job = _job(settings, replace(start.command, task=name), self._sweep_of(start))
        rerun = Rerun.from_environment()
        if rerun.unresolved is not None:
            _refuse_other_config(rerun, survey(config, _NOT_THE_TASKS).unresolved)
        run = begin(
            start,
            job,
            folder,
            config,
            without=_NOT_THE_TASKS,
            save_config=self.save_config,
            masker=self.masker,
            variables=map(str, settings.job.env_set),
            rerun=rerun,
            raise_on_data=self.strict is Strict.all,
        )
        self._log_warnings(run)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write the lock with the job's end, result and outputs."""
        settings = HydraConfig.get()
        run = tracking.active(Path(settings.runtime.output_dir)) if self.enabled else None
        if run is None:
            return
        value = job_return._return_value
        failed = isinstance(value, BaseException) and job_return.status.name == FAILED.upper()
        left_out = _log_files(settings, run.folder) if self.outputs.enabled else None
        run.selection = self.outputs
        choices: Any = OmegaConf.to_container(settings.runtime.choices, resolve=False)
        watch.look_again(run, _sources(settings), choices, closely=self.sweep is None)
        known = len(run.lock.warnings)
        if failed and isinstance(value, (KeyboardInterrupt, SystemExit)):
            run.finish(INTERRUPTED, error=_failure(value, run.masker))
        elif failed:
            run.finish(FAILED, error=_failure(value, run.masker), leave_out=left_out)
        else:
            run.finish(COMPLETED, result=_result(value, run.masker), leave_out=left_out)
        self._log_warnings(run, after=known)

    def _observe(self, config: DictConfig, folders: Iterable[str | Path]) -> Start:
        start = observe_start(
            self._scope(folders, named_data(config, _NOT_THE_TASKS)),
            repos=self.repos,
            editable=self.editable,
        )
        return self._with_gaps(start, config.hydra, None)

    def _with_gaps(self, start: Start, settings: Any, source: Path | None) -> Start:
        """The start with code named that comes from outside the repository."""
        main = start.repos.get("main")
        if main is None:
            return start
        reasons = foreign_code(Path(start.root), _sources(settings), source)
        return replace(
            start, repos={**start.repos, "main": tracking.with_reasons(main, reasons)}
        )

    def _scope(self, folders: Iterable[str | Path], data: tuple[Path, ...]) -> Scope:
        return Scope(
            folders=tuple(Path(folder).absolute() for folder in folders),
            data=data,
            ignore=self.ignore,
            size_limit=self.size_limit,
        )

    def _sweep_of(self, start: Start) -> Sweep | None:
        if self.sweep is None:
            return None
        folder = Path(self.sweep.dir)
        if folder.is_relative_to(start.root):
            return replace(self.sweep, dir=folder.relative_to(start.root).as_posix())
        return self.sweep

    def _refuse_inexact_code(self) -> None:
        if self.strict not in (Strict.code, Strict.all) or self.start is None:
            return
        states = self.start.repos
        gaps = [reason for each in states.values() for reason in each.reasons]
        reasons = [*self.start.warnings, *gaps]
        exact = all(each.completeness == EXACT for each in states.values())
        if self.start.warnings or "main" not in states or not exact:
            _refuse(
                f"the code cannot be recorded exactly: {'; '.join(reasons)}",
                "Commit or remove what is named, or run with hydra.callbacks.flexlock.strict=off",
            )

    def _log_warnings(self, run: tracking.ActiveRun, after: int = 0) -> None:
        if self.strict is not Strict.off:
            for text in run.lock.warnings[after:]:
                log.warning(text)


def _sources(settings: Any) -> Any:
    """Where Hydra looks for configs: provider, schema and path of each."""
    return OmegaConf.to_container(settings.runtime.config_sources, resolve=False)


def _job(settings: Any, command: Command, part_of: Sweep | None) -> Job:
    overrides: Any = OmegaConf.to_container(settings.overrides, resolve=False)
    choices: Any = OmegaConf.to_container(settings.runtime.choices, resolve=False)
    missing = OmegaConf.is_missing
    return Job(
        name=settings.job.name,
        overrides=Overrides(
            task=tuple(map(str, overrides["task"])), hydra=tuple(map(str, overrides["hydra"]))
        ),
        choices=choices,
        config_name=None if missing(settings.job, "config_name") else settings.job.config_name,
        config_sources=tuple(_sources(settings)),
        id=None if missing(settings.job, "id") else str(settings.job.id),
        num=None if missing(settings.job, "num") else int(settings.job.num),
        sweep=part_of,
        command=command,
        hydra=hydra.__version__,
    )


def _log_files(settings: Any, folder: Path) -> list[str]:
    """Files below the output directory that Hydra's job logging writes to."""
    logging_config = OmegaConf.to_container(settings.job_logging, resolve=True)
    handlers = logging_config.get("handlers") if isinstance(logging_config, dict) else None
    names = [Path(folder, h["filename"]) for h in (handlers or {}).values() if h.get("filename")]
    return [path.relative_to(folder).as_posix() for path in names if path.is_relative_to(folder)]


def _failure(error: BaseException, masker: Masker) -> Failure:
    return Failure(
        type=type(error).__name__,
        message=masker.text(_safely(str, error)),
        traceback=masker.text("".join(_safely(_format_traceback, error))),
    )


def _format_traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _safely(render: Any, value: Any) -> str:
    """What a user's own ``__str__`` or ``__repr__`` says, or that it raised."""
    try:
        return str(render(value))
    except Exception as error:  # the user's code runs here
        return f"<{type(value).__name__}: {type(error).__name__} while it was shown>"


def _result(value: Any, masker: Masker) -> Json:
    if value is None:
        return None
    try:
        text = json.dumps(value)
        if len(text) <= _RESULT_LIMIT:
            return masker.mask(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        text = ""
    return {"repr": masker.text(_safely(repr, value)[:_RESULT_LIMIT])[:1000]}


def _refuse_other_config(rerun: Rerun, now: Json) -> None:
    keys = changed_keys(rerun.unresolved, now)
    if keys:
        _refuse(
            f"this config is not the recorded one: {', '.join(keys)}",
            "Name what should change as an override of the rerun.",
        )


def _refuse(reason: str, hint: str) -> None:
    sys.stderr.write(f"flexlock-hydra: {reason}\n{hint}\n")
    raise SystemExit(2)
