"""The environment of a run, made again by uv and kept for the next rerun.

It is named by a hash of what is asked for, and lies where it was made, as environments
cannot be moved. A file in it, written last, says that it is whole: without one, or where
it no longer has the distributions that the file names, it is made anew.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.runs.places import sha256_of
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.environment.packages import version_pairs, without_own
from flexlock_hydra.errors import RerunError
from flexlock_hydra.ports.cache_folder import cache_folder
from flexlock_hydra.record.model import Environment as Recorded
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.env.build import ELSEWHERE, Build, Say, missing, whole
from flexlock_hydra.replay.env.interpreter import interpreter, python_of
from flexlock_hydra.replay.env.own_wheel import Wheel, own_wheel
from flexlock_hydra.replay.env.requirements import Requirements, requirements_of

# The hash of a file, which was checked when it was installed, and is not always recorded.
_FRAGMENT = re.compile(r"#[^)]*")


@dataclass(frozen=True)
class RebuiltEnvironment:
    """An environment that was made again.

    Args:
        folder: where it lies.
        python: its interpreter.
        hash: of interpreter, platform and distributions, as they are in it.
        recorded: the same of the run.
        differences: what is not as recorded, in words.
        lock_files: those that hashes and indexes were taken from.
    """

    folder: Path
    python: Path
    hash: str
    recorded: str
    differences: tuple[str, ...]
    lock_files: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether it is the recorded one."""
        return self.hash == self.recorded

    def as_json(self) -> dict[str, Any]:
        """Its part of a JSON document."""
        return {
            "hash": self.hash,
            "recorded": self.recorded,
            "same": self.same,
            "path": str(self.folder),
            "differences": list(self.differences),
            "lock_files": list(self.lock_files),
        }


def chosen(
    run: RecordedRun, *, python: str | None, env: bool, say: Say, tell: Say
) -> tuple[str, RebuiltEnvironment | None]:
    """The interpreter that the user wants for a run, and the environment that was made for it.

    Without a wish it is this one.

    Args:
        python: one that is named; how it differs from the recorded environment is said.
        env: the recorded environment, made again.
        say, tell: see :func:`rebuilt`.

    Raises:
        RerunError: it cannot be had, or cannot run a job.
    """
    if python is None:
        made = rebuilt(run, say=say, tell=tell) if env else None
        return str(made.python) if made else sys.executable, made
    if env:
        raise RerunError(
            "--python and --env exclude each other",
            hint="--env makes an environment; --python names one that there is.",
        )
    found = interpreter(python)
    was = _recorded_state(run.lock.environment)
    has = _comparable_packages(found.packages)
    now = _State(f"{found.implementation} {found.version}", was.machine, has)
    if others := list(_differences(replace(was, conda=None), now)):
        say(f"{found.python} is not the run's environment: {some_of(others)}")
    return found.python, None


def environments() -> Path:
    """Where environments are kept."""
    return cache_folder() / "environments"


def rebuilt(run: RecordedRun, *, say: Say, tell: Say) -> RebuiltEnvironment:
    """The environment of a run: the one made before, or a new one.

    This package is in it as it runs now; all else is as it was recorded.

    Args:
        say: hears, in words, what is not as recorded.
        tell: hears, in words, what takes long.

    Raises:
        RerunError: a distribution or the interpreter is not to be had, or uv is missing.
    """
    recorded = run.lock.environment
    if not recorded.packages:
        raise RerunError(f"run {run.lock.run.id} recorded no packages", hint=ELSEWHERE)
    asked = requirements_of(run)
    if asked.impossible:
        raise missing(asked.impossible)
    for note in asked.notes:
        say(note)
    wheel = own_wheel()
    folder = environments() / _folder_name(recorded, asked, wheel)
    mark = whole(folder) or _make_once(Build(folder, run, asked, wheel, tell))
    for note in mark["notes"]:
        say(note)
    was = _recorded_state(recorded, {each.name for each in asked.sources})
    now = _State(
        f"{mark['implementation']} {mark['python']}",
        f"{platform.system()} {platform.machine()}",
        _comparable_packages(mark["packages"]),
    )
    differences = tuple(_differences(was, now))
    return RebuiltEnvironment(
        folder, python_of(folder), now.hash, was.hash, differences, asked.lock_files
    )


def _folder_name(recorded: Recorded, asked: Requirements, wheel: Wheel) -> str:
    """A hash of all that is asked for: equal wishes share one environment."""
    parts = [
        recorded.implementation, recorded.python, platform.system(), platform.machine(),
        sorted(asked.lines.values()),
        asked.indexes,
        [(each.name, each.version, each.tree) for each in asked.sources],
        wheel.sha256,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _make_once(build: Build) -> dict[str, Any]:
    """Make an environment, or wait for the process that does; what its mark says."""
    from filelock import FileLock, Timeout  # brings asyncio

    build.folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{build.folder}.lock")
    try:
        held = lock.acquire(timeout=0)
    except Timeout:
        build.tell("another process makes this environment: waiting for it")
        held = lock.acquire()
    with held:
        return whole(build.folder) or build.make()  # another may have made it meanwhile


@dataclass(frozen=True)
class _State:
    """What makes two environments the same, in a form that can be hashed and compared."""

    python: str
    machine: str
    packages: Mapping[str, str]
    conda: Mapping[str, str] | None = None

    @property
    def hash(self) -> str:
        parts = [self.python, self.machine, self.packages, self.conda]
        return sha256_of(json.dumps(parts, sort_keys=True).encode())


def _recorded_state(recorded: Recorded, from_code: Collection[str] = ()) -> _State:
    """What a run.lock says of an environment; ``from_code`` is built from recorded code."""
    system, machine = recorded.platform.partition("-")[0], recorded.platform.rpartition("-")[2]
    return _State(
        f"{recorded.implementation} {recorded.python}",
        f"{system} {machine}",
        _comparable_packages(recorded.packages, from_code),
        recorded.conda,
    )


def _comparable_packages(
    found: Mapping[str, str], from_code: Collection[str] = ()
) -> dict[str, str]:
    """Distributions as they are compared: this package is another than it was, and left out.

    Of what was built from recorded code the version counts alone, as it lay elsewhere then.
    """
    return {
        name: version.partition(" ")[0] if name in from_code else _FRAGMENT.sub("", version)
        for name, version in without_own(found).items()
    }


def _differences(was: _State, now: _State) -> Iterator[str]:
    """What is not as recorded, each in words."""
    if was.python != now.python:
        yield f"{now.python}, recorded {was.python}"
    if was.machine != now.machine:
        yield f"{now.machine}, recorded {was.machine}"
    for name, old, new in version_pairs(was.packages, now.packages):
        if old != new:
            yield f"{name} {new or 'is missing'}, {f'recorded {old}' if old else 'not recorded'}"
    if was.conda:
        yield f"{len(was.conda)} conda packages are not in it"
