"""``rerun RUN``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.archive.runs import find_run
from flexlock_hydra.cli import compared, render
from flexlock_hydra.replay import rerun as replay
from flexlock_hydra.replay.tolerance import Tolerance


@click.command("rerun", short_help="Run RUN again, and compare the outputs.")
@click.argument("run")
@click.argument("overrides", nargs=-1)
@click.option(
    "--into", metavar="DIR", type=click.Path(path_type=Path), help="The new output directory."
)
@compared.tolerance_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    run: str,
    overrides: tuple[str, ...],
    into: Path | None,
    rtol: float,
    atol: float,
    as_json: bool,
) -> None:
    """Run RUN again from its recorded code, config and data, and compare the outputs.

    OVERRIDES change the job, as on its own command line. The job's own output goes to
    standard error. Exits with 1 when an output differs.
    """
    tolerance = Tolerance(rtol, atol)
    reran = replay.rerun(find_run(run), overrides, into=into, tolerance=tolerance)
    if as_json:
        render.as_json(replay.as_json(reran))
    else:
        click.echo(f"rerun {reran.id} in {reran.path}")
        compared.show(reran.comparison)
    ctx.exit(compared.exit_code(reran.comparison))
