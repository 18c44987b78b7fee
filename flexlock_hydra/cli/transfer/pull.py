"""``pull TAG``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flexlock_hydra.archive.pull import pull as archive
from flexlock_hydra.archive.pull.restore_data import COPY, LINKS
from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.views import render


@click.command("pull")
@click.argument("tag", type=TAG)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="The git repository that has TAG.  [origin, else this one]",
)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A new folder, a clean repository, or what an earlier pull began.  [JOB-ID]",
)
@click.option("--worktree", is_flag=True, help="Make DIR a linked worktree of this repository.")
@click.option(
    "--link",
    metavar="HOW",
    type=click.Choice(LINKS),
    default=COPY,
    help="copy, reflink, hardlink or symlink: from the cache, or from a data remote that is a "
    "folder.  [copy]",
)
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder that keeps what was fetched, for this pull and others.",
)
@click.option(
    "--remote", metavar="R", help="Data remote, where it is not the one that TAG names."
)
@click.option(
    "--only",
    metavar="NAME",
    multiple=True,
    help="Of the data, what has this name in the lock; again for more.",
)
@click.option("--no-data", is_flag=True, help="Restore the code and the locks alone.")
@click.option("--no-outputs", is_flag=True, help="Fetch no output files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context, /, tag: str, no_data: bool, no_outputs: bool, as_json: bool, **options: Any
) -> None:
    """Restore a pushed run: code, data and locks, every byte checked.

    Exits with 1 when some data could not be restored, and names it; the same command
    again finishes what is there.
    """
    with render.progress("download", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        pulled = archive.pull(
            tag, data=not no_data, outputs=not no_outputs, progress=progress, **options
        )
    if as_json:
        render.print_json(archive.pull_document(pulled))
    else:
        if not ctx.obj["quiet"]:
            render.warn(pulled.warnings)
        click.echo(
            f"restored {pulled.tag} on branch {pulled.branch} "
            f"with {render.plural(pulled.restored, 'data file')} in"
        )
        click.echo(pulled.path)
    for reason in pulled.missing:
        click.secho(f"missing: {render.printable(reason)}", fg="red", err=True)
    ctx.exit(1 if pulled.missing else 0)
