"""How much of what a job ran and read its record holds."""

from __future__ import annotations

from collections.abc import Iterable

from flexlock_hydra.record.model import DRIFTED, EXACT, PARTIAL, Completeness, RunLock


def judge(lock: RunLock) -> Completeness:
    """What a lock's other sections say of it: its code, and the data that the job read."""
    states = {each.completeness for each in lock.repos.values()}
    if lock.code is None:
        states.add(PARTIAL)
    unhashed = any(each.md5 is None and not each.is_url for each in lock.data.values())
    return Completeness(code=_worst(states), data=PARTIAL if unhashed or lock.unrecorded else EXACT)


def worst_of(locks: Iterable[RunLock]) -> Completeness:
    """That of several runs together; a lock that does not say it, an old one, is judged."""
    found = [lock.completeness or judge(lock) for lock in locks]
    return Completeness(
        code=_worst(each.code for each in found), data=_worst(each.data for each in found)
    )


def _worst(states: Iterable[str]) -> str:
    there = {*states}
    return next((state for state in (DRIFTED, PARTIAL) if state in there), EXACT)
