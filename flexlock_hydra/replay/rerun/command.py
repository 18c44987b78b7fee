"""How a recorded job is started again: program, arguments, folder, environment."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.archive.runs import run_url
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, original_root
from flexlock_hydra.capture.secrets.config_values import env_names
from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.errors import RerunError
from flexlock_hydra.ports.hydra_internals.app_start import parse_app_arguments
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import RunLock
from flexlock_hydra.replay.rerun.runner import runner_again
from flexlock_hydra.replay.rerun.stage import Stage

_NOT_REPEATED = re.compile(
    r"hydra[/.](launcher|sweeper|sweep|mode)\b|hydra\.(run\.dir|job\.(num|id))$"
)
_FLAGS = ("config_path", "config_name", "config_dir")
_PATHS = "hydra.searchpath"  # the override that names folders of configs
# Variables that would change which programs run: never taken from a record.
_STEERING = re.compile(r"LD_|DYLD_|PYTHON|BASH|GIT_|PATH$|ENV$|IFS$|SHELL")
# Variables that say where a job runs, not what it does.
_OF_A_MACHINE = re.compile(r"HOME|USER|USERNAME|LOGNAME|HOSTNAME|PWD|OLDPWD|TMPDIR|TEMP|TMP|XDG_.*")
# Variables that change results on any machine: set as they were, or unset as they were.
_REPEATED = re.compile(
    r"""
    .*_NUM_THREADS | PYTHON(?: HASHSEED | OPTIMIZE | UTF8 | IOENCODING ) | LANG | LANGUAGE | LC_\w+
    | TZ | CUBLAS_WORKSPACE_CONFIG | NVIDIA_TF32_OVERRIDE | PL_GLOBAL_SEED | TF_\w*DETERMINIS\w*
    """,
    re.VERBOSE,
)
# How many threads sum up decides how numbers are rounded; without these, it is the processors.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class StartCommand:
    """A process to be started."""

    words: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    notes: tuple[str, ...] = ()
    """What of this machine's environment is not handed on, in words."""
    launch: tuple[str, ...] = ()
    """Overrides for a call of hydra-zen's launch, which takes none from the command line."""
    arguments: tuple[str, ...] = ()
    """What of the words the app is given."""
    alone: tuple[str, ...] = ()
    """Other words, for a script that starts other apps before the recorded one."""


def start_command(
    run: RecordedRun,
    overrides: Sequence[str],
    stage: Stage,
    python: str,
    *,
    inherit: bool = True,
) -> StartCommand:
    """The command that runs a job again in a stage.

    Args:
        inherit: import from this environment's ``PYTHONPATH`` as well.

    Raises:
        RerunError: it was no job that can be started again, or secrets are needed.
    """
    lock = run.lock
    env, notes = _environment(lock, stage, inherit)
    began = posixpath.relpath(lock.job.command.cwd, original_root(lock))
    cwd = stage.root if began.startswith("..") else stage.root / began
    runner = runner_again(lock.job.command.runner, stage, cwd, python, env)
    wanted = [*_overrides(run, overrides, stage), *_hydra_arguments(lock, stage)]
    if lock.job.command.call is None:
        notes += () if runner.left_out is None else (runner.left_out,)
        program = _program(lock, stage.root, python)
        given = (*_flags(run, stage), *wanted)
        alone = (python, *runner.options, "-m", layout.MAIN_AGAIN, *program, *given)
        words = (*runner.start(python, program), *given)
        return StartCommand(words, cwd, env, notes, arguments=given, alone=alone)
    given = tuple(_without_secrets(lock.job.command.argv[1:]))
    words = (python, *runner.options, *_program(lock, stage.root, python), *given)
    return StartCommand(words, cwd, env, notes, tuple(wanted))


def _program(lock: RunLock, root: Path, python: str) -> list[str]:
    how = lock.job.command
    if lock.job.hydra is None or not (how.module or how.file):
        raise RerunError(
            f"run {lock.run.id} was no Hydra app started from a file or module",
            hint="Only such an app can be run again by this command.",
        )
    if how.module and how.module != "__main__":
        program = ["-m", how.module.removesuffix(".__main__")]
    else:
        program = [str(_script(lock, root, python))]
    # A script that calls hydra-zen's launch itself is run by a program that listens for it.
    return program if how.call is None else ["-m", layout.LAUNCH_AGAIN, *program]


def _script(lock: RunLock, root: Path, python: str) -> Path:
    """The script in the worktree; one that an environment installed, in this environment."""
    recorded = lock.job.command.file or ""
    if not Path(recorded).is_absolute():
        return root / recorded
    installed = Path(python).with_name(Path(recorded).name)
    if not installed.is_file():
        raise RerunError(
            f"run {lock.run.id} was started by {recorded}, which lies outside of the project",
            hint=f"Install what brings {installed.name} into this environment.",
        )
    return installed


