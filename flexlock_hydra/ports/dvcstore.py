"""The door to DVC's remotes: the only user of DVC.

No DVC repository, lock, cache or workspace is written: objects go straight from the
workspace to ``<url>/files/md5`` and back.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.gitcmd import redact_url
from flexlock_hydra.record.lockfile import write_bytes

log = logging.getLogger(__name__)

_NAME = "flexlock"
_CHUNK = 256
"""Objects sent before errors are looked at: a dead remote is noticed early."""

# Settings that say where a remote is and not who may use it: they go into the tag.
_PUBLIC_OPTIONS = (
    "endpointurl",
    "region",
    "port",
    "user",
    "use_ssl",
    "projectname",
    "account_name",
    "allow_anonymous_login",
)


_EXTRAS = {
    "s3": "s3",
    "ssh": "ssh",
    "sftp": "ssh",
    "gs": "gs",
    "azure": "azure",
    "webdav": "webdav",
    "webdavs": "webdav",
}


@dataclass(frozen=True)
class RemoteSpec:
    """A data remote: its URL (absolute) and its settings in DVC's own terms."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def public_url(self) -> str:
        """The URL without credentials."""
        return redact_url(self.url)

    @property
    def public_options(self) -> dict[str, Any]:
        """The settings that may be written down."""
        return {key: self.options[key] for key in _PUBLIC_OPTIONS if key in self.options}

    @property
    def is_local(self) -> bool:
        """Whether this is a folder of this machine."""
        return "://" not in self.url

    def below(self, folder: str) -> RemoteSpec:
        """The same remote, one folder deeper."""
        return RemoteSpec(f"{self.url.rstrip('/')}/{folder}", self.options)


@dataclass(frozen=True)
class ProjectRemotes:
    """The remotes that a project's DVC configuration names, ``config.local`` included."""

    by_name: Mapping[str, RemoteSpec]
    default: str | None

    @classmethod
    def load(cls, root: Path) -> ProjectRemotes:
        """Read every level of configuration: of the project at ``root``, user and system.

        Raises:
            RemoteError: a configuration that DVC cannot read.
        """
        from dvc.config import Config, ConfigError

        dvc_dir = root / ".dvc"
        try:
            config = Config(str(dvc_dir) if dvc_dir.is_dir() else None)
        except ConfigError as error:
            raise RemoteError(f"DVC's configuration at {root} cannot be read: {error}") from error
        remotes = {
            name: RemoteSpec(
                str(options["url"]), {k: v for k, v in options.items() if k != "url"}
            )
            for name, options in config["remote"].items()
            if "url" in options
        }
        return cls(remotes, config["core"].get("remote"))

    def settings_for(self, url: str) -> Mapping[str, Any]:
        """The settings of the remote whose URL is the longest beginning of ``url``."""
        fitting = [
            spec
            for spec in self.by_name.values()
            if url == spec.url or url.startswith(spec.url.rstrip("/") + "/")
        ]
        return max(fitting, key=lambda spec: len(spec.url)).options if fitting else {}


