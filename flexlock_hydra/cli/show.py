"""``show RUN``."""

from __future__ import annotations

import click

from flexlock_hydra.archive.runs import RecordedRun, RecordedSweep, find_run, find_sweep
from flexlock_hydra.capture import process
from flexlock_hydra.cli import render, shown, shown_sweep
from flexlock_hydra.cli.names import RUN


@click.command("show")
@click.argument("run", type=RUN)
@click.option("--json", "as_json", is_flag=True, help="Print the whole lock as JSON.")
def command(run: str, as_json: bool) -> None:
    """Show what was recorded of RUN, its status as judged now.

    What ran, with which overrides and config groups, on which code, data and Python; what
    came out of it; the runs that it stands on; and what of all this is not exact.

    RUN may be a sweep: its folder or its id. Then sweep.lock is written anew as well.
    """
    sweep = find_sweep(run)
    if sweep is not None:
        _save(sweep)
        if as_json:
            render.as_json({**sweep.lock.to_dict(), "path": str(sweep.folder)})
        else:
            shown_sweep.show(sweep)
        return
    found = find_run(run)
    if as_json:
        render.as_json(_plain(found))
    else:
        shown.show(found, run)


def _save(sweep: RecordedSweep) -> None:
    try:
        sweep.save()
    except OSError as error:
        render.warn([f"{sweep.path} not written: {error.strerror}"])


def _plain(found: RecordedRun) -> dict[str, object]:
    plain = found.lock.to_dict()
    plain["run"]["status"] = process.status_now(found.lock)
    return {**plain, "path": str(found.folder)}
