"""Which code a job may read: its repositories at the start, what it did read at the end."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from site import getuserbase
from typing import Any

from flexlock_hydra.capture import code, drift, process
from flexlock_hydra.capture.code import Snapshot
from flexlock_hydra.capture.packages import editable_installs, finder_homes
from flexlock_hydra.capture.scope import Scope
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.hooks.active import ActiveRun
from flexlock_hydra.ports.gitask import Asked
from flexlock_hydra.ports.gitcmd import Started
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record.model import DRIFTED, MAIN, CodeState

_YAML = (".yaml", ".yml")
_NO_CONFIG = frozenset({"outputs", "multirun", "node_modules", "__pycache__"})
_OWN_PACKAGES = frozenset({"flexlock_hydra", "hydra_plugins"})
_SCRIPT = frozenset({"__main__", "__mp_main__"})
"""The script's module; multiprocessing gives it the second name wherever it is imported."""

_BOOT_NS = 20_000_000
"""Nanoseconds after which a Python that starts imports a module of its user's, at the earliest."""

_NOTHING: Mapping[Path, Asked] = {}

_PYTHONS_OWN = f"{Path(os.__file__).parents[1]}{os.sep}"
"""Where the standard library lies: ``lib``, with its extension modules and its zip file."""

_ignored: dict[str, bool] = {}
"""File -> whether git ignores it, of all that this process asked about."""

_looked_at: set[str] = set()
_own_modules: dict[str, str] = {}
"""Name -> file of the imported modules that no installation brought, of those looked at."""


def further_repos(
    asked: Mapping[str, str], main: GitRepo | None, *, editable: bool
) -> tuple[dict[str, GitRepo], list[str]]:
    """Repositories beside the main one: those asked for, and those of editable installs.

    Each once; those inside the main one are recorded with it. Also, in words, what is
    in no repository although it was asked for.
    """
    found: dict[str, GitRepo] = {}
    warnings = []
    folders = [(name, Path(os.path.abspath(path)), True) for name, path in asked.items()]
    if editable:
        installed = editable_installs().items()
        folders += [(name, path, False) for name, path in installed if name not in asked]
    roots = {main.root} if main else set()
    for name, folder, must in folders:
        place = _repo_folder(folder)
        if place in roots:
            continue
        try:
            repo = code.find_repo(place) if place else None
        except FlexlockError as error:
            warnings.append(f"repository {name} not recorded: {error}")
            continue
        if repo is not None and repo.root not in roots:
            roots.add(repo.root)
            key = repo.root.name if name == asked.get(name) else name
            found[_free_name(key, found)] = repo
        elif repo is None and must:
            warnings.append(f"repository {name} not recorded: {folder} is in no git repository")
    return found, warnings


def take(
    repos: Mapping[str, GitRepo], cwd: Path, scope: Scope, begun: Mapping[Path, Asked] = _NOTHING
) -> tuple[dict[str, Snapshot], list[str]]:
    """Snapshots of all repositories and of those inside them, by name; what went wrong.

    Args:
        begun: looks that were asked for already, by the repositories' roots.
    """
    snapshots: dict[str, Snapshot] = {}
    taken, failed = code.take_all(repos, cwd, scope, begun)
    roots = set()
    for name, snapshot in taken.items():
        for key, each in code.flatten(name, snapshot).items():
            if each.repo.root not in roots:
                roots.add(each.repo.root)
                snapshots[key] = each
    return snapshots, [
        f"{'code' if name == MAIN else f'repository {name}'} not recorded: {error}"
        for name, error in failed.items()
    ]


def states(snapshots: Mapping[str, Snapshot], main: Path) -> dict[str, CodeState]:
    """The recorded states; those outside of the main repository with their import paths."""
    early = early_imports(snapshots)
    found = {}
    for name, kept in snapshots.items():
        found[name] = kept.state.with_reasons(early.get(name, ()))
        if not kept.repo.root.is_relative_to(main):
            paths = tuple(import_paths(kept.repo.root))
            found[name] = replace(found[name], import_paths=paths)
    return found


