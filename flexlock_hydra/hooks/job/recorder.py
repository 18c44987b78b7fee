"""What the callback does: observe at the start, write each job's lock, end it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.options import CallbackOptions, Strict
from flexlock_hydra.hooks.config.survey import survey, value_at
from flexlock_hydra.hooks.config_source import run_path
from flexlock_hydra.hooks.hydra_internals.job_frames import config_of_task, returned_or_raised
from flexlock_hydra.hooks.job import active_run, auto_push, code_watch
from flexlock_hydra.hooks.job.active_run import MISSING_DATA_HINT, ActiveRun, Bystander
from flexlock_hydra.hooks.job.end import End, watch
from flexlock_hydra.hooks.job.start import (
    Start,
    begin_run,
    bystander_start,
    foreign_code,
    is_bystander,
    named_data,
    observe_start,
    observe_task,
    task_name,
)
from flexlock_hydra.hooks.rerun import config_check
from flexlock_hydra.hooks.rerun.notes import Rerun
from flexlock_hydra.ports.git.ask import Ahead
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import (
    COMPLETED,
    EXACT,
    FAILED,
    INTERRUPTED,
    MAIN,
    Command,
    Job,
    Overrides,
    Sweep,
)

if TYPE_CHECKING:
    from flexlock_hydra.hooks.job.outputs import OutputFolder

_NOT_THE_TASKS = ("hydra",)
"""Keys of the config that the task gets it without."""

log = logging.getLogger("flexlock_hydra")


class Recorder:
    """Writes the locks of one run or sweep; Hydra carries it to every worker.

    Args:
        options: the user's choices.
    """

    def __init__(self, options: CallbackOptions) -> None:
        self.options = options
        self.masker = Masker(patterns=options.secrets)
        self.start: Start | None = None
        self.sweep: Sweep | None = None

    def run_start(self, config: DictConfig, ahead: Ahead | None) -> None:
        """Observe the code, once, in the main process; ``ahead`` is a look begun before."""
        rerun = Rerun.of(config.hydra.run.dir)
        if rerun.resolved is None:
            config_check.require(rerun, config, _NOT_THE_TASKS)
        self.start = self._observe(config, config.hydra.run.dir, ahead)
        self._refuse_inexact_code()
        if rerun.resolved is not None:
            self._fix(rerun, config)

    def multirun_start(self, config: DictConfig, ahead: Ahead | None) -> None:
        """The same for a sweep."""
        from flexlock_hydra.hooks.job import sweep

        folder = Path(config.hydra.sweep.dir).absolute()
        self.sweep = Sweep(id=layout.new_run_id(), dir=str(folder))
        self.start = self._observe(config, folder, ahead)
        self._refuse_inexact_code()
        try:
            sweep.begin_sweep(self.sweep, config, self.masker)
        except OSError as error:
            reason = f"{layout.SWEEP_LOCK} not written: {error}"
            self.start = replace(self.start, warnings=(*self.start.warnings, reason))

    def multirun_end(self, config: DictConfig) -> None:
        """Write the sweep's own lock, built from those of its jobs.

        What they wrote elsewhere is looked for once, not after each. Hydra 1.4 calls this
        while the error of a sweeper is on its way, too.
        """
        if self.sweep is not None:
            from flexlock_hydra.hooks.job import sweep

            error = sys.exc_info()[1]
            failed = FAILED if isinstance(error, Exception) else INTERRUPTED
            code = self.start.code if self.start else {}
            folder, chdir = Path(self.sweep.dir), _changes_folder(config)
            strays = code_watch.strays_of_sweep(code, folder, chdir=chdir)
            sweep.end_sweep(
                self.sweep, failed if error else COMPLETED, map(self.masker.text, strays)
            )

    def job_start(self, config: DictConfig, task_function: Any) -> None:
        """Write the lock with status ``running``.

        The job's own config says where: HydraConfig is one for all threads of a process.
        """
        folder = _output_dir(config)
        watch(lambda error: self._notice(folder, config, error))
        if is_bystander(folder):
            self._begin(config, task_function, bystander_start(), Bystander)
            return
        run = self._begin(config, task_function, self._start(config, task_function), ActiveRun)
        _hand_on_draws(config)
        self._publish(run)
        self._refuse_missing_data(run, config)
        self._log_warnings(run)

    def job_end(self, config: DictConfig, job_return: JobReturn) -> None:
        """Write the lock with the job's end, result and outputs."""
        run = active_run.active(_output_dir(config))
        if run is None:
            return
        value = returned_or_raised(job_return)
        failed = isinstance(value, BaseException) and job_return.status.name == FAILED.upper()
        self._finish(
            run,
            config,
            End.by_error(value, run.masker) if failed else End.by_return(value, run.masker),
        )

    def _notice(self, folder: Path, config: DictConfig, error: BaseException | None) -> None:
        """The job is over: write its end where Hydra did not tell the callback."""
        run = active_run.active(folder)
        if run is not None and error is not None:
            self._finish(run, config, End.by_error(error, run.masker))

    def _finish(self, run: ActiveRun, config: DictConfig, end: End) -> None:
        """Write the end; the outputs of a run that was cut off are not hashed.

        Git looks at the code meanwhile.
        """
        known = len(run.lock.warnings)
        run.take_up()
        try:
            with code_watch.asked_again(run, closely=self.sweep is None) as asked:
                run.stop(end.status)
                if self.options.outputs.enabled and end.status != INTERRUPTED:
                    run.record_outputs(self._outputs(run, config))
                choices = value_at(config, "hydra.runtime.choices")
                code_watch.look_again(
                    run, _sources(config), choices, asked, chdir=_changes_folder(config)
                )
        finally:
            run.finish(end.status, error=end.error, result=end.result)
        self._log_warnings(run, after=known)
        if self.options.push and end.status != INTERRUPTED and type(run) is ActiveRun:
            auto_push.push_ended_run(run)

    def _fix(self, rerun: Rerun, config: DictConfig) -> None:
        """Run from the recorded values: no resolver says anything else."""
        masked = config_check.fix(rerun, config, _NOT_THE_TASKS)
        gaps = f", but for secrets: {', '.join(masked)}" if masked else ""
        reason = f"run from the resolved config of {rerun.parent}{gaps}"
        if self.start is not None:
            self.start = replace(self.start, warnings=(*self.start.warnings, reason))

    def _outputs(self, run: ActiveRun, config: DictConfig) -> OutputFolder:
        from flexlock_hydra.hooks.job.outputs import OutputFolder

        return OutputFolder(run.folder, self.options.outputs, _log_files(config, run.folder))

    def _start(self, config: DictConfig, task_function: Any) -> Start:
        """What the main process saw, or where no hook ran there, what is here now."""
        folder = _output_dir(config)
        source = task_name(task_function)[1]
        start = self.start or self._observe(config, folder)
        if MAIN not in start.repos and source is not None:
            start = observe_task(start, source, self._scope([folder], ()))
        return self._with_gaps(start, config, source)

    def _begin(
        self, config: DictConfig, task_function: Any, start: Start, kind: type[ActiveRun]
    ) -> ActiveRun:
        command = replace(start.command, task=task_name(task_function)[0])
        folder = _output_dir(config)
        rerun = Rerun.of(folder)
        if rerun.parent is None:
            rerun = replace(rerun, parent=run_path.parent_id(_sources(config)))
        return begin_run(
            start,
            _job(config, command, self._sweep_of(start), self.options.volatile),
            folder,
            config if kind is ActiveRun else None,
            without=_NOT_THE_TASKS,
            save_config=self.options.save_config,
            masker=self.masker,
            variables=value_at(config, "hydra.job.env_set") or (),
            rerun=rerun,
            raise_on_data=self.options.strict is Strict.all and kind is ActiveRun,
            kind=kind,
        )

    def _publish(self, run: ActiveRun) -> None:
        try:
            run.write()
        except OSError as error:
            reason = f"{run.path} cannot be written: {error.strerror}"
            if self.options.strict is Strict.all:
                tracking.leave_sink(run)
                _refuse(
                    reason,
                    "Free space or change its permissions, choose another hydra.run.dir or "
                    "hydra.sweep.dir, or run with hydra.callbacks.flexlock.strict=code",
                )
            run.warn(f"at the start of the job {reason}")

    def _observe(
        self, config: DictConfig, folder: str | Path, ahead: Ahead | None = None
    ) -> Start:
        repeated = Rerun.of(folder).repos
        start = observe_start(
            self._scope([folder], named_data(config, _NOT_THE_TASKS)),
            repos=self.options.repos if repeated is None else repeated,
            editable=self.options.editable,
            ahead=ahead,
        )
        return self._with_gaps(start, config, None)

    def _with_gaps(self, start: Start, config: DictConfig, source: Path | None) -> Start:
        """The start with code named that comes from outside the repository."""
        main = start.repos.get(MAIN)
        if main is None:
            return start
        reasons = foreign_code(Path(start.root), _sources(config), source)
        return replace(
            start, repos={**start.repos, MAIN: main.with_reasons(reasons)}
        )

    def _scope(self, folders: Iterable[str | Path], data: tuple[Path, ...]) -> Scope:
        return Scope(
            folders=tuple(Path(folder).absolute() for folder in folders),
            data=data,
            ignore=self.options.ignore,
            size_limit=self.options.size_limit,
        )

    def _sweep_of(self, start: Start) -> Sweep | None:
        if self.sweep is None:
            return None
        folder = Path(self.sweep.dir)
        if folder.is_relative_to(start.root):
            return replace(self.sweep, dir=folder.relative_to(start.root).as_posix())
        return self.sweep

    def _refuse_inexact_code(self) -> None:
        if self.options.strict not in (Strict.code, Strict.all) or self.start is None:
            return
        states = self.start.repos_read
        gaps = [reason for each in states.values() for reason in each.reasons]
        reasons = [*self.start.warnings, *gaps]
        exact = all(each.completeness == EXACT for each in states.values())
        if self.start.warnings or MAIN not in states or not exact:
            _refuse(
                f"the code cannot be recorded exactly: {'; '.join(reasons)}",
                "Commit or remove what is named, or run with hydra.callbacks.flexlock.strict=off",
            )

    def _refuse_missing_data(self, run: ActiveRun, config: DictConfig) -> None:
        """Under ``strict=all``, before a single job runs; in a sweep that job alone fails.

        There the resolver raises inside the task: an exit would end the whole sweep.
        """
        if self.options.strict is not Strict.all or self.sweep is not None:
            return
        gaps = [f"data {key}: {entry.error}" for key, entry in run.lock.data.items() if entry.error]
        if gaps:
            reason = "; ".join(gaps)
            self._finish(run, config, End.by_error(DataError(reason), run.masker))
            _refuse(reason, MISSING_DATA_HINT)

    def _log_warnings(self, run: ActiveRun, after: int = 0) -> None:
        if self.options.strict is not Strict.off:
            for text in run.lock.warnings[after:]:
                log.warning(text)


