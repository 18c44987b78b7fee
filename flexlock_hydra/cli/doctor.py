"""``doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.archive.remotes.doctor import Finding, examine
from flexlock_hydra.cli.views import render

_UNDER = 7
"""Columns before what is said of a thing."""


@click.command("doctor")
@click.option("--remote", metavar="R", help="Which data remote.  [as for push]")
@click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(min=0.1), default=20.0,
    help="How long a remote may take to answer.  [20]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    remote: str | None,
    git_remote: str | None,
    timeout: float,
    as_json: bool,
) -> None:
    """Check that everything that runs stand on works.

    git, DVC, Hydra and its plugin; whether the project's config turns the recording on;
    the remotes, each with a small file written, read back and deleted on the data remote;
    clocks; the index of hashed files; the embedded store.

    What is wrong comes with what to type next. Exits with 1 when anything is.
    """
    found = examine(Path.cwd(), remote=remote, git_remote=git_remote, seconds=timeout)
    checks = []
    for finding in found:
        checks.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        render.print_json({"checks": [vars(finding) for finding in checks]})
    ctx.exit(0 if all(finding.ok for finding in checks) else 1)


def _show(finding: Finding) -> None:
    word, colour = ("fine", "green") if finding.ok else ("wrong", "red")
    reason = " ".join(finding.reason.split())
    told = f"{finding.name}: {reason}" if reason else finding.name
    text = f"{word.ljust(5)}  {render.printable(told)}"
    render.line(text, under=_UNDER, bold=(0, len(word)), fg=colour)
    if not finding.ok and finding.hint:
        render.line(f"{' ' * _UNDER}{render.printable(finding.hint)}", under=_UNDER)
