"""``rerun RUN``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import comparison, render
from flexlock_hydra.record.wording import some_of
from flexlock_hydra.replay.compare.outcome import DIFFERS
from flexlock_hydra.replay.compare.tolerance import Tolerance
from flexlock_hydra.replay.rerun import rerun as replay
from flexlock_hydra.replay.rerun.result import RerunResult, rerun_document


@click.command("rerun", short_help="Run RUN again, and compare the outputs.")
@click.argument("run", type=RUN)
@click.argument("overrides", nargs=-1)
@click.option(
    "--into", metavar="DIR", type=click.Path(path_type=Path), help="The new output directory."
)
@click.option(
    "--resolved", is_flag=True, help="Run from the resolved config: no resolver is called."
)
@click.option(
    "--current-code", is_flag=True, help="Run the code as it is now instead of the recorded."
)
@click.option(
    "--python",
    metavar="P",
    help="The interpreter, or the folder of its environment.  [this one]",
)
@click.option(
    "--env", is_flag=True, help="Make the recorded environment again by uv, and run in it."
)
@click.option(
    "--with-prevs",
    is_flag=True,
    help="Run what RUN stands on again before, each step from the new output of the one before.",
)
@comparison.tolerance_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    run: str,
    overrides: tuple[str, ...],
    rtol: float,
    atol: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Run RUN again from its recorded code, config and data, and compare the outputs.

    OVERRIDES change the job, as on its own command line. The job's own output goes to
    standard error. Exits with 1 when an output differs.
    """
    tolerance = Tolerance(rtol, atol)
    reran = replay.rerun(
        find_run(run), overrides, tolerance=tolerance, say=say, tell=show_step, **options
    )
    if as_json:
        render.print_json(rerun_document(reran))
    else:
        for each in (*reran.steps, reran):
            show_rerun(each)
    ctx.exit(1 if reran.verdict == DIFFERS else 0)


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


def say(text: str) -> None:
    """What the user should know before a job starts."""
    render.warn([text])


def show_step(text: str) -> None:
    """What takes long, when it begins."""
    if not click.get_current_context().obj["quiet"]:
        click.echo(render.printable(text), err=True)
