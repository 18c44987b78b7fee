"""How a rerun and a reproduced tag look, and what is said while they go on."""

from __future__ import annotations

import click

from flexlock_hydra.cli.views import comparison, render
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.rerun.reproduce import Reproduced
from flexlock_hydra.replay.rerun.result import RerunResult


def show_rerun(reran: RerunResult) -> None:
    """A rerun, and how it compares."""
    click.echo(f"rerun {reran.run.lock.run.id} in {reran.run.folder}")
    if reran.overrides:
        click.echo(f"changed: {render.printable(' '.join(reran.overrides))}")
    if reran.failure:
        click.echo(f"the rerun {render.one_line(reran.failure, comparison.LONGEST_ERROR)}")
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
    comparison.show_comparison(reran.comparison)


def show_reproduced(reproduced: Reproduced) -> None:
    """Where a tag was restored, each of its reruns, and the verdict on all of them."""
    click.echo(f"restored {reproduced.tag} in {reproduced.path}")
    shown = [each for run in reproduced.runs for each in (*run.steps, run)]
    for each in shown:
        show_rerun(each)
    empty = all(each.comparison.is_empty for each in shown)
    of = " (nothing was compared)" if empty else ""
    click.echo(f"verdict: {reproduced.verdict.verdict}{of}")


def say(text: str) -> None:
    """What the user should know before a job starts, on standard error."""
    render.warn([text])


def show_step(text: str) -> None:
    """What takes long, when it begins; nothing with ``--quiet``."""
    if not click.get_current_context().obj["quiet"]:
        click.echo(render.printable(text), err=True)
