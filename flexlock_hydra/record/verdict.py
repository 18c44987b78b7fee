"""A verdict on a pushed run: what came of it when it was reproduced, where and in what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.model import EXACT
from flexlock_hydra.record.wording import some_of

T = TypeVar("T")

VERDICTS = ("identical", "close", "differs")
_LONGEST = 1 << 16  # Characters of a line above which it is none of ours


@dataclass(frozen=True)
class Verdict:
    """One line of the note on a tag.

    Args:
        tag: the tag, ``flexlock/<job>/<run id>``.
        when: ISO 8601, UTC.
        where: ``host``, ``platform``, and ``by`` as git knows the user.
        environment: ``python``, ``implementation``, ``packages`` (a hash over all of them),
            ``same`` (whether they are the recorded ones) and, if not, some names that differ.
        verdict: ``identical``, ``close`` or ``differs``.
        files: how many were ``identical``, ``close``, ``differ`` or ``missing``.
        differ: names of what differs or is missing, the first ones.
        tolerance: ``rtol`` and ``atol``, by which numbers count as close.
        completeness: how much of the run was recorded, ``code`` and ``data``.
        later: files that the rerun read as the recorded run left them, not as it had read them.
    """

    tag: str
    when: str
    where: Mapping[str, Json]
    environment: Mapping[str, Json]
    verdict: str
    files: Mapping[str, Json] = field(default_factory=dict)
    differ: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    tolerance: Mapping[str, Json] = field(default_factory=dict)
    completeness: Mapping[str, Json] = field(default_factory=dict)
    later: tuple[str, ...] = ()

    @property
    def gaps(self) -> str:
        """What the record of the run lacks, to be said behind the verdict; empty for nothing."""
        lacking = [f"{what} {how}" for what, how in self.completeness.items() if how != EXACT]
        said = f", recorded in part: {', '.join(lacking)}" if lacking else ""
        return f"{said}, with the later version of {some_of(self.later)}" if self.later else said

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a command's JSON document shows it."""
        return {**vars(self), "differ": list(self.differ), "left_out": list(self.left_out),
                "later": list(self.later)}

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))


def parse_verdict(line: str) -> Verdict | None:
    """The verdict of a line; None where it is none: others write to the same ref."""
    if len(line) > _LONGEST:
        return None
    try:
        said = json.loads(line)
        found = Verdict(
            tag=_require(str, said["tag"]),
            when=_require(str, said["when"]),
            where=_require(dict, said["where"]),
            environment=_require(dict, said["environment"]),
            verdict=_require(str, said["verdict"]),
            files=_require(dict, said["files"]),
            differ=tuple(_require(str, each) for each in said["differ"]),
            left_out=tuple(_require(str, each) for each in said["left_out"]),
            tolerance=_require(dict, said["tolerance"]),
            completeness=_require(dict, said.get("completeness", {})),
            later=tuple(_require(str, each) for each in said.get("later", ())),
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if found.verdict in VERDICTS else None


def _require(kind: type[T], value: Any) -> T:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
