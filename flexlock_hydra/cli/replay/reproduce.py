"""``reproduce TAG``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.replay.rerun import say, show_rerun, show_step
from flexlock_hydra.cli.views import comparison, render
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.replay.compare.outcome import DIFFERS
from flexlock_hydra.replay.compare.tolerance import Tolerance
from flexlock_hydra.replay.rerun import reproduce as replay


@click.command("reproduce", short_help="Restore TAG, run it again, and give a verdict.")
@click.argument("tag", type=TAG)
@click.option(
    "--from",
    "source",
    metavar="URL",
    help="The git repository that has TAG.  [origin, else this one]",
)
@click.option(
    "--into",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where TAG is restored, as by pull.  [JOB-ID, beside the repository if this is one]",
)
@click.option(
    "--remote", metavar="R", help="Data remote, where it is not the one that TAG names."
)
@click.option(
    "--cache",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder that keeps what was fetched, for this pull and others.",
)
@click.option(
    "--resolved", is_flag=True, help="Run from the resolved config: no resolver is called."
)
@click.option(
    "--python",
    metavar="P",
    help="The interpreter, or the folder of its environment.  [this one]",
)
@click.option(
    "--env", is_flag=True, help="Make the recorded environment again by uv, and run in it."
)
@click.option(
    "--with-prevs",
    is_flag=True,
    help="Run what TAG stands on again before, each step from the new output of the one before.",
)
@click.option("--publish", is_flag=True, help="Send the verdict to where TAG came from.")
@comparison.tolerance_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    tag: str,
    source: str | None,
    into: Path | None,
    remote: str | None,
    cache: Path | None,
    publish: bool,
    rtol: float,
    atol: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Reproduce a pushed run or sweep from TAG alone, anywhere, and give a verdict.

    TAG is restored as by pull, each of its jobs runs again from its recorded code, config
    and data, and what comes out is compared: identical, close or differs. The verdict is
    kept in git, where show TAG tells it; --publish shares it.

    Exits with 1 when an output differs.
    """
    with render.progress("download", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        restored = replay.restore(tag, replay.RestoreSource(source, into, remote, cache, progress))
    render.warn([*restored.warnings, *(f"missing: {reason}" for reason in restored.missing)])
    reproduced = replay.reproduce(
        restored, tolerance=Tolerance(rtol, atol), say=say, tell=show_step, **options
    )
    if as_json:
        render.print_json(replay.reproduce_document(reproduced))
    else:
        click.echo(f"restored {reproduced.tag} in {reproduced.path}")
        shown = [each for run in reproduced.runs for each in (*run.steps, run)]
        for each in shown:
            show_rerun(each)
        empty = all(each.comparison.is_empty for each in shown)
        of = " (nothing was compared)" if empty else ""
        click.echo(f"verdict: {reproduced.verdict.verdict}{of}")
    if publish:
        url = replay.publish_verdict(reproduced, source)
        if not as_json:
            click.echo(f"published in {redact_url(url)}")
    ctx.exit(1 if reproduced.verdict.verdict == DIFFERS else 0)
