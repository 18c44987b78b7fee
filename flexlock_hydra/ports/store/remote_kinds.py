"""Every kind of data remote beside folders: one record each, and all that is told by its URL.

To add a kind, add a row; where files go there in another way, a class below
:class:`~flexlock_hydra.ports.store.transfer.Transfer` as well. DVC must know its URL.
"""

from __future__ import annotations

from dataclasses import dataclass

from flexlock_hydra.ports.store.s3_transfer import S3Transfer
from flexlock_hydra.ports.store.ssh_transfer import SshTransfer
from flexlock_hydra.ports.store.transfer import HttpTransfer, ObjectTransfer, TimeLimits, Transfer
from flexlock_hydra.ports.store.webdav_transfer import WebDavTransfer


@dataclass(frozen=True)
class RemoteKind:
    """A kind of data remote. ``doctor`` and ``remote init`` try all kinds alike.

    Args:
        schemes: of its URLs, as DVC has them.
        transfer: how files go there and come back.
        package: what must be installed: an extra of this package in brackets, or a
            distribution.
        credentials: what whoever pushes or pulls needs, in words.
        public_options: settings that say where a remote is and not who may use it, in the
            order in which a tag has them; no other settings go into a tag.
        limits: for a server that is silent, where ``transfer`` sets any.
        endpoint_variables: of the environment; the first that is set names the server that
            whoever restores needs to know.
        sends_login_anywhere: whether the user's login would be sent to any server that a
            tag names.
    """

    schemes: tuple[str, ...]
    transfer: type[Transfer]
    package: str
    credentials: str = ""
    public_options: tuple[str, ...] = ()
    limits: TimeLimits = TimeLimits()
    endpoint_variables: tuple[str, ...] = ()
    sends_login_anywhere: bool = False

    @property
    def requirement(self) -> str:
        """What pip is told to install."""
        return f"flexlock-hydra{self.package}" if self.package[0] == "[" else self.package


REMOTE_KINDS = (
    RemoteKind(
        schemes=("s3",),
        transfer=S3Transfer,
        package="[s3]",
        credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in "
        "~/.aws/credentials",
        public_options=("endpointurl", "region", "use_ssl", "allow_anonymous_login"),
        endpoint_variables=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    ),
    RemoteKind(
        schemes=("ssh",),
        transfer=SshTransfer,
        package="[ssh]",
        credentials="your ssh keys and agent, as for ssh itself",
        public_options=("port", "user"),
    ),
    RemoteKind(
        schemes=("gs",),
        transfer=ObjectTransfer,
        package="[gs]",
        credentials="gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS",
        public_options=("endpointurl", "projectname", "allow_anonymous_login"),
        sends_login_anywhere=True,
    ),
    RemoteKind(
        schemes=("azure",),
        transfer=ObjectTransfer,
        package="[azure]",
        credentials="az login, or AZURE_STORAGE_CONNECTION_STRING",
        public_options=("account_name", "allow_anonymous_login"),
    ),
    RemoteKind(
        schemes=("webdav", "webdavs"),
        transfer=WebDavTransfer,
        package="[webdav]",
        credentials="a DVC remote of this URL with user and password in .dvc/config.local",
        public_options=("user",),
    ),
    RemoteKind(("https", "http"), HttpTransfer, "dvc-http", public_options=("user",)),
    RemoteKind(("hdfs",), Transfer, "dvc-hdfs", public_options=("user",)),
    RemoteKind(("webhdfs",), Transfer, "dvc-webhdfs", public_options=("user",)),
    RemoteKind(("oss",), ObjectTransfer, "dvc-oss"),
    RemoteKind(("gdrive",), Transfer, "dvc-gdrive"),
)


def kind_of(url: str) -> RemoteKind | None:
    """The kind of a data remote by its URL; None for a folder, and for what DVC does not know."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    return next((kind for kind in REMOTE_KINDS if scheme in kind.schemes), None)
