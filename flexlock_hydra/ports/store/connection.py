"""A connection to a remote by DVC's own file systems, and what these say of a file.

A listing of fsspec's has a dictionary for each file; every file system has names of its own.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.remote_kinds import REMOTE_KINDS, kind_of
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.ports.store.transfer import Transfer

_NAME = "flexlock"
_JOBS = 8


@dataclass(frozen=True)
class Connection:
    """A file system that is ready for use.

    Args:
        fs: of fsspec.
        root: the path of the remote's URL in it; may be empty.
        jobs: how many calls should be under way at a time.
        transfer: how files are written there and read.
    """

    fs: Any
    root: str
    jobs: int
    transfer: Transfer


def connect(spec: RemoteSpec) -> Connection:
    """Connect to a remote. No DVC repository is needed, and none is looked for.

    Raises:
        RemoteError: an unknown kind of URL, a wrong setting, a missing package.
    """
    schemes = ", ".join(kind.schemes[0] for kind in REMOTE_KINDS)
    hint = f"Give a folder, or a URL that DVC knows: {schemes}"
    kind = kind_of(spec.url)
    if kind is None:
        scheme, _, rest = spec.url.partition("://")
        why = f": there is no kind of data remote {scheme}://"
        if scheme == "remote":  # how DVC's configuration speaks of another remote in it
            name = rest.partition("/")[0]
            why = f" cannot be used as a data remote: remote '{name}' doesn't exist"
        raise RemoteError(f"{spec.public_url}{why}", hint=hint)
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    from dvc.config import ConfigError as RepoConfigError
    from dvc.fs import get_cloud_fs
    from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError

    config = {"core": {}, "remote": {_NAME: {"url": spec.url, **spec.options}}}
    try:
        cls, options, root = get_cloud_fs(config, name=_NAME)
        remote = cls(**options)
        kind.transfer.prepare(remote.fs_args, spec.options, kind.limits)
        transfer = kind.transfer(remote.fs)  # connects, or says what is missing
    except (RemoteMissingDepsError, ImportError) as error:
        raise RemoteError(
            f"{spec.public_url} needs a package that is not installed",
            hint=f"pip install '{kind.requirement}'",
        ) from error
    except (RepoConfigError, ConfigError) as error:
        raise RemoteError(
            f"{spec.public_url} cannot be used as a data remote: {error}", hint=hint
        ) from error
    jobs = int(spec.options.get("jobs") or max(remote.jobs, _JOBS))
    return Connection(remote.fs, root, jobs, transfer)


def entry_name(entry: dict[str, Any]) -> str:
    """The last part of a listed file's path."""
    return str(entry["name"]).rstrip("/").rpartition("/")[2]


def entry_is_file(entry: dict[str, Any]) -> bool:
    """Whether what is listed is a file, as all is where nothing is said of that."""
    return bool(entry.get("type", "file") == "file")


def entry_size(entry: dict[str, Any]) -> int:
    """A listed file's bytes; 0 where nothing is said of that."""
    return int(entry.get("size") or 0)


def entry_time(entry: dict[str, Any]) -> float | None:
    """When a file was written, in seconds; each kind of remote has its own name for it."""
    for key in ("LastModified", "last_modified", "mtime", "modified", "updated"):
        value = entry.get(key)
        if isinstance(value, str):
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None
