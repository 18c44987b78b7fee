"""``show RUN``."""

from __future__ import annotations

import click

from flexlock_hydra.archive.pull.borrow_run import finding
from flexlock_hydra.archive.remotes import verdicts
from flexlock_hydra.archive.runs.find import find_sweep
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
from flexlock_hydra.capture.environment import process
from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render, show, show_sweep, show_verdicts
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.verdict import Verdict


@click.command("show")
@click.argument("run", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print the whole lock as JSON.")
def command(run: str, as_json: bool) -> None:
    """Show what was recorded of RUN, its status as judged now.

    What ran, with which overrides and config groups, on which code, data and Python; what
    came out of it; the runs that it stands on; and what of all this is not exact. Of a
    pushed run also how often it was reproduced, where, and with what result.

    RUN may be a sweep: its folder or its id. Then sweep.lock is written anew as well.
    """
    sweep = find_sweep(run)
    if sweep is not None:
        _save(sweep)
        _show_sweep(sweep, as_json)
        return
    with finding() as find:
        _show_run(find(run), run, as_json)


def _show_sweep(sweep: RecordedSweep, as_json: bool) -> None:
    tag = layout.tag_name(sweep.lock.job, sweep.lock.id)
    history = _history(GitRepo.find(sweep.folder), tag)
    if as_json:
        _print({**sweep.lock.to_dict(), "path": str(sweep.folder)}, history)
    else:
        show_sweep.show_sweep(sweep, [*show_verdicts.verdict_lines(history)])


def _show_run(found: RecordedRun, name: str, as_json: bool) -> None:
    history = _history(found.repo, found.lock.tag)
    if as_json:
        _print(_plain(found), history)
    else:
        show.show_run(found, name, [*show_verdicts.verdict_lines(history)])


def _history(repo: GitRepo | None, tag: str) -> tuple[Verdict, ...]:
    return verdicts.history(repo, tag) if repo else ()


def _print(plain: dict[str, object], history: tuple[Verdict, ...]) -> None:
    told = {"reproduced": [verdict.to_dict() for verdict in history]} if history else {}
    render.print_json({**plain, **told})


def _save(sweep: RecordedSweep) -> None:
    try:
        sweep.save()
    except OSError as error:
        render.warn([f"{sweep.path} not written: {error.strerror}"])


def _plain(found: RecordedRun) -> dict[str, object]:
    plain = found.lock.to_dict()
    plain["run"]["status"] = process.status_now(found.lock)
    return {**plain, "path": str(found.folder)}
