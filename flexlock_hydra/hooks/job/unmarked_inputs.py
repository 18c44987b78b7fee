"""Inputs that the config names without ``${snapshot:...}``: nothing records them.

Whether a path is read cannot be seen from its name. So those alone are told that exist,
that git ignores, and that look like no place to write to.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from flexlock_hydra.capture.code import drift
from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import Snapshot
from flexlock_hydra.capture.data.walk import Few
from flexlock_hydra.errors import GitError
from flexlock_hydra.hooks.config.survey import Survey, strings_passing
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.ports.git.repo import ignored_paths
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import MAIN

_LONGEST = 1000  # characters above which a text is no path
_REFERENCE = re.compile(r"\$\{[\w.]+\}")
_BARE = re.compile(r"[\w./${}:~-]+")  # what the resolver takes without quotes
# What is in the key of a path that is but a word, and in that of a folder that a job writes to.
_FOR_A_PATH = re.compile(r"dir|path|file|folder|root|data|ckpt|checkpoint|weights")
_TO_WRITE = re.compile(r"out|save|log|result|cache|temp|tmp|work|uri")
# Folders that jobs and trackers write to; a file in one may be read.
_WRITTEN = re.compile(
    r"(?:^|/)(?:outputs|multirun|wandb|mlruns|lightning_logs|logs|runs|checkpoints)(?:/|$)"
)
_OF_TOOLS = re.compile(
    r"(?:^|/)(?:\.|[^/]*cache|(?:site-packages|node_modules|[^/]*\.egg-info)(?:/|$))", re.I
)
_FILES = 10  # in a folder that git is asked about: `data/**` ignores them and not the folder
_MOST = 1000  # names in a folder that are looked at
_FOLDERS = 20  # that are read for them

Test = Callable[[str], bool]


@dataclass(frozen=True)
class NamedPath:
    """A path that the config names: its key, as it is written there, relative to the root."""

    key: str
    text: str
    path: str


def warn_unmarked(run: ActiveRun, found: Survey, resolved: Json) -> None:
    """Warn in the lock, once, of all paths in the config that may be inputs and are not recorded.

    Args:
        found: the config before it was resolved.
        resolved: the same as plain data.
    """
    main = run.code.get(MAIN)
    if main is None:
        return
    texts = {each.full_key: each.text for each in found.interpolations}
    candidates = _candidates(run, main, texts, resolved)
    try:
        unrecorded = _unrecorded(main, candidates) if candidates else []
    except GitError as error:
        run.warn(f"paths that the config names not looked at: {error}")
        return
    if unrecorded:
        run.warn(_in_words(unrecorded))


def sounds_read(key: str, text: str) -> bool:
    """Whether a path in the config is one that a job reads, by its key and its looks.

    A bare word names a path only where its key says so: ``model: data`` need not.
    """
    last = key.rpartition(".")[2].lower()
    looks_so = "/" in text or "." in text or _FOR_A_PATH.search(last) is not None
    return looks_so and not _TO_WRITE.search(last)


def _in_words(unrecorded: list[NamedPath]) -> str:
    few, first = Few(), unrecorded[0]
    for each in unrecorded:
        few.add(f"{each.key} ({each.path})")
    text = first.text if _BARE.fullmatch(first.text) else f"'{first.text}'"
    return (
        f"named in the config and not recorded, for git does not track it: {few}; an input is "
        f"recorded and pushed where the config says {first.key}: ${{snapshot:{text}}}"
    )


def _candidates(
    run: ActiveRun, main: Snapshot, texts: Mapping[str, str], resolved: Json
) -> list[NamedPath]:
    """Existing paths below the root that may be inputs and are none yet, each once."""
    root, named = main.repo.root, dict[str, NamedPath]()
    is_known = _recorded_test(run, main)
    config = resolved if isinstance(resolved, (dict, list)) else {}
    for key, value in strings_passing(config, _path_test(root, run.places.original_cwd)):
        path = os.path.relpath(run.places.locate(value), root).replace(os.sep, "/")
        if not _may_be_read(key, value, path, root) or is_known(path):
            continue
        text = texts.get(key, value)
        if os.path.isabs(text):  # what the code computed: elsewhere it is another one
            text = os.path.relpath(text, run.places.original_cwd).replace(os.sep, "/")
        if path not in named or _REFERENCE.fullmatch(named[path].text):
            named[path] = NamedPath(key, text, path)
    # A repository inside of the main one tracks its own files.
    inside = drift.by_repo(run.code, [f"{root}{os.sep}{path}" for path in named])[MAIN]
    return [each for path, each in named.items() if path in inside]


def _path_test(root: Path, cwd: Path) -> Test:
    """A test of which texts may lead below the root, cheap: nearly all texts are no paths."""
    heads, prefix = {".", "..", *(entry.name for entry in _entries(cwd))}, f"{root}{os.sep}"

    def test(text: str) -> bool:
        head = text.replace(os.sep, "/").partition("/")[0]
        return (head in heads or text.startswith(prefix)) and len(text) < _LONGEST

    return test


def _may_be_read(key: str, value: str, path: str, root: Path) -> bool:
    """Whether something lies there that a job may read, by the looks of it."""
    last = key.rpartition(".")[2].lower()
    if path == "." or path.startswith("..") or _OF_TOOLS.search(path):
        return False
    # A bare word names a path only where its key says so: `model: data` need not.
    if "/" not in value and "." not in value and not _FOR_A_PATH.search(last):
        return False
    place = root / path
    if str(place).startswith(f"{sys.prefix}{os.sep}") or not os.path.exists(place):
        return False
    to_write = _TO_WRITE.search(last) or _WRITTEN.search(path)
    return not place.is_dir() or not (to_write or not _files_in(place))


def _recorded_test(run: ActiveRun, main: Snapshot) -> Test:
    """A test of which paths are recorded inputs or outputs, lie in one, or hold one."""
    root = main.repo.root
    inputs = [root / each.path for each in run.lock.data.values() if not each.is_url]
    known = (run.folder, *main.scope.folders, *inputs)
    is_known = Scope(data=known).is_data(root)
    places = [os.path.relpath(each, root).replace(os.sep, "/") for each in known]
    return lambda path: is_known(path) or any(each.startswith(f"{path}/") for each in places)


def _unrecorded(main: Snapshot, candidates: list[NamedPath]) -> list[NamedPath]:
    """The paths that git ignores, or that the snapshot left out; git is asked once for all."""
    asked = {each.path: _probes(main.repo.root, each.path) for each in candidates}
    ignored = ignored_paths(main.repo, [*chain(*asked.values())])
    left_out = [text.removeprefix("untracked ") for text in main.state.reasons]
    return [
        each
        for each in candidates
        if _mostly(path in ignored for path in asked[each.path])
        or any(text.startswith((f"{each.path} ", f"{each.path}/")) for text in left_out)
    ]


def _mostly(ignored: Iterable[bool]) -> bool:
    """Whether git ignores a path itself, or most of the files in it."""
    itself, *inside = ignored
    return itself or 2 * sum(inside) > len(inside)


def _probes(root: Path, path: str) -> list[str]:
    """What git is asked of a path: itself, and some files in it; a link above it in its place."""
    place = root
    for part in Path(path).parts:
        place /= part
        if place.is_symlink():
            return [place.relative_to(root).as_posix()]
    return [path, *(file.relative_to(root).as_posix() for file in _files_in(place))]


def _files_in(folder: Path) -> list[Path]:
    """The first files in a folder and those below it; none where it is none."""
    waiting, found = [folder], list[Path]()
    for _ in range(_FOLDERS):
        if not waiting or len(found) >= _FILES:
            break
        for entry in _entries(waiting.pop(0)):
            place = waiting if entry.is_dir(follow_symlinks=False) else found
            place.append(Path(entry.path))
    return found[:_FILES]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, that of tools left out."""
    try:
        with os.scandir(folder) as entries:
            return [each for each in islice(entries, _MOST) if not _OF_TOOLS.search(each.name)]
    except OSError:
        return []
