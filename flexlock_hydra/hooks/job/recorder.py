"""What the callback does: observe the code, begin each job's lock, and have it ended."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.side_by_side import enter_repo
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.marked_keys import lost_marks
from flexlock_hydra.hooks.config.options import CallbackOptions, SaveConfig, Strict
from flexlock_hydra.hooks.config.snapshot_calls import named_data, names_data_by_itself
from flexlock_hydra.hooks.config.undisturbed import undisturbed
from flexlock_hydra.hooks.config.values import folder_at
from flexlock_hydra.hooks.job import code_watch, job_view
from flexlock_hydra.hooks.job.active_run import ActiveRun, Bystander, active
from flexlock_hydra.hooks.job.end import End, finish_job, log_warnings, watch
from flexlock_hydra.hooks.job.job_view import (
    NOT_THE_TASKS, JobView, config_sources, output_dir_of
)
from flexlock_hydra.hooks.job.process_exit import stop_process
from flexlock_hydra.hooks.job.recorded_inputs import MISSING_DATA_HINT
from flexlock_hydra.hooks.job.start import (
    Start, begin_run, bystander_start, is_bystander, observe_start, observe_task
)
from flexlock_hydra.hooks.rerun import config_check
from flexlock_hydra.hooks.rerun.moved_paths import move_paths
from flexlock_hydra.hooks.rerun.notes import Rerun
from flexlock_hydra.ports.git.ask import Ahead
from flexlock_hydra.ports.hydra_internals.job_frames import (
    config_of_task, hydra_config_of, returned_or_raised
)
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import COMPLETED, EXACT, FAILED, INTERRUPTED, MAIN, Sweep


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
        """Observe the code of a single run, in the main process.

        Args:
            ahead: what git was asked of the working tree before this was loaded.

        Raises:
            SystemExit: the code or the config is none that the user's options let run.
        """
        with hydra_config_of(config):
            folder = folder_at(config, "hydra.run.dir")
            # A rerun hands over values for its own job alone, told by the output directory.
            rerun = Rerun.of(folder) if folder else Rerun()
            if rerun.resolved is None:
                config_check.require(rerun, config, NOT_THE_TASKS)
            is_known = folder is not None and names_data_by_itself(config, NOT_THE_TASKS)
            if rerun.parent is None and not is_known:
                return  # a resolver of the user's says it, once, when the job starts
            data = named_data(config, NOT_THE_TASKS)
            self.start = start = self._observe(config, str(folder), data, rerun, ahead)
        self._refuse_inexact_code(start)
        if rerun.resolved is not None:
            masked = config_check.fix(rerun, config, NOT_THE_TASKS)
            gaps = f", but for secrets: {', '.join(masked)}" if masked else ""
            self.start = start.warned(f"run from the resolved config of {rerun.parent}{gaps}")

    def multirun_start(self, config: DictConfig, ahead: Ahead | None) -> None:
        """Observe the code of a sweep, in the main process, and write the sweep's lock.

        Args:
            ahead: what git was asked of the working tree before this was loaded.

        Raises:
            SystemExit: the code is none that the user's options let run.
        """
        from flexlock_hydra.hooks.job import sweep

        try:
            folder = sweep.dir_of_sweep(config)
        except OmegaConfBaseException:  # Hydra, which needs it next, says so
            return
        # This and `start` reach every worker with the callback; changes to the config do not.
        self.sweep = Sweep(id=layout.new_run_id(), dir=str(folder))
        with hydra_config_of(config):
            data = named_data(config, NOT_THE_TASKS)
            self.start = self._observe(config, folder, data, Rerun(), ahead)
            self._refuse_inexact_code(self.start)
            try:
                sweep.begin_sweep(self.sweep, config, self.masker)
            except OSError as error:
                self.start = self.start.warned(f"{layout.SWEEP_LOCK} not written: {error}")

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
            folder, chdir = Path(self.sweep.dir), job_view.runs_in_output_dir(config)
            strays = code_watch.strays_of_sweep(code, folder, chdir=chdir)
            status = failed if error else COMPLETED
            sweep.end_sweep(self.sweep.dir, status, map(self.masker.text, strays))

    def job_start(self, config: DictConfig, task_function: Any) -> None:
        """Write a job's lock with status ``running``, in the process of the job.

        Raises:
            SystemExit: an input or the lock itself cannot be recorded, and ``strict=all``.
        """
        job = JobView.of(config, task_function)
        # First: a job that is cut off while it is observed has an end to be written, too.
        watch(lambda error: self._end_by(error, job.output_dir))
        to_task = config_of_task()
        for each in (config, to_task):
            if isinstance(each, DictConfig):
                move_paths(each, job.rerun.relocation, NOT_THE_TASKS)
        if is_bystander(job.output_dir):
            self._begin(job, bystander_start(), Bystander)
            return
        run = self._begin(job, self._start_of(job), ActiveRun)
        # The task sees what was recorded: it gets the values of cached resolvers.
        if isinstance(to_task, DictConfig):
            OmegaConf.copy_cache(config, to_task)
        self._publish(run)
        self._refuse_missing_data(run)
        log_warnings(run, self.options.strict)

    def job_end(self, config: DictConfig, job_return: JobReturn) -> None:
        """Write the lock of a job whose task returned or failed, with its result and outputs."""
        run = active(output_dir_of(config))
        if run is None:
            return
        value = returned_or_raised(job_return)
        # A task may return an exception: the status tells it from one that was raised.
        failed = isinstance(value, BaseException) and job_return.status.name == FAILED.upper()
        self._finish(
            run, End.by_error(value, run.masker) if failed else End.by_return(value, run.masker)
        )

    def _end_by(self, error: BaseException | None, output_dir: Path) -> None:
        """The job is over: write its end where Hydra did not call :meth:`job_end`."""
        run = active(output_dir)
        if run is not None and error is not None:
            self._finish(run, End.by_error(error, run.masker))

    def _finish(self, run: ActiveRun, end: End) -> None:
        finish_job(run, end, self.options, closely=self.sweep is None)

    def _start_of(self, job: JobView) -> Start:
        """What the main process saw; where no hook ran there, what is here now."""
        folder = job.output_dir
        start = self.start or self._observe_job(job)
        if MAIN not in start.repos and job.task_file is not None:
            start = observe_task(start, job.task_file, self._scope(folder, ()))
        return _with_gaps(start, job.sources, job.task_file)

    def _begin(self, job: JobView, start: Start, kind: type[ActiveRun]) -> ActiveRun:
        return begin_run(
            start,
            job.record(start.command, self._sweep_of(start), self.options.volatile),
            job.output_dir,
            job.config if kind is ActiveRun else None,
            view=job,
            without=NOT_THE_TASKS,
            save_config=self.options.save_config,
            masker=self.masker,
            raise_on_data=self.options.strict is Strict.all and kind is ActiveRun,
            inputs=self.options.inputs if kind is ActiveRun else None,
            kind=kind,
        )

    def _publish(self, run: ActiveRun) -> None:
        try:
            run.write()
        except OSError as error:
            reason = f"{run.path} cannot be written: {error.strerror}"
            if self.options.strict is Strict.all:
                tracking.leave_sink(run)
                stop_process(
                    reason,
                    "Free space or change its permissions, choose another hydra.run.dir or "
                    "hydra.sweep.dir, or run with hydra.callbacks.flexlock.strict=code",
                )
            run.warn(f"at the start of the job {reason}")

    def _observe_job(self, job: JobView) -> Start:
        """What is here now; each resolver is called once for this and for the record."""
        with undisturbed():
            whole = self.options.save_config is not SaveConfig.none
            data = job.survey.name_data(whole=whole)
        start = self._observe(job.config, job.output_dir, data, job.rerun)
        if self.sweep is None:  # in a sweep, an exit would end the other jobs
            self._refuse_inexact_code(start)
        return start

    def _observe(
        self,
        config: DictConfig,
        folder: str | Path,
        data: tuple[Path, ...],
        rerun: Rerun,
        ahead: Ahead | None = None,
    ) -> Start:
        start = observe_start(
            self._scope(folder, data),
            repos=self.options.repos if rerun.repos is None else rerun.repos,
            editable=self.options.editable,
            ahead=ahead,
        )
        if (main := start.code.get(MAIN)) is not None:
            enter_repo(main.repo.git_dir, main.taken_at)
        sources = config_sources(config)
        start = replace(start, marked=lost_marks(config, sources))
        return _with_gaps(start, sources, None)

    def _scope(self, folder: str | Path, data: tuple[Path, ...]) -> Scope:
        return Scope(
            folders=(Path(folder).absolute(),),
            data=data,
            ignore=self.options.ignore,
            size_limit=self.options.size_limit,
        )

    def _sweep_of(self, start: Start) -> Sweep | None:
        if self.sweep is None or not Path(self.sweep.dir).is_relative_to(start.root):
            return self.sweep
        return replace(self.sweep, dir=Path(self.sweep.dir).relative_to(start.root).as_posix())

    def _refuse_inexact_code(self, start: Start) -> None:
        if self.options.strict not in (Strict.code, Strict.all):
            return
        states = start.repos_read
        gaps = [reason for each in states.values() for reason in each.reasons]
        reasons = [*start.warnings, *gaps]
        exact = all(each.completeness == EXACT for each in states.values())
        if start.warnings or MAIN not in states or not exact:
            stop_process(
                f"the code cannot be recorded exactly: {'; '.join(reasons)}",
                "Commit or remove what is named, or run with hydra.callbacks.flexlock.strict=off",
            )

    def _refuse_missing_data(self, run: ActiveRun) -> None:
        """Under ``strict=all``, end a single job before it runs; in a sweep that job alone fails.

        There the resolver raises inside the task: an exit would end the whole sweep.
        """
        if self.options.strict is not Strict.all or self.sweep is not None:
            return
        gaps = [f"data {key}: {entry.error}" for key, entry in run.lock.data.items() if entry.error]
        if gaps:
            reason = "; ".join(gaps)
            self._finish(run, End.by_error(DataError(reason), run.masker))
            stop_process(reason, MISSING_DATA_HINT)


def _with_gaps(start: Start, sources: Iterable[Mapping[str, Any]], task: Path | None) -> Start:
    """The start with reasons why its code is not exact: config folders, a task from elsewhere."""
    main = start.repos.get(MAIN)
    if main is None:
        return start
    reasons = code_watch.foreign_code(Path(start.root), sources, task)
    return replace(start, repos={**start.repos, MAIN: main.with_reasons(reasons)})
