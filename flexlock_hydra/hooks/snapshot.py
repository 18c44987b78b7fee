"""``snapshot()``: add to the active run, or record a plain script or notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import Container, DictConfig, OmegaConf

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import find_repo, named_snapshots, take_snapshot
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import CodeError, DataError, FlexlockError
from flexlock_hydra.hooks.config import tracking
from flexlock_hydra.hooks.config.options import PathLike, Paths, SaveConfig, named_paths
from flexlock_hydra.hooks.config.snapshot_calls import named_data
from flexlock_hydra.hooks.config.survey import survey, to_plain
from flexlock_hydra.hooks.job import code_watch
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.start import begin_run, observe_start
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.lockfile import write_bytes
from flexlock_hydra.record.model import MAIN, Job, RunLock

_FOLDER_KEYS = ("save_dir", "output_dir", "out_dir")
_recorded: dict[Path, tuple[ActiveRun, Json]] = {}


def snapshot(
    config: Any = None,
    *,
    data: Paths | None = None,
    prevs: Paths | None = None,
    repos: Paths | None = None,
    merge: bool = True,
    save_config: str = "unresolved",
    output_dir: PathLike | None = None,
) -> RunLock:
    """Record inputs, predecessors and repositories; the lock as it then is.

    Inside a Hydra job this adds to the job's own run.lock. Anywhere else it writes a
    run.lock, status ``completed``, into the output folder: ``output_dir``, else the
    config's ``save_dir``, ``output_dir`` or ``out_dir``. Called again for the same folder
    by the same process, it adds to that lock.

    Args:
        config: OmegaConf config, mapping or dataclass; its ``${snapshot:...}`` count too.
        data: inputs: a path, a list of paths, or a mapping name -> path.
        prevs: paths whose run.lock (there or in a folder above) is a predecessor.
        repos: further git repositories whose code is recorded.
        merge: add to what is recorded; False replaces the sections that are given.
        save_config: ``unresolved`` also leaves a ``config.yaml`` from before resolution
            beside the lock, where no Hydra job does; ``resolved``: the lock holds the
            resolved config alone; ``none``: no config is kept.
        output_dir: where to write outside of a job.

    Raises:
        DataError: no output folder known; outside of a job, or under ``strict=all``, also
            an input that cannot be recorded. Else that becomes a warning in the lock.
        CodeError: a path in ``repos`` is in no git repository.
    """
    kept = _parse_save_config(save_config)
    container = _as_container(config)
    run = tracking.current()
    if not isinstance(run, ActiveRun):
        run = _plain_run(container, kept, output_dir)
    elif container is not None:
        run.warn(*survey(container).resolve_snapshots())
    with run.mutex:
        for section, given, add in (
            ("data", data, run.add_data),
            ("prevs", prevs, lambda name, path: _add_prev(run, name, path)),
            ("repos", repos, lambda name, path: _add_repo(run, name, path)),
        ):
            if given is not None:
                if not merge:
                    _drop_section(run, section)
                for name, path in named_paths(given).items():
                    add(name, path)
                    if section == "data" and run.raise_on_data and run.lock.data[name].error:
                        wrong = f"data {name}: {run.lock.data[name].error}"
                        raise DataError(wrong, hint="Put it there, or leave it out.")
        run.write()
    return run.lock


def _plain_run(
    container: Container | None, kept: SaveConfig, output_dir: PathLike | None
) -> ActiveRun:
    """The run that records a folder outside of any job: a new one, or that of an earlier call.

    Another config is another run: the earlier lock is moved aside.
    """
    folder = _folder_of_record(container, output_dir)
    plain = to_plain(container)
    known, config = _recorded.get(folder, (None, None))
    if known is not None and known.path.exists() and (plain is None or plain == config):
        return known
    data = named_data(container) if container is not None else ()
    start = observe_start(Scope(folders=(folder,), data=data))
    job = Job(name=Path(start.command.file or "notebook").stem, command=start.command)
    if container is not None and kept is SaveConfig.unresolved:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / "config.yaml", OmegaConf.to_yaml(container).encode())
    run = begin_run(
        start, job, folder, container, save_config=kept, masker=Masker(), raise_on_data=True
    )
    # It has no end: what the program resolves later must not be taken for its data.
    tracking.leave_sink(run)
    run.write()
    _recorded[folder] = (run, plain)
    return run


def _folder_of_record(config: Container | None, output_dir: PathLike | None) -> Path:
    if output_dir is not None:
        return Path(output_dir).expanduser().absolute()
    if isinstance(config, DictConfig):
        for key in _FOLDER_KEYS:
            value = OmegaConf.select(config, key)
            if isinstance(value, (str, Path)):
                return Path(value).expanduser().absolute()
    raise DataError(
        "snapshot() is called outside of a Hydra job and no output folder is known",
        hint=f"snapshot(config, output_dir=...), or one of {', '.join(_FOLDER_KEYS)} in the config",
    )


def _as_container(config: Any) -> Container | None:
    if config is None or isinstance(config, Container):
        return config
    if isinstance(config, Mapping):
        return DictConfig(dict(config))
    if is_dataclass(config):
        return DictConfig(config)
    raise DataError(
        f"config is a {type(config).__name__}",
        hint="Give an OmegaConf config, a mapping or a dataclass.",
    )


def _add_prev(run: ActiveRun, name: str, path: str) -> None:
    if not run.add_prevs(path, via=name):
        run.warn(f"prevs {name}: no run.lock in {path} or above it")


def _add_repo(run: ActiveRun, name: str, path: str) -> None:
    folder = run.places.locate(path)
    repo = find_repo(folder)
    if repo is None:
        raise CodeError(f"{folder} is in no git repository", hint="git init, and commit.")
    key = name if name != path else repo.root.name
    scope = run.code[MAIN].scope if MAIN in run.code else Scope()
    snapshots = named_snapshots(key, take_snapshot(repo, run.places.original_cwd, scope))
    run.code = {**run.code, **snapshots}
    run.record_repos(code_watch.states(snapshots, run.places.root))


def _drop_section(run: ActiveRun, section: str) -> None:
    if section == "data":
        for name in list(run.lock.data):
            run.drop_data(name)
    elif section == "prevs":
        run.lock = replace(run.lock, prevs={})
    else:
        main = {name: state for name, state in run.lock.repos.items() if name == MAIN}
        run.lock = replace(run.lock, repos=main)


def _parse_save_config(text: str) -> SaveConfig:
    if text not in SaveConfig.__members__:
        names = ", ".join(SaveConfig.__members__)
        raise FlexlockError(f"save_config is {text!r}", hint=f"One of: {names}")
    return SaveConfig[text]
