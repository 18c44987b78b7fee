"""``pull TAG``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.archive import pull as archive
from flexlock_hydra.cli import render


@click.command("pull")
@click.argument("tag")
@click.option("--from", "source", metavar="URL", help="Git URL or folder that has the tag.")
@click.option(
    "--into", metavar="DIR", type=click.Path(path_type=Path), help="A new or empty folder."
)
@click.option("--worktree", is_flag=True, help="Make a linked worktree of this repository.")
@click.option("--no-data", is_flag=True, help="Restore the code and the locks alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    tag: str,
    source: str | None,
    into: Path | None,
    worktree: bool,
    no_data: bool,
    as_json: bool,
) -> None:
    """Restore a pushed run: code, data and locks, every byte checked.

    Exits with 1 when some data could not be restored, and names it.
    """
    with render.progress("download", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        pulled = archive.pull(
            tag,
            source=source,
            into=into,
            worktree=worktree,
            data=not no_data,
            progress=progress,
        )
    if as_json:
        render.as_json(archive.as_json(pulled))
    else:
        click.echo(
            f"restored {pulled.tag} on branch {pulled.branch} "
            f"with {render.plural(pulled.restored, 'data file')} in"
        )
        click.echo(pulled.path)
    for reason in pulled.missing:
        click.secho(f"missing: {reason}", fg="red", err=True)
    ctx.exit(1 if pulled.missing else 0)
