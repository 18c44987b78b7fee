"""Reproduce a pushed run from its tag alone: restore, run again, compare, keep the verdict."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.pull.pull import Pulled, pull
from flexlock_hydra.archive.remotes.verdicts import fetch, keep, send_verdicts
from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.archive.runs.places import sha256_of
from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.archive.tag.read_tag import read_tagged
from flexlock_hydra.archive.tag.tag_object import user_name
from flexlock_hydra.capture.environment.packages import editable_folder, version_pairs, without_own
from flexlock_hydra.errors import RunNotFoundError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import Environment
from flexlock_hydra.record.summary import worst_of
from flexlock_hydra.record.verdict import Verdict
from flexlock_hydra.replay.compare.outcome import worst
from flexlock_hydra.replay.rerun.rerun import rerun
from flexlock_hydra.replay.rerun.result import RerunResult, rerun_document

_NAMED = 20  # names of what differs that a verdict keeps


@dataclass(frozen=True)
class RestoreSource:
    """Where a tag is restored from, and to.

    Args:
        source: git URL or folder that has the tag; without it this repository and its
            ``origin``.
        into: a new folder, or what an earlier pull of the tag began; ``<job>-<run id>``
            here without it, beside the repository where here is one.
        remote: the data remote, where it is another one by now than the tag names.
        cache: a folder of objects, in DVC's form, shared by pulls.
        progress: hears of the download, in objects: done, and in all.
    """

    source: str | None = None
    into: Path | None = None
    remote: str | None = None
    cache: Path | None = None
    progress: Callable[[int, int], None] = lambda done, total: None


@dataclass(frozen=True)
class Reproduced:
    """A tag that was reproduced: each of its runs again, and the verdict on all."""

    tag: str
    path: str
    """Where it was restored."""
    runs: tuple[RerunResult, ...]
    verdict: Verdict
    homes: tuple[GitRepo, ...] = field(repr=False)
    """The repositories in which the verdict was kept."""


def restore(tag: str, source: RestoreSource) -> Pulled:
    """Pull a tag to where it is to run again, or find it there.

    Raises:
        RunNotFoundError, TargetError, DataError, GitError, RemoteError: see
            :func:`flexlock_hydra.archive.pull.pull.pull`.
    """
    options = {**vars(source), "into": source.into or _beside_repository(tag)}
    return pull(tag, **options)


def reproduce(pulled: Pulled, **options: Any) -> Reproduced:
    """Run what a restored tag stands for again, compare, and keep the verdict.

    It is kept in the restored repository, and in the one here if that has the tag.

    Args:
        options: see :class:`flexlock_hydra.replay.rerun.rerun.RerunOptions`.

    Raises:
        FlexlockError: it cannot be run; then there is no verdict.
    """
    restored = GitRepo.find(Path(pulled.path))
    if restored is None:
        raise RunNotFoundError(f"{pulled.path} is no git repository", hint="Pull the tag again.")
    tagged = read_tagged(restored, pulled.tag)
    found = [find_run(run_id, restored.root) for run_id in tagged.own]
    runs = tuple(sorted(found, key=lambda run: run.lock.job.num or 0))
    again = tuple(rerun(run, **options) for run in runs)
    verdict = replace(
        _verdict_on(pulled.tag, runs, again), later=tuple(tagged.manifest.get("later", ()))[:_NAMED]
    )
    homes = tuple(_homes(pulled.tag, restored))
    for home in homes:
        keep(home, verdict)
    return Reproduced(pulled.tag, pulled.path, again, verdict, homes)


def publish_verdict(reproduced: Reproduced, source: str | None) -> str:
    """Send the verdict to where the tag came from, and bring those of others; that URL.

    Raises:
        GitError: it has no origin, or refuses, or cannot be reached.
    """
    restored, *others = reproduced.homes
    url = source or restored.remote_url("origin") or str(reproduced.homes[-1].root)
    send_verdicts(restored, url)
    for home in others:
        fetch(home, url)
    return url


def reproduce_document(reproduced: Reproduced) -> dict[str, Any]:
    """The command's JSON document: that of a rerun, and the verdict as it was kept."""
    runs = [rerun_document(each) for each in reproduced.runs]
    kept = {"tag": reproduced.tag, "kept": reproduced.verdict.to_dict()}
    if len(runs) == 1:
        return {**runs[0], **kept}
    return {
        "path": reproduced.path,
        "id": reproduced.tag.rpartition("/")[2],
        "identical": reproduced.verdict.files["identical"],
        "differ": list(_file_names(reproduced.runs, lambda each: each.comparison.differ)),
        "missing": list(_file_names(reproduced.runs, lambda each: each.comparison.missing)),
        "verdict": reproduced.verdict.verdict,
        "jobs": runs,
        **kept,
    }


