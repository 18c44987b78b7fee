"""``remote init URL``."""

from __future__ import annotations

from pathlib import Path

import click

from flexlock_hydra.archive.remotes import project
from flexlock_hydra.cli.views import render
from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.repo import GitRepo

_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials",
    "ssh": "your ssh keys and agent, as for ssh itself",
    "sftp": "your ssh keys and agent, as for ssh itself",
    "gs": "gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
    "azure": "az login, or AZURE_STORAGE_CONNECTION_STRING",
    "webdav": "a DVC remote of this URL with user and password in .dvc/config.local",
    "webdavs": "a DVC remote of this URL with user and password in .dvc/config.local",
}


@click.group("remote")
def command() -> None:
    """Set up where the data of pushed runs goes."""


@command.command("init")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def init(url: str, as_json: bool) -> None:
    """Try URL, and make it this repository's data remote.

    URL is a folder, a URL that DVC knows, or the name of a remote in DVC's configuration. A
    file is written, listed, read back and deleted; then URL is kept as flexlock.remote in
    git's configuration. No credentials are stored.
    """
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
    if explained := _CREDENTIALS.get(url.partition("://")[0]):
        click.echo(f"who pushes or pulls needs credentials: {explained}")
