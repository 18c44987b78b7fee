"""``rm TAG``."""

from __future__ import annotations

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.views import render


@click.command("rm")
@click.argument("tag", type=TAG)
@options.data_remote_option
@options.git_remote_option
@options.yes_option
@options.json_option
def command(tag: str, remote: str | None, git_remote: str | None, yes: bool, as_json: bool) -> None:
    """Delete TAG from the remotes, and the data that no other tag needs.

    Says what would go, and deletes with --yes alone. The run's folder here stays.
    """
    from flexlock_hydra.archive.remotes import gc
    from flexlock_hydra.cli.views import transfers

    transfers.show_removal(gc.rm(render.remotes(remote, git_remote), tag, yes=yes), as_json)
