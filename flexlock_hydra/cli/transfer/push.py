"""``push RUN``."""

from __future__ import annotations

from typing import Any

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render

_LAYOUTS = ("shared", "tag")


@click.command("push", short_help="Push RUN: a git tag, its data on a DVC remote.")
@click.argument("run", type=RUN)
@click.option("--remote", metavar="R", help="Data remote: a folder, a URL, or DVC's name of one.")
@click.option("--git-remote", metavar="G", help="Git remote, or URL, that gets the tag.  [origin]")
@click.option(
    "--layout", type=click.Choice(_LAYOUTS), default=_LAYOUTS[0],
    help="One store for all tags, or one for each, below the URL.  [shared]",
)
@click.option("--branch", is_flag=True, help="Also make a branch of the tag's name.")
@click.option("--no-outputs", is_flag=True, help="Push without the output files.")
@click.option("--each", is_flag=True, help="Of a sweep: a tag for each job.")
@click.option("--drill", is_flag=True, help="Restore it from the remotes first, and compare.")
@click.option("--repair", is_flag=True, help="Read the data remote; replace what is damaged.")
@click.option("--sign", is_flag=True, help="Sign the tag as git's configuration says.")
@click.option(
    "--allow-secret", metavar="FILE", multiple=True,
    help="Let FILE go although it seems to show a secret; again for more files.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent; write nothing.")
@options.json_option
@click.pass_obj
def command(obj: dict[str, bool], /, run: str, each: bool, as_json: bool, **settings: Any) -> None:
    """Push RUN and all that it stands on: a git tag, and the data on a DVC remote.

    RUN may be a sweep: its folder or its id. The data remote is --remote, else
    $FLEXLOCK_REMOTE, else flexlock.remote in git's configuration, else flexlock/ under the
    project's default DVC remote, else a store in your data folder.
    """
    from flexlock_hydra.archive.push import push as archive
    from flexlock_hydra.archive.runs.recorded_run import RecordedSweep
    from flexlock_hydra.archive.tag.subject import find_subject, jobs_of
    from flexlock_hydra.cli.views import transfers
    from flexlock_hydra.errors import PushError

    found = find_subject(run)
    if each and not isinstance(found, RecordedSweep):
        raise PushError(f"{run} is one run", hint="--each is for sweeps.")
    runs = jobs_of(found) if isinstance(found, RecordedSweep) else (found,)
    outputs = not settings.pop("no_outputs")
    pushed = []
    for subject in runs if each else (found,):
        with render.progress("upload", quiet=obj["quiet"], in_bytes=True) as progress:
            done = archive.push(subject, outputs=outputs, progress=progress, **settings)
        pushed.append(done)
        if not as_json:
            transfers.show_pushed(
                done, runs[0].root, quiet=obj["quiet"], dry_run=settings["dry_run"]
            )
    if as_json:
        documents = [archive.push_document(done) for done in pushed]
        render.print_json(documents if each else documents[0])
