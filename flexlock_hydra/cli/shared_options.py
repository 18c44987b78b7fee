"""Options that several commands share: the same name always means the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
yes_option = click.option("--yes", is_flag=True, help="Really delete.")

data_remote_option = click.option("--remote", metavar="R", help="Which data remote.  [as for push]")
git_remote_option = click.option("--git-remote", metavar="G", help="Which git remote.  [origin]")

source_option = click.option(
    "--from", "source", metavar="URL",
    help="The git repository that has TAG.  [origin, else this one]",
)
other_remote_option = click.option(
    "--remote", metavar="R", help="Data remote, where it is not the one that TAG names."
)
cache_option = click.option(
    "--cache", metavar="DIR", type=click.Path(path_type=Path),
    help="A folder that keeps what was fetched, for this pull and others.",
)
resolved_option = click.option(
    "--resolved", is_flag=True, help="Run from the resolved config: no resolver is called."
)


def into_option(what: str) -> Callable[[_Command], _Command]:
    """``--into DIR``, with what becomes of the folder."""
    return click.option("--into", metavar="DIR", type=click.Path(path_type=Path), help=what)


def environment_options(subject: str) -> Callable[[_Command], _Command]:
    """Where a job runs again, and from how far back: ``subject`` is RUN or TAG."""

    def add(command: _Command) -> _Command:
        # the last to be added stands first in the help
        for option in (
            click.option(
                "--with-prevs", is_flag=True,
                help=f"Run what {subject} stands on again before, each step from the new output "
                "of the one before.",
            ),
            click.option(
                "--env", is_flag=True,
                help="Make the recorded environment again by uv, and run in it.",
            ),
            click.option(
                "--python", metavar="P",
                help="The interpreter, or the folder of its environment.  [this one]",
            ),
        ):
            command = option(command)
        return command

    return add


def tolerance_options(command: _Command) -> _Command:
    """``--rtol`` and ``--atol``: how far apart two numbers may be and still be close."""
    from flexlock_hydra.replay.compare.tolerance import Tolerance

    default = Tolerance()
    for name, value, what in (
        ("--atol", default.atol, "plus this much"),
        ("--rtol", default.rtol, "Numbers are close within this part of the recorded one"),
    ):
        command = click.option(
            name, metavar="X", type=float, default=value, show_default=True, help=f"{what}."
        )(command)
    return command
