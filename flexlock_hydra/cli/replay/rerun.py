"""``rerun RUN``."""

from __future__ import annotations

from typing import Any

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render


@click.command("rerun", short_help="Run RUN again, and compare the outputs.")
@click.argument("run", type=RUN)
@click.argument("overrides", nargs=-1)
@options.into_option("The new output directory.")
@options.resolved_option
@click.option(
    "--current-code", is_flag=True, help="Run the code as it is now instead of the recorded."
)
@options.environment_options("RUN")
@options.tolerance_options
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, /, run: str, overrides: tuple[str, ...], rtol: float, atol: float,
    as_json: bool, **settings: Any,
) -> None:
    """Run RUN again from its recorded code, config and data, and compare the outputs.

    OVERRIDES change the job, as on its own command line. The job's own output goes to
    standard error. Exits with 1 when an output differs.
    """
    from flexlock_hydra.archive.runs.find import find_run
    from flexlock_hydra.cli.views import reruns
    from flexlock_hydra.replay.compare.outcome import DIFFERS
    from flexlock_hydra.replay.compare.tolerance import Tolerance
    from flexlock_hydra.replay.rerun.rerun import rerun
    from flexlock_hydra.replay.rerun.result import rerun_document

    heard = {"tolerance": Tolerance(rtol, atol), "say": reruns.say, "tell": reruns.show_step}
    reran = rerun(find_run(run), overrides, **heard, **settings)
    if as_json:
        render.print_json(rerun_document(reran))
    else:
        for each in (*reran.steps, reran):
            reruns.show_rerun(each)
    ctx.exit(1 if reran.verdict == DIFFERS else 0)
