"""Which code a job may read: its repositories at the start, what it did read at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from site import getuserbase
from typing import Any

from flexlock_hydra.capture.code import drift, imports, side_by_side, stray_outputs
from flexlock_hydra.capture.code.links import follow_links
from flexlock_hydra.capture.code.program import is_installed_program
from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import Snapshot, name_each, named_snapshots, take_all
from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.job_view import JobView, runs_in_output_dir
from flexlock_hydra.ports.git.ask import WorkingTreeRequest
from flexlock_hydra.ports.git.command import Started
from flexlock_hydra.ports.git.repo import GitRepo, ignored_paths
from flexlock_hydra.ports.git.status import STATUS_PATIENCE, Status, read_status
from flexlock_hydra.record.model import DRIFTED, MAIN, CodeState

_YAML = (".yaml", ".yml")
_NO_CONFIG = frozenset({"outputs", "multirun", "node_modules", "__pycache__"})
_MOST_LINKED = 100  # links to folders that are entered
# Nanoseconds after which a Python that starts imports a module of its user's, at the earliest.
_BOOT_NS = 20_000_000


def take_snapshots(
    repos: Mapping[str, GitRepo],
    cwd: Path,
    scope: Scope,
    begun: Mapping[Path, WorkingTreeRequest],
    *,
    idle: Container[str] = (),
) -> tuple[dict[str, Snapshot], dict[str, str]]:
    """Snapshots of repositories and of those inside them, by name; in words, of which none is.

    Args:
        begun: what git was asked for already, by the repositories' roots.
        idle: names of those that may turn out to hold no code of the job: no ref is written there.
    """
    snapshots: dict[str, Snapshot] = {}
    taken, failed = take_all(repos, cwd, scope, begun)
    roots = set()
    for name, snapshot in taken.items():
        named = named_snapshots(name, snapshot)
        try:
            for each in named.values() if name not in idle else ():
                each.keep()
        except FlexlockError as error:
            failed[name] = error
            continue
        for key, each in named.items():
            if each.repo.root not in roots:
                roots.add(each.repo.root)
                snapshots[key] = each
    return snapshots, {
        name: f"{'code' if name == MAIN else f'repository {name}'} not recorded: {error}"
        for name, error in failed.items()
    }


def states(snapshots: Mapping[str, Snapshot], main: Path) -> dict[str, CodeState]:
    """What a lock says of each snapshot; of those outside of the main one, the import paths too."""
    early = early_imports(snapshots)
    roots = [str(kept.repo.root) for kept in snapshots.values()]
    linked = _linked_code(snapshots, imports.imported(roots))
    found = {}
    for name, kept in snapshots.items():
        reasons = (*early.get(name, ()), *linked.get(name, ()))
        found[name] = kept.state.with_reasons(reasons)
        if not kept.repo.root.is_relative_to(main):
            paths = tuple(imports.import_paths(kept.repo.root))
            found[name] = replace(found[name], import_paths=paths)
    return found


def _linked_code(snapshots: Mapping[str, Snapshot], files: Iterable[str]) -> drift.Drift:
    try:
        return dict(follow_links(snapshots, files).gaps)
    except FlexlockError as error:
        return {MAIN: [f"links in the code not followed: {error}"]}


@contextmanager
def asked_again(run: ActiveRun, *, closely: bool) -> Iterator[Mapping[str, Started] | None]:
    """Ask git for the status of the recorded repositories while the block runs, or do not.

    Args:
        closely: whether to ask; the jobs of a sweep do not, for each would read every file.
    """
    with ExitStack() as begun:
        found = None
        if closely:
            try:
                found = begun.enter_context(drift.ask(run.read_code))
            except FlexlockError as error:
                run.code_differs(MAIN, [_not_compared(error)])
        try:
            yield found
        finally:
            if closely and MAIN in run.code:
                side_by_side.leave_repo(run.code[MAIN].repo.git_dir)


def look_again(run: ActiveRun, view: JobView, asked: Mapping[str, Started] | None) -> None:
    """Name in the lock, at a job's end, what the recorded code lacks, and what the job left about.

    That is files that it read as code and that no snapshot holds, code that changed since its
    snapshot, and what it wrote where nothing records it.

    Args:
        asked: what git sees of every file; without it only those are looked at that the
            job reads as code.
    """
    if not (snapshots := run.read_code):
        return
    roots = [str(kept.repo.root) for kept in snapshots.values()]
    linked = [*imports.imported(roots), *config_files(view.sources, view.choices, roots)]
    try:
        code = follow_links(snapshots, linked)
        read = code.files
        for name, reasons in code.gaps.items():
            run.code_differs(name, reasons)
        for name, reasons in _left_out_of(snapshots, read).items():
            run.code_differs(name, reasons)
        run.code_differs(MAIN, imports.foreign(roots))
        if asked is None:
            drifted = drift.glance(snapshots, read)
        else:
            seen = {name: read_status(each, STATUS_PATIENCE) for name, each in asked.items()}
            drifted = drift.compare(snapshots, seen, read)
            if MAIN in seen:
                inputs = [each.path for each in run.lock.data.values() if not each.is_url]
                chdir = runs_in_output_dir(view.config)
                search = _stray_search(snapshots[MAIN], run.folder, read, inputs)
                run.warn(*_stray_warning(search, seen[MAIN], chdir=chdir))
        for name, reasons in drifted.items():
            run.code_differs(name, reasons, DRIFTED)
    except (FlexlockError, OSError) as error:
        run.code_differs(MAIN, [_not_compared(error)])


def strays_of_sweep(snapshots: Mapping[str, Snapshot], folder: Path, *, chdir: bool) -> list[str]:
    """Warnings of files that a sweep's jobs wrote outside of the sweep's folder."""
    if MAIN not in snapshots:
        return []
    main = snapshots[MAIN]
    try:
        with drift.ask({MAIN: main}) as asked:
            seen = read_status(asked[MAIN], STATUS_PATIENCE)
        search = _stray_search(main, folder, imports.imported([str(main.repo.root)]))
        return _stray_warning(search, seen, chdir=chdir)
    except (FlexlockError, OSError) as error:
        return [f"what the jobs wrote elsewhere was not looked for: {error}"]
    finally:
        side_by_side.leave_repo(main.repo.git_dir)


def _stray_warning(search: stray_outputs.StraySearch, seen: Status, *, chdir: bool) -> list[str]:
    found, alone = search.find(seen), side_by_side.is_alone(search.kept.repo.git_dir)
    return stray_outputs.stray_warning(found, chdir=chdir, alone=alone)


def _stray_search(
    main: Snapshot, folder: Path, read: Iterable[str], inputs: Iterable[str] = ()
) -> stray_outputs.StraySearch:
    mine = frozenset(drift.by_repo({MAIN: main}, read)[MAIN])
    return stray_outputs.StraySearch(main, folder, inputs, mine)


def _not_compared(error: Exception) -> str:
    return f"code not compared at the job's end: {error}"


def foreign_script(script: Path | None, snapshots: Mapping[str, Snapshot]) -> list[str]:
    """A reason why the code is not exact: the script lies in no recorded repository.

    A program that was installed is none: the environment's packages record it.
    """
    if script is None or is_installed_program(script):
        return []
    installed = (sys.prefix, sys.base_prefix, os.path.dirname(sys.executable), getuserbase())
    known = [*map(Path, installed), *(kept.repo.root for kept in snapshots.values())]
    # Of a link it is named elsewhere where it leads.
    place = script.parent.resolve() / script.name
    if any(place.is_relative_to(folder.resolve()) for folder in known):
        return []
    return [f"the script {script} is in no recorded repository"]


def foreign_code(root: Path, sources: Iterable[Any], task: Path | None = None) -> list[str]:
    """Reasons why the code is not exact: config folders and a task outside of the repository."""
    folders = [Path(source["path"]) for source in sources if source["schema"] == "file"]
    reasons = [
        f"config folder {folder}{_led(folder, root)} is outside the repository"
        for folder in folders
        if folder.is_dir() and not folder.resolve().is_relative_to(root)
    ]
    if task is not None and imports.is_installed(str(task)):
        reasons.append(f"the task is installed code, {task}")
    return reasons


def _led(folder: Path, root: Path) -> str:
    return f", by a link {folder.resolve()}," if folder.is_relative_to(root) else ""


def early_imports(snapshots: Mapping[str, Snapshot]) -> dict[str, list[str]]:
    """Files, by repository, that may have been imported as they were before their snapshot.

    They changed after this process had started.
    """
    started = process.started_ns()
    if started is None:
        return {}
    roots = [str(kept.repo.root) for kept in snapshots.values()]
    files = drift.by_repo(snapshots, imports.imported(roots))
    return {
        name: name_each(
            drift.touched(kept, files[name], started + _BOOT_NS),
            "changed after the process had started, maybe after it was imported",
        )
        for name, kept in snapshots.items()
    }


def config_files(
    sources: Iterable[Any], choices: Iterable[str], roots: Iterable[str]
) -> Iterator[str]:
    """Yield the YAML files in config folders that lie below a repository's root.

    In a config folder that is a root itself, those of the groups that were chosen.
    """
    known = set(roots)
    below = tuple(f"{root}{os.sep}" for root in known)
    groups = {choice.partition("/")[0] for choice in choices} - {"hydra"}
    # A root is searched by its chosen groups only: data and outputs may lie in it, too.
    for folder in (os.path.abspath(each["path"]) for each in sources if each["schema"] == "file"):
        if not f"{folder}{os.sep}".startswith(below):
            folder = os.path.realpath(folder)
        if folder in known:
            yield from (str(path) for path in Path(folder).glob("*.yaml"))
            for group in sorted(groups):
                yield from _yaml_below(os.path.join(folder, group))
        elif f"{folder}{os.sep}".startswith(below):
            yield from _yaml_below(folder)


def _yaml_below(folder: str) -> Iterator[str]:
    """YAML files below a folder; links to folders are entered, as Hydra enters them."""
    seen = {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, followlinks=True):
        # In place, as os.walk wants it: what is left out is not entered.
        folders[:] = [
            name
            for name in folders
            if name[0] != "." and name not in _NO_CONFIG
            and not _leads_back(os.path.join(place, name), seen)
        ]
        yield from (os.path.join(place, name) for name in names if name.endswith(_YAML))


def _leads_back(folder: str, seen: set[str]) -> bool:
    """Whether a link leads to what was entered already or is above it, or there are too many."""
    if not os.path.islink(folder):
        return False
    real = os.path.realpath(folder)
    if len(seen) > _MOST_LINKED or any(f"{each}/".startswith(f"{real}/") for each in seen):
        return True
    seen.add(real)
    return False


def _left_out_of(snapshots: Mapping[str, Snapshot], read: Iterable[str]) -> drift.Drift:
    """Files that were read as code and that no snapshot holds, by repository.

    Git ignores them, or they lie among outputs or inputs.
    """
    found = {}
    for name, files in drift.by_repo(snapshots, [*read, *_loaded_dotenv(snapshots)]).items():
        ignored = ignored_paths(snapshots[name].repo, files)
        left_out = snapshots[name].left_out
        found[name] = [
            _reason("ignored" if path in ignored else "untracked", path)
            for path in sorted(files)
            if path in ignored or path in left_out
        ]
    return found


def _reason(kind: str, path: str) -> str:
    if path.endswith(_YAML):
        return f"{kind} {path} may have been read as config"
    return f"{kind} {path} was {'loaded' if os.path.basename(path) == '.env' else 'imported'}"


def _loaded_dotenv(snapshots: Mapping[str, Snapshot]) -> list[str]:
    """The main repository's ``.env``, if the process has a variable as it stands there."""
    if MAIN not in snapshots:
        return []
    path = snapshots[MAIN].repo.root / ".env"
    try:
        pairs = [line.partition("=") for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    loaded = any(
        os.environ.get(name.removeprefix("export ").strip()) == value.strip().strip("'\"")
        for name, equals, value in pairs
        if equals
    )
    return [str(path)] if loaded else []
