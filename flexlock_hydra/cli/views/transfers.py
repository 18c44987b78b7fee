"""How a push, a pull, a deletion and the tags on the remotes look to people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flexlock_hydra.cli.views import render
from flexlock_hydra.record.model import PARTIAL
from flexlock_hydra.record.wording import some_of

if TYPE_CHECKING:
    from flexlock_hydra.archive.pull.pull import Pulled
    from flexlock_hydra.archive.push.push import Pushed
    from flexlock_hydra.archive.remotes.gc import Removal
    from flexlock_hydra.archive.remotes.project import ListedTag

_NAMED = 3


def show_pushed(pushed: Pushed, root: Path, *, quiet: bool, dry_run: bool) -> None:
    """What was sent where, the tag, and how it is restored."""
    from flexlock_hydra.archive.push.push import restore_commands

    if pushed.completeness.data == PARTIAL:
        names = render.printable(some_of(pushed.unrecorded, _NAMED))
        click.echo(f"data partial: the run read what its record does not hold: {names}")
    if pushed.later:
        names = render.printable(some_of(pushed.later, _NAMED))
        click.echo(f"later version: the run changed it, and what it read is not kept: {names}")
    if not quiet:
        render.warn(pushed.warnings)
    verb = "would send" if dry_run else "sent"
    click.echo(
        f"{verb} {render.plural(pushed.sent_objects, 'object')} "
        f"({render.size(pushed.sent_bytes)}) of {pushed.objects} to {pushed.remote}"
    )
    if dry_run:
        click.echo(f"would tag {pushed.tag}")
        return
    if pushed.drilled is not None:
        click.echo(f"the drill restored {render.plural(pushed.drilled, 'file')}, all as recorded")
    if pushed.git_remote:
        click.echo(f"pushed the tag to {pushed.git_remote}")
    click.echo(f"\n{click.style(pushed.tag, bold=True)}\n\nrestore it with")
    for line in restore_commands(pushed, root):
        click.echo(f"  {line}")


def show_pulled(pulled: Pulled, *, quiet: bool) -> None:
    """Where a tag was restored, and with how much data."""
    if not quiet:
        render.warn(pulled.warnings)
    click.echo(
        f"restored {pulled.tag} on branch {pulled.branch} "
        f"with {render.plural(pulled.restored, 'data file')} in"
    )
    click.echo(pulled.path)


def show_removal(found: Removal, as_json: bool) -> None:
    """What a deletion took away, or would: of the tags and of the objects."""
    if as_json:
        render.print_json(vars(found))
        return
    verb = "deleted" if found.done else "would delete"
    for tag in found.tags:
        click.echo(f"{verb} {tag}")
    objects = f"{render.plural(found.objects, 'object')} ({render.size(found.bytes)})"
    click.echo(f"{verb} {objects} on {found.remote}")
    render.warn(found.kept)
    if not found.done and (found.tags or found.objects):
        click.echo("nothing was deleted; --yes does it")


def show_tags(found: Sequence[ListedTag]) -> None:
    """A line for each tag on the remotes: date, size, name, and who pushed it if that fits."""
    if not found:
        click.echo("no tags")
        return
    longest = max(len(_size_or_lack(each)) for each in found)
    for each in found:
        date = each.date[:16].replace("T", " ")
        line = f"{date}  {_size_or_lack(each):>{longest}}  {each.tag}"
        by = render.printable(each.by or "")
        fits = len(line) + len(by) + 2 <= render.columns()
        click.echo(f"{line}  {by}".rstrip() if fits else line)


def _size_or_lack(each: ListedTag) -> str:
    if not each.code:
        return "no git tag"
    return "no data here" if each.bytes is None else render.size(each.bytes)
