"""The judge of two files: is told what they hold, place by place, and gives the outcome."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.volatile import Volatile
from flexlock_hydra.replay.compare.outcome import (
    ABSENT, ADDRESSES, CLOSE, DIFFERS, IDENTICAL, PATHS, Deviation, Difference, LeftOut, Outcome
)
from flexlock_hydra.replay.compare.path_names import Moved, without_addresses
from flexlock_hydra.replay.compare.tolerance import EXACT, Tolerance

SAME_VALUES = "the same values in other bytes"

_SHOWN = 10  # differences of one file that are kept; the rest is counted
_BRIEF, _LONGEST_PLACE = 80, 200  # characters of a value, and of where it is, that are told
_NOUNS = {(Mapping,): "keys", (list, tuple): "items", (bytes, bytearray): "bytes"}
_BUDGET = 5_000_000  # values of one file that are looked at


class UnreadableError(Exception):
    """A file is not what its name says, or too large: it is compared in a simpler way."""


@dataclass(frozen=True)
class Rules:
    """By what rules two values count as the same: tolerance, volatile keys, moved folders."""

    tolerance: Tolerance = Tolerance()
    volatile: Volatile = Volatile()
    moved: Moved = Moved()


@dataclass
class Judge:
    """Gathers what differs between two files of one name."""

    file: str
    rules: Rules = Rules()
    budget: int = _BUDGET
    same: str = SAME_VALUES
    """What is said of files in which nothing differs, although their bytes do."""
    seen: set[tuple[int, int]] | None = None
    """Pairs of containers that were compared, where one may stand in several places."""
    _differences: list[Difference] = field(default_factory=list)
    _differing: int = 0
    _largest: Deviation | None = None
    _left_out: dict[LeftOut, None] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether everything was exactly the same so far."""
        return not (self._differing or self._largest or self._left_out)

    def inner(self, *, exact: bool = False) -> Judge:
        """A judge of a part, whose findings stand apart."""
        rules = replace(self.rules, tolerance=EXACT) if exact else self.rules
        seen = None if self.seen is None else set[tuple[int, int]]()
        return Judge(self.file, rules, self.budget, seen=seen)

    @contextmanager
    def part(self, key: str, by: str | None) -> Iterator[Judge]:
        """A judge of what stands at a key; ``by``: the pattern by which that does not count."""
        inner = self.inner(exact=by is not None)
        yield inner
        if by is None:
            self.take(inner)
        elif not inner.is_clean:
            self.leaves_out(key, by)

    def take(self, part: Judge) -> None:
        """Count what was found in a part as one's own."""
        self.budget = part.budget
        self._differences += part._differences[:_SHOWN - len(self._differences)]
        self._differing += part._differing
        self._left_out |= part._left_out
        largest = [each for each in (self._largest, part._largest) if each]
        self._largest = max(largest, key=lambda each: each.share, default=None)

    def spend(self, values: int = 1) -> None:
        """Count values that are looked at.

        Raises:
            UnreadableError: they are too many.
        """
        self.budget -= values
        if self.budget < 0:
            raise UnreadableError(f"more than {_BUDGET:,} values")

    def meets(self, old: object, new: object) -> bool:
        """Whether two containers were met before, the one in the place of the other."""
        if self.seen is None:
            return False
        pair = id(old), id(new)
        known = pair in self.seen
        self.seen.add(pair)
        return known

    def rule(self, key: str) -> str | None:
        """The pattern by which a key is no part of the result."""
        return self.rules.volatile.key(self.file, key)

    def leaves_out(self, key: str, by: str) -> None:
        """A key differs and does not count."""
        self._left_out[LeftOut(self.file, by, _cut_text(key, 0, _LONGEST_PLACE))] = None

    def stands(self, key: str, old: bool, new: bool, by: str | None, what: str = "") -> bool:
        """Whether a key, column or member is on both sides; else it is said.

        Args:
            by: the pattern by which it is no part of the result.
            what: a noun for it.
        """
        if old and new:
            return True
        if by is not None:
            self.leaves_out(key, by)
        else:
            self.differs(f"{what} {key}".strip(), *("there" if e else ABSENT for e in (old, new)))
        return False

    def size(self, where: str, old: int, new: int, noun: str) -> None:
        """Two numbers of things at one place."""
        if old != new:
            self.differs(where, f"{old} {noun}", f"{new} {noun}")

    def differs(self, where: str, old: Json, new: Json, *, count: int = 1) -> None:
        """Something is not the same; ``count`` places where there are more like it."""
        if len(self._differences) < _SHOWN:
            place = _cut_text(where, 0, _LONGEST_PLACE)
            self._differences.append(Difference(place, *shown(old, new)))
        self._differing += count

    def deviates(self, where: str, old: Any, new: Any, share: float) -> None:
        """Two numbers are not equal, and within the tolerance, of which they take a share."""
        if self._largest is None or share > self._largest.share:
            relative = float(abs(new - old) / (abs(old) or 1))
            place = _cut_text(where, 0, _LONGEST_PLACE)
            self._largest = Deviation(place, *shown(old, new), relative, share)

    def number(self, where: str, old: float, new: float) -> None:
        """Two numbers at one place."""
        share = self.rules.tolerance.share(old, new)
        if share > 1:
            self.differs(where, old, new)
        elif not (old == new or old != old):
            self.deviates(where, old, new, share)

    def text(self, where: str, old: str, new: str, key: str) -> None:
        """Two texts at one place; ``key`` is told where they name the same moved path or object."""
        if old == new:
            return
        if self.rules.moved.same(old, new):
            self.leaves_out(key, PATHS)
        elif self.rules.moved.same(without_addresses(old), without_addresses(new)):
            self.leaves_out(key, ADDRESSES)
        else:
            self.differs(where, old, new)

    def outcome(self, reason: str = "", *, file: str = "") -> Outcome:
        """The verdict; ``reason`` says how they were compared, ``file`` is another name."""
        if self._differing:
            verdict = DIFFERS
        elif self._largest is not None or not self._left_out:
            verdict = CLOSE
        else:
            verdict = IDENTICAL
        if verdict == CLOSE and self._largest is None:
            reason = reason or self.same
        return Outcome(
            file=file or self.file,
            verdict=verdict,
            differences=tuple(self._differences),
            differing=self._differing,
            largest=self._largest,
            left_out=tuple(self._left_out),
            reason=reason,
        )


def shown(old: Json, new: Json) -> tuple[Json, Json]:
    """Two values as they are told: short, and of long texts the part that differs."""
    if not (isinstance(old, str) and isinstance(new, str)):
        return _shown_value(old), _shown_value(new)
    if max(len(old), len(new)) <= _BRIEF:
        return clean(old), clean(new)
    start = max(len(os.path.commonprefix([old, new])) - 20, 0)
    return _cut_text(old, start), _cut_text(new, start)


def clean(text: str) -> str:
    """A text that UTF-8 can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown_value(value: Json) -> Json:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 200 else f"a number of {value.bit_length()} bits"
    for kinds, noun in _NOUNS.items():
        if isinstance(value, kinds):
            return f"{len(value)} {noun}"
    return _cut_text(str(value), 0)


def _cut_text(text: str, start: int, length: int = _BRIEF) -> str:
    end = start + length
    return ("…" if start else "") + clean(text[start:end]) + ("…" if end < len(text) else "")
