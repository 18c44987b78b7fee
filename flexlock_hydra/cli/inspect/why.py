"""``why A B``."""

from __future__ import annotations

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render


@click.command("why", short_help="Tell why the results of two runs differ.")
@click.argument("a", type=RUN)
@click.argument("b", type=RUN)
@options.json_option
@click.pass_context
def command(ctx: click.Context, a: str, b: str, as_json: bool) -> None:
    """Tell why the results of A and B differ: the first causes, along both lineages.

    From the results back, step by step: inputs with equal contents explain nothing; those
    that differ lead to the run that made them. What differs first is named, and in which
    step. A and B may be runs of other repositories: FOLDER#RUN, or URL#TAG. Exits with 1
    when the results differ.
    """
    from flexlock_hydra.archive.pull.fetch_tag import finding
    from flexlock_hydra.cli.views.show_why import show_why
    from flexlock_hydra.replay.explain.why import why

    with finding() as find:
        found = why(find(a), find(b))
    if as_json:
        render.print_json(found.as_json())
    else:
        show_why(found)
    ctx.exit(1 if found.differs else 0)
