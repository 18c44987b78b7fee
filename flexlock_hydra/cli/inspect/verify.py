"""``verify RUN``, ``verify --all DIR...`` and ``verify TAG --remote``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render

if TYPE_CHECKING:
    from flexlock_hydra.cli.views.checks import ChecksOfRun


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
@options.git_remote_option
@options.json_option
@click.pass_context
def command(
    ctx: click.Context, /, runs: tuple[str, ...], every: bool, on_remote: bool, as_json: bool,
    **settings: Any,
) -> None:
    """Check that RUN is still what was recorded; or each run below folders, with --all.

    Its code is in the repository, every object whole; its data, outputs and predecessors'
    locks are unchanged; Python, packages and lock files are the same here.

    With --remote, RUN is a tag: the remotes are asked for everything that it needs, and
    --read-data reads some of it back and hashes it.

    What is wrong is named, a line each. Exits with 1 when anything is.
    """
    from flexlock_hydra.cli.views import checks

    if not every and len(runs) != 1:
        raise click.UsageError("Name one RUN; --all verifies every run below folders.")
    if on_remote:
        if every:
            raise click.UsageError("--all and --remote exclude each other.")
        found = _on_remote(ctx, runs[0], **settings)
    else:
        looked = {"environment": not settings["no_environment"], "urls": settings["urls"]}
        found = _below(ctx, runs, looked) if every else _here(ctx, runs[0], looked)
    fine = all(check.ok for _, of_run in found for check in of_run)
    if as_json:
        render.print_json({"checks": [*checks.as_rows(found)]})
    else:
        checks.show_checks(found)
        if fine:
            click.echo(f"verified: {checks.counted(found, on_remote)}")
    ctx.exit(0 if fine else 1)


def _on_remote(ctx: click.Context, tag: str, **settings: Any) -> list[ChecksOfRun]:
    from flexlock_hydra.archive.remotes import project as archive

    remotes = render.remotes(settings["data_remote"], settings["git_remote"])
    share = 1.0 if settings["full"] else settings["share"]
    with render.progress("read back", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        return [("", archive.verify_tag(remotes, tag, share=share, progress=progress))]


def _here(ctx: click.Context, name: str, looked: dict[str, bool]) -> list[ChecksOfRun]:
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


def _below(
    ctx: click.Context, folders: tuple[str, ...], looked: dict[str, bool]
) -> list[ChecksOfRun]:
    from flexlock_hydra.ports.git.repo import GitRepo
    from flexlock_hydra.replay.verify import verify as replay

    repo = None if folders else GitRepo.find(Path.cwd())
    places = [Path(folder) for folder in folders] or [repo.root if repo else Path.cwd()]
    return _verified(ctx, replay.lock_files_below(places), looked)


def _verified(ctx: click.Context, locks: list[Path], looked: dict[str, bool]) -> list[ChecksOfRun]:
    from flexlock_hydra.replay.verify import verify as replay

    with render.progress("verify", quiet=ctx.obj["quiet"], in_bytes=False) as progress:
        found = replay.verify_all(locks, progress=progress, **looked)
        return [(_name_of_run(path), checks) for path, checks in found]


def _name_of_run(lock: Path) -> str:
    """A run by its folder; by its lock where a later run took the folder."""
    from flexlock_hydra.record.layout import LOCK

    path = lock.parent if lock.name == LOCK else lock
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
