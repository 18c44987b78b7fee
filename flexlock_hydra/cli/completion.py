"""``completion SHELL``."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, add_completion_class, get_completion_class

from flexlock_hydra.cli.commands import COMPLETE_VARIABLE, PROGRAM


@add_completion_class
class _Bash(BashComplete):
    """Bash tells the ``@`` of ``@latest`` as a word of its own."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that."""
        words: list[str] = []
        before, incomplete = super().get_completion_args()
        for word in (*before, incomplete):
            if words[-1:] == ["@"]:
                words[-1] = f"@{word}"
            else:
                words.append(word)
        return words[:-1], words[-1]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, options, runs and tags.

    \b
    bash: flexlock-hydra completion bash >> ~/.bashrc
    zsh:  flexlock-hydra completion zsh >> ~/.zshrc   (after compinit)
    fish: flexlock-hydra completion fish > ~/.config/fish/completions/flexlock-hydra.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, PROGRAM, COMPLETE_VARIABLE).source())
