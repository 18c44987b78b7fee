"""Push: a run or a sweep becomes a git tag, its data objects on a DVC remote.

Order: load and plan, hash and compare, look for secrets, upload, check every object, tag
locally, push the tag last. A tag that can be seen has all its data.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from flexlock_hydra.archive.push.drill import drill
from flexlock_hydra.archive.push.secret_scan import in_commits, in_locks, in_tree, refuse
from flexlock_hydra.archive.remotes.announce import Announcement, pushing
from flexlock_hydra.archive.remotes.choose import choose_git_remote, choose_remote
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
from flexlock_hydra.archive.tag import metafiles, tag_object
from flexlock_hydra.archive.tag.listings import damaged
from flexlock_hydra.archive.tag.payload import Payload, load_payload
from flexlock_hydra.archive.tag.manifest import (
    MANIFEST_ERRORS,
    SHARED,
    check_manifest,
    make_manifest,
    tag_message,
)
from flexlock_hydra.archive.tag.subject import Subject, subject_of
from flexlock_hydra.capture.code.scope import is_hydras
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.errors import GitError, PushError, RemoteError
from flexlock_hydra.ports.git.command import redact_url, require_version
from flexlock_hydra.ports.git.remote import push_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT
from flexlock_hydra.record.relative_path import with_parents

Progress = Callable[[int, int, int, int], None]

_NAMED = 5
_ROUNDS = 3
"""How often an upload is begun again when objects vanish meanwhile."""
_PATIENCE = 10.0
"""Seconds to wait for another push to be done with a ref of the git remote."""


@dataclass(frozen=True)
class PushOptions:
    """How a push goes.

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
class Pushed:
    """What a push did: numbers count the run's objects, and those that were sent."""

    tag: str
    commit: str
    git_remote: str | None
    remote: str
    objects: int
    bytes: int
    sent_objects: int
    sent_bytes: int
    warnings: tuple[str, ...] = ()
    drilled: int | None = None
    """Files that a drill compared, where there was one."""


def push(found: RecordedRun | RecordedSweep, **options: Any) -> Pushed:
    """Push a run, or a sweep with all its jobs, with all that it stands on.

    Args:
        options: see :class:`PushOptions`.

    Raises:
        FlexlockError: nothing was tagged; the message says why and what to do.
    """
    return _push(subject_of(found), PushOptions(**options))


def push_document(pushed: Pushed) -> dict[str, Any]:
    """The command's JSON document."""
    plain = {**vars(pushed), "warnings": list(pushed.warnings)}
    return {key: value for key, value in plain.items() if key != "drilled" or value is not None}


def restore_commands(pushed: Pushed, root: Path) -> tuple[str, str]:
    """The two ways back: with this package, and with git and DVC alone."""
    url = shlex.quote(pushed.git_remote or str(root))
    folder = pushed.tag.rpartition("/")[2]
    return (
        f"flexlock-hydra pull {pushed.tag} --from {url}",
        f"git clone --branch {pushed.tag} {url} {folder} && cd {folder} && dvc pull",
    )


@dataclass(frozen=True)
class _Delivery:
    """A push under way."""

    options: PushOptions
    cargo: Payload
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
        return self.cargo.subject

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


def _push(subject: Subject, options: PushOptions) -> Pushed:
    require_version()
    repo = subject.repo
    url = choose_git_remote(repo, options.git_remote)
    base = open_store(choose_remote(repo, options.remote))
    store = base if options.layout == SHARED else open_store(base.spec.below(subject.tag))
    refs = remote_refs(repo.root, url) if url else {}
    cargo = load_payload(subject, outputs=options.outputs)
    delivery = _Delivery(options, cargo, url, base, store, refs)
    known = _look_for_secrets(delivery)
    commit = "" if options.dry_run else _commit(delivery)
    drilled: int | None = None
    if options.dry_run:
        sent: Mapping[str, int] = store.absent(cargo.sizes)
    else:
        sent, drilled = _deliver(delivery, commit)
    return Pushed(
        tag=subject.tag,
        commit=commit,
        git_remote=redact_url(url) if url else None,
        remote=base.spec.public_url,
        objects=len(cargo.sizes),
        bytes=sum(cargo.sizes.values()),
        sent_objects=len(sent),
        sent_bytes=sum(sent.values()),
        warnings=(*_warnings(cargo, url, base.spec), *known, *_hydra_secrets(cargo, sent)),
        drilled=drilled,
    )


