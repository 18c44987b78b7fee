"""A push under way: what is sent and where to, its commit, its objects, its refs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from flexlock_hydra.archive.remotes.announce import Announcement
from flexlock_hydra.archive.tag import metafiles, tag_object
from flexlock_hydra.archive.tag.listings import damaged
from flexlock_hydra.archive.tag.manifest import SHARED
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.archive.tag.subject import Subject
from flexlock_hydra.errors import GitError, RemoteError
from flexlock_hydra.ports.git.make_objects import commit_tree, edit_tree
from flexlock_hydra.ports.git.remote import push_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.worktrees import would_ignore
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import with_parents

Progress = Callable[[int, int, int, int], None]
_ROUNDS = 3  # how often an upload is begun again when objects vanish meanwhile
_PATIENCE = 10.0  # seconds to wait for another push to be done with a ref of the git remote


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
    """A push under way: its options, what it sends, the stores and the git remote it goes to."""

    options: PushOptions
    payload: Payload
    url: str | None
    base: Store
    """The data remote as such: manifests and announcements lie here."""
    store: Store
    """Where objects go: ``base``, or a store below it for this tag alone (``--layout tag``)."""
    refs: Mapping[str, str] = field(default_factory=dict)
    """What the git remote has: ref -> object id."""

    @property
    def subject(self) -> Subject:
        """The run or sweep that the tag will stand for."""
        return self.payload.subject

    @property
    def repo(self) -> GitRepo:
        """The local repository that holds the snapshots of the subject."""
        return self.subject.repo

    def wanted(self, oid: str, commit: str) -> dict[str, str]:
        """The refs that are to be: ref -> object id.

        The branch is where the tag is: git takes it for the tag where both are meant.
        """
        wanted = {f"refs/tags/{self.subject.tag}": oid}
        if self.options.branch:
            wanted[f"refs/heads/{self.subject.tag}"] = commit
        return wanted


def upload(delivery: Delivery, turn: Announcement) -> Mapping[str, int]:
    """Send what the remote says is absent, until it says that all is there.

    It is asked when nobody deletes. What was sent, object id -> bytes.
    """
    store, payload = delivery.store, delivery.payload
    sent: dict[str, int] = {}
    for number in range(_ROUNDS + 1):
        turn.wait_for_deletions()
        absent = store.absent(payload.sizes)
        if delivery.options.repair and number == 0:
            # Only once: to read everything back takes as long as the upload.
            there = [oid for oid in payload.sizes if oid not in absent]
            absent = {**absent, **{oid: payload.sizes[oid] for oid in damaged(store, there)}}
        if not absent:
            if sent:
                store.settle()
            return sent
        if number < _ROUNDS:
            _send(delivery, absent)
            sent |= absent
    raise RemoteError(
        f"{len(absent)} objects are not on {store.spec.public_url} after the upload: "
        f"{', '.join(sorted(absent)[:3])}",
        hint="Nothing was tagged; push again.",
    )


def _send(delivery: Delivery, absent: Mapping[str, int]) -> None:
    total, done, files = sum(absent.values()), 0, 0

    def sent(count: int, size: int) -> None:
        nonlocal done, files
        done, files = done + size, files + count
        delivery.options.progress(done, total, files, len(absent))

    delivery.store.send(delivery.payload.sendables(absent), sent)


def make_commit(delivery: Delivery) -> str:
    """Write the commit behind the tag: the code tree and what the plan adds to it; its id."""
    payload, subject, repo = delivery.payload, delivery.subject, delivery.repo
    gitignore = _hiding_gitignore(repo, payload)
    files = metafiles.tree_files(
        payload.plan, payload.locks, delivery.store.spec, payload.tree, gitignore
    )
    # A leaf of the code where a file of ours needs a folder: git cannot have both.
    folders = {up for path in files for up in with_parents(path)} - set(files)
    remove = {*payload.plan.remove, *metafiles.nested_dvc(payload.tree)}
    remove |= {leaf for leaf in payload.tree if leaf in folders}
    tree = edit_tree(repo, subject.code.tree, files, remove)
    message = f"{subject.tag}\n\nThe code is this commit's first parent.\n"
    return commit_tree(repo, tree, payload.commits, message, subject.date)


def _hiding_gitignore(repo: GitRepo, payload: Payload) -> bytes | None:
    """The root's ``.gitignore``, if it would hide the metafiles from DVC."""
    entry = payload.tree.get(".gitignore")
    if entry is None or entry.mode not in ("100644", "100755"):
        return None
    content = next(content for _, content in repo.read_blobs([entry.oid]))
    return content if would_ignore(content, f"{layout.METAFILES}/0000.dvc") else None


def publish(delivery: Delivery, wanted: Mapping[str, str]) -> None:
    """Tag here, and the branch where one is wanted; then push both, atomically.

    Raises:
        GitError: the git remote refused them; what was made here is taken back.
    """
    repo = delivery.repo
    here = tag_object.local_refs(repo, wanted)  # anew: an upload may have taken hours
    before = {ref: here[ref] for ref in wanted}
    tag_object.require_branch(repo, before, wanted)
    try:
        for ref, want in wanted.items():
            repo.update_ref(ref, want)
        if delivery.url:
            _push_refs(delivery, delivery.url, wanted)
    except BaseException:  # also for Ctrl-C: a local tag without its remote one would mislead
        for ref, old in before.items():
            if repo.rev_parse(ref) != old:
                repo.git("update-ref", *([ref, old] if old else ["-d", ref]))
        raise


def _push_refs(delivery: Delivery, url: str, wanted: Mapping[str, str]) -> None:
    """Push refs that the git remote may have already; another push of the run may be quicker."""
    as_wanted = wanted.items() <= delivery.refs.items()
    if as_wanted and _are_there(delivery, url, wanted):  # asked again: one may be deleted by now
        return
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            push_refs(delivery.repo.root, url, wanted)
            return
        except GitError as error:
            if _are_there(delivery, url, wanted):
                return
            # Two pushes of one run write the same ref: git does not wait for its own lock.
            if ".lock': File exists" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.1)


def _are_there(delivery: Delivery, url: str, refs: Mapping[str, str]) -> bool:
    try:
        return refs.items() <= remote_refs(delivery.repo.root, url, *refs).items()
    except GitError:
        return False  # it cannot be asked
