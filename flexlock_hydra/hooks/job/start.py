"""A job starts: observe the world and write the first lock."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from omegaconf import Container

from flexlock_hydra.capture.code import imports
from flexlock_hydra.capture.code import snapshot as code
from flexlock_hydra.capture.code.program import Program, is_installed_program
from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import Snapshot
from flexlock_hydra.capture.data.paths import Places, record_path
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.environment.environment import capture_environment
from flexlock_hydra.capture.environment.ranks import is_further_rank
from flexlock_hydra.capture.secrets.config_values import env_names
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import FlexlockError, LockError
from flexlock_hydra.hooks.config.options import InputSelection, SaveConfig
from flexlock_hydra.hooks.config.survey import Survey, survey
from flexlock_hydra.hooks.config.undisturbed import undisturbed
from flexlock_hydra.hooks.job import code_watch, extra_repos, observed_inputs
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.job_view import JobView, task_name
from flexlock_hydra.hooks.job.lock_writer import masked_lock
from flexlock_hydra.hooks.job.process_exit import enter_run
from flexlock_hydra.hooks.job.unmarked_inputs import warn_unmarked
from flexlock_hydra.hooks.rerun.notes import Rerun
from flexlock_hydra.ports.git.ask import Ahead
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.hydra_internals.app_start import is_in_launch, task_in_progress
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import (
    COMPLETED, MAIN, RUNNING, CodeState, Command, Environment, Job, Run, RunLock
)


@dataclass(frozen=True)
class Start:
    """What the main process saw before any job: small, frozen, carried to workers."""

    command: Command
    cwd: str
    root: str
    repos: Mapping[str, CodeState]
    warnings: tuple[str, ...] = ()
    code: Mapping[str, Snapshot] = field(default_factory=dict)
    installed: frozenset[str] = frozenset()  # repositories that count if anything imports from them
    marked: Mapping[str, str] = field(default_factory=dict)
    """Config keys that the app marks, and an override may not: key -> the input's name."""

    def warned(self, reason: str) -> Start:
        """The start with one more warning for each lock."""
        return replace(self, warnings=(*self.warnings, reason))

    @property
    def repos_read(self) -> dict[str, CodeState]:
        """The repositories without those of editable installs that nothing was imported from."""
        unused = extra_repos.unused(self.code, self.installed)
        return {name: state for name, state in self.repos.items() if name not in unused}

    def keep_installed(self) -> list[str]:
        """Keep the code of editable installs alive that is imported from; warnings where not."""
        used = [name for name in self.repos_read if name.partition("/")[0] in self.installed]
        return extra_repos.keep_used(self.code, used)


def observe_start(
    scope: Scope,
    *,
    repos: Mapping[str, str] | None = None,
    editable: bool = True,
    ahead: Ahead | None = None,
) -> Start:
    """What the main process sees before any job: its command line, and the code as it is now.

    What git cannot answer becomes a warning: a job runs where nothing can be recorded, too.

    Args:
        repos: further repositories, name -> a folder in each.
        editable: also those of editable installs.
        ahead: the status of the repository of the cwd, where git was asked for it already.
    """
    cwd, program = Path.cwd(), Program.running()
    main = program.file
    if main is not None:
        imports.set_script(main)
    warnings: list[str] = []
    repo = None
    begun = {}
    try:
        here = GitRepo.told(ahead.place) if ahead else code.find_repo(cwd)
        repo = _main_repo(here, main, task_name(task_in_progress())[1])
        if here and ahead:
            begun[here.root] = ahead.asked
        if repo is None:
            warnings.append(f"code not recorded: {cwd} is in no git repository (try: git init)")
    except (FlexlockError, OSError) as error:
        warnings.append(f"code not recorded: {error}")
    others = extra_repos.find_extra_repos(repos or {}, repo, editable=editable)
    found = {MAIN: repo, **others.repos} if repo else others.repos
    snapshots, failed = code_watch.take_snapshots(found, cwd, scope, begun, idle=others.installed)
    root = repo.root if repo else cwd
    states = code_watch.states(snapshots, root)
    if MAIN in states:
        states[MAIN] = states[MAIN].with_reasons(code_watch.foreign_script(main, snapshots))
    return Start(
        command=_main_command(cwd, program, root),
        cwd=str(cwd),
        root=str(root),
        repos=states,
        warnings=(*warnings, *others.warnings, *others.failures_that_matter(failed)),
        code=snapshots,
        installed=frozenset(others.installed),
    )


def bystander_start() -> Start:
    """The start of a process that records nothing: the command, without the code."""
    cwd = Path.cwd()
    return Start(_main_command(cwd, Program.running(), cwd), str(cwd), str(cwd), {})


def is_bystander(folder: Path) -> bool:
    """Whether another process records the run that this process takes part in.

    It does where launchers of distributed training say that this is not the first process
    (torchrun, Lightning, accelerate), and where a process above this one runs the job whose
    lock lies in the same output directory.
    """
    if is_further_rank():
        return True
    if (folder / layout.LOCK).exists():
        with contextlib.suppress(LockError):
            found = lockfile.read_lock(folder / layout.LOCK).run
            return found.status == RUNNING and process.is_above(found.process)
    return False