@dataclass(frozen=True)
class Store:
    """A content-addressed store behind a URL."""

    spec: RemoteSpec

    def present(self, sizes: Mapping[str, int | None]) -> set[str]:
        """Those of the objects that are there; a local one must also have its size."""
        with self._errors("list"):
            if self.spec.is_local:
                return {oid for oid, size in sizes.items() if self._is_there(oid, size)}
            return set(self._odb.oids_exist(list(sizes)))

    def upload(
        self,
        files: Sequence[tuple[str, Path]],
        sent: Callable[[Sequence[str]], None] = lambda oids: None,
    ) -> None:
        """Send files as objects, ``(object id, path)``; ``sent`` hears of each batch.

        Raises:
            RemoteError: any of them could not be sent; none is kept half-written.
        """
        for start in range(0, len(files), _CHUNK):
            chunk = files[start:start + _CHUNK]
            log.debug("upload %d objects to %s", len(chunk), self.spec.public_url)
            failed: list[BaseException] = []
            with self._errors("write to"):
                self._odb.add(
                    [str(path) for _, path in chunk],
                    self._localfs,
                    [oid for oid, _ in chunk],
                    check_exists=False,
                    on_error=lambda oid, error, into=failed: into.append(error),
                )
                if failed:
                    raise failed[0]
            sent([oid for oid, _ in chunk])

    def upload_bytes(self, objects: Mapping[str, bytes]) -> None:
        """Send small objects that are in memory."""
        with self._errors("write to"):
            for oid, content in objects.items():
                self._put(self._odb.oid_to_path(oid), content)

    def write_file(self, path: str, content: bytes) -> None:
        """Write a named file below the URL."""
        with self._errors("write to"):
            self._put(self._fs.join(self._root, *path.split("/")), content)

    def read_file(self, path: str) -> bytes | None:
        """A named file below the URL, or None."""
        with self._errors("read"):
            try:
                content: bytes = self._fs.cat_file(self._fs.join(self._root, *path.split("/")))
            except FileNotFoundError:
                return None
            return content

    def read(self, oid: str) -> bytes | None:
        """A small object, or None where it is not there."""
        with self._errors("read"):
            try:
                content: bytes = self._fs.cat_file(self._odb.oid_to_path(oid))
            except FileNotFoundError:
                return None
            return content

    def download(self, objects: Iterable[tuple[str, Path]]) -> dict[str, str]:
        """Fetch objects to new files; what failed, object id -> reason."""
        from dvc_objects.fs import generic

        log.debug("download from %s", self.spec.public_url)
        wanted = list(objects)
        failed: dict[str, str] = {}
        by_path = {str(path): oid for oid, path in wanted}
        with self._errors("read"):
            if wanted:
                generic.copy(
                    self._fs,
                    [self._odb.oid_to_path(oid) for oid, _ in wanted],
                    self._localfs,
                    [str(path) for _, path in wanted],
                    on_error=lambda _, to, error: failed.update({by_path[to]: _reason(error)}),
                )
        return failed

    def _is_there(self, oid: str, size: int | None) -> bool:
        try:
            found = os.stat(self._odb.oid_to_path(oid)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return False
        return size is None or found == size

    def _put(self, path: str, content: bytes) -> None:
        self._fs.makedirs(self._fs.parent(path), exist_ok=True)
        if self.spec.is_local:
            write_bytes(Path(path), content)
        else:
            self._fs.put_file(BytesIO(content), path, size=len(content))

    @property
    def _localfs(self) -> Any:
        from dvc.fs import localfs

        return localfs

    @property
    def _fs(self) -> Any:
        return self._remote.fs

    @property
    def _root(self) -> str:
        return str(self._remote.path)

    @property
    def _odb(self) -> Any:
        return self._remote.odb

    @cached_property
    def _remote(self) -> Any:
        """DVC's own Remote, made from settings alone.

        Raises:
            RemoteError: an unknown kind of URL, a wrong setting, a missing extra.
        """
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        from dvc.config import ConfigError as RepoConfigError
        from dvc.data_cloud import Remote
        from dvc.fs import get_cloud_fs
        from dvc_objects.fs.errors import ConfigError, RemoteMissingDepsError

        config = {"core": {}, "remote": {_NAME: {"url": self.spec.url, **self.spec.options}}}
        try:
            cls, options, path = get_cloud_fs(config, name=_NAME)
            return Remote(_NAME, path, cls(**options), **options)
        except (RemoteMissingDepsError, ImportError) as error:
            scheme = urlsplit(self.spec.url).scheme
            extra = _EXTRAS.get(scheme)
            raise RemoteError(
                f"{self.spec.public_url} needs a package that is not installed",
                hint=f"pip install '{f'flexlock-hydra[{extra}]' if extra else f'dvc-{scheme}'}'",
            ) from error
        except (RepoConfigError, ConfigError) as error:
            raise RemoteError(
                f"{self.spec.public_url} cannot be used as a data remote: {error}",
                hint="Give a folder, or a URL that DVC knows: s3, ssh, gs, azure, webdav, https",
            ) from error

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Whatever a remote's library raises, as one error that names the remote."""
        try:
            yield
        except RemoteError:
            raise
        except Exception as error:  # each kind of remote has exceptions of its own
            raise RemoteError(
                f"cannot {doing} the data remote {self.spec.public_url}: {_reason(error)}",
                hint=_hint(error),
            ) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:300] or type(error).__name__


def _hint(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Make room there, or choose another with --remote; then push again."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return "Choose a place that you may write to with --remote."
    return "Check the URL, the network and the credentials; then try again."
