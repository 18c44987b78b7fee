"""How a comparison of two runs looks."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flexlock_hydra.cli.views import render
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.compare.outcome import (
    BOTH_FAILED,
    CLOSE,
    DIFFERS,
    RETURNED,
    Comparison,
    LeftOut,
)

LONGEST_ERROR = 300
_NOTHING = "nothing was compared: no output files, no plain result; the status is the same"
_NO_FILES = "no output files to compare; result and status are the same"
_NAMED = 3
_LONGEST_KEY = 60


def show_comparison(compared: Comparison) -> None:
    """What differs, what is missing, what was left out; the verdict in the last line."""
    for outcome in compared.differing:
        _line("differs", str(outcome), "red")
    for name in compared.added:
        _line("differs", f"{name} (new)", "red")
    for name in compared.missing:
        _line("missing", name, "red")
    if compared.both_failed is not None:
        _line(BOTH_FAILED, render.one_line(compared.both_failed, LONGEST_ERROR), "red")
    for outcome in compared.close:
        _line("close", str(outcome), "yellow")
    for pattern, left in compared.by_pattern().items():
        click.echo(f"left out by {render.printable(pattern)}: {_left_out_names(left)}")
    count = render.plural(len(compared.identical), "file")
    if compared.verdict != CLOSE:
        if compared.verdict != DIFFERS and not compared.identical:
            click.secho(_NOTHING if compared.is_empty else _NO_FILES, fg="yellow")
        click.echo(f"identical: {count}")
    else:
        click.echo(f"identical: {count}")
        click.echo(_closeness(compared))


def _line(word: str, text: str, colour: str) -> None:
    click.echo(f"{click.style(word, fg=colour)}: {render.printable(text)}")


def _closeness(compared: Comparison) -> str:
    files = sum(each.file != RETURNED for each in compared.close)
    named = [render.plural(files, "file")] if files else []
    named += [RETURNED] if files < len(compared.close) else []
    line = f"close: {' and '.join(named)} within {compared.tolerance}"
    if compared.largest is None:
        return f"{line} (no number deviates)"
    file, deviation = compared.largest
    place = render.printable(f"{file}: {deviation.where}" if deviation.where else file)
    return f"{line} (largest deviation {deviation.relative:.2g} of {place})"


def _left_out_names(left: Sequence[LeftOut]) -> str:
    return some_of([*dict.fromkeys(render.printable(_short_key(each)) for each in left)], _NAMED)


def _short_key(left: LeftOut) -> str:
    """Its name, with the end of a key that is long."""
    key = left.key if len(left.key) <= _LONGEST_KEY else f"…{left.key[1 - _LONGEST_KEY:]}"
    return f"{left.file}:{key}" if key else left.file
