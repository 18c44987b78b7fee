"""The inputs that nobody marked: seen while the job reads them, recorded at its end.

The config's own words help twice. A file that it names is recorded when the job starts, for
nobody sees what a library opens in C; a folder that it names holds together what was read in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.capture.code.imports import module_files
from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.capture.reads.audit_hook import Access, Watch
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.hooks.config.options import InputSelection
from flexlock_hydra.hooks.config.survey import plain_at, strings_passing
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.unmarked_inputs import sounds_read
from flexlock_hydra.ports.git.objects import held_paths
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import OBSERVED, OVERRIDDEN, Unrecorded

if TYPE_CHECKING:  # loaded where something was read
    from flexlock_hydra.capture.reads.as_inputs import ReadInput
    from flexlock_hydra.capture.reads.select import Surroundings

_LONGEST = 4096  # characters above which a text is no path


@dataclass(eq=False)
class InputWatch:
    """What is known of a job's unmarked inputs while it runs.

    Args:
        named: absolute paths that the config names, each with its key.
        likely: those of them that a job reads, by their keys.
        since: when the job started, ns since the epoch.
        watch: what the process opens.
    """

    options: InputSelection
    named: Mapping[str, str]
    likely: frozenset[str]
    since: int
    watch: Watch = field(default_factory=Watch)
    early: dict[str, ReadInput] = field(default_factory=dict)
    """Inputs that were recorded when the job started, by their keys in the lock."""


def record_overridden(run: ActiveRun, marked: Mapping[str, str], resolved: Json) -> None:
    """Record what stands at the keys that the app marks, where an override took the mark away.

    Args:
        marked: config keys, each with the name of its input.
    """
    recorded = {each.config_key for each in run.lock.data.values()}
    for key, name in marked.items():
        value = plain_at(resolved, key)
        if key not in recorded and isinstance(value, str) and value:
            run.add_data(run.free_key(name), value, key, how=OVERRIDDEN)


def begin(run: ActiveRun, resolved: Json, options: InputSelection) -> InputWatch:
    """Record the files that the config names, and watch from now on what the job opens.

    Args:
        resolved: the config as plain data.
    """
    named, likely = _named_paths(run, resolved)
    begun = InputWatch(options, named, likely, time.time_ns())
    files = [path for path in likely if options.observed and os.path.isfile(path)]
    if files:
        from flexlock_hydra.capture.reads.as_inputs import as_inputs
        from flexlock_hydra.capture.reads.select import select

        around = _surroundings(run, begun)
        fitting, *_ = options.choose(as_inputs(select(files, around).files, around))
        begun.early = {_add(run, each): each for each in fitting}
    begun.watch.start()  # last: what was hashed here is nothing that the job read
    return begun


def end(run: ActiveRun, begun: InputWatch) -> None:
    """Record what the job read and nobody marked; name what cannot be recorded."""
    begun.watch.end()
    try:
        _end(run, begun)
    except (FlexlockError, OSError) as error:
        why = f"what the job read could not be told from its code: {error}"
        run.lock = replace(run.lock, unrecorded=(Unrecorded(path=".", why=run.masker.text(why)),))


def _end(run: ActiveRun, begun: InputWatch) -> None:
    for key, each in begun.early.items():
        if begun.watch.seen.get(each.path) is Access.WRITTEN:  # it names what is written, not read
            run.drop_data(key)
    read = [path for path, access in begun.watch.seen.items() if access is Access.READ]
    folders = [path for path in begun.named if path in begun.likely and os.path.isdir(path)]
    from flexlock_hydra.capture.reads import as_inputs
    from flexlock_hydra.capture.reads.open_files import open_for_reading
    from flexlock_hydra.capture.reads.select import select

    around = _surroundings(run, begun)
    read += open_for_reading() - begun.watch.seen.keys()
    read += as_inputs.files_read_in_c(folders, around)
    found = select(read, around)
    inputs = [
        *as_inputs.as_inputs(found.files, around),
        *as_inputs.unread_folders(folders, found.files, around),
    ]
    _record(run, begun, inputs, list(found.unrecorded))


def _record(
    run: ActiveRun,
    begun: InputWatch,
    inputs: list[ReadInput],
    unrecorded: list[Unrecorded],
) -> None:
    """Put inputs into the lock as far as the options let them be, and name the others."""
    fitting, others, why = begun.options.choose(inputs, begun.early.values())
    with run.mutex:
        for each in fitting:
            _add(run, each)
        unrecorded += [
            Unrecorded(
                path=run.places.record(Path(each.path)), why=why, config_key=each.config_key,
                size=each.size,
            )
            for each in others
        ]
        run.lock = replace(run.lock, unrecorded=tuple(unrecorded) or None)


def _add(run: ActiveRun, found: ReadInput) -> str:
    """Put an input into the lock; its key there."""
    key = run.free_key(found.key)
    run.add_data(key, found.path, found.config_key, how=OBSERVED, part=found.part)
    return key


def _surroundings(run: ActiveRun, begun: InputWatch) -> Surroundings:
    from flexlock_hydra.capture.reads.select import Surroundings

    known = (run.places.root / each.path for each in run.lock.data.values() if not each.is_url)
    return Surroundings(
        root=str(run.places.root),
        outputs=(str(run.folder), os.path.realpath(run.folder)),
        listed=frozenset(map(os.path.normpath, begun.watch.listed)),
        known=frozenset(map(str, known)),
        named=begun.named,
        since=begun.since,
        exclude=begun.options.exclude,
        in_code=lambda paths: _in_code(run, paths),
    )


def _in_code(run: ActiveRun, paths: Collection[str]) -> set[str]:
    """Those of the paths that were imported, or that a recorded snapshot holds.

    Of a link, what it leads to counts: a snapshot holds the link alone.
    """
    imported = {file for _, file in module_files(("",))}
    held = _held(run, paths)
    links = {path: os.path.realpath(path) for path in held if os.path.islink(path)}
    led_to = _held(run, {*links.values()}) if links else set()
    lost = {path for path, real in links.items() if real not in led_to}
    return (held - lost) | imported.intersection(paths)


def _held(run: ActiveRun, paths: Collection[str]) -> set[str]:
    """The paths that recorded snapshots have something at."""
    snapshots = {f"{kept.repo.root}{os.sep}": kept for kept in run.code.values()}
    roots = sorted(snapshots, key=len, reverse=True)  # an inner repository has its own files
    names: dict[str, list[str]] = {}
    for path in paths:
        root = next((each for each in roots if path.startswith(each)), None)
        if root is not None:
            names.setdefault(root, []).append(path[len(root):].replace(os.sep, "/"))
    return {
        f"{root}{name.replace('/', os.sep)}"
        for root, below in names.items()
        for name in held_paths(snapshots[root].repo.root, snapshots[root].state.tree, below)
    }


def _named_paths(run: ActiveRun, resolved: Json) -> tuple[dict[str, str], frozenset[str]]:
    """Absolute paths of what lies there that the config names, each with the first key of it.

    Also those of them that a job reads, by their keys. A folder that holds the project is
    none: everything is below it.
    """
    named, likely = dict[str, str](), set()
    home, root = os.path.expanduser("~"), f"{run.places.root}{os.sep}"
    texts = strings_passing(resolved, _path_test(run)) if isinstance(resolved, dict) else ()
    for key, text in texts:
        path = run.places.locate(text)
        pattern = Pattern.parse(path)
        place = str(pattern.base if pattern else path)
        if place != home and not root.startswith(f"{place}{os.sep}") and os.path.exists(place):
            named.setdefault(place, key)
            if sounds_read(key, text):
                likely.add(place)
    return named, frozenset(likely)


def _path_test(run: ActiveRun) -> Callable[[str], bool]:
    """A test of which texts may be paths, cheap: nearly all texts are none."""
    heads = {".", "..", "~", *_names(run.places.cwd), *_names(run.places.original_cwd)}

    def test(text: str) -> bool:
        if len(text) > _LONGEST or "\0" in text or "\n" in text:
            return False
        head = text.replace(os.sep, "/").partition("/")[0]
        return head in heads or head.startswith("$") or os.path.isabs(text)

    return test


def _names(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []
