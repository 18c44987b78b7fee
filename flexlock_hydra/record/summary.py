"""Of a run.lock, what other records take from it, read without the rest.

Config and environment are most of a lock's bytes, and YAML costs about 0.4 ms a kilobyte.
A lock in the form that this package writes is therefore cut at its keys first, and only
the wanted pieces are parsed. A lock of any other form is read whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flexlock_hydra.errors import LockError
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.codec import Json, Node, NodeT, decode, field_order
from flexlock_hydra.record.model import (
    DRIFTED, EXACT, PARTIAL, RUNNING, CodeState, Completeness, DataEntry, Outputs, Overrides,
    Predecessor, Process, RunLock, Sweep, check_status
)
from flexlock_hydra.record.validate import check_run_ids

_TOP = re.compile(rb"\n([^\s-][^:\n]*)")
_INNER = re.compile(rb"\n  ([^\s-][^:\n]*)")
_KEYS = (*field_order(RunLock),)
_OPTIONAL = frozenset({"config", "unresolved", "unrecorded", "completeness", "outputs"})
_RUN_KEYS = frozenset({"id", "status", "started", "ended"})
_JOB_KEYS = frozenset({"name"})
_MORE_RUN_KEYS = _RUN_KEYS | {"duration", "result"}
_MORE_JOB_KEYS = _JOB_KEYS | {"overrides", "num", "sweep"}


class RunSummary(Node):
    """Of a run, what others say of it; ``process`` where it may still live."""

    id: str
    status: str
    started: str
    ended: str | None = None
    duration: float | None = None
    process: Process | None = None
    result: Json = None

    def __post_init__(self) -> None:
        check_run_ids(self.id, where="run.id ")
        check_status(self.status)


class JobSummary(Node):
    """Of a job, what others say of it."""

    name: str
    overrides: Overrides = field(default_factory=Overrides)
    num: int | None = None
    sweep: Sweep | None = None


@dataclass(frozen=True, kw_only=True)
class LockSummary:
    """The sections of a lock that lineage and sweeps need."""

    run: RunSummary
    job: JobSummary
    repos: Mapping[str, CodeState]
    data: Mapping[str, DataEntry]
    prevs: Mapping[str, Predecessor]
    outputs: Outputs | None


def parse_summary(content: bytes, where: str = "run.lock", *, more: bool = False) -> LockSummary:
    """The summary of a lock; ``more`` of the job's number, overrides, duration and result.

    Raises:
        LockError: as reading the whole lock does. Damage in a section that is not needed
            goes unnoticed.
    """
    try:
        return _of_pieces(cut(content), more)
    except (LockError, *lockfile.YAML_ERRORS):  # its own words come from reading it whole
        return _of_lock(lockfile.parse_lock(content, where))


def _of_pieces(pieces: Mapping[str, bytes], more: bool) -> LockSummary:
    run_keys, job_keys = (_MORE_RUN_KEYS, _MORE_JOB_KEYS) if more else (_RUN_KEYS, _JOB_KEYS)
    head = head_of(pieces, run_keys, job_keys)
    plain = lockfile.load_plain(head + pieces.get("outputs", b""))
    return LockSummary(
        run=RunSummary.parse(plain["run"], "run"),
        job=JobSummary.parse(plain["job"], "job"),
        repos=_nodes(CodeState, _body(pieces["repos"])),
        data=_nodes(DataEntry, _body(pieces["data"])),
        prevs=_prevs(_body(pieces["prevs"])),
        outputs=decode(Outputs | None, plain.get("outputs"), "outputs"),
    )


def _of_lock(lock: RunLock) -> LockSummary:
    return LockSummary(
        run=part_of(RunSummary, lock.run),
        job=part_of(JobSummary, lock.job),
        repos=lock.repos,
        data=lock.data,
        prevs=lock.prevs,
        outputs=lock.outputs,
    )


def part_of(kind: type[NodeT], whole: Node) -> NodeT:
    """A node of a kind that has some of another's fields."""
    part: Any = kind
    return kind(**{name: getattr(whole, name) for name in field_order(part)})


def cut(content: bytes) -> dict[str, bytes]:
    """Top-level key -> its lines.

    Raises:
        ValueError: the keys are not those that this package writes, in that order.
    """
    pieces = _pieces(b"\n" + content, _TOP)
    expected = [key for key in _KEYS if key in pieces or key not in _OPTIONAL]
    if list(pieces) != expected:
        raise ValueError("other keys")
    return pieces


def _pieces(text: bytes, key: re.Pattern[bytes]) -> dict[str, bytes]:
    """Key -> its lines, of a block mapping; ``text`` starts with a line break."""
    marks = [(match[1].decode(), match.start() + 1) for match in key.finditer(text)]
    ends = [start for _, start in marks[1:]] + [len(text)]
    pieces = {name: text[start:end] for (name, start), end in zip(marks, ends)}
    if len(pieces) != len(marks):
        raise ValueError("a key stands twice")
    return pieces


def head_of(pieces: Mapping[str, bytes], run: frozenset[str], job: frozenset[str]) -> bytes:
    """The lines of a lock's format, and of its run and job those of some keys.

    Of a run that says it is running the process as well: by it others judge if it still is.
    """
    if f"status: {RUNNING}".encode() in pieces["run"]:
        run |= {"process"}
    return pieces["format"] + _with_keys(pieces["run"], run) + _with_keys(pieces["job"], job)


def _with_keys(section: bytes, wanted: frozenset[str]) -> bytes:
    """A section with some of its keys alone."""
    head, _, body = section.partition(b"\n")
    pieces = _pieces(b"\n" + body, _INNER)
    return b"".join([head, b"\n", *(lines for key, lines in pieces.items() if key in wanted)])


def _body(section: bytes) -> bytes:
    """The lines below a section's key; none of an empty mapping."""
    head, _, body = section.partition(b"\n")
    if not body.strip() and head.endswith(b" {}"):
        return b""
    if not head.endswith(b":"):
        raise ValueError("a section of another form")
    return body


def _prevs(body: bytes) -> dict[str, Predecessor]:
    """The graph, an entry at a time: locks that share an ancestor share the parsed entry."""
    nodes: dict[str, Predecessor] = {}
    for lines in _pieces(b"\n" + body, _INNER).values():
        nodes |= _nodes(Predecessor, lines)
    check_run_ids(*nodes)
    return nodes


@lru_cache(maxsize=512)
def _nodes(kind: type[NodeT], lines: bytes) -> Mapping[str, NodeT]:
    """A mapping of nodes; the jobs of a sweep write the same lines again and again."""
    plain: Json = lockfile.load_yaml(lines) if lines else {}
    if not isinstance(plain, dict):
        raise ValueError("a section of another form")
    return {str(key): kind.parse(item, str(key)) for key, item in plain.items()}


def judge_completeness(lock: RunLock) -> Completeness:
    """What a lock's other sections say of it: its code, and the data that the job read."""
    states = {each.completeness for each in lock.repos.values()}
    if lock.code is None:
        states.add(PARTIAL)
    unhashed = any(each.md5 is None and not each.is_url for each in lock.data.values())
    return Completeness(code=_worst(states), data=PARTIAL if unhashed or lock.unrecorded else EXACT)


def worst_of(locks: Iterable[RunLock]) -> Completeness:
    """That of several runs together; a lock that does not say it, an old one, is judged."""
    found = [lock.completeness or judge_completeness(lock) for lock in locks]
    return Completeness(
        code=_worst(each.code for each in found), data=_worst(each.data for each in found)
    )


def _worst(states: Iterable[str]) -> str:
    there = {*states}
    return next((state for state in (DRIFTED, PARTIAL) if state in there), EXACT)