@contextmanager
def asked_again(run: ActiveRun, *, closely: bool) -> Iterator[Mapping[str, Started] | None]:
    """Git looks at every file once more; closely or not at all."""
    with ExitStack() as begun:
        found = None
        if closely:
            try:
                found = begun.enter_context(drift.ask(run.code))
            except FlexlockError as error:
                run.code_differs(MAIN, [_not_compared(error)])
        yield found


def look_again(
    run: ActiveRun,
    sources: Iterable[Any],
    choices: Iterable[str],
    asked: Mapping[str, Started] | None,
) -> None:
    """At a job's end, name what it read as code and no snapshot holds, and what changed.

    Args:
        sources, choices: Hydra's config sources, and the groups of its choices.
        asked: what git sees of every file; without it only those are looked at that the
            job reads as code.
    """
    if not run.code:
        return
    roots = [str(kept.repo.root) for kept in run.code.values()]
    read = [*imported(roots), *config_files(sources, choices, roots)]
    try:
        for name, reasons in _left_out_of(run.code, read).items():
            run.code_differs(name, reasons)
        run.code_differs(MAIN, foreign_imports(roots))
        if asked is None:
            drifted = drift.glance(run.code, read)
        else:
            drifted = drift.compare(run.code, asked, read)
        for name, reasons in drifted.items():
            run.code_differs(name, reasons, DRIFTED)
    except (FlexlockError, OSError) as error:
        run.code_differs(MAIN, [_not_compared(error)])


def _not_compared(error: Exception) -> str:
    return f"code not compared at the job's end: {error}"


def imported(roots: Iterable[str]) -> list[str]:
    """Files of the imported modules that lie below a root, installed ones left out."""
    prefixes = tuple(f"{root}{os.sep}" for root in roots)
    return [file for _, file in module_files(prefixes)]


