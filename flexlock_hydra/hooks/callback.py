"""The Hydra callback: job start and end, run and multirun start and end.

Hydra turns an Exception that leaves a callback into a warning and goes on, so a
problem here never stops a job; a refusal under ``strict`` is a SystemExit.

This module loads little: git is asked about the working tree first, and looks at it while
Python loads what the rest needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from flexlock_hydra.capture.environment.ranks import is_further_rank
from flexlock_hydra.capture.reads.audit_hook import unwatched
from flexlock_hydra.hooks.config.options import CallbackOptions
from flexlock_hydra.ports.git.ask import ask_working_tree_ahead

if TYPE_CHECKING:
    from flexlock_hydra.hooks.job.recorder import Recorder


class FlexlockCallback(Callback):
    """Writes run.lock at the start and the end of each job.

    Arguments: see :class:`flexlock_hydra.hooks.config.options.FlexlockConf`.

    Raises:
        FlexlockError, omegaconf.ValidationError: an argument has a value that it cannot have.
    """

    def __init__(self, **options: Any) -> None:
        self.options = CallbackOptions.parse(options)
        self._recorder: Recorder | None = None

    @property
    def recorder(self) -> Recorder:
        """What writes the locks, made when first needed; Hydra pickles it into every worker."""
        # Not at the top: it loads while git looks at the working tree.
        from flexlock_hydra.hooks.job.recorder import Recorder

        self._recorder = self._recorder or Recorder(self.options)
        return self._recorder

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Observe the code of a single run, once, in the main process."""
        self._observe(config, is_sweep=False)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Observe the code of a sweep, once, in the main process."""
        self._observe(config, is_sweep=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write the sweep's own lock."""
        if self._recorder is not None:
            self._recorder.multirun_end(config)

    def on_job_start(self, config: DictConfig, *, task_function: Any, **kwargs: Any) -> None:
        """Write the job's lock with status ``running``, in the process of the job."""
        if self.options.enabled:
            with unwatched():
                self.recorder.job_start(config, task_function)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write the job's lock with its end, result and outputs."""
        if self._recorder is not None:
            with unwatched():
                self._recorder.job_end(config, job_return)

    def _observe(self, config: DictConfig, *, is_sweep: bool) -> None:
        if self.options.enabled and not is_further_rank():
            # Git looks at the working tree while the recorder's modules are loaded.
            with ask_working_tree_ahead(Path.cwd()) as ahead:
                start = self.recorder.multirun_start if is_sweep else self.recorder.run_start
                start(config, ahead)
