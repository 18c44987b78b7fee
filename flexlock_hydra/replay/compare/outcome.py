"""What a comparison found: of one file, and of two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.record.codec import Json
from flexlock_hydra.replay.compare.tolerance import Tolerance

IDENTICAL = "identical"
CLOSE = "close"
DIFFERS = "differs"

_ORDER = (IDENTICAL, CLOSE, DIFFERS)

RETURNED = "the returned result"
STATUS = "the status"
ERROR = "the error"
BOTH_FAILED = "both failed"

ABSENT = "absent"
"""Shown for a key, column or member that one side does not have."""

PATHS = "paths"
"""Told as the reason why texts count as equal that name the runs' own folders."""
ADDRESSES = "addresses"
"""Told as the reason why texts count as equal that name Python's objects by their addresses."""


@dataclass(frozen=True)
class Difference:
    """A place in a file, what it held in the recorded run and what now, cut to a line."""

    where: str
    old: Json
    new: Json

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        old, new = str(self.old), str(self.new)
        if old == new:  # the text 1 and the number 1
            old, new = repr(self.old), repr(self.new)
        return f"{place}{old}, now {new}"


@dataclass(frozen=True)
class Deviation(Difference):
    """Two numbers within the tolerance; ``relative`` is their distance by the recorded one.

    ``share`` says how much of what is allowed it takes.
    """

    relative: float
    share: float


@dataclass(frozen=True)
class LeftOut:
    """What was not compared, or differs and does not count, and the pattern that says so.

    ``key`` is empty where it is a whole file; ``[]`` in it stands for any item of a list.
    """

    file: str
    by: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.key}" if self.key else self.file


@dataclass(frozen=True)
class Outcome:
    """Two files of one name, whose bytes differ.

    Args:
        differences: the first few; ``differing`` says how many places differ.
        largest: the deviation that takes most of the tolerance.
        reason: how it was compared, where that is not by its values.
    """

    file: str
    verdict: str
    differences: tuple[Difference, ...] = ()
    differing: int = 0
    largest: Deviation | None = None
    left_out: tuple[LeftOut, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        said = ": ".join([self.file, *map(str, self._places[:1])])
        more = f" (and {self.differing - 1} more)" if self.differing > 1 else ""
        return f"{said}{more}" + (f" ({self.reason})" if self.reason else "")

    @property
    def _places(self) -> tuple[Difference, ...]:
        return self.differences or ((self.largest,) if self.largest else ())

    def details(self) -> Iterator[dict[str, Json]]:
        """Each place that is known, as plain data."""
        for each in self._places:
            plain = {"file": self.file, "where": each.where, "old": each.old, "new": each.new}
            if isinstance(each, Deviation):
                plain["relative"] = each.relative
            yield plain | ({"reason": self.reason} if self.reason else {})
        if self.reason and not self._places:
            yield {"file": self.file, "where": "", "old": None, "new": None, "reason": self.reason}


@dataclass(frozen=True)
class Comparison:
    """The outputs and the returned result of a run, beside those of another.

    Args:
        identical: files whose bytes are equal, or whose values are but for what is left out.
        close: files whose numbers are within the tolerance, or whose bytes alone differ.
        missing, added: files that one of the runs alone has.
        both_failed: the error, where both runs ended with the same one. What failed has no
            result, so the verdict is ``differs`` whatever the files are.
        returned: whether either task returned anything.
    """

    tolerance: Tolerance
    identical: tuple[str, ...] = ()
    close: tuple[Outcome, ...] = ()
    differing: tuple[Outcome, ...] = ()
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    both_failed: str | None = None
    returned: bool = True

    @property
    def verdict(self) -> str:
        """``identical``, ``close`` or ``differs``."""
        if self.differing or self.missing or self.added or self.both_failed is not None:
            return DIFFERS
        return CLOSE if self.close else IDENTICAL

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing to compare but how the two runs ended."""
        files = (*self.identical, *self.close, *self.differing, *self.missing, *self.added)
        return not (files or self.returned)

    @property
    def largest(self) -> tuple[str, Deviation] | None:
        """The file with the largest deviation, and that."""
        found = [(each.file, each.largest) for each in self.close if each.largest]
        return max(found, key=lambda pair: pair[1].share, default=None)

    @property
    def differ(self) -> tuple[str, ...]:
        """What differs, by name."""
        named = (str(each) if each.file == STATUS else each.file for each in self.differing)
        failed = [BOTH_FAILED] if self.both_failed is not None else []
        return (*named, *(f"{name} (new)" for name in self.added), *failed)

    def by_pattern(self) -> dict[str, list[LeftOut]]:
        """What is left out, by the pattern that says so."""
        found: dict[str, list[LeftOut]] = {}
        for each in self.left_out:
            found.setdefault(each.by, []).append(each)
        return found

    def as_json(self) -> Mapping[str, Any]:
        """The keys of a command's JSON document."""
        failed = {} if self.both_failed is None else {"both_failed": self.both_failed}
        return {
            "identical": len(self.identical),
            "differ": list(self.differ),
            "missing": list(self.missing),
            "verdict": self.verdict,
            "close": [each.file for each in self.close],
            "left_out": [vars(each) for each in self.left_out],
            "tolerance": vars(self.tolerance),
            "details": [line for each in (*self.differing, *self.close) for line in each.details()],
            **failed,
        }


def worst(*verdicts: str) -> str:
    """The verdict on several runs: the one that is furthest from ``identical``."""
    return max(verdicts, key=_ORDER.index)