def module_files(prefixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Imported modules whose files begin with a prefix, installed ones left out: name, file."""
    for name in sys.modules.keys() - _looked_at:
        _looked_at.add(name)
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and not _is_installed(file):
            _own_modules[name] = file
    return [(name, file) for name, file in _own_modules.items() if file.startswith(prefixes)]


def import_paths(root: Path) -> Iterator[str]:
    """Where modules of a repository are imported from, relative to its root.

    Entries of ``sys.path``, and the folders of packages that an editable install's
    finder brought without one.
    """
    entries = [Path(entry or ".").absolute() for entry in sys.path]
    entries += finder_homes()
    entries += [
        package_home(name, Path(file))
        for name, file in module_files((f"{root}{os.sep}",))
        if name not in _SCRIPT
    ]
    for path in dict.fromkeys(entries):
        if path.is_relative_to(root) and not _is_installed(str(path)):
            yield path.relative_to(root).as_posix()


def package_home(name: str, file: Path) -> Path:
    """The folder that holds a module's top-level package, by the module's name."""
    depth = name.count(".") + (file.name == "__init__.py")
    return file.parents[min(depth, len(file.parents) - 1)]  # a module may have any name


def foreign_imports(roots: Iterable[str]) -> list[str]:
    """Entries of ``sys.path`` that modules came from and that nothing records."""
    known = tuple(f"{root}{os.sep}" for root in roots)
    paths = {os.path.abspath(entry or os.curdir) for entry in sys.path}
    entries = {
        path
        for path in paths
        if not _is_installed(path) and not f"{path}{os.sep}".startswith(known)
    }
    found: dict[str, str] = {}
    for name, file in module_files(tuple(f"{entry}{os.sep}" for entry in entries)):
        top = name.partition(".")[0]
        if top not in _OWN_PACKAGES and name not in _SCRIPT:
            home = str(package_home(name, Path(file)))
            if home in entries:
                found.setdefault(home, top)
    return [f"{top} was imported from {home}, in no recorded repository"
            for home, top in sorted(found.items())]


def foreign_script(script: Path | None, snapshots: Mapping[str, Snapshot]) -> list[str]:
    """A script that nothing records; none where it is a program that was installed."""
    if script is None or _is_installed(str(script)):
        return []
    installed = (sys.prefix, sys.base_prefix, os.path.dirname(sys.executable), getuserbase())
    known = [*map(Path, installed), *(kept.repo.root for kept in snapshots.values())]
    real = script.resolve()
    if any(real.is_relative_to(folder.resolve()) for folder in known):
        return []
    return [f"the script {script} is in no recorded repository"]


def early_imports(snapshots: Mapping[str, Snapshot]) -> dict[str, list[str]]:
    """Files, by repository, that may have been imported as they were before their snapshot.

    They changed after this process had started.
    """
    started = process.started_ns()
    if started is None:
        return {}
    files = drift.by_repo(snapshots, imported(str(kept.repo.root) for kept in snapshots.values()))
    return {
        name: code.name_each(
            drift.touched(kept, files[name], started + _BOOT_NS),
            "changed after the process had started, maybe after it was imported",
        )
        for name, kept in snapshots.items()
    }


def config_files(
    sources: Iterable[Any], choices: Iterable[str], roots: Iterable[str]
) -> Iterator[str]:
    """YAML files of the config folders that lie below a root.

    In a config folder that is a root itself, those of the groups that were chosen.
    """
    known = set(roots)
    groups = {choice.partition("/")[0] for choice in choices} - {"hydra"}
    for folder in _config_folders(sources):
        if folder in known:
            yield from (str(path) for path in Path(folder).glob("*.yaml"))
            for group in sorted(groups):
                yield from _yaml_below(os.path.join(folder, group))
        elif f"{folder}{os.sep}".startswith(tuple(f"{root}{os.sep}" for root in known)):
            yield from _yaml_below(folder)


def _config_folders(sources: Iterable[Any]) -> list[str]:
    return [os.path.realpath(each["path"]) for each in sources if each["schema"] == "file"]


def _yaml_below(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name not in _NO_CONFIG]
        yield from (os.path.join(place, name) for name in names if name.endswith(_YAML))


def _left_out_of(snapshots: Mapping[str, Snapshot], read: Iterable[str]) -> drift.Drift:
    """Files that were read as code and that no snapshot holds, by repository.

    Git ignores them, or they lie among outputs or inputs.
    """
    found = {}
    for name, files in drift.by_repo(snapshots, [*read, *_loaded_dotenv(snapshots)]).items():
        repo = snapshots[name].repo
        prefix = f"{repo.root}{os.sep}"
        new = [path for path in files if prefix + path not in _ignored]
        ignored = set(repo.ignored(new)) if new else set()
        _ignored.update((prefix + path, path in ignored) for path in new)
        left_out = snapshots[name].left_out
        found[name] = [
            _reason("ignored" if _ignored[prefix + path] else "untracked", path)
            for path in sorted(files)
            if _ignored[prefix + path] or path in left_out
        ]
    return found


def _reason(kind: str, path: str) -> str:
    if path.endswith(_YAML):
        return f"{kind} {path} may have been read as config"
    return f"{kind} {path} was {'loaded' if os.path.basename(path) == '.env' else 'imported'}"


def _loaded_dotenv(snapshots: Mapping[str, Snapshot]) -> list[str]:
    """The main repository's ``.env``, where a variable has the value that it gives."""
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


def _repo_folder(folder: Path) -> Path | None:
    """The nearest folder with a ``.git``, found without a process."""
    return next((up for up in (folder, *folder.parents) if (up / ".git").exists()), None)


def _free_name(name: str, taken: Iterable[str]) -> str:
    names = {MAIN, *taken}
    numbered = (f"{name}#{number}" for number in range(2, 1 << 30))
    return name if name not in names else next(other for other in numbered if other not in names)


@functools.cache
def _is_installed(path: str) -> bool:
    """Whether a file or folder belongs to Python itself or to an installed distribution."""
    parts = Path(path).parts
    installed = "site-packages" in parts or "dist-packages" in parts
    return installed or path.startswith(_PYTHONS_OWN)
