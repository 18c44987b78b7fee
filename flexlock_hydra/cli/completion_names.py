"""RUN and TAG arguments: what a shell offers when their completion is asked for.

What is offered ends up on somebody's command line, so a name with characters that mean
something to a shell is never offered, whoever wrote it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from flexlock_hydra.errors import FlexlockError

_SAFE = re.compile(r"[\w@%+=,./][\w@%+=,./-]*", re.ASCII)
_UNSAFE = re.compile(r"[^\w .,:/@=+-]")
_JOB = re.compile(rb"^job:\n  name: ['\"]?([^'\"\n]+)", re.MULTILINE)
_HEAD = 4096  # Bytes of a lock in which the job's name is looked for
# Seconds that locks are looked for; the folders that sort last, the newest, come first.
_PATIENCE = 0.1
_MOST = 100  # Names of a kind that are offered


_Kind = Callable[[str], Iterator[tuple[str, str]]]  # what was typed -> names, each with its help


@dataclass(frozen=True)
class _Seen:
    """A run as the first lines of its lock tell it."""

    started: str
    id: str
    job: str
    folder: str
    """From the current folder; absolute where it lies elsewhere."""


class CompletedName(StringParamType):
    """An argument whose completion offers some kinds of names, or where there are none folders."""

    def __init__(self, name: str, *kinds: _Kind, or_folders: bool = False) -> None:
        self.name, self._kinds, self._or_folders = name, kinds, or_folders

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so and are safe to stand on a command line."""
        found = []
        for kind in self._kinds:
            with suppress(FlexlockError, OSError):  # a shell has no place for an error
                for value, said in kind(incomplete):
                    if value.startswith(incomplete) and _SAFE.fullmatch(value):
                        found.append(CompletionItem(value, help=said))
        folders = [CompletionItem(incomplete, type="dir")] if self._or_folders else []
        return found or folders


def _latest(incomplete: str) -> Iterator[tuple[str, str]]:
    yield "@latest", "the run that started last"


def _runs(incomplete: str) -> Iterator[tuple[str, str]]:
    """Ids, then output directories, the newest first."""
    runs = sorted(_runs_seen(), key=lambda run: (run.started, run.id), reverse=True)
    said = {
        run.id: _UNSAFE.sub("?", f"{run.job} {run.started[:16].replace('T', ' ')}".strip())
        for run in runs
    }
    for run in [run for run in runs if run.id.startswith(incomplete)][:_MOST]:
        yield run.id, said[run.id]
    for run in [run for run in runs if run.folder.startswith(incomplete)][:_MOST]:
        yield run.folder, said[run.id]


def _tags(incomplete: str) -> Iterator[tuple[str, str]]:
    from flexlock_hydra.ports.git.command import git
    from flexlock_hydra.record.layout import TAG_PREFIX, parse_tag

    if not f"{TAG_PREFIX}/".startswith(incomplete[: len(TAG_PREFIX) + 1]):
        return
    how = ("for-each-ref", "--format=%(refname:strip=2)", f"refs/tags/{TAG_PREFIX}/")
    names = git(Path.cwd(), *how).decode("utf-8", "replace").splitlines()
    known = {name: parsed[1] for name in names if (parsed := parse_tag(name))}
    tags = sorted(known, key=lambda name: known[name], reverse=True)
    for name in [name for name in tags if name.startswith(incomplete)][:_MOST]:
        yield name, "a pushed run"


def _runs_seen() -> Iterator[_Seen]:
    from flexlock_hydra.capture.lineage.find_files import find_files, project_root
    from flexlock_hydra.record import lockfile  # yaml: it would take half of the patience
    from flexlock_hydra.record.layout import is_lock

    here, deadline = Path.cwd(), time.monotonic() + _PATIENCE
    for path in find_files(project_root(), is_lock, last_first=True):
        run = _run_of_lock(path, here, lockfile.parse_head)
        if run is not None:
            yield run
        if time.monotonic() > deadline:
            return


def _run_of_lock(
    path: Path, here: Path, parse_head: Callable[[bytes], tuple[str, str] | None]
) -> _Seen | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    known, job = parse_head(head), _JOB.search(head)
    if known is None:
        return None
    place = path.parent
    folder = place.relative_to(here) if place.is_relative_to(here) else place
    name = job[1].decode("utf-8", "replace") if job else ""
    return _Seen(*known, job=name, folder=folder.as_posix())


# A run: its folder, lock, id or tag, or @latest. Of tags, those of this repository: to ask a
# remote takes too long.
RUN = CompletedName("run", _latest, _runs, _tags, or_folders=True)
TAG = CompletedName("tag", _tags)
