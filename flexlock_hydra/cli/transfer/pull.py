"""``pull TAG``."""

from __future__ import annotations

from typing import Any

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.views import render

_LINKS = ("copy", "reflink", "hardlink", "symlink")


@click.command("pull")
@click.argument("tag", type=TAG)
@options.source_option
@options.into_option("A new folder, a clean repository, or what an earlier pull began.  [JOB-ID]")
@click.option("--worktree", is_flag=True, help="Make DIR a linked worktree of this repository.")
@click.option(
    "--link", metavar="HOW", type=click.Choice(_LINKS), default=_LINKS[0],
    help="copy, reflink, hardlink or symlink: from the cache, or from a data remote that is a "
    "folder.  [copy]",
)
@options.cache_option
@options.other_remote_option
@click.option(
    "--only", metavar="NAME", multiple=True,
    help="Of the data, what has this name in the lock; again for more.",
)
@click.option("--no-data", is_flag=True, help="Restore the code and the locks alone.")
@click.option("--no-outputs", is_flag=True, help="Fetch no output files.")
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, /, tag: str, no_data: bool, no_outputs: bool, as_json: bool, **settings: Any
) -> None:
    """Restore a pushed run: code, data and locks, every byte checked.

    Exits with 1 when some data could not be restored, and names it; the same command
    again finishes what is there.
    """
    from flexlock_hydra.archive.pull import pull as archive
    from flexlock_hydra.cli.views import transfers

    with render.progress("download", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        pulled = archive.pull(
            tag, data=not no_data, outputs=not no_outputs, progress=progress, **settings
        )
    if as_json:
        render.print_json(archive.pull_document(pulled))
    else:
        transfers.show_pulled(pulled, quiet=ctx.obj["quiet"])
    for reason in pulled.missing:
        click.secho(f"missing: {render.printable(reason)}", fg="red", err=True)
    ctx.exit(1 if pulled.missing else 0)
