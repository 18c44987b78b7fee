"""How the causes of a difference look to people: a sentence for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import click

from flexlock_hydra.cli.views import differences, render
from flexlock_hydra.replay.explain import causes
from flexlock_hydra.replay.explain.causes import Cause
from flexlock_hydra.replay.explain.why import Why

_MANY = 5  # Causes of one kind in one step that are named; more are counted


def show_why(found: Why) -> None:
    """The first causes of a difference, a line each; what is equal on the way in the last."""
    if not found.differs:
        click.echo(render.printable(f"{found.root.job}: the results are equal"))
        return
    names = _labels(found)
    said = [_sentence(cause, names[cause.runs]) for cause in _named_causes(found.causes)]
    said += _counted_causes(found.causes, names)
    equal = ", ".join(names[pair.ids] for pair in found.equal)
    verb = "is" if len(found.equal) == 1 else "are"
    end = f"{equal} {verb} equal" if equal else ""
    root = names[found.root.ids]
    if len(said) == 1:
        line = f"{root} differs because {said[0]}"
        click.echo(render.printable(f"{line}; {end}" if end else line))
        return
    click.echo(render.printable(f"{root} differs because"))
    for text in said:
        click.echo(f"  {render.printable(text)}")
    if end:
        click.echo(render.printable(end))


def _labels(found: Why) -> dict[tuple[str | None, str | None], str]:
    """A name for each step: its job, with the runs where several steps have that name."""
    pairs = {pair.ids: pair for pair in (found.root, *found.differing, *found.equal)}
    counts = Counter(pair.job for pair in pairs.values())
    return {
        ids: pair.job if counts[pair.job] == 1 else f"{pair.job} ({ids[0]}, {ids[1]})"
        for ids, pair in pairs.items()
    }


def _named_causes(found: Iterable[Cause]) -> list[Cause]:
    """The causes that are named one by one."""
    seen: Counter[tuple[object, str]] = Counter()
    few = []
    for cause in found:
        seen[cause.runs, cause.kind] += 1
        if seen[cause.runs, cause.kind] <= _MANY:
            few.append(cause)
    return few


def _counted_causes(
    found: Iterable[Cause], names: dict[tuple[str | None, str | None], str]
) -> list[str]:
    """How many more there are, by step and kind."""
    counts = Counter((cause.runs, cause.kind) for cause in found)
    return [
        f"{names[runs]}: {count - _MANY} more of its {kind} (see --json)"
        for (runs, kind), count in counts.items()
        if count > _MANY
    ]


def _sentence(cause: Cause, step: str) -> str:
    old, new, name = cause.old, cause.new, cause.name
    if cause.kind == causes.CHANCE:
        return f"{step} is not deterministic: nothing that was recorded differs"
    if cause.kind == causes.UNKNOWN:
        missing = [text for text in (old, new) if text]
        return f"{step} differs, and what in it is not known: {'; '.join(map(str, missing))}"
    if cause.kind == causes.STEP:
        return f"{step} took {name} from {old or 'no run'}, and now from {new or 'no run'}"
    if cause.kind == causes.CODE:
        what = "is new" if old is None else "is gone" if new is None else "changed"
        return f"{step}'s code {name} {what}"
    named = {causes.DATA: f"data {name}", causes.SCRIPT: "script"}.get(cause.kind, name)
    one, other = (_side_in_words(each) for each in (old, new))
    if old is None:
        return f"{step}'s {named} is new: {other}"
    if new is None:
        return f"{step}'s {named} was {one} and is gone"
    return f"{step}'s {named} was {one} and is {other}"


def _side_in_words(value: object) -> str:
    if isinstance(value, dict) and "path" in value:  # an input
        size = f", {render.size(value['size'])}" if "size" in value else ""
        known = value.get("md5") or value.get("error") or ""
        return f"{value['path']} ({str(known)[:10]}{size})"
    return differences.value(value)
