"""``reproduce TAG``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import TAG
from flexlock_hydra.cli.views import render


@click.command("reproduce", short_help="Restore TAG, run it again, and give a verdict.")
@click.argument("tag", type=TAG)
@options.source_option
@options.into_option(
    "Where TAG is restored, as by pull.  [JOB-ID, beside the repository if this is one]"
)
@options.other_remote_option
@options.cache_option
@options.resolved_option
@options.environment_options("TAG")
@click.option("--publish", is_flag=True, help="Send the verdict to where TAG came from.")
@options.tolerance_options
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, /, tag: str, source: str | None, into: Path | None, remote: str | None,
    cache: Path | None, publish: bool, rtol: float, atol: float, as_json: bool, **settings: Any,
) -> None:
    """Reproduce a pushed run or sweep from TAG alone, anywhere, and give a verdict.

    TAG is restored as by pull, each of its jobs runs again from its recorded code, config
    and data, and what comes out is compared: identical, close or differs. The verdict is
    kept in git, where show TAG tells it; --publish shares it.

    Exits with 1 when an output differs.
    """
    from flexlock_hydra.cli.views import reruns
    from flexlock_hydra.ports.git.command import redact_url
    from flexlock_hydra.replay.compare.outcome import DIFFERS
    from flexlock_hydra.replay.compare.tolerance import Tolerance
    from flexlock_hydra.replay.rerun import reproduce as replay

    with render.progress("download", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        restored = replay.restore(tag, replay.RestoreSource(source, into, remote, cache, progress))
    render.warn([*restored.warnings, *(f"missing: {reason}" for reason in restored.missing)])
    heard = {"tolerance": Tolerance(rtol, atol), "say": reruns.say, "tell": reruns.show_step}
    reproduced = replay.reproduce(restored, **heard, **settings)
    if as_json:
        render.print_json(replay.reproduce_document(reproduced))
    else:
        reruns.show_reproduced(reproduced)
    if publish:
        url = replay.publish_verdict(reproduced, source)
        if not as_json:
            click.echo(f"published in {redact_url(url)}")
    ctx.exit(1 if reproduced.verdict.verdict == DIFFERS else 0)
