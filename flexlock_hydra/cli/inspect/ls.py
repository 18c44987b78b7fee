"""``ls``: the runs here, or what was pushed."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.views import render

_LOCAL = ("where", "sort", "columns", "as_csv")
_NEWEST = "-started"


@click.command("ls", short_help="List runs, or what was pushed.")
@click.argument("folders", nargs=-1, metavar="[DIR]...", type=click.Path(path_type=Path))
@click.option("--where", metavar="EXPR", help="List those alone for which it holds.")
@click.option("--sort", metavar="[-]COLUMN", help="By which column; with -, the largest first.")
@click.option("--columns", metavar="A,B,...", help="Which columns, config.KEY and result.KEY too.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@click.option("--remote", "on_remote", is_flag=True, help="List the tags of the remotes.")
@click.option("--data-remote", metavar="R", help="Which data remote.  [as for push]")
@options.git_remote_option
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, folders: tuple[Path, ...], where: str | None, sort: str | None,
    columns: str | None, as_csv: bool, on_remote: bool, data_remote: str | None,
    git_remote: str | None, as_json: bool,
) -> None:
    """List the runs below DIR (the project, without any), the newest first.

    EXPR is a condition such as: config.lr > 0.05 and status == "completed"

    With --remote, list what was pushed: date, size, tag, and who pushed it. "no git tag":
    another repository's, or half deleted. "no data here": its data is on another data remote.
    """
    _refuse_mixed(ctx, on_remote)
    if on_remote:
        _pushed(data_remote, git_remote, as_json)
    elif as_csv and as_json:
        raise click.UsageError("Take one of --csv and --json.")
    else:
        _local(folders, where, sort or _NEWEST, columns, as_csv, as_json)


def _refuse_mixed(ctx: click.Context, on_remote: bool) -> None:
    """Options of one list that were given for the other."""
    other = ("folders", *_LOCAL) if on_remote else ("data_remote", "git_remote")
    for parameter in ctx.command.params:
        if parameter.name in other and ctx.params[parameter.name]:
            name = parameter.opts[0] if parameter.name != "folders" else "DIR"
            raise click.UsageError(f"{name} does {'not' if on_remote else 'only'} go with --remote")


def _local(
    folders: Sequence[Path], where: str | None, sort: str, names: str | None, as_csv: bool,
    as_json: bool,
) -> None:
    from flexlock_hydra.capture.lineage.find_files import project_root

    searched = [*folders] or [project_root()]
    if sort == _NEWEST and not (where or names or as_csv or as_json) and _hold_no_run(searched):
        click.echo(_nothing(0, folders))
        return
    gc.disable()  # very many small objects are made, and all of them are needed to the end
    from flexlock_hydra.archive.query import columns, search
    from flexlock_hydra.cli.views import run_table

    shown = _column_names(names) if names else run_table.USUAL
    key = run_table.named_column(sort.removeprefix("-"))
    found = search.search(
        searched,
        where=where,
        sort=key,
        descending=sort.startswith("-"),
        columns=() if as_json else [run_table.named_column(name) for name in shown],
        processes=True,
    )
    render.warn(found.warnings)
    if as_json:
        render.print_json([columns.plain(run) for run in found.runs])
    elif as_csv:
        run_table.as_csv(found.runs, shown if names else columns.SHOWN)
    elif found.runs:
        run_table.run_table(found.runs, shown)
    else:
        click.echo(_nothing(found.seen, folders))


def _hold_no_run(folders: Sequence[Path]) -> bool:
    """Whether all folders could be looked into and hold no lock: then no index is opened."""
    from flexlock_hydra.capture.lineage.find_files import look_below
    from flexlock_hydra.record.layout import is_lock

    looked = (each for folder in folders for each in look_below(folder, is_lock))
    return not any(each.files or each.error for each in looked)


def _column_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--columns names none")
    return names


def _nothing(seen: int, folders: Sequence[Path]) -> str:
    if seen:
        return f"none of {render.plural(seen, 'run')} meets the condition"
    where = ", ".join(render.printable(str(folder)) for folder in folders)
    if folders:
        return f"no runs below {where}"
    return "no runs here; those whose folders lie elsewhere: flexlock-hydra ls DIR"


def _pushed(data_remote: str | None, git_remote: str | None, as_json: bool) -> None:
    from flexlock_hydra.archive.remotes import project
    from flexlock_hydra.cli.views import transfers

    found = project.ls(render.remotes(data_remote, git_remote))
    if as_json:
        render.print_json([vars(each) for each in found])
    else:
        transfers.show_tags(found)
