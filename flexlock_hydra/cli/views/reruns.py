"""How a rerun and a reproduced tag look, and what came out of comparing their outputs."""

from __future__ import annotations

import click

from flexlock_hydra.cli.views import render
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.compare.outcome import (
    BOTH_FAILED, CLOSE, DIFFERS, RETURNED, Comparison, LeftOut
)
from flexlock_hydra.replay.rerun.reproduce import Reproduced
from flexlock_hydra.replay.rerun.result import RerunResult

_LONGEST_ERROR = 300
_NOTHING = "nothing was compared: no output files, no plain result; the status is the same"
_NO_FILES = "no output files to compare; result and status are the same"
_NAMED = 3
_LONGEST_KEY = 60


def show_rerun(reran: RerunResult) -> None:
    """A rerun, and how it compares."""
    click.echo(f"rerun {reran.run.lock.run.id} in {reran.run.folder}")
    if reran.overrides:
        click.echo(f"changed: {render.printable(' '.join(reran.overrides))}")
    if reran.failure:
        click.echo(f"the rerun {render.one_line(reran.failure, _LONGEST_ERROR)}")
        for text in reran.warned:
            click.echo(f"the recorded run warned: {render.printable(text)}")
    if made := reran.environment:
        state = "the same" if made.same else f"not the same: {some_of(made.differences)}"
        click.echo(render.printable(f"environment: {state}, in {made.folder}"))
    if written := reran.written:
        count = render.plural(len(written.files), "file")
        click.echo(
            f"not compared: {count} that it wrote outside of its output directory, "
            f"now in {written.folder}"
        )
    show_comparison(reran.comparison)


def show_reproduced(reproduced: Reproduced) -> None:
    """Where a tag was restored, each of its reruns, and the verdict on all of them."""
    click.echo(f"restored {reproduced.tag} in {reproduced.path}")
    shown = [each for run in reproduced.runs for each in (*run.steps, run)]
    for each in shown:
        show_rerun(each)
    empty = all(each.comparison.is_empty for each in shown)
    of = " (nothing was compared)" if empty else ""
    click.echo(f"verdict: {reproduced.verdict.verdict}{of}{reproduced.verdict.gaps}")


def say(text: str) -> None:
    """What the user should know before a job starts, on standard error."""
    render.warn([text])


def show_step(text: str) -> None:
    """What takes long, when it begins; nothing with ``--quiet``."""
    if not click.get_current_context().obj["quiet"]:
        click.echo(render.printable(text), err=True)


def show_comparison(compared: Comparison) -> None:
    """What differs, what is missing, what was left out; the verdict in the last line."""
    for outcome in compared.differing:
        _line("differs", str(outcome), "red")
    for name in compared.added:
        _line("differs", f"{name} (new)", "red")
    for name in compared.missing:
        _line("missing", name, "red")
    if compared.both_failed is not None:
        _line(BOTH_FAILED, render.one_line(compared.both_failed, _LONGEST_ERROR), "red")
    for outcome in compared.close:
        _line("close", str(outcome), "yellow")
    for pattern, left in compared.by_pattern().items():
        names = dict.fromkeys(render.printable(_short_key(each)) for each in left)
        click.echo(f"left out by {render.printable(pattern)}: {some_of([*names], _NAMED)}")
    count = render.plural(len(compared.identical), "file")
    if compared.verdict not in (CLOSE, DIFFERS) and not compared.identical:
        click.secho(_NOTHING if compared.is_empty else _NO_FILES, fg="yellow")
    click.echo(f"identical: {count}")
    if compared.verdict == CLOSE:
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


def _short_key(left: LeftOut) -> str:
    """Its name, with the end of a key that is long."""
    key = left.key if len(left.key) <= _LONGEST_KEY else f"…{left.key[1 - _LONGEST_KEY:]}"
    return f"{left.file}:{key}" if key else left.file