def _deliver(delivery: _Delivery, commit: str) -> tuple[Mapping[str, int], int | None]:
    """The data first, the tag last; the tag object is made before, to see if its name is free.

    Gives what was sent, object id -> bytes, and how many files a drill compared.
    """
    cargo, subject, repo = delivery.cargo, delivery.subject, delivery.repo
    manifest = make_manifest(cargo, delivery.base.spec, delivery.options.layout)
    wanted = tag_object.TagObject(
        subject.tag, commit, tag_message(manifest), subject.date
    )
    there = delivery.refs.get(f"refs/tags/{subject.tag}")
    oid = tag_object.make(repo, wanted, there, delivery.url, sign=delivery.options.sign)
    refs = delivery.wanted(oid, commit)
    tag_object.require_free(repo, delivery.url, delivery.refs, refs)
    with pushing(delivery.base, subject.tag, _needs(manifest)) as turn:
        _refuse_other(delivery.base, manifest)
        sent = _upload(delivery, turn)
        drilled = None
        if delivery.options.drill:
            drilled = drill(repo, delivery.url, cargo, oid, delivery.store)
        content = json.dumps(manifest, indent=1).encode()
        delivery.base.write_file(layout.manifest_path(subject.tag), content)
        tag_object.note_who(delivery.base, repo, subject.tag)
        _publish(delivery, refs)
    return sent, drilled


def _refuse_other(base: Store, manifest: Mapping[str, Any]) -> None:
    """Keep a manifest that names other objects: a tag on another git remote may need them.

    Raises:
        PushError: there is one.
    """
    tag = manifest["tag"]
    try:
        there = check_manifest(json.loads(base.read_file(layout.manifest_path(tag)) or b""), tag)
    except MANIFEST_ERRORS:
        return
    if _needs(there) != _needs(manifest):
        raise PushError(
            f"the data remote {base.spec.public_url} has {tag} with other content",
            hint="It was pushed before, perhaps to another git remote, with another layout or "
            f"without outputs. If it is not wanted: flexlock-hydra rm {tag} --yes",
        )


def _needs(manifest: Mapping[str, Any]) -> str:
    """Stands for what of the data remote a tag needs."""
    needed = {key: manifest[key] for key in ("layout", "data", "outs")}
    content = json.dumps(needed, sort_keys=True).encode()
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _publish(delivery: _Delivery, wanted: Mapping[str, str]) -> None:
    """Tag here, and the branch where one is wanted; then push both, atomically.

    Raises:
        GitError: the git remote refused them; what was made here is taken back.
    """
    repo = delivery.repo
    before = {ref: repo.rev_parse(ref) for ref in wanted}
    tag_object.require_branch(repo, before, wanted)
    try:
        for ref, want in wanted.items():
            repo.update_ref(ref, want)
        if delivery.url:
            _push_refs(delivery, delivery.url, wanted)
    except BaseException:
        for ref, old in before.items():
            if repo.rev_parse(ref) != old:
                repo.git("update-ref", *([ref, old] if old else ["-d", ref]))
        raise


def _push_refs(delivery: _Delivery, url: str, wanted: Mapping[str, str]) -> None:
    """Push refs that the git remote may have already; another push of the run may be quicker.

    Raises:
        GitError: it refused them.
    """
    known = all(delivery.refs.get(ref) == oid for ref, oid in wanted.items())
    if known and _are_there(delivery, url, wanted):  # they could have been deleted since
        return
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            push_refs(delivery.repo.root, url, wanted)
            return
        except GitError as error:
            if _are_there(delivery, url, wanted):
                return
            if ".lock': File exists" not in str(error) or time.monotonic() > patience:
                raise
            time.sleep(0.1)


def _are_there(delivery: _Delivery, url: str, refs: Mapping[str, str]) -> bool:
    """Whether the git remote has refs as they are wanted; not, where it cannot be asked."""
    try:
        found = remote_refs(delivery.repo.root, url, *refs)
    except GitError:
        return False
    return all(found.get(ref) == oid for ref, oid in refs.items())


def _commit(delivery: _Delivery) -> str:
    """The commit behind the tag: the code tree and what the plan adds to it."""
    cargo, subject, repo = delivery.cargo, delivery.subject, delivery.repo
    gitignore = _hiding_gitignore(repo, cargo)
    files = metafiles.tree_files(
        cargo.plan, cargo.locks, delivery.store.spec, cargo.tree, gitignore
    )
    folders = {up for path in files for up in with_parents(path)} - set(files)
    remove = {*cargo.plan.remove, *metafiles.nested_dvc(cargo.tree)}
    remove |= {leaf for leaf in cargo.tree if leaf in folders}
    tree = repo.edit_tree(subject.tree, files, remove)
    message = f"{subject.tag}\n\nThe code is this commit's first parent.\n"
    return repo.commit_tree(tree, cargo.commits, message, subject.date)


