"""``graph RUN``."""

from __future__ import annotations

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import drawing, render


@click.command("graph", short_help="Draw what RUN stands on.")
@click.argument("run", type=RUN)
@click.option(
    "--format", "how", metavar="HOW", type=click.Choice(list(drawing.FORMATS)), default="tree",
    help="tree, mermaid, dot or svg.  [tree]",
)
@options.json_option
def command(run: str, how: str, as_json: bool) -> None:
    """Draw what RUN stands on: the runs before it, and the data that no run made.

    tree is for a terminal; mermaid stands in a README of GitHub or GitLab; dot is for
    Graphviz; svg needs no program.
    """
    from flexlock_hydra.archive.pull.fetch_tag import finding
    from flexlock_hydra.replay.explain.graph import graph_of

    with finding() as find:
        graph = graph_of(find(run))
    if as_json:
        render.print_json(graph.as_json())
    else:
        click.echo(drawing.FORMATS[how](graph), nl=False)
