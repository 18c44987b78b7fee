"""The group of all commands: one module a command, one border that tells errors in words."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flexlock_hydra import __version__
from flexlock_hydra.cli.commands import ABOUT, COMMANDS, COMPLETE_VARIABLE, OPTIONS, PROGRAM
from flexlock_hydra.errors import FlexlockError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

BUG = 3
INTERRUPTED = 130
TERMINATED = 143


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"flexlock_hydra.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The options and commands that begin with what was typed."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=said)
            for name, (_, said) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def _change_folder(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        os.chdir(value)


@click.group(cls=LazyGroup, help=ABOUT, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=PROGRAM)
@click.option(
    "-C", "folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
    callback=_change_folder, expose_value=False, is_eager=True, help=OPTIONS["-C DIR"],
)
@click.option("-q", "--quiet", is_flag=True, help=OPTIONS["-q, --quiet"])
@click.option("-v", "--verbose", is_flag=True, help=OPTIONS["-v, --verbose"])
@click.option("--debug", is_flag=True, help=OPTIONS["--debug"])
@click.pass_context
def cli(ctx: click.Context, quiet: bool, verbose: bool, debug: bool) -> None:
    """Keep what all commands are told for the one that follows."""
    if not gc.isenabled():
        gc.freeze()  # what was imported is garbage never: to look for it takes 8 ms at the end
        gc.enable()
    if verbose:
        import logging

        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("flexlock_hydra").setLevel(logging.DEBUG)
    ctx.obj = {"quiet": quiet, "verbose": verbose, "debug": debug}


def run(program: str) -> None:
    """Run the command that this process was started with, and exit; each error ends here.

    Args:
        program: its name in the usage line.

    Raises:
        BrokenPipeError: nobody reads what is printed any more.
    """
    if COMPLETE_VARIABLE in os.environ:
        importlib.import_module("flexlock_hydra.cli.completion")  # it registers our bash with click
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # to give back what is borrowed
    try:
        # standalone, click would print some errors itself and exit with codes of its own
        sys.exit(cli.main(prog_name=program, standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        raise  # no bug of ours: the entry point ends quietly
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except FlexlockError as error:
        _tell(f"error: {error}", error.hint, debug)
        sys.exit(error.exit_code)
    except Exception as error:  # the one border: what gets here is a bug
        _tell(
            f"bug: {type(error).__name__}: {error}",
            "Please report it with the output of the same command and --debug.",
            debug,
        )
        sys.exit(BUG)


def _tell(message: str, hint: str, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exc()
    click.secho(message, fg="red", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
