"""``diff A B``."""

from __future__ import annotations

import click

from flexlock_hydra.archive.runs import find_run
from flexlock_hydra.cli import render
from flexlock_hydra.cli.names import RUN
from flexlock_hydra.replay import diff as replay


@click.command("diff", short_help="Compare two runs.")
@click.argument("a", type=RUN)
@click.argument("b", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(ctx: click.Context, a: str, b: str, as_json: bool) -> None:
    """Compare two runs: config, code, data, environment, result, outputs.

    Exits with 1 when they differ.
    """
    sections = replay.diff(find_run(a), find_run(b))
    if as_json:
        render.as_json(replay.as_json(sections))
    else:
        for name, section in sections.items():
            _section(name, section)
    ctx.exit(1 if any(sections.values()) else 0)


def _section(name: str, section: replay.Section) -> None:
    if not section:
        click.echo(f"{name}: equal")
        return
    click.secho(name, bold=True)
    for key, change in section.changed.items():
        click.echo(f"  ~ {key}: {render.brief(change.old)} -> {render.brief(change.new)}")
    for key, value in section.removed.items():
        click.echo(f"  - {key}: {render.brief(value)}")
    for key, value in section.added.items():
        click.echo(f"  + {key}: {render.brief(value)}")
