"""``rerun RUN``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.archive.runs import find_run
from flexlock_hydra.cli import render
from flexlock_hydra.cli.names import RUN
from flexlock_hydra.replay import rerun as replay


@click.command("rerun", short_help="Run RUN again, and compare the outputs.")
@click.argument("run", type=RUN)
@click.argument("overrides", nargs=-1)
@click.option(
    "--into", metavar="DIR", type=click.Path(path_type=Path), help="The new output directory."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context, run: str, overrides: tuple[str, ...], into: Path | None, as_json: bool
) -> None:
    """Run RUN again from its recorded code, config and data, and compare the outputs.

    OVERRIDES change the job, as on its own command line. The job's own output goes to
    standard error. Exits with 1 when an output differs.
    """
    reran = replay.rerun(find_run(run), overrides, into=into)
    if as_json:
        render.as_json(replay.as_json(reran))
    else:
        click.echo(f"rerun {reran.id} in {reran.path}")
        for name in reran.differ:
            click.echo(f"differs: {name}")
        for name in reran.missing:
            click.echo(f"missing: {name}")
        if not (reran.identical or reran.differ or reran.missing):
            click.echo("no output files to compare; config, result and status are the same")
        click.echo(f"identical: {render.plural(reran.identical, 'file')}")
    ctx.exit(0 if reran.verdict == replay.IDENTICAL else 1)
