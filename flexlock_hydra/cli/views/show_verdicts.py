"""How the verdicts on a tag look to people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from flexlock_hydra.record.verdict import VERDICTS, Verdict
from flexlock_hydra.record.wording import some_of

_FRACTION = re.compile(r"\.\d+")
_NAMED = 3
_LATEST = 10


def verdict_lines(history: Sequence[Verdict]) -> Iterator[str]:
    """How often, with what result; then each of the latest, the newest first."""
    if not history:
        return
    counts = Counter(each.verdict for each in history)
    tally = ", ".join(f"{name} {counts[name]}" for name in VERDICTS if counts[name])
    times = "once" if len(history) == 1 else f"{len(history)} times"
    yield f"{times}: {tally}"
    for each in [*reversed(history)][:_LATEST]:
        yield _verdict_line(each)
    if len(history) > _LATEST:
        yield f"and {len(history) - _LATEST} earlier: flexlock-hydra show TAG --json"


def _verdict_line(verdict: Verdict) -> str:
    where, what = verdict.where, verdict.environment
    by = f" by {where['by']}" if where.get("by") else ""
    named = f": {some_of(verdict.differ, _NAMED)}" if verdict.differ else ""
    compared = "" if any(verdict.files.values()) else " (no file was compared)"
    when = _FRACTION.sub("", verdict.when)
    return (
        f"{when} {verdict.verdict}{compared} on {where.get('host')}{by}, "
        f"{what.get('python')}, {_packages_in_words(verdict)}{named}"
    )


def _packages_in_words(verdict: Verdict) -> str:
    different = verdict.environment.get("different")
    if verdict.environment.get("same"):
        return "the same packages"
    names = list(map(str, different)) if isinstance(different, list) else []
    more = " and more" if len(names) > _NAMED else ""
    return f"other {', '.join(names[:_NAMED])}{more}" if names else "other packages"