def observe_task(start: Start, source: Path, scope: Scope) -> Start:
    """The start with the repository of the task's file, if there is one, as the main repository.

    For a task whose script and cwd lie in none: a worker, an installed program that starts it.
    """
    if imports.is_installed(str(source)):
        return start
    repo = None
    with contextlib.suppress(FlexlockError):  # what is wrong with git is among the warnings already
        repo = code.find_repo(source.parent)
    if repo is None:
        return start
    taken, failed = code_watch.take_snapshots({MAIN: repo}, Path(start.cwd), scope, {})
    snapshots = {**taken, **start.code}
    return replace(
        start,
        repos=code_watch.states(snapshots, repo.root),
        root=str(repo.root),
        warnings=tuple(failed.values()),
        code=snapshots,
    )


def begin_run(
    start: Start,
    job: Job,
    folder: Path,
    config: Container | None,
    *,
    without: Collection[str] = (),
    save_config: SaveConfig,
    masker: Masker,
    view: JobView | None = None,
    raise_on_data: bool = False,
    inputs: InputSelection | None = None,
    kind: type[ActiveRun] = ActiveRun,
) -> ActiveRun:
    """Build the active run and record the data that the config names; write nothing yet.

    Args:
        without: keys of the config that are not the task's: Hydra's own.
        view: the job's; without one the record is ``completed``, for nobody ends it.
        inputs: what becomes of inputs that nobody marked; None: they are named alone.
    """
    rerun = view.rerun if view else Rerun()
    found = view.survey if view and config is view.config else survey(config, without)
    lock = RunLock(
        run=_run_section(view),
        job=job,
        repos=start.repos_read,
        environment=_environment(start, view, found, masker),
        warnings=start.warnings,
    )
    run = kind(
        folder=folder,
        lock=lock,
        view=view,
        follows=view is not None,
        masker=masker,
        # With hydra.job.chdir the job is not where the main process was started.
        places=Places(cwd=Path.cwd(), original_cwd=Path(start.cwd), root=Path(start.root)),
        raise_on_data=raise_on_data,
        relocate=rerun.relocation,
        code=start.code,
        idle={name: state for name, state in start.repos.items() if name not in lock.repos},
    )
    run.warn(*start.keep_installed())
    enter_run(run)  # before the config is resolved: its resolvers tell the active run
    resolved = None if config is None else _record_config(run, found, save_config, rerun)
    observed_inputs.record_overridden(run, start.marked, resolved)
    # After the config is resolved: a secret is told by its value, wherever else it stands.
    run.masker = masker.learn(found.unresolved, resolved)
    _mask_lock(run)
    if inputs is None or not inputs.observed:
        warn_unmarked(run, found, resolved)
    if inputs is not None:
        run.reads = observed_inputs.begin(run, resolved, inputs)
    return run


def _environment(start: Start, view: JobView | None, found: Survey, masker: Masker) -> Environment:
    named = env_names([each.text for each in found.interpolations])
    variables = named.union(view.variables if view else ())
    file = start.command.file
    # A project may keep its lock files around the cwd, and around the script.
    folders = (Path(start.cwd), *([Path(start.root, file).parent] if file else []))
    return capture_environment(
        Path(start.root), variables, masker, folders, of_job=view is not None
    )


def _run_section(view: JobView | None) -> Run:
    """A new run's section of the lock; one that no job ends is over when it starts."""
    now, this_process = layout.utc_now().isoformat(), process.this_process()
    run = Run(id=layout.new_run_id(), status=RUNNING, started=now, process=this_process)
    if view is None:
        return replace(run, status=COMPLETED, ended=now, duration=0.0)
    return replace(run, parent=view.rerun.parent)


def _record_config(run: ActiveRun, found: Survey, save_config: SaveConfig, rerun: Rerun) -> Json:
    """Record the data that the config names, and the config; return the config as resolved."""
    run.scanning = True
    try:
        for name, (given, key) in rerun.data.items():
            run.see(given, name, key or "")
        with undisturbed():
            run.warn(*found.resolve_snapshots(whole=save_config is not SaveConfig.none))
            if save_config is SaveConfig.none:
                return None
            resolved, failed = found.resolve()
    finally:
        run.scanning = False
    run.warn(*failed)
    unresolved = found.unresolved if save_config is SaveConfig.unresolved else None
    run.lock = replace(run.lock, config=resolved, unresolved=unresolved)
    return resolved


def _mask_lock(run: ActiveRun) -> None:
    """Mask the lock; what shows a secret by its name cannot be masked, and becomes a warning."""
    run.lock = masked_lock(run.lock, run.masker)
    places = {f"data {name}": entry.path for name, entry in run.lock.data.items()}
    for what, text in {"job": run.lock.job.name, "folder": str(run.folder), **places}.items():
        masked = run.masker.text(text)
        if masked != text:
            run.warn(f"the name of {what} shows a secret, and cannot be masked: {masked}")


def _main_command(cwd: Path, program: Program, root: Path) -> Command:
    return Command(
        executable=sys.executable,
        argv=tuple(sys.argv),
        cwd=str(cwd),
        module=program.module,
        file=record_path(program.file, root) if program.file else None,
        runner=program.runner or None,
        call="hydra_zen.launch" if is_in_launch() else None,
        import_paths=tuple(imports.import_paths(root)),
    )


def _main_repo(here: GitRepo | None, main: Path | None, task: Path | None) -> GitRepo | None:
    """The repository of the script; that of the cwd where the script lies in none or in it.

    An installed program, and a profiler, is none of the job's code: there the task's file counts.
    """
    sources = [main] if main and not is_installed_program(main) else []
    sources += [task] if task and not imports.is_installed(str(task)) else []
    for source in sources:
        found = here if here and source.is_relative_to(here.root) else code.find_repo(source.parent)
        if found:
            return found
    return here