def _beside_repository(tag: str) -> Path | None:
    """Beside the repository where this is one: another clone in it would become its code."""
    here, named = GitRepo.find(Path.cwd()), layout.parse_tag(tag)
    return here.root.parent / "-".join(named) if here and named else None


def _homes(tag: str, restored: GitRepo) -> Iterator[GitRepo]:
    """What was restored, and the repository that the user is in, if it knows the tag."""
    yield restored
    here = GitRepo.find(Path.cwd())
    if here is not None and here.common_dir != restored.common_dir and here.tags(tag):
        yield here


def _verdict_on(tag: str, runs: Sequence[RecordedRun], again: tuple[RerunResult, ...]) -> Verdict:
    compared = [each.comparison for run in again for each in (*run.steps, run)]
    left_out = dict.fromkeys(left.by for each in compared for left in each.left_out)
    differ = [
        *_file_names(again, lambda each: each.comparison.differ),
        *_file_names(again, lambda each: each.comparison.missing),
    ]
    return Verdict(
        tag=tag,
        when=layout.utc_now().isoformat(timespec="milliseconds"),
        where={
            "host": socket.gethostname(),
            "platform": again[0].run.lock.environment.platform,
            "by": user_name(again[0].run.repo),
        },
        environment=_environment_of_verdict(
            [run.lock.environment for run in runs],
            [each.run.lock.environment for each in again],
        ),
        verdict=worst(*(each.verdict for each in again)),
        files={
            kind: sum(len(getattr(each, kind)) for each in compared)
            for kind in ("identical", "close", "differ", "missing")
        },
        differ=tuple(differ[:_NAMED]),
        left_out=tuple(left_out)[:_NAMED],
        tolerance=vars(compared[0].tolerance),
        completeness=worst_of(run.lock for run in runs).to_dict(),
    )


def _file_names(
    again: Iterable[RerunResult], of: Callable[[RerunResult], Iterable[str]]
) -> Iterator[str]:
    """Names of files of several jobs, each with its job's number; of steps before, its name."""
    jobs = [*again]
    for each in jobs:
        for step in each.steps:
            yield from (f"{step.run.lock.job.name}: {name}" for name in of(step))
        number = each.run.lock.job.num if len(jobs) > 1 else None
        for name in of(each):
            yield name if number is None else f"{number}/{name}"


def _environment_of_verdict(
    recorded: Iterable[Environment], now: Iterable[Environment]
) -> dict[str, Json]:
    """What the jobs ran in, and whether it was the recorded environment."""
    pairs = [*zip(map(_versions, recorded), map(_versions, now), strict=True)]
    names = {name for pair in pairs for name, old, new in version_pairs(*pair) if old != new}
    here = pairs[0][1]
    listed = "".join(f"{name}=={version}\n" for name, version in sorted(here.items()))
    return {
        "python": here["python"],
        "packages": sha256_of(listed.encode()),
        "same": not names,
        "different": [*sorted(names)][:_NAMED],
    }


def _versions(environment: Environment) -> Mapping[str, str]:
    """Python and each package, without the places of editable ones and without this one."""
    plain = {
        name: editable_folder(version)[0]
        for name, version in without_own(environment.packages).items()
    }
    return {**plain, "python": f"{environment.implementation} {environment.python}"}