def _hiding_gitignore(repo: GitRepo, cargo: Payload) -> bytes | None:
    """The root's ``.gitignore``, if it would hide the metafiles from DVC."""
    entry = cargo.tree.get(".gitignore")
    if entry is None or entry.mode not in ("100644", "100755"):
        return None
    content = next(content for _, content in repo.read_blobs([entry.oid]))
    return content if repo.would_ignore(content, f"{layout.METAFILES}/0000.dvc") else None


def _upload(delivery: _Delivery, turn: Announcement) -> Mapping[str, int]:
    """Send what the remote says is absent, until it says that all is there.

    It is asked when nobody deletes. What was sent, object id -> bytes.
    """
    store, cargo = delivery.store, delivery.cargo
    sent: dict[str, int] = {}
    for number in range(_ROUNDS + 1):
        turn.wait_for_deletions()
        absent = store.absent(cargo.sizes)
        if delivery.options.repair and number == 0:
            absent = {**absent, **_damaged(store, cargo, absent)}
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


def _damaged(store: Store, cargo: Payload, absent: Mapping[str, int]) -> dict[str, int]:
    """The objects that are there with other bytes than they should have."""
    there = [oid for oid in cargo.sizes if oid not in absent]
    return {oid: cargo.sizes[oid] for oid in damaged(store, there)}


def _send(delivery: _Delivery, absent: Mapping[str, int]) -> None:
    total, done, files = sum(absent.values()), 0, 0

    def sent(count: int, size: int) -> None:
        nonlocal done, files
        done, files = done + size, files + count
        delivery.options.progress(done, total, files, len(absent))

    delivery.store.send(delivery.cargo.sendables(absent), sent)


def _look_for_secrets(delivery: _Delivery) -> list[str]:
    """Stop where a secret would become public; what the git remote has already, in words.

    Raises:
        PushError: a file that the git remote does not have shows one, or a lock does.
    """
    cargo, repo, allowed = delivery.cargo, delivery.repo, delivery.options.allow_secret
    new, blobs = in_commits(repo, cargo.commits, delivery.refs.values())
    refuse([*new, *in_locks(cargo.locks)], allowed)
    old = in_tree(repo, cargo.tree, without=blobs)
    return [f"{leak} looks like a secret; the git remote has it already" for leak in old]


def _warnings(cargo: Payload, url: str | None, remote: RemoteSpec) -> tuple[str, ...]:
    """What the tag cannot promise, in words."""
    said: dict[str, None] = {}
    if url is None:
        said["no git remote: the tag stays in this repository"] = None
    if remote.is_local:
        said[f"the data is in {remote.url}, a folder that only this machine may reach"] = None
    for run in cargo.subject.runs:
        said |= dict.fromkeys(_gaps(run))
    if cargo.subject.is_sweep and (names := _beside_jobs(cargo.subject.path.parent)):
        said[f"files of the sweep's own folder do not travel: {', '.join(names)}"] = None
    said |= dict.fromkeys(cargo.left)
    return tuple(said)


def _beside_jobs(folder: Path) -> list[str]:
    """Files that a sweeper wrote beside its jobs' folders, some of them."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if not is_hydras(name))[:_NAMED]


def _gaps(run: RecordedRun) -> list[str]:
    """What of one run was not recorded, or does not travel."""
    said = [text for text in run.lock.warnings if not text.startswith(layout.NOT_PUSHED)]
    for name, entry in run.lock.data.items():
        if entry.is_url:
            said.append(f"data {name} stays where it is: {entry.path}")
    if run.lock.outputs and run.lock.outputs.unhashed:
        large = ", ".join(run.lock.outputs.unhashed)
        said.append(f"outputs that were not hashed do not travel: {large}")
    for name, code in run.lock.repos.items():
        if code.completeness != EXACT:
            said.append(f"the code of {name} is {code.completeness}: {'; '.join(code.reasons)}")
    return said


def _hydra_secrets(cargo: Payload, sent: Container[str]) -> list[str]:
    """Hydra's own files among the outputs that were sent and show what looks like a secret."""
    found = []
    for piece in cargo.plan.pieces:
        for rel, file in piece.digest.files.items():
            is_hydras = rel.endswith(".yaml") and PurePosixPath(rel).parent.name == ".hydra"
            if is_hydras and file.md5 in sent:
                plain = yaml.load(piece.source_of(rel).read_bytes(), Loader=_AnyTag)
                if Masker().learn(plain).mask(plain) != plain:
                    found.append(
                        f"{piece.path}/{rel} of {piece.run} shows what looks like a secret "
                        "and travels as it is; --no-outputs leaves it here"
                    )
    return found


class _AnyTag(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads Hydra's files whatever objects their tags name: those come out as None."""


_AnyTag.add_constructor(None, lambda loader, node: None)
