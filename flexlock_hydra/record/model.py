"""What a run is: the nouns of run.lock, format 1, frozen."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json, Node
from flexlock_hydra.record.validate import (
    check_hash, check_import_paths, check_object_ids, check_path, check_run_ids
)

FORMAT = 1

RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
INTERRUPTED = "interrupted"
STATUSES = (RUNNING, COMPLETED, FAILED, INTERRUPTED)

EXACT = "exact"
PARTIAL = "partial"
DRIFTED = "drifted"

MARKED = "marked"
OVERRIDDEN = "overridden"
OBSERVED = "observed"

MAIN = "main"
"""Among ``repos``, the one that the job ran from."""


class Process(Node):
    """The process that runs a job: enough to tell later whether it still lives."""

    host: str
    pid: int
    boot_id: str | None = None
    pid_namespace: str | None = None
    """Linux: the namespace that ``pid`` is of; a container has its own."""
    start_ticks: int | None = None
    scheduler: Mapping[str, str] | None = None


class Failure(Node):
    """The exception that ended a job."""

    type: str
    message: str
    traceback: str


class Run(Node):
    """One execution: when, how long (seconds), how it ended, what it returned."""

    id: str
    status: str
    started: str
    ended: str | None = None
    duration: float | None = None
    process: Process
    error: Failure | None = None
    result: Json = None
    parent: str | None = None

    def __post_init__(self) -> None:
        check_run_ids(self.id, where="run.id ")
        check_status(self.status)


class Overrides(Node):
    """The command line's overrides, as Hydra tells them apart."""

    task: tuple[str, ...] = ()
    hydra: tuple[str, ...] = ()


class Sweep(Node):
    """The sweep that a job belongs to."""

    id: str
    dir: str


class Command(Node):
    """How the main process was started."""

    executable: str
    argv: tuple[str, ...]
    cwd: str
    module: str | None = None
    file: str | None = None
    task: str | None = None
    runner: tuple[str, ...] | None = None
    """The words between Python and the app: its options, a profiler and those of that."""
    call: str | None = None
    """``hydra_zen.launch``, where that was called and no command line was parsed."""
    import_paths: tuple[str, ...] = ()
    """Entries of ``sys.path`` inside the repository, relative to its root."""

    def __post_init__(self) -> None:
        check_path(self.file or "")
        check_import_paths(self.import_paths)


class Job(Node):
    """The Hydra job: what was asked for, and how."""

    name: str
    overrides: Overrides = field(default_factory=Overrides)
    choices: Mapping[str, Any] = field(default_factory=dict)
    config_name: str | None = None
    config_sources: tuple[Any, ...] = ()
    num: int | None = None
    sweep: Sweep | None = None
    command: Command
    hydra: str | None = None
    id: str | None = None
    volatile: tuple[str, ...] | None = None
    """What is no part of the result, beside the defaults: see :mod:`record.volatile`."""
    output_dir: str | None = None
    """The absolute output directory while the job ran; the lock may lie elsewhere by now."""


class CodeState(Node):
    """A repository as it was: HEAD and the snapshot commit of its working tree."""

    path: str
    remote: str | None = None
    branch: str | None = None
    head: str | None
    commit: str
    tree: str
    dirty: tuple[str, ...] = ()
    completeness: str
    reasons: tuple[str, ...] = ()
    import_paths: tuple[str, ...] | None = None
    """Of a repository outside of the main one: entries of ``sys.path``, relative to its root."""

    def __post_init__(self) -> None:
        check_object_ids(self.commit, self.tree, *([] if self.head is None else [self.head]))
        check_import_paths(self.import_paths or ())

    def with_reasons(self, reasons: Iterable[str], completeness: str = PARTIAL) -> CodeState:
        """The state with further gaps named; what drifted is not merely partial."""
        new = tuple(reasons)
        if not new:
            return self
        named = tuple(dict.fromkeys((*self.reasons, *new)))
        worst = DRIFTED if DRIFTED in (self.completeness, completeness) else PARTIAL
        return replace(self, reasons=named, completeness=worst)


class DataEntry(Node):
    """An input: where the config says it is, and what was there.

    ``hash`` is DVC's object id, ``{"md5": "<md5>"}`` of a file or
    ``{"md5": "<md5>.dir"}`` of a folder; ``size`` is in bytes. A pattern has the hash of
    a folder that holds its matches alone, by their paths below ``base``. A URL has no
    hash but ``remote``: what its server says of it.
    """

    path: str
    how: str | None = None
    """``marked``; ``overridden``: the config marks its key, and another value took its place;
    ``observed``: nobody marked it, and the job read it. None in older locks: marked."""
    given: str | None = None
    """The config's own text, where ``path`` is what ``~`` or a variable in it stands for."""
    base: str | None = None
    files: tuple[str, ...] | None = None
    """Of a folder of which the job read a part: the files, relative to it, that are hashed."""
    listed: Mapping[str, str] | None = None
    """Folders in it that the job listed (``.``: itself), each with the md5 of its names."""
    hash: Mapping[str, str] | None = None
    size: int | None = None
    nfiles: int | None = None
    remote: Mapping[str, str] | None = None
    executable: tuple[str, ...] | None = None
    """What DVC's id does not hold: files that are executable, links, empty folders."""
    links: Mapping[str, str] | None = None
    empty: tuple[str, ...] | None = None
    config_key: str | None = None
    error: str | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        check_path(self.base or "")
        check_hash(self.hash)
        for name in self.files or ():
            check_path(name)

    @property
    def place(self) -> str:
        """The file or folder that holds it: the base of a pattern."""
        return self.path if self.base is None else self.base

    @property
    def parts(self) -> tuple[str, ...]:
        """What a pattern asks for below its base; empty where there is no pattern."""
        if self.base is None:
            return ()
        return PurePosixPath(self.path).parts[len(PurePosixPath(self.base).parts):]

    @property
    def is_url(self) -> bool:
        """Whether it names something that only its server has."""
        return layout.is_url(self.path)

    @property
    def md5(self) -> str | None:
        """DVC's object id, or None when the data could not be read."""
        return (self.hash or {}).get("md5")

    @property
    def identity(self) -> Json:
        """What is equal of two entries with the same data; None where nothing is known of it."""
        if self.md5 is None:
            return dict(self.remote) if self.remote is not None else None
        return [self.md5, dict(self.listed)] if self.listed else self.md5


