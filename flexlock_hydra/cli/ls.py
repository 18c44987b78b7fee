"""``ls --remote``."""

from __future__ import annotations

import shutil

import click

from flexlock_hydra.archive import listing
from flexlock_hydra.cli import render


@click.command("ls", short_help="List what was pushed.")
@click.option("--remote", "on_remote", is_flag=True, help="List the tags of the remotes.")
@click.option("--data-remote", metavar="R", help="Which data remote.  [as for push]")
@click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    on_remote: bool, data_remote: str | None, git_remote: str | None, as_json: bool
) -> None:
    """List what was pushed, the newest first: date, size, tag, and who pushed it.

    "no git tag": another repository's, or half deleted. "no data here": its data is on
    another data remote.
    """
    if not on_remote:
        raise click.UsageError("Say what to list: --remote")
    found = listing.ls(render.remotes(data_remote, git_remote))
    if as_json:
        render.as_json([vars(each) for each in found])
        return
    if not found:
        click.echo("no tags")
        return
    width = shutil.get_terminal_size().columns
    longest = max(len(_size(each)) for each in found)
    for each in found:
        date = each.date[:16].replace("T", " ")
        line = f"{date}  {_size(each):>{longest}}  {each.tag}"
        by = render.printable(each.by or "")
        fits = len(line) + len(by) + 2 <= width
        click.echo(f"{line}  {by}".rstrip() if fits else line)


def _size(each: listing.Listed) -> str:
    if not each.code:
        return "no git tag"
    return "no data here" if each.bytes is None else render.size(each.bytes)
