"""``verify TAG --remote``."""

from __future__ import annotations

import click

from flexlock_hydra.archive import verify as archive
from flexlock_hydra.cli import render
from flexlock_hydra.cli.names import TAG


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    if value is None:
        return 0.0
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise click.BadParameter("a share of the data, as 5%")
    return share


@click.command("verify")
@click.argument("tag", type=TAG)
@click.option("--remote", "on_remote", is_flag=True, help="Ask the remotes.")
@click.option(
    "--read-data", "share", metavar="5%", callback=_share, help="Read so much back and hash it."
)
@click.option("--full", is_flag=True, help="Read all of it back.")
@click.option("--data-remote", metavar="R", help="Where the manifest is.  [as for push]")
@click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    tag: str,
    on_remote: bool,
    share: float,
    full: bool,
    data_remote: str | None,
    git_remote: str | None,
    as_json: bool,
) -> None:
    """Ask the remotes for everything that TAG needs.

    Each object must be there with its size; --read-data reads some back and hashes them.
    What is missing or damaged is named, a line each. Exits with 1 when anything is.
    """
    if not on_remote:
        raise click.UsageError("Say what to verify: --remote")
    remotes = render.remotes(data_remote, git_remote)
    with render.progress("read back", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        checks = archive.verify(remotes, tag, share=1.0 if full else share, progress=progress)
    wrong = [check for check in checks if not check.ok]
    if as_json:
        render.as_json({"checks": [vars(check) for check in checks]})
    else:
        for check in wrong:
            click.secho(render.printable(f"{check.name}: {check.reason}"), fg="red")
        if not wrong:
            click.echo(f"verified: {checks[-1].name}")
    ctx.exit(1 if wrong else 0)
