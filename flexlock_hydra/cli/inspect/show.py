"""``show RUN``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flexlock_hydra.cli.completion_names import RUN
from flexlock_hydra.cli.views import render

if TYPE_CHECKING:
    from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
    from flexlock_hydra.ports.git.repo import GitRepo
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
    from flexlock_hydra.archive.pull.fetch_tag import finding
    from flexlock_hydra.archive.runs.find import find_sweep

    sweep = find_sweep(run)
    if sweep is not None:
        try:
            sweep.save()
        except OSError as error:
            render.warn([f"{sweep.path} not written: {error.strerror}"])
        _show_sweep(sweep, as_json)
        return
    with finding() as find:
        _show_run(find(run), run, as_json)


def _show_sweep(sweep: RecordedSweep, as_json: bool) -> None:
    from flexlock_hydra.cli.views.show import show_sweep, verdict_lines
    from flexlock_hydra.ports.git.repo import GitRepo
    from flexlock_hydra.record.layout import tag_name

    history = _history(GitRepo.find(sweep.folder), tag_name(sweep.lock.job, sweep.lock.id))
    if as_json:
        _print({**sweep.lock.to_dict(), "path": str(sweep.folder)}, history)
    else:
        show_sweep(sweep, [*verdict_lines(history)])


def _show_run(found: RecordedRun, name: str, as_json: bool) -> None:
    from flexlock_hydra.capture.environment.process import status_now
    from flexlock_hydra.cli.views.show import show_run, verdict_lines

    history = _history(found.repo, found.lock.tag)
    if as_json:
        plain = found.lock.to_dict()
        plain["run"]["status"] = status_now(found.lock)
        _print({**plain, "path": str(found.folder)}, history)
    else:
        show_run(found, name, [*verdict_lines(history)])


def _history(repo: GitRepo | None, tag: str) -> tuple[Verdict, ...]:
    from flexlock_hydra.archive.remotes import verdicts

    return verdicts.history(repo, tag) if repo else ()


def _print(plain: dict[str, object], history: tuple[Verdict, ...]) -> None:
    reproduced = {"reproduced": [verdict.to_dict() for verdict in history]} if history else {}
    render.print_json({**plain, **reproduced})
