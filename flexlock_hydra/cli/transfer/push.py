"""``push RUN``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flexlock_hydra.archive.push import push as archive
from flexlock_hydra.archive.push.push import Pushed
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
from flexlock_hydra.archive.tag.manifest import PER_TAG, SHARED
from flexlock_hydra.archive.tag.subject import find_subject, jobs_of
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render
from flexlock_hydra.errors import PushError


@click.command("push", short_help="Push RUN: a git tag, its data on a DVC remote.")
@click.argument("run", type=RUN)
@click.option("--remote", metavar="R", help="Data remote: a folder, a URL, or DVC's name of one.")
@click.option("--git-remote", metavar="G", help="Git remote, or URL, that gets the tag.  [origin]")
@click.option(
    "--layout",
    type=click.Choice([SHARED, PER_TAG]),
    default=SHARED,
    help="One store for all tags, or one for each, below the URL.  [shared]",
)
@click.option("--branch", is_flag=True, help="Also make a branch of the tag's name.")
@click.option("--no-outputs", is_flag=True, help="Push without the output files.")
@click.option("--each", is_flag=True, help="Of a sweep: a tag for each job.")
@click.option("--drill", is_flag=True, help="Restore it from the remotes first, and compare.")
@click.option("--repair", is_flag=True, help="Read the data remote; replace what is damaged.")
@click.option("--sign", is_flag=True, help="Sign the tag as git's configuration says.")
@click.option(
    "--allow-secret",
    metavar="FILE",
    multiple=True,
    help="Let FILE go although it seems to show a secret; again for more files.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(obj: dict[str, bool], /, run: str, each: bool, as_json: bool, **options: Any) -> None:
    """Push RUN and all that it stands on: a git tag, and the data on a DVC remote.

    RUN may be a sweep: its folder or its id. The data remote is --remote, else
    $FLEXLOCK_REMOTE, else flexlock.remote in git's configuration, else flexlock/ under the
    project's default DVC remote, else a store in your data folder.
    """
    found = find_subject(run)
    if each and isinstance(found, RecordedRun):
        raise PushError(f"{run} is one run", hint="--each is for sweeps.")
    subjects = jobs_of(found) if each and isinstance(found, RecordedSweep) else (found,)
    outputs = not options.pop("no_outputs")
    pushed = []
    for subject in subjects:
        with render.progress("upload", quiet=obj["quiet"], in_bytes=True) as progress:
            done = archive.push(subject, outputs=outputs, progress=progress, **options)
        pushed.append(done)
        if not as_json:
            _show(done, _root(subject), quiet=obj["quiet"], dry_run=options["dry_run"])
    if as_json:
        documents = [archive.push_document(done) for done in pushed]
        render.print_json(documents if each else documents[0])


def _root(found: RecordedRun | RecordedSweep) -> Path:
    if isinstance(found, RecordedRun):
        return found.root
    return jobs_of(found)[0].root


def _show(pushed: Pushed, root: Path, *, quiet: bool, dry_run: bool) -> None:
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
    for line in archive.restore_commands(pushed, root):
        click.echo(f"  {line}")
