"""``verify RUN``, ``verify --all DIR...`` and ``verify TAG --remote``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render

if TYPE_CHECKING:
    from flexlock_hydra.archive.runs.check import Check

    Found = tuple[str, list[Check]]
    """A run's folder, as it is named here, and what was found of it; no name for one alone."""


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float:
    if value is None:
        return 0.0
    try:
        share = float(value.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise click.BadParameter("a share of the data, as 5%")
    return share


@click.command("verify", short_help="Check that RUN is still what was recorded.")
@click.argument("runs", metavar="RUN | [DIR]...", nargs=-1, type=RUN)
@click.option("--all", "every", is_flag=True, help="Every run below folders.  [the project]")
@click.option("--no-environment", is_flag=True, help="Pass over Python, packages, lock files.")
@click.option("--urls", is_flag=True, help="Ask the servers of inputs that are URLs.")
@click.option("--remote", "on_remote", is_flag=True, help="Of a tag: ask the remotes instead.")
@click.option(
    "--read-data", "share", metavar="5%", callback=_share, help="Read so much back and hash it."
)
@click.option("--full", is_flag=True, help="Read all of it back.")
@click.option("--data-remote", metavar="R", help="Where the manifest is.  [as for push]")
@click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    runs: tuple[str, ...],
    every: bool,
    on_remote: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check that RUN is still what was recorded; or each run below folders, with --all.

    Its code is in the repository, every object whole; its data, outputs and predecessors'
    locks are unchanged; Python, packages and lock files are the same here.

    With --remote, RUN is a tag: the remotes are asked for everything that it needs, and
    --read-data reads some of it back and hashes it.

    What is wrong is named, a line each. Exits with 1 when anything is.
    """
    if not every and len(runs) != 1:
        raise click.UsageError("Name one RUN; --all verifies every run below folders.")
    if on_remote:
        if every:
            raise click.UsageError("--all and --remote exclude each other.")
        found = _on_remote(ctx, runs[0], **options)
    else:
        looked = {"environment": not options["no_environment"], "urls": options["urls"]}
        found = _below(ctx, runs, looked) if every else _here(ctx, runs[0], looked)
    fine = all(check.ok for _, checks in found for check in checks)
    if as_json:
        render.print_json({"checks": [*_plain(found)]})
    else:
        _show(found)
        if fine:
            click.echo(f"verified: {_counted(found, on_remote)}")
    ctx.exit(0 if fine else 1)


def _on_remote(ctx: click.Context, tag: str, **options: Any) -> list[Found]:
    from flexlock_hydra.archive.remotes import verify_tag as archive

    remotes = render.remotes(options["data_remote"], options["git_remote"])
    share = 1.0 if options["full"] else options["share"]
    with render.progress("read back", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        return [("", archive.verify_tag(remotes, tag, share=share, progress=progress))]


def _here(ctx: click.Context, name: str, looked: dict[str, bool]) -> list[Found]:
    from flexlock_hydra.archive.runs.recorded_run import RecordedSweep
    from flexlock_hydra.archive.tag.subject import find_subject
    from flexlock_hydra.replay.verify import verify as replay

    found = find_subject(name)
    if isinstance(found, RecordedSweep):
        return _verified(ctx, replay.locks_of(found), looked)
    checks = replay.verify(found, **looked)
    if found.tag and not all(check.ok for check in checks):
        click.echo(
            f"{found.tag} is not pulled here: flexlock-hydra pull TAG brings it, "
            "flexlock-hydra verify TAG --remote asks its remotes", err=True,
        )
    return [("", checks)]


def _below(ctx: click.Context, folders: tuple[str, ...], looked: dict[str, bool]) -> list[Found]:
    from flexlock_hydra.ports.git.repo import GitRepo
    from flexlock_hydra.replay.verify import verify as replay

    repo = None if folders else GitRepo.find(Path.cwd())
    places = [Path(folder) for folder in folders] or [repo.root if repo else Path.cwd()]
    return _verified(ctx, replay.lock_files_below(places), looked)


def _verified(ctx: click.Context, locks: list[Path], looked: dict[str, bool]) -> list[Found]:
    from flexlock_hydra.replay.verify import verify as replay

    with render.progress("verify", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        found = replay.verify_all(locks, progress=progress, **looked)
        return [(_named(path), checks) for path, checks in found]


def _named(lock: Path) -> str:
    """A run by its folder; by its lock where a later run took the folder."""
    from flexlock_hydra.record.layout import LOCK

    path = lock.parent if lock.name == LOCK else lock
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _plain(found: Iterable[Found]) -> Iterable[dict[str, Any]]:
    for run, checks in found:
        for check in checks:
            yield {**({"run": run} if run else {}), **vars(check)}


def _show(found: Iterable[Found]) -> None:
    for run, checks in found:
        prefix = f"{run}: " if run else ""
        for check in checks:
            if not check.ok:
                render.line(render.printable(f"{prefix}{check.name}: {check.reason}"), fg="red")
            elif check.reason:
                text = f"not verified: {prefix}{check.name}: {check.reason}"
                render.line(render.printable(text), fg="yellow")


def _counted(found: list[Found], on_remote: bool) -> str:
    if on_remote:
        return found[0][1][-1].name
    checks = [check for _, checks in found for check in checks if not check.reason]
    runs = f" of {render.plural(len(found), 'run')}" if found[0][0] else ""
    return f"{render.plural(len(checks), 'check')}{runs}"