def _hand_on_draws(config: DictConfig) -> None:
    """Let the task see the values that were recorded, of resolvers that are called but once."""
    to_task = config_of_task()
    if isinstance(to_task, DictConfig):
        OmegaConf.copy_cache(config, to_task)


def _output_dir(config: DictConfig) -> Path:
    return Path(value_at(config, "hydra.runtime.output_dir"))


def _changes_folder(config: DictConfig) -> bool:
    """Whether jobs run in their output directories."""
    return bool(value_at(config, "hydra.job.chdir"))


def _sources(config: DictConfig) -> Any:
    """Where Hydra looks for configs: provider, schema and path of each."""
    return value_at(config, "hydra.runtime.config_sources")


def _job(
    config: DictConfig, command: Command, part_of: Sweep | None, volatile: tuple[str, ...]
) -> Job:
    overrides = value_at(config, "hydra.overrides")
    number, job_id = (value_at(config, f"hydra.job.{name}") for name in ("num", "id"))
    return Job(
        name=value_at(config, "hydra.job.name"),
        overrides=Overrides(
            task=tuple(map(str, overrides["task"])), hydra=tuple(map(str, overrides["hydra"]))
        ),
        choices=value_at(config, "hydra.runtime.choices"),
        config_name=value_at(config, "hydra.job.config_name"),
        config_sources=tuple(_sources(config)),
        id=None if job_id is None else str(job_id),
        num=None if number is None else int(number),
        sweep=part_of,
        command=command,
        hydra=hydra.__version__,
        volatile=volatile or None,
        output_dir=str(_output_dir(config)),
    )


def _log_files(config: DictConfig, folder: Path) -> list[str]:
    """Files below the output directory that Hydra's job logging writes to."""
    logging_config, _ = survey(config.hydra.job_logging).resolve()
    handlers = logging_config.get("handlers") if isinstance(logging_config, dict) else None
    named_files = (handler.get("filename") for handler in (handlers or {}).values() if handler)
    names = [Path(folder, filename) for filename in named_files if filename]
    return [path.relative_to(folder).as_posix() for path in names if path.is_relative_to(folder)]


def _refuse(reason: str, hint: str) -> NoReturn:
    sys.stderr.write(f"flexlock-hydra: {reason}\n{hint}\n")
    raise SystemExit(2)
