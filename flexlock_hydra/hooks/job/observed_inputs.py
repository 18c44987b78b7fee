"""The inputs that nobody marked: seen while the job reads them, recorded at its end.

The config's own words help twice. A file that it names is recorded when the job starts, for
nobody sees what a library opens in C; a folder that it names holds together what was read in it.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from flexlock_hydra.capture.code.imports import module_files
from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.capture.data.paths import seen_below
from flexlock_hydra.capture.lineage.find_locks import find_lock
from flexlock_hydra.capture.reads.audit_hook import Access, Watch, by_folder
from flexlock_hydra.capture.reads.open_files import open_for_reading
from flexlock_hydra.capture.reads.tool_paths import is_plain
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.hooks.config.options import InputSelection
from flexlock_hydra.hooks.config.survey import plain_at, strings_passing
from flexlock_hydra.hooks.job import kept_inputs
from flexlock_hydra.hooks.job.active_run import ActiveRun
from flexlock_hydra.hooks.job.unmarked_inputs import sounds_read
from flexlock_hydra.ports.git.objects import held_names
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import OBSERVED, OVERRIDDEN, Unrecorded

if TYPE_CHECKING:  # loaded where something was read
    from flexlock_hydra.capture.reads.as_inputs import ReadInput
    from flexlock_hydra.capture.reads.select import Surroundings

Names = Mapping[str, Collection[str]]
"""Files: names by the absolute folders that they lie in."""
_SMALL = 64 << 20  # bytes that are hashed in a tenth of a second
_LONGEST = 4096  # characters above which a text is no path
_FILE_NAME = re.compile(r"[^/\\\0\n]{1,200}\.[A-Za-z]\w{0,9}")
_MOST_JOINED = 2000  # names in named folders that are looked for


@dataclass(eq=False)
class InputWatch:
    """What is known of a job's unmarked inputs while it runs.

    Args:
        named: absolute paths that the config names, each with its key.
        likely: those of them that a job reads, by their keys.
        unsure: files that a job may read as well: their keys sound like what it writes, or the
            config names folder and file apart.
        since: when the job started, ns since the epoch.
        watch: what the process opens.
    """

    options: InputSelection
    named: Mapping[str, str]
    likely: frozenset[str]
    unsure: frozenset[str]
    since: int
    watch: Watch = field(default_factory=Watch)
    early: dict[str, ReadInput] = field(default_factory=dict)
    """Inputs that were recorded when the job started, by their keys in the lock."""

    def changed(self) -> dict[str, str]:
        """Files that were read and then changed, or opened for both.

        Each with where its earlier bytes lie, if that is known; empty: they are lost.
        """
        kept = self.watch.keeper
        if kept is None:
            return {}
        places = {path: kept.where(path) for path in self.watch.with_access(Access.CHANGED)}
        return {
            os.path.normpath(path): place or "" for path, place in places.items()
            if place or path in kept.done
        }


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
    begun = InputWatch(options, *_named_paths(run, resolved), time.time_ns())
    likely = begun.likely
    run.kept = begun.watch.keeper = kept_inputs.keeper(run, begun.watch, likely)
    for each in run.lock.data.values():
        if not each.is_url:
            kept_inputs.keep_own(run, run.kept, str(run.places.root / each.place))
    files = [path for path in likely if options.observed and os.path.isfile(path)]
    if files:
        from flexlock_hydra.capture.reads.as_inputs import as_inputs
        from flexlock_hydra.capture.reads.select import select

        # What lies in the output directory now is an earlier run's.
        around = replace(_surroundings(run, begun), outputs=())
        found = select(by_folder(files), around)
        fitting, *_ = options.choose(as_inputs(found.folders, around))
        begun.early = {_add(run, each): each for each in fitting}
    if options.observed:
        begun.watch.on_large = partial(_hash_ahead, run, begun)
    begun.watch.start()  # last: what was hashed here is nothing that the job read
    return begun


def _hash_ahead(run: ActiveRun, begun: InputWatch, path: str) -> None:
    """Have a large file hashed while the job goes on, if it may be an input at its end."""
    from flexlock_hydra.capture.reads.select import Surroundings

    folder, _, name = path.rpartition(os.sep)
    around: Surroundings = _surroundings(run, begun)
    if not (around.is_apart(folder) or around.is_known(folder) or path in around.known):
        if is_plain(name) and around.in_reach(path):
            whole = around.name_of(path) or path
            inside = path[len(whole) + 1:].replace(os.sep, "/")
            # Not in this thread: the job waits for its file, and a process may have to be started.
            threading.Thread(target=run.hash_ahead, args=[whole, inside], daemon=True).start()


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
        # It names what the job writes and does not read, or what another run still writes.
        access = begun.watch.access(each.path)
        is_own = Path(os.path.realpath(each.path)).is_relative_to(os.path.realpath(run.folder))
        written = access is Access.WRITTEN or (is_own and access is None)
        if written or (
            _changed_since(each.path, begun.since) and _writer(run, os.path.dirname(each.path))
        ):
            run.drop_data(key)
    folders = [path for path in begun.named if path in begun.likely and os.path.isdir(path)]
    changed, installed = begun.changed(), _installed(run)
    read: dict[str, Collection[str]] = {
        folder: names
        for folder, names in begun.watch.read().items()
        if not f"{folder}{os.sep}".startswith(installed)
    }
    open_now = [path for path in open_for_reading() if not path.startswith(installed)]
    if not (read or open_now or changed or begun.named):
        return  # of most jobs that read nothing: what tells inputs apart takes its time to load
    from flexlock_hydra.capture.reads import as_inputs
    from flexlock_hydra.capture.reads.select import select

    around = replace(
        _surroundings(run, begun),
        made=frozenset(map(os.path.normpath, begun.watch.with_access(Access.WRITTEN))),
        kept={path: place for path, place in changed.items() if place},
        lost=_lost(begun, changed),
    )
    unseen = [path for path in open_now if begun.watch.access(path) is None]
    unseen += as_inputs.files_read_in_c(folders, begun.unsure - around.made)
    unseen += changed
    for folder, names in by_folder(unseen).items():
        read[folder] = dict.fromkeys([*read.get(folder, ()), *names])
    found = select(read, around)
    earlier = select(_left_by_earlier_runs(run, begun, changed), replace(around, outputs=()))
    inputs = [
        *as_inputs.as_inputs(found.folders, around),
        *as_inputs.as_inputs(earlier.folders, replace(around, listed=frozenset())),
        *as_inputs.unread_folders(folders, found.folders, around),
    ]
    _record(run, begun, inputs, [*found.unrecorded, *earlier.unrecorded])


def _installed(run: ActiveRun) -> tuple[str, ...]:
    """Beginnings of paths that are plainly the system's or Python's, and not the project's."""
    folders = (sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", "/etc", "/proc", "/dev")
    prefixes = (f"{each.rstrip(os.sep)}{os.sep}" for each in folders)
    root = f"{run.places.root}{os.sep}"
    return tuple(each for each in prefixes if not root.startswith(each))


def _lost(begun: InputWatch, changed: Mapping[str, str]) -> dict[str, str]:
    """Files that were read and then changed and of which nothing is kept, each with why."""
    failed = begun.watch.keeper.failed if begun.watch.keeper else {}
    whys = {os.path.normpath(path): why for path, why in failed.items()}
    return {
        path: f"the job changed it, and {whys.get(path, 'what it was is not kept')}"
        for path, place in changed.items()
        if not place and _changed_since(path, begun.since)
    }


def _left_by_earlier_runs(run: ActiveRun, begun: InputWatch, changed: Mapping[str, str]) -> Names:
    """What the job read in its own output directory and did not put there.

    A job that resumes finds there what an earlier run in the same folder left.
    """
    if run.places.root.is_relative_to(run.folder):  # else all data lies below it
        return {}
    own = {f"{each}{os.sep}" for each in (str(run.folder), os.path.realpath(run.folder))}
    found = [path for path in changed if path.startswith(tuple(own))]
    for folder, names in begun.watch.read().items():
        if f"{os.path.normpath(folder or os.sep)}{os.sep}".startswith(tuple(own)):
            for name in (each for each in names if not layout.is_own_file(each)):
                path = os.path.join(folder, name)
                with suppress(OSError, ValueError):
                    found += [path] if os.stat(path).st_ctime_ns < run.since else []
    return by_folder(found)


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
            # The job is over: nothing goes on beside which a worker could hash what is small.
            _add(run, each, wait=each.size < _SMALL)
        unrecorded += [
            Unrecorded(
                path=run.places.record(Path(each.path)), why=why, config_key=each.config_key,
                size=each.size,
            )
            for each in others
        ]
        run.lock = replace(run.lock, unrecorded=tuple(unrecorded) or None)


def _add(run: ActiveRun, found: ReadInput, *, wait: bool = False) -> str:
    """Put an input into the lock; its key there."""
    key = run.free_key(found.key)
    run.add_data(key, found.path, found.config_key, how=OBSERVED, part=found.part, wait=wait)
    return key


def _surroundings(run: ActiveRun, begun: InputWatch) -> Surroundings:
    from flexlock_hydra.capture.reads.select import Surroundings

    known = (run.places.root / each.path for each in run.lock.data.values() if not each.is_url)
    return Surroundings(
        root=str(run.places.root),
        outputs=(str(run.folder), os.path.realpath(run.folder), str(run.began_in)),
        listed=frozenset(map(os.path.normpath, begun.watch.listed)),
        known=frozenset(map(str, known)),
        named=begun.named,
        since=begun.since,
        exclude=begun.options.exclude,
        in_code=lambda names: _in_code(run, names),
        writer=lambda folder: _writer(run, folder),
    )


def _changed_since(path: str, since: int) -> bool:
    try:
        return os.stat(path).st_mtime_ns >= since
    except OSError:
        return False


def _writer(run: ActiveRun, folder: str) -> str | None:
    """The id of another run that still writes to a folder, by the nearest lock."""
    lock = find_lock(Path(folder), run.places.root)
    head = lockfile.read_head(lock) if lock is not None and lock != run.path else None
    return head[1] if head and head[1] != run.lock.run.id else None


def _in_code(run: ActiveRun, names: Names) -> dict[str, set[str]]:
    """Those of the files, names by folders, that were imported, or that a recorded snapshot holds.

    Of a link, what it leads to counts: a snapshot holds the link alone.
    """
    held = _held(run, names)
    links = {
        (folder, name): os.path.realpath(path)
        for folder, some in held.items()
        for name in some
        if os.path.islink(path := os.path.join(folder, name))
    }
    led_to = _held(run, by_folder(links.values())) if links else {}
    for (folder, name), real in links.items():
        above, _, last = real.rpartition(os.sep)
        if last not in led_to.get(above, ()):
            held[folder].discard(name)
    for folder, some in by_folder(file for _, file in module_files(("",))).items():
        if folder in names:
            held.setdefault(folder, set()).update({*some}.intersection(names[folder]))
    return held


def _held(run: ActiveRun, names: Names) -> dict[str, set[str]]:
    """Those of the files that recorded snapshots have something at."""
    snapshots = {str(kept.repo.root): kept for kept in run.code.values()}
    roots = sorted(snapshots, key=len, reverse=True)  # an inner repository has its own files
    asked: dict[str, dict[str, Collection[str]]] = {}
    for folder, some in names.items():
        inside = f"{folder}{os.sep}"
        root = next((each for each in roots if inside.startswith(f"{each}{os.sep}")), None)
        if root is not None:
            asked.setdefault(root, {})[folder[len(root) + 1:].replace(os.sep, "/")] = some
    return {
        os.path.normpath(os.path.join(root, folder)): some
        for root, below in asked.items()
        for folder, some in held_names(
            snapshots[root].repo.root, snapshots[root].state.tree, below
        ).items()
    }


def _named_paths(
    run: ActiveRun, resolved: Json
) -> tuple[dict[str, str], frozenset[str], frozenset[str]]:
    """Absolute paths of what lies there that the config names, each with the first key of it.

    Also those of them that a job reads, by their keys, and the files of which that is not sure,
    see :class:`InputWatch`. A folder that holds the project is none: everything is below it.
    """
    named, likely, names = dict[str, str](), set[str](), set[str]()
    home, root = os.path.expanduser("~"), f"{run.places.root}{os.sep}"
    test = _path_test(run)
    texts = strings_passing(resolved, lambda text: test(text) or _is_file_name(text))
    for key, text in texts if isinstance(resolved, dict) else ():
        if _is_file_name(text):
            names.add(text)
        if not test(text):
            continue
        path = run.places.locate(text)
        pattern = Pattern.parse(path)
        place = seen_below(str(pattern.base if pattern else path), str(run.places.root))
        if place != home and not root.startswith(f"{place}{os.sep}") and os.path.exists(place):
            named.setdefault(place, key)
            if sounds_read(key, text):
                likely.add(place)
    folders = [place for place in named if names and os.path.isdir(place)]
    joined = (os.path.join(folder, name) for folder in folders for name in names)
    unsure = {path for path in islice(joined, _MOST_JOINED) if os.path.isfile(path)}
    unsure |= {path for path in named if os.path.isfile(path)}
    return named, frozenset(likely), frozenset(unsure - likely)


def _is_file_name(text: str) -> bool:
    """Whether a text may be the name of a file, without its folder."""
    return _FILE_NAME.fullmatch(text) is not None


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
