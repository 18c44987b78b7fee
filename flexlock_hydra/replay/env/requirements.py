"""What an environment must have to be that of a run: from its record and its lock files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from flexlock_hydra.archive.runs.recorded_run import (
    RecordedRun, extra_repos, original_root, store_of
)
from flexlock_hydra.capture.environment import packages
from flexlock_hydra.capture.environment.environment import lockfile_hash, read_lockfile
from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.env.lock_files import Pins, read_pins

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][\w.+!-]*", re.ASCII)
_RECORDED = re.compile(r"(?P<version>[^\s()]+)(?: \((?P<place>.*)\))?")
# What uv takes; no line can follow, and no variable stands in it.
_URL = re.compile(r"(?:https?|file|git\+(?:https?|ssh|file))://[^\s${}]+")


@dataclass(frozen=True)
class SourceInstall:
    """A distribution that was installed from a folder of a recorded repository."""

    name: str
    version: str
    repo: GitRepo
    commit: str
    folder: str
    tree: str


@dataclass(frozen=True)
class Requirements:
    """What an environment maker is asked for.

    Args:
        lines: distribution -> its line in a requirements file.
        indexes: those that the lock files name beside PyPI.
        sources: what is built from recorded code.
        impossible: what cannot be installed, and why.
        notes: what else is to be said, in words.
        lock_files: those that were used.
    """

    lines: Mapping[str, str]
    indexes: tuple[str, ...]
    sources: tuple[SourceInstall, ...]
    impossible: Mapping[str, str]
    notes: tuple[str, ...]
    lock_files: tuple[str, ...]


def requirements_of(run: RecordedRun) -> Requirements:
    """The recorded distributions, with what the recorded lock files know of them.

    What was installed counts, should a lock file have another version.
    """
    files, notes = _lock_files(run)
    known = sum((read_pins(name, content) for name, content in files.items()), Pins())
    lines: dict[str, str] = {}
    sources, impossible, indexes = [], {}, list(known.indexes)
    lost, stale, unused = list[str](), list[str](), list[str]()
    for name, recorded in packages.without_own(run.lock.environment.packages).items():
        found = _requirement_of(run, name, recorded)
        if isinstance(found, SourceInstall):
            sources.append(found)
        elif isinstance(found, _Refused):
            impossible[name] = found.why
        elif found is None:
            unused.append(name)
        elif found.url:
            lines[name] = f"{name} @ {found.url}"
        else:
            pin = known.get(name, found.version)
            hashes = sorted(pin.hashes) if pin else ()
            lines[name] = " ".join([f"{name}=={found.version}", *(f"--hash={h}" for h in hashes)])
            indexes += [pin.index] if pin and pin.index else []
            lost += [name] if found.lost else []
            stale += [name] if known.others(name, found.version) else []
    said = {
        "installed from files that are not here, now from an index": lost,
        "left out, as the job imported nothing from the folders that they were edited in": unused,
        "the run had other versions than its lock files, and has them again": stale,
    }
    notes += [f"{what}: {some_of(names)}" for what, names in said.items() if names]
    return Requirements(
        lines=lines,
        indexes=tuple(dict.fromkeys(indexes)),
        sources=tuple(sources),
        impossible=impossible,
        notes=tuple(notes),
        lock_files=tuple(name for name, content in files.items() if read_pins(name, content).found),
    )


@dataclass(frozen=True)
class _Refused:
    """A distribution that cannot be installed, and why."""

    why: str


@dataclass(frozen=True)
class _Release:
    """A distribution of an index, or of a URL."""

    version: str
    url: str | None = None
    lost: bool = False
    """Whether it came from a file that is not here."""


def _requirement_of(
    run: RecordedRun, name: str, recorded: str
) -> SourceInstall | _Refused | _Release | None:
    """How a distribution comes back, by what was recorded of it: ``VERSION (PLACE)``.

    None: it was edited in a folder of no recorded repository, and nothing of it was imported.
    """
    # A record is anybody's: what becomes a line of a requirements file has no more in it.
    parts = _RECORDED.fullmatch(recorded)
    if not parts or not _NAME.fullmatch(name) or not _VERSION.fullmatch(parts["version"]):
        return _Refused(f"recorded as {recorded!r}")
    version, place = parts["version"], parts["place"]
    if place is None:
        return _Release(version)
    editable = place.removeprefix(packages.EDITABLE[2:])
    if editable != place:
        if source := _source_install(run, name, version, editable):
            return source
        # What was imported from a folder of no recorded repository is told in the lock.
        if any(editable in reason for reason in (run.lock.code.reasons if run.lock.code else ())):
            return _Refused(f"it was edited in {editable}, which is in no repository of the run")
        return None
    if MASK in place:
        return _Refused("its URL holds a secret, which is not recorded")
    if not _URL.fullmatch(place):
        return _Refused(f"uv cannot install it from {place}")
    if place.startswith("file:"):
        return _file_install(run, name, version, place)
    return _Release(version, place)


def _file_install(run: RecordedRun, name: str, version: str, url: str) -> SourceInstall | _Release:
    """What came from a file or folder: its recorded code, else that file, else an index."""
    from urllib.request import url2pathname  # brings http.client and ssl

    path = url2pathname(urlsplit(url).path)
    if source := _source_install(run, name, version, path):
        return source
    if Path(path).is_file():
        return _Release(version, url)
    return _Release(version, lost=True)


def _source_install(run: RecordedRun, name: str, version: str, folder: str) -> SourceInstall | None:
    """The recorded code of a folder of the original machine, where it can be built."""
    for root, repo, commit in _repositories(run):
        inside = posixpath.relpath(posixpath.normpath(folder), root)
        if inside == ".." or inside.startswith("../"):
            continue
        inside = "" if inside == "." else inside
        tree = repo.rev_parse(f"{commit}:{inside}")
        builds = ("pyproject.toml", "setup.py")
        if tree and any(repo.rev_parse(f"{commit}:{posixpath.join(inside, b)}") for b in builds):
            return SourceInstall(name, version, repo, commit, inside, tree)
    return None


def _repositories(run: RecordedRun) -> Iterator[tuple[str, GitRepo, str]]:
    """Original root, repository here, and commit; the inner ones first."""
    for each in reversed(extra_repos(run.lock)):
        if store := store_of(run, each):
            yield each.original, store, each.state.commit
    if run.repo and run.lock.code:
        yield original_root(run.lock), run.repo, run.lock.code.commit


def _lock_files(run: RecordedRun) -> tuple[dict[str, bytes], list[str]]:
    """The lock files with the recorded bytes; what is to be said of those that are lost."""
    found, notes = {}, []
    for name, hashed in run.lock.environment.lockfiles.items():
        content = next((c for c in _known_contents(run, name) if lockfile_hash(c) == hashed), None)
        if content is None:
            notes.append(f"{name} is not here as it was recorded: it is not used")
        else:
            found[name] = content
    return found, notes


def _known_contents(run: RecordedRun, name: str) -> Iterable[bytes]:
    """A lock file as it is in the recorded code, and on the disk."""
    if run.repo and run.lock.code:
        inside = run.repo.read_file(run.lock.code.commit, name)
        if inside is not None:
            yield inside
    if (here := read_lockfile(run.root / name)) is not None:
        yield here
