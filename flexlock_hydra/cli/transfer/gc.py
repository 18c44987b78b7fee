"""``gc``."""

from __future__ import annotations

import re

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.views import render

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", value)
    if match is None:
        raise click.BadParameter("a time, as 12h or 7d")
    return float(match[1]) * _UNITS[match[2]]


@click.command("gc")
@click.option(
    "--keep", metavar="PATTERN", multiple=True, help="Tags, jobs or ids that stay.  [all]"
)
@click.option(
    "--min-age", metavar="TIME", default="1d", callback=_seconds, help="Younger objects stay.  [1d]"
)
@options.data_remote_option
@options.git_remote_option
@options.yes_option
@options.json_option
def command(
    keep: tuple[str, ...], min_age: float, remote: str | None, git_remote: str | None, yes: bool,
    as_json: bool,
) -> None:
    """Delete the objects of the data remote that no tag needs.

    With --keep, tags of the git remote that fit no PATTERN go too, with their data. Tags of
    other repositories on the same data remote always stay. Says what would go, and deletes
    with --yes alone.
    """
    from flexlock_hydra.archive.remotes import gc
    from flexlock_hydra.cli.views import transfers

    found = gc.gc(render.remotes(remote, git_remote), keep=keep, min_age=min_age, yes=yes)
    transfers.show_removal(found, as_json)
