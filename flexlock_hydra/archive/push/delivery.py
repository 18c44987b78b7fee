"""A push under way: what is sent, where to, and how its user wants it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flexlock_hydra.archive.tag.manifest import SHARED
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.archive.tag.subject import Subject
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.store import Store

Progress = Callable[[int, int, int, int], None]


@dataclass(frozen=True)
class PushOptions:
    """What the user of a push may choose.

    Args:
        remote: data remote: a folder, a URL or a name from DVC's configuration.
        git_remote: name of a git remote; ``origin`` where there is one.
        layout: ``shared``, one store for all tags, or ``tag``, a store for each.
        branch: also make a branch of the tag's name.
        outputs: whether the outputs of the run and its predecessors travel.
        drill: restore the tag from the remotes before it goes out, and compare.
        repair: read back what is on the remote already, and replace what is damaged.
        sign: sign the tag as git's configuration says.
        allow_secret: files in which a secret may be.
        dry_run: say what would be sent, and write nothing anywhere.
        progress: hears of the upload: bytes done and in all, objects done and in all.
    """

    remote: str | None = None
    git_remote: str | None = None
    layout: str = SHARED
    branch: bool = False
    outputs: bool = True
    drill: bool = False
    repair: bool = False
    sign: bool = False
    allow_secret: tuple[str, ...] = ()
    dry_run: bool = False
    progress: Progress = lambda done, total, files, all_files: None


@dataclass(frozen=True)
class Delivery:
    """A push under way."""

    options: PushOptions
    payload: Payload
    url: str | None
    base: Store
    """Holds the named files."""
    store: Store
    """Holds the objects: the same, or one below it for the tag alone."""
    refs: Mapping[str, str] = field(default_factory=dict)
    """What the git remote has: ref -> object id."""

    @property
    def subject(self) -> Subject:
        """What is pushed."""
        return self.payload.subject

    @property
    def repo(self) -> GitRepo:
        """Where its commits are."""
        return self.subject.repo

    def wanted(self, oid: str, commit: str) -> dict[str, str]:
        """The refs that are to be: ref -> object id.

        The branch is where the tag is: git takes it for the tag where both are meant.
        """
        wanted = {f"refs/tags/{self.subject.tag}": oid}
        if self.options.branch:
            wanted[f"refs/heads/{self.subject.tag}"] = commit
        return wanted
