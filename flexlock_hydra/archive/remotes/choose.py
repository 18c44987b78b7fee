"""Which data remote and which git remote a push goes to."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from flexlock_hydra.archive.runs.recorded_run import is_pulled
from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.dvc_config import ProjectRemotes
from flexlock_hydra.ports.store.remote_kinds import kind_of
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record.layout import RUN_ID, TAG_PREFIX

VARIABLE = "FLEXLOCK_REMOTE"
GIT_KEY = "flexlock.remote"
PREFIX = "flexlock"


def embedded_store() -> Path:
    """The store that needs no set-up: a folder of this user on this machine."""
    from platformdirs import user_data_path  # who reads locks alone does not wait for it

    return user_data_path("flexlock-hydra") / "store"


def choose_remote(repo: GitRepo, asked: str | None) -> RemoteSpec:
    """The data remote: what was asked for, else the environment, git's configuration, a
    prefix of the project's default DVC remote, else the embedded store.

    Raises:
        RemoteError: DVC's configuration cannot be read.
    """
    remotes = ProjectRemotes.load(repo.root)
    named = asked or os.environ.get(VARIABLE) or repo.config(GIT_KEY)
    if named:
        return _spec_of_name(named, remotes)
    default = remotes.by_name.get(remotes.default or "")
    if default is None:
        return RemoteSpec(str(embedded_store()))
    if not is_pulled(repo.root):
        return default.below(PREFIX)
    # What a pulled tag names, without the tag where it has a store of its own.
    above = re.sub(rf"/{TAG_PREFIX}/[^/]+/{RUN_ID.pattern}$", "", default.url)
    return replace(default, url=above)


def named_remote(repo: GitRepo, name: str) -> RemoteSpec:
    """The data remote of a name in DVC's configuration, a URL or a folder."""
    return _spec_of_name(name, ProjectRemotes.load(repo.root))


def _spec_of_name(name: str, remotes: ProjectRemotes) -> RemoteSpec:
    if name in remotes.by_name:
        return remotes.by_name[name]
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        if name.startswith("file://"):
            return RemoteSpec(name.removeprefix("file://"))
        kind = kind_of(name)
        # From the environment, what whoever restores needs to know.
        servers = map(os.environ.get, kind.endpoint_variables if kind else ())
        endpoint = next(filter(None, servers), None)
        found = {"endpointurl": endpoint} if endpoint else {}
        return RemoteSpec(name, {**found, **remotes.settings_for(name)})
    return RemoteSpec(os.path.abspath(os.path.expanduser(name)))


def with_settings(spec: RemoteSpec, repo: GitRepo) -> RemoteSpec:
    """A remote that a tag names, as this project's own configuration has it, if it does.

    Its settings count alone: a tag that names another server for the same URL would get
    credentials sent there.
    """
    settings = ProjectRemotes.load(repo.root).settings_for(spec.url)
    return replace(spec, options=settings or spec.options)


def choose_git_remote(repo: GitRepo, asked: str | None) -> str | None:
    """The URL that the tag is pushed to; None where the repository has no remote.

    Raises:
        GitError: no remote of the name that was asked for.
    """
    if url := repo.remote_url(asked or "origin"):
        local = repo.root / url  # git's relative paths start at the root
        return os.path.abspath(local) if "://" not in url and local.is_dir() else url
    if asked is None:
        return None
    if re.match(r"([\w+.-]+://|[\w.-]+@[\w.-]+:)", asked) or Path(asked).is_dir():
        return asked
    known = repo.git("remote").split()
    raise GitError(
        f"no git remote {asked}",
        hint=f"There is: {', '.join(known)}" if known else f"git remote add {asked} URL",
    )
