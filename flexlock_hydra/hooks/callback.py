"""The Hydra callback: job start and end, run and multirun start.

Hydra turns an Exception that leaves a callback into a warning and goes on, so a
problem here never stops a job; a refusal under ``strict`` is a SystemExit.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from flexlock_hydra.capture.scope import Scope
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks import ending, sweep, tracking, watch
from flexlock_hydra.hooks.again import Rerun, changed_keys
from flexlock_hydra.hooks.begin import (
    Start,
    begin,
    bystander_start,
    foreign_code,
    is_bystander,
    named_data,
    observe_start,
    observe_task,
    task_name,
)
from flexlock_hydra.hooks.ending import End
from flexlock_hydra.hooks.options import SaveConfig, Selection, Strict, named
from flexlock_hydra.hooks.survey import survey, to_plain
from flexlock_hydra.hooks.tracking import MISSING_DATA_HINT, ActiveRun, Bystander
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import (
    EXACT,
    FAILED,
    INTERRUPTED,
    Command,
    Job,
    Overrides,
    Sweep,
)

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
        if self.enabled and not is_bystander():
            self.start = self._observe(config, config.hydra.run.dir)
            self._refuse_inexact_code()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """The same for a sweep: Hydra carries what is set here to every worker."""
        if self.enabled and not is_bystander():
            folder = Path(config.hydra.sweep.dir).absolute()
            self.sweep = Sweep(id=tracking.new_run_id(), dir=str(folder))
            self.start = self._observe(config, folder)
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
        """Write the lock with status ``running``.

        The job's own config says where: HydraConfig is one for all threads of a process.
        """
        if not self.enabled:
            return
        folder = Path(config.hydra.runtime.output_dir)
        ending.watch(lambda error: self._notice(config, error))
        if is_bystander(folder):
            self._begin(config, task_function, bystander_start(), Bystander)
            return
        run = self._begin(config, task_function, self._start(config, task_function), ActiveRun)
        self._publish(run)
        self._refuse_missing_data(run, config)
        self._log_warnings(run)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write the lock with the job's end, result and outputs."""
        run = tracking.active(Path(config.hydra.runtime.output_dir))
        if run is None:
            return
        value = job_return._return_value
        failed = isinstance(value, BaseException) and job_return.status.name == FAILED.upper()
        self._finish(
            run,
            config,
            End.by_error(value, run.masker) if failed else End.by_return(value, run.masker),
        )

    def _notice(self, config: DictConfig, error: BaseException | None) -> None:
        """The job is over: write its end where Hydra did not tell :meth:`on_job_end`."""
        run = tracking.active(Path(config.hydra.runtime.output_dir))
        if run is not None and error is not None:
            self._finish(run, config, End.by_error(error, run.masker))

    def _finish(self, run: ActiveRun, config: DictConfig, end: End) -> None:
        """Write the end; the outputs of a run that was cut off are not hashed."""
        hashed = self.outputs.enabled and end.status != INTERRUPTED
        choices = to_plain(config.hydra.runtime.choices)
        watch.look_again(run, _sources(config.hydra), choices, closely=self.sweep is None)
        run.selection = self.outputs
        known = len(run.lock.warnings)
        run.finish(
            end.status,
            error=end.error,
            result=end.result,
            leave_out=_log_files(config.hydra, run.folder) if hashed else None,
        )
        self._log_warnings(run, after=known)

    def _start(self, config: DictConfig, task_function: Any) -> Start:
        """What the main process saw, or where no hook ran there, what is here now."""
        folder = Path(config.hydra.runtime.output_dir)
        source = task_name(task_function)[1]
        start = self.start or self._observe(config, folder)
        if watch.MAIN not in start.repos and source is not None:
            start = observe_task(start, source, self._scope([folder], ()))
        return self._with_gaps(start, config.hydra, source)

    def _begin(
        self, config: DictConfig, task_function: Any, start: Start, kind: type[ActiveRun]
    ) -> ActiveRun:
        command = replace(start.command, task=task_name(task_function)[0])
        folder = Path(config.hydra.runtime.output_dir)
        rerun = Rerun.of(folder)
        if rerun.unresolved is not None:
            _refuse_other_config(rerun, survey(config, _NOT_THE_TASKS).unresolved)
        return begin(
            start,
            _job(config.hydra, command, self._sweep_of(start)),
            folder,
            config if kind is ActiveRun else None,
            without=_NOT_THE_TASKS,
            save_config=self.save_config,
            masker=self.masker,
            variables=map(str, config.hydra.job.env_set),
            rerun=rerun,
            raise_on_data=self.strict is Strict.all and kind is ActiveRun,
            kind=kind,
        )

    def _publish(self, run: ActiveRun) -> None:
        try:
            run.write()
        except OSError as error:
            reason = f"{run.path} cannot be written: {error.strerror}"
            if self.strict is Strict.all:
                tracking.leave(run)
                _refuse(
                    reason,
                    "Free space or change its permissions, choose another hydra.run.dir or "
                    "hydra.sweep.dir, or run with hydra.callbacks.flexlock.strict=code",
                )
            run.warn(f"at the start of the job {reason}")

    def _observe(self, config: DictConfig, folder: str | Path) -> Start:
        repeated = Rerun.of(folder).repos
        start = observe_start(
            self._scope([folder], named_data(config, _NOT_THE_TASKS)),
            repos=self.repos if repeated is None else repeated,
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

    def _refuse_missing_data(self, run: ActiveRun, config: DictConfig) -> None:
        """Under ``strict=all``, before a single job runs; in a sweep that job alone fails.

        There the resolver raises inside the task: an exit would end the whole sweep.
        """
        if self.strict is not Strict.all or self.sweep is not None:
            return
        gaps = [f"data {key}: {entry.error}" for key, entry in run.lock.data.items() if entry.error]
        if gaps:
            reason = "; ".join(gaps)
            self._finish(run, config, End.by_error(DataError(reason), run.masker))
            _refuse(reason, MISSING_DATA_HINT)

    def _log_warnings(self, run: ActiveRun, after: int = 0) -> None:
        if self.strict is not Strict.off:
            for text in run.lock.warnings[after:]:
                log.warning(text)


def _sources(settings: Any) -> Any:
    """Where Hydra looks for configs: provider, schema and path of each."""
    return to_plain(settings.runtime.config_sources)


def _job(settings: Any, command: Command, part_of: Sweep | None) -> Job:
    overrides = to_plain(settings.overrides)
    missing = OmegaConf.is_missing
    return Job(
        name=settings.job.name,
        overrides=Overrides(
            task=tuple(map(str, overrides["task"])), hydra=tuple(map(str, overrides["hydra"]))
        ),
        choices=to_plain(settings.runtime.choices),
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
    handlers = OmegaConf.select(settings, "job_logging.handlers") or {}
    named_files = (handler.get("filename") for handler in handlers.values() if handler)
    names = [Path(folder, filename) for filename in named_files if filename]
    return [path.relative_to(folder).as_posix() for path in names if path.is_relative_to(folder)]


def _refuse_other_config(rerun: Rerun, now: Json) -> None:
    keys = changed_keys(rerun.unresolved, now)
    if keys:
        _refuse(
            f"this config is not the recorded one: {', '.join(keys)}",
            "Name what should change as an override of the rerun.",
        )


def _refuse(reason: str, hint: str) -> NoReturn:
    sys.stderr.write(f"flexlock-hydra: {reason}\n{hint}\n")
    raise SystemExit(2)
