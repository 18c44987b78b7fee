"""``rm TAG``."""

from __future__ import annotations

import click

from flexlock_hydra.archive.remotes import gc
from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.views import render


@click.command("rm")
@click.argument("tag", type=TAG)
@click.option("--remote", metavar="R", help="Which data remote.  [as for push]")
@click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")
@click.option("--yes", is_flag=True, help="Really delete.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    tag: str, remote: str | None, git_remote: str | None, yes: bool, as_json: bool
) -> None:
    """Delete TAG from the remotes, and the data that no other tag needs.

    Says what would go, and deletes with --yes alone. The run's folder here stays.
    """
    render.removal(gc.rm(render.remotes(remote, git_remote), tag, yes=yes), as_json)
