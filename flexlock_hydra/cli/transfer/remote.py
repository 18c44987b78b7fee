"""``remote init URL``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.cli import shared_options as options
from flexlock_hydra.cli.views import render


@click.group("remote")
def command() -> None:
    """Set up where the data of pushed runs goes."""


@command.command("init")
@click.argument("url")
@options.json_option
def init(url: str, as_json: bool) -> None:
    """Try URL, and make it this repository's data remote.

    URL is a folder, a URL that DVC knows, or the name of a remote in DVC's configuration. A
    file is written, listed, read back and deleted; then URL is kept as flexlock.remote in
    git's configuration. No credentials are stored.
    """
    from flexlock_hydra.archive.remotes import project
    from flexlock_hydra.errors import GitError
    from flexlock_hydra.ports.git.repo import GitRepo
    from flexlock_hydra.ports.store.remote_kinds import kind_of

    repo = GitRepo.find(Path.cwd())
    if repo is None:
        raise GitError("this is no git repository", hint="git init, or go to one.")
    checks = project.init_remote(repo, url)
    kept = repo.config("flexlock.remote")
    if as_json:
        render.print_json({"remote": kept, "checks": [vars(check) for check in checks]})
        return
    click.echo(", ".join(f"{check.name}: fine" for check in checks))
    click.echo(f"git config flexlock.remote {kept}")
    if (kind := kind_of(url)) and kind.credentials:
        click.echo(f"who pushes or pulls needs credentials: {kind.credentials}")
