"""``doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.views import render


@click.command("doctor")
@options.data_remote_option
@options.git_remote_option
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0.1), default=20.0,
    help="How long a remote may take to answer.  [20]",
)
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, remote: str | None, git_remote: str | None, timeout: float, as_json: bool
) -> None:
    """Check that everything that runs stand on works.

    git, DVC, Hydra and its plugin; whether the project's config turns the recording on;
    the remotes, each with a small file written, read back and deleted on the data remote;
    clocks; the index of hashed files; the embedded store.

    What is wrong comes with what to type next. Exits with 1 when anything is.
    """
    from flexlock_hydra.archive.remotes.doctor import examine
    from flexlock_hydra.cli.views.checks import show_finding

    found = examine(Path.cwd(), remote=remote, git_remote=git_remote, seconds=timeout)
    checks = []
    for finding in found:
        checks.append(finding)
        if not as_json:
            show_finding(finding)
    if as_json:
        render.print_json({"checks": [vars(finding) for finding in checks]})
    ctx.exit(0 if all(finding.ok for finding in checks) else 1)
