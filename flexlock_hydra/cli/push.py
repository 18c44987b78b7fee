"""``push RUN``."""

from __future__ import annotations

import click

from flexlock_hydra.archive import push as archive
from flexlock_hydra.archive.runs import find_run
from flexlock_hydra.cli import render


@click.command("push")
@click.argument("run")
@click.option("--remote", metavar="R", help="Data remote: a folder, a URL, or DVC's name of one.")
@click.option("--git-remote", metavar="G", help="Git remote to push the tag to.  [origin]")
@click.option("--no-outputs", is_flag=True, help="Leave the output files here.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(
    obj: dict[str, bool],
    run: str,
    remote: str | None,
    git_remote: str | None,
    no_outputs: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Push RUN and all that it stands on: a git tag, and the data on a DVC remote.

    The data remote is --remote, else $FLEXLOCK_REMOTE, else flexlock.remote in git's
    configuration, else flexlock/ under the project's default DVC remote, else a store in
    your data folder.
    """
    found = find_run(run)
    with render.progress("upload", quiet=obj["quiet"], in_bytes=True) as progress:
        pushed = archive.push(
            found,
            remote=remote,
            git_remote=git_remote,
            outputs=not no_outputs,
            dry_run=dry_run,
            progress=progress,
        )
    if as_json:
        render.as_json(archive.as_json(pushed))
        return
    if not obj["quiet"]:
        render.warn(pushed.warnings)
    verb = "would send" if dry_run else "sent"
    click.echo(
        f"{verb} {render.plural(pushed.sent_objects, 'object')} "
        f"({render.size(pushed.sent_bytes)}) of {pushed.objects} to {pushed.remote}"
    )
    if dry_run:
        click.echo(f"would tag {pushed.tag}")
        return
    if pushed.git_remote:
        click.echo(f"pushed the tag to {pushed.git_remote}")
    click.echo(f"\n{click.style(pushed.tag, bold=True)}\n\nrestore it with")
    for line in archive.restore_commands(pushed, found.root):
        click.echo(f"  {line}")