def _flags(run: RecordedRun, stage: Stage) -> list[str]:
    """Hydra's own flags of the recorded command line, their paths moved.

    What took its config from a run takes it from its own lock, which holds all of it.
    """
    known = parse_app_arguments(run.lock.job.command.argv[1:])
    if run_url.is_source_of(run.lock):
        known.config_path = run_url.url(run)
    known.config_dir = _outside(run.lock, known.config_dir)
    return [
        word
        for name in _FLAGS
        if (value := getattr(known, name)) is not None
        for word in (f"--{name.replace('_', '-')}", stage.moved(value) or value)
    ]


def _outside(lock: RunLock, folder: str | None) -> str | None:
    """A folder outside of the project, if this machine has it, from wherever it is named."""
    if folder is None or os.path.isabs(folder):
        return folder
    place = posixpath.normpath(posixpath.join(lock.job.command.cwd, folder))
    outside = posixpath.relpath(place, original_root(lock)).startswith("..")
    return place if outside and os.path.isdir(place) else folder


def _overrides(run: RecordedRun, overrides: Sequence[str], stage: Stage) -> list[str]:
    """The recorded overrides, those that are given anew left out."""
    recorded = run.lock.job.overrides
    task = () if run_url.is_source_of(run.lock) else recorded.task
    given = {_override_key(override) for override in overrides}
    below_root = re.compile(rf"{re.escape(original_root(run.lock))}(?=[/,'\"\]]|$)")
    kept = []
    for override in (*recorded.hydra, *task):
        key = _override_key(override)
        if key not in given and not _NOT_REPEATED.match(key):
            moves = key == _PATHS
            kept.append(below_root.sub(lambda _: str(stage.root), override) if moves else override)
    return [*_without_secrets(kept), *overrides]


def _without_secrets(words: Sequence[str]) -> Sequence[str]:
    """The words as they are; raises RerunError where some were masked."""
    masked = [_override_key(word) for word in words if MASK in word]
    if masked:
        raise RerunError(
            f"secrets are not recorded: {', '.join(masked)}",
            hint=f"Give them again: rerun RUN {' '.join(f'{key}=...' for key in masked)}",
        )
    return words


def _hydra_arguments(lock: RunLock, stage: Stage) -> list[str]:
    return [
        "hydra.mode=RUN",
        f"hydra.run.dir={quoted(str(stage.output))}",
        *([] if lock.job.num is None else [f"hydra.job.num={lock.job.num}"]),
        *([] if lock.job.id is None else [f"hydra.job.id={quoted(lock.job.id)}"]),
    ]


def _override_key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def quoted(value: str) -> str:
    """A value in Hydra's override grammar, whatever characters it has."""
    escaped = re.sub(r"(\\+)(?=')|(\\+)$", lambda m: m[0] * 2, value).replace("'", "\\'")
    return f"'{escaped}'"


def _environment(
    lock: RunLock, stage: Stage, inherit: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """This environment, with the variables that make the result as they were."""
    wanted = {**_threads(lock), **_read_by_config(lock, stage), **_fixed(lock)}
    env = {name: value for name, value in os.environ.items() if wanted.get(name, "") is not None}
    env |= {name: value for name, value in wanted.items() if value is not None}
    notes = [
        f"{name} is {'unset' if value is None else repr(value)}, as it was for the run, "
        f"and not {os.environ[name]!r:.60}"
        for name, value in sorted(wanted.items())
        if name in os.environ and value != os.environ[name]
    ]
    env["PYTHONPATH"] = os.pathsep.join(_import_paths(lock, stage, inherit))
    return env, tuple(notes)


def _fixed(lock: RunLock) -> dict[str, str | None]:
    """What changes results on any machine; None for what was not set."""
    recorded = {
        name: value
        for name, value in lock.environment.variables.items()
        if _REPEATED.fullmatch(name) and MASK not in value
    }
    here = [name for name in os.environ if _REPEATED.fullmatch(name)]
    return {**dict.fromkeys(here), **recorded}


def _read_by_config(lock: RunLock, stage: Stage) -> dict[str, str | None]:
    """What the config reads, as the run had it; paths of the original machine moved."""
    wanted: dict[str, str | None] = {}
    for name in env_names(lock.unresolved):
        if _STEERING.match(name) or _OF_A_MACHINE.fullmatch(name):
            continue
        value = lock.environment.variables.get(name)
        if value is None and os.path.isabs(os.environ.get(name, "")):
            continue
        if value is not None and (MASK in value or os.path.isabs(value)):
            value = stage.moved(value) or os.environ.get(name, None if MASK in value else value)
            if value is None:
                continue
        wanted[name] = value
    return wanted


def _threads(lock: RunLock) -> dict[str, str | None]:
    """As many threads as the run had, where this machine would take another number."""
    cpu = lock.environment.cpu or {}
    count = cpu.get("affinity") or cpu.get("count")
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if not isinstance(count, int) or isinstance(count, bool) or not 0 < count < 4096:
        return {}
    return dict.fromkeys(_THREADS, str(count)) if count != here else {}


def _import_paths(lock: RunLock, stage: Stage, inherit: bool) -> Iterator[str]:
    for name, place in stage.repos.items():
        yield from (str(place / entry) for entry in lock.repos[name].import_paths or ())
    yield from (str(stage.root / entry) for entry in lock.job.command.import_paths)
    if inherit and (inherited := os.environ.get("PYTHONPATH")):
        yield inherited