class Unrecorded(Node):
    """What a job read and its record does not hold; ``size`` is in bytes."""

    path: str
    why: str
    config_key: str | None = None
    size: int | None = None


class Completeness(Node):
    """How much of what a job ran and read its record holds: ``exact``, or less."""

    code: str
    data: str


class CodeRef(Node):
    """The commit and tree of a predecessor's repository."""

    commit: str
    tree: str

    def __post_init__(self) -> None:
        check_object_ids(self.commit, self.tree)


class Predecessor(Node):
    """A run that this one stands on."""

    job: str
    path: str
    direct: bool
    via: tuple[str, ...] = ()
    status: str
    stale: tuple[str, ...] = ()
    """Why its record no longer held when its data was taken."""
    lock: str
    repos: Mapping[str, CodeRef] = field(default_factory=dict)
    data: Mapping[str, DataEntry] = field(default_factory=dict)
    prevs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_path(self.path)
        check_run_ids(*self.prevs)


class Environment(Node):
    """What the job ran in; ``memory`` is in bytes."""

    python: str
    implementation: str
    platform: str
    libc: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    conda: Mapping[str, str] | None = None
    lockfiles: Mapping[str, str] = field(default_factory=dict)
    cpu: Mapping[str, Any] | None = None
    memory: Mapping[str, int] | None = None
    gpu: tuple[Any, ...] = ()
    torch: Mapping[str, Any] | None = None
    container: Mapping[str, str] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


class Outputs(Node):
    """The output directory's files at job end, the lock and Hydra's log left out."""

    path: str
    hash: Mapping[str, str]
    size: int
    nfiles: int
    left_out: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    """Patterns of the files that are hashed, where not all of them are."""
    unhashed: Mapping[str, int] | None = None
    """Files too large to be hashed, and their sizes in bytes."""
    earlier: tuple[str, ...] | None = None
    """Files that an earlier run in the same folder left, and this one did not touch."""
    executable: tuple[str, ...] | None = None
    links: Mapping[str, str] | None = None
    empty: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        check_hash(self.hash)

    @property
    def md5(self) -> str:
        """DVC's object id of the folder."""
        return self.hash["md5"]

    def leaves_out(self, name: str) -> bool:
        """Whether a file's path below the folder is none that was hashed.

        The path of a folder ends with a slash: none is left out as a whole.
        """
        return is_left_out(name, (*self.left_out, *(self.unhashed or ())), self.only)


class RunLock(Node):
    """A run.lock, whole."""

    format: int = FORMAT
    run: Run
    job: Job
    config: Json = None
    unresolved: Json = None
    repos: Mapping[str, CodeState] = field(default_factory=dict)
    data: Mapping[str, DataEntry] = field(default_factory=dict)
    unrecorded: tuple[Unrecorded, ...] | None = None
    completeness: Completeness | None = None
    prevs: Mapping[str, Predecessor] = field(default_factory=dict)
    environment: Environment
    outputs: Outputs | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def parse(cls, plain: Json, where: str = "") -> RunLock:
        """Check and build, the ids of predecessors too."""
        lock = super().parse(plain, where)
        check_run_ids(*lock.prevs)
        return lock

    @property
    def code(self) -> CodeState | None:
        """The repository that the job ran from, when there was one."""
        return self.repos.get(MAIN)

    @property
    def tag(self) -> str:
        """The name of the git tag that a push gives this run."""
        return layout.tag_name(self.job.name, self.run.id)

    def _repr_html_(self) -> str:
        """What Jupyter shows: https://ipython.readthedocs.io/en/stable/config/integrating.html."""
        from flexlock_hydra.record import notebook_view  # no job needs it

        return notebook_view.html_table(notebook_view.facts(self), self.config)

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:
        """What rich shows: https://rich.readthedocs.io/en/stable/pretty.html."""
        from flexlock_hydra.record import notebook_view

        return ((name.replace(" ", "_"), text) for name, text in notebook_view.facts(self).items())


def is_left_out(name: str, names: Container[str], only: Iterable[str] | None) -> bool:
    """Whether a file of an output directory is none of the hashed ones.

    Args:
        name: its path below the directory; that of a folder ends with a slash, and no
            folder is left out as a whole.
        names: paths that are left out.
        only: patterns of the paths, or of their last parts, that are hashed; None: all.
            In them ``*`` stands for slashes too.
    """
    if name.endswith("/"):
        return False
    if name in names or layout.is_own_file(name):
        return True
    last = name.rpartition("/")[2]
    return only is not None and not any(
        fnmatchcase(name, each) or fnmatchcase(last, each) for each in only
    )


def check_status(status: str) -> None:
    """Refuse a status that is none.

    Raises:
        LockError: it is.
    """
    if status not in STATUSES:
        raise LockError(f"run.status {status!r:.60} is none of {', '.join(STATUSES)}")
