"""What starting the command line costs: what each command imports, and what needs no command."""

from __future__ import annotations

import click
import pytest

from flexlock_hydra.cli.group import cli
from flexlock_hydra.cli.main import help_page


@pytest.mark.parametrize("program", ["flexlock-hydra", "python -m flexlock_hydra"])
def test_help_is_what_click_would_print(program: str) -> None:
    """The page that is printed without click is click's own, letter by letter, on 80 columns."""
    context = click.Context(cli, info_name=program, terminal_width=78)
    context.help_option_names = ["-h", "--help"]
    assert help_page(program) == cli.get_help(context)
