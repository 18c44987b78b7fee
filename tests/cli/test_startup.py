"""What starting the command line costs: what each command imports, and what needs no command."""

from __future__ import annotations

import sys
from collections.abc import Collection

import click
import pytest

from flexlock_hydra.archive.pull.restore_data import COPY, LINKS
from flexlock_hydra.archive.tag.manifest import PER_TAG, SHARED
from flexlock_hydra.cli.commands import COMMANDS, help_page
from flexlock_hydra.cli.group import cli
from tests.conftest import Project

_PROBE = """
import atexit, sys
atexit.register(lambda: print("LOADED", *sys.modules))
sys.argv[0] = "flexlock-hydra"
from flexlock_hydra.cli.main import main
main()
"""
_START = {"flexlock_hydra.cli", "flexlock_hydra.hooks.config"}
_CLICK = {*_START, "click", "flexlock_hydra.errors"}
_LOCKS = {*_CLICK, "yaml", "flexlock_hydra.archive", "flexlock_hydra.capture",
          "flexlock_hydra.ports", "flexlock_hydra.record"}

HELP = {
    "rerun": {*_CLICK, "flexlock_hydra.replay.compare.tolerance"},
    "reproduce": {*_CLICK, "flexlock_hydra.replay.compare.tolerance"},
}
"""What the help of a command loads, where that is more than click and the options."""

IN_AN_EMPTY_PROJECT = {
    "--version": _START,
    "--help": _START,
    "-h": _START,
    "ls": {*_CLICK, "flexlock_hydra.capture.lineage.find_files", "flexlock_hydra.record.layout"},
    "completion bash": _CLICK,
    "remote init --help": _CLICK,
    "show @latest": _LOCKS,
    "why a b": {*_LOCKS, "flexlock_hydra.replay"},
    "verify --all": {*_LOCKS, "flexlock_hydra.replay.verify"},
    "gc": {*_LOCKS, "platformdirs"},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_what_help_loads(project: Project, command: str) -> None:
    """The help of a command loads its arguments and not its work."""
    assert _beyond(HELP.get(command, _CLICK), _loaded(project, command, "--help")) == []


@pytest.mark.parametrize("words", IN_AN_EMPTY_PROJECT)
def test_what_a_command_loads(project: Project, words: str) -> None:
    """A command that finds nothing to do has loaded what it needs to find that out."""
    assert _beyond(IN_AN_EMPTY_PROJECT[words], _loaded(project, *words.split())) == []


@pytest.mark.parametrize("program", ["flexlock-hydra", "python -m flexlock_hydra"])
def test_help_is_what_click_would_print(program: str) -> None:
    """The page that is printed without click is click's own, letter by letter, on 80 columns."""
    context = click.Context(cli, info_name=program, terminal_width=78)
    context.help_option_names = ["-h", "--help"]
    assert help_page(program) == cli.get_help(context)


def test_help_on_a_narrow_terminal(project: Project) -> None:
    """Where the lines would not fit, click breaks them."""
    narrow = project.flexlock("--help", COLUMNS="60").out
    assert max(map(len, narrow.splitlines())) < 60


@pytest.mark.parametrize(
    ("command", "option", "known"),
    [("pull", "link", (COPY, *(each for each in LINKS if each != COPY))),
     ("push", "layout", (SHARED, PER_TAG))],
)
def test_choices_are_those_of_the_code(command: str, option: str, known: tuple[str, ...]) -> None:
    """Choices that stand beside their option, to load nothing, are all those that there are."""
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    (wanted,) = (each for each in found.params if each.name == option)
    assert isinstance(wanted.type, click.Choice)
    assert (tuple(wanted.type.choices), wanted.default) == (known, known[0])


def _loaded(project: Project, *words: str) -> list[str]:
    """All modules that a command line has loaded at its end."""
    said = project.call(sys.executable, "-c", _PROBE, *words, check=False).out
    return said.rpartition("LOADED ")[2].split()


def _beyond(allowed: Collection[str], loaded: list[str]) -> list[str]:
    """What is neither Python's own, nor allowed, nor below or above what is allowed."""
    assert "flexlock_hydra.cli.main" in loaded
    named = {name for name in loaded if _is_of_interest(name)}
    return sorted(
        name for name in named
        if not any(f"{name}.".startswith(f"{each}.") or each.startswith(f"{name}.")
                   for each in allowed)
    )


def _is_of_interest(name: str) -> bool:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("__main__", "sitecustomize"):
        return False
    return not top.startswith("_") and top != "cython_runtime"  # parts of Python's start, of yaml
