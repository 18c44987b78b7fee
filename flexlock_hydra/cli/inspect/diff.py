"""``diff A B``."""

from __future__ import annotations

import sys

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render


@click.command("diff", short_help="Compare two runs.")
@click.argument("a", type=RUN)
@click.argument("b", type=RUN)
@click.option("--patch", is_flag=True, help="Show the code's differences line by line.")
@options.json_option
@click.pass_context
def command(ctx: click.Context, a: str, b: str, patch: bool, as_json: bool) -> None:
    """Compare two runs: config, code, data, environment, result, outputs.

    A and B may be runs of other repositories: FOLDER#RUN, or URL#TAG. Exits with 1 when
    they differ.
    """
    from flexlock_hydra.archive.pull.fetch_tag import finding
    from flexlock_hydra.cli.views import differences
    from flexlock_hydra.replay.explain import diff as replay

    with finding() as find:
        old, new = find(a), find(b)
        sections = replay.diff(old, new)
        text, without = replay.patch(old, new) if patch else (b"", [])
    if as_json:
        document = replay.diff_document(sections)
        more = {"patch": text.decode("utf-8", "replace")} if patch else {}
        render.print_json({**document, **more})
    else:
        for name, found in sections.items():
            differences.show_section(name, found)
            if name == "code" and text:
                differences.show_patch(text, on_terminal=sys.stdout.isatty())
    render.warn(note for found in sections.values() for note in found.notes)
    render.warn(f"no patch of {name}: its files are not known here" for name in without)
    ctx.exit(1 if any(sections.values()) else 0)
