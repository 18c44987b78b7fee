"""The command line: one group, one file a command, one error border."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from flexlock_hydra import __version__
from flexlock_hydra.errors import FlexlockError

BUG = 3
INTERRUPTED = 130
TERMINATED = 143

_COMMANDS = {
    "show": ("inspect.show", "Show what was recorded of RUN."),
    "ls": ("inspect.ls", "List runs, or what was pushed."),
    "diff": ("inspect.diff", "Compare two runs."),
    "why": ("inspect.why", "Tell why the results of two runs differ."),
    "graph": ("inspect.graph", "Draw what a run stands on."),
    "push": ("transfer.push", "Push RUN: a git tag, its data on a DVC remote."),
    "pull": ("transfer.pull", "Restore a pushed run: code, data and locks."),
    "rerun": ("replay.rerun", "Run RUN again, and compare the outputs."),
    "reproduce": ("replay.reproduce", "Restore TAG, run it again, and give a verdict."),
    "verify": ("inspect.verify", "Check that a run is still what was recorded."),
    "rm": ("transfer.rm", "Delete TAG from the remotes."),
    "gc": ("transfer.gc", "Delete what no tag needs from the data remote."),
    "doctor": ("doctor", "Check that everything that runs stand on works."),
    "remote": ("transfer.remote", "Set up where the data of pushed runs goes."),
    "completion": ("completion", "Print a shell's completion script."),
}
"""Name -> its module, what the help says of it: no command is loaded to be listed."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"flexlock_hydra.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in _COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The options and commands that begin so."""
        commands = [
            CompletionItem(name, help=said)
            for name, (_, said) in _COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]


def _change_folder(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        os.chdir(value)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flexlock-hydra")
@click.option(
    "-C",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    callback=_change_folder,
    expose_value=False,
    is_eager=True,
    help="Run as if started in DIR.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Show each git command and transfer.")
@click.option("--debug", is_flag=True, help="Show a traceback when a command fails.")
@click.pass_context
def cli(ctx: click.Context, quiet: bool, verbose: bool, debug: bool) -> None:
    """Reproducible Hydra runs: record, push, pull, run again, compare.

    RUN is an output directory, a run.lock, a run id or a unique prefix of one, @latest,
    or a tag (flexlock/<job name>/<run id>).

    Exit codes: 0 fine, 1 differs, 2 an error with a way on, 3 a bug of ours, 130 interrupted.
    """
    if verbose:
        logging.basicConfig(format="%(message)s", stream=sys.stderr)
        logging.getLogger("flexlock_hydra").setLevel(logging.DEBUG)
    ctx.obj = {"quiet": quiet, "verbose": verbose, "debug": debug}


def main() -> None:
    """The entry point: every error of ours ends here, in words."""
    if "_FLEXLOCK_HYDRA_COMPLETE" in os.environ:
        importlib.import_module("flexlock_hydra.cli.completion")
    debug = "--debug" in sys.argv
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # to give back what is borrowed
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, click.exceptions.Abort):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
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
