"""Push: a run or a sweep becomes a git tag, its data objects on a DVC remote.

Order: load and plan, hash and compare, look for secrets, upload, check every object, tag
locally, push the tag last. A tag that can be seen has all its data.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.push import secret_scan
from flexlock_hydra.archive.push.delivery import Delivery, PushOptions, make_commit, publish, upload
from flexlock_hydra.archive.push.drill import drill
from flexlock_hydra.archive.remotes.announce import pushing
from flexlock_hydra.archive.remotes.choose import choose_git_remote, choose_remote
from flexlock_hydra.archive.runs.recorded_run import RecordedRun, RecordedSweep
from flexlock_hydra.archive.tag import tag_object
from flexlock_hydra.archive.tag.manifest import (
    MANIFEST_ERRORS, SHARED, check_manifest, make_manifest, parse_json, tag_message
)
from flexlock_hydra.archive.tag.payload import Payload, load_payload
from flexlock_hydra.archive.tag.subject import Subject, subject_of
from flexlock_hydra.capture.code.scope import is_hydras
from flexlock_hydra.errors import PushError
from flexlock_hydra.ports.git.command import redact_url, require_version
from flexlock_hydra.ports.git.large_files import lfs_only_here
from flexlock_hydra.ports.git.remote import remote_refs
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec, Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT, Completeness
from flexlock_hydra.record.summary import worst_of
from flexlock_hydra.record.wording import some_of

_NAMED = 5  # files beside a sweep's jobs that are named


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
    completeness: Completeness
    unrecorded: tuple[str, ...] = ()
    """What the runs read and their records do not hold."""
    later: tuple[str, ...] = ()
    """Files that travel as the jobs left them, for what was recorded is gone."""
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
    plain = {
        **vars(pushed),
        "completeness": pushed.completeness.to_dict(),
        "unrecorded": list(pushed.unrecorded),
        "later": list(pushed.later),
        "warnings": list(pushed.warnings),
    }
    return {key: value for key, value in plain.items() if key != "drilled" or value is not None}


def restore_commands(pushed: Pushed, root: Path) -> tuple[str, str]:
    """The two ways back: with this package, and with git and DVC alone."""
    url = shlex.quote(pushed.git_remote or str(root))
    folder = pushed.tag.rpartition("/")[2]
    return (
        f"flexlock-hydra pull {pushed.tag} --from {url}",
        f"git clone --branch {pushed.tag} {url} {folder} && cd {folder} && dvc pull",
    )


def _push(subject: Subject, options: PushOptions) -> Pushed:
    require_version()
    repo = subject.repo
    url = choose_git_remote(repo, options.git_remote)
    base = open_store(choose_remote(repo, options.remote))
    store = base if options.layout == SHARED else open_store(base.spec.below(subject.tag))
    # Before anything is hashed: a git remote that is out of reach is known at once.
    refs = remote_refs(repo.root, url) if url else {}
    payload = load_payload(subject, outputs=options.outputs)
    delivery = Delivery(options, payload, url, base, store, refs)
    leaks = _look_for_secrets(delivery)
    commit = "" if options.dry_run else make_commit(delivery)
    sent, drilled = _deliver(delivery, commit) if commit else (store.absent(payload.sizes), None)
    leaks += secret_scan.in_hydras_files(payload, sent)
    return Pushed(
        tag=subject.tag,
        commit=commit,
        git_remote=redact_url(url) if url else None,
        remote=base.spec.public_url,
        objects=len(payload.sizes),
        bytes=sum(payload.sizes.values()),
        sent_objects=len(sent),
        sent_bytes=sum(sent.values()),
        completeness=worst_of(run.lock for run in subject.runs),
        unrecorded=tuple(_unrecorded(subject)),
        later=payload.plan.later,
        warnings=(*_gaps_of_tag(payload, url, base.spec), *_kept_by_lfs(subject, url), *leaks),
        drilled=drilled,
    )


def _deliver(delivery: Delivery, commit: str) -> tuple[Mapping[str, int], int | None]:
    """Send the data, then the tag, so that a tag that can be seen has all its data.

    The tag object is made before, to see whether its name is free. Gives what was sent,
    object id -> bytes, and how many files a drill compared.
    """
    payload, subject, repo = delivery.payload, delivery.subject, delivery.repo
    manifest = make_manifest(payload, delivery.base.spec, delivery.options.layout)
    tag, ref = subject.tag, f"refs/tags/{subject.tag}"
    wanted = tag_object.TagObject(tag, commit, tag_message(manifest), subject.date)
    here = tag_object.local_refs(repo, delivery.wanted("", ""))
    oid = tag_object.make_tag(
        repo, wanted, here[ref], delivery.refs.get(ref), delivery.url, sign=delivery.options.sign
    )
    refs = delivery.wanted(oid, commit)
    tag_object.require_free(repo, delivery.url, here, delivery.refs, refs)
    with pushing(delivery.base, tag, _needs(manifest)) as turn:
        _refuse_other(delivery.base, manifest)
        sent = upload(delivery, turn)
        drilled = drill(delivery, oid) if delivery.options.drill else None
        content = json.dumps(manifest, indent=1).encode()
        # Before the tag: a collection that finds a tag without it would take its objects.
        delivery.base.write_file(layout.manifest_path(tag), content)
        tag_object.note_who(delivery.base, repo, tag)
        publish(delivery, refs)
    return sent, drilled


def _refuse_other(base: Store, manifest: Mapping[str, Any]) -> None:
    """Keep a manifest that names other objects: a tag on another git remote may need them."""
    tag = manifest["tag"]
    try:
        there = check_manifest(parse_json(base.read_file(layout.manifest_path(tag))), tag)
    except MANIFEST_ERRORS:  # none, or a damaged one, which this push replaces
        return
    if _needs(there) != _needs(manifest):
        raise PushError(
            f"the data remote {base.spec.public_url} has {tag} with other content",
            hint="It was pushed before, perhaps to another git remote, with another layout or "
            f"without outputs. If it is not wanted: flexlock-hydra rm {tag} --yes",
        )


def _needs(manifest: Mapping[str, Any]) -> str:
    """A hash of all that a tag needs of its data remote: equal for pushes of equal content."""
    needed = {key: manifest[key] for key in ("layout", "data", "outs")}
    content = json.dumps(needed, sort_keys=True).encode()
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _look_for_secrets(delivery: Delivery) -> list[str]:
    """Stop where a secret would become public; what the git remote has already, in words."""
    payload, repo, allowed = delivery.payload, delivery.repo, delivery.options.allow_secret
    new, blobs = secret_scan.in_commits(repo, payload.commits, delivery.refs.values())
    secret_scan.refuse([*new, *secret_scan.in_locks(payload.locks)], allowed)
    old = secret_scan.in_tree(repo, payload.tree, without=blobs)
    return [f"{leak} looks like a secret; the git remote has it already" for leak in old]


def _gaps_of_tag(payload: Payload, url: str | None, remote: RemoteSpec) -> tuple[str, ...]:
    """What a tag cannot promise, in words: where its data is, what was not recorded or stays."""
    said = ["no git remote: the tag stays in this repository"] if url is None else []
    if remote.is_local:
        said.append(f"the data is in {remote.url}, a folder that only this machine may reach")
    for run in payload.subject.runs:
        said += _gaps(run)
    if payload.subject.is_sweep and (names := _beside_jobs(payload.subject.path.parent)):
        said.append(f"files of the sweep's own folder do not travel: {', '.join(names)}")
    return tuple(dict.fromkeys((*said, *payload.left)))


def _kept_by_lfs(subject: Subject, url: str | None) -> list[str]:
    """Files of the code whose contents git LFS keeps, and has not sent anywhere yet."""
    commits = {run.lock.code.commit for run in subject.runs if run.lock.code}
    paths = {path for commit in commits for path in lfs_only_here(subject.repo, commit)}
    if not (paths and url):
        return []
    what = f"git LFS keeps {some_of(sorted(paths), _NAMED)} on this machine alone"
    return [f"{what}; send it by hand: git lfs push --all REMOTE"]


def _unrecorded(subject: Subject) -> Iterator[str]:
    """What the runs read and their records do not hold, each path once."""
    gaps = [each for run in subject.runs for each in run.lock.unrecorded or ()]
    yield from dict.fromkeys(each.path for each in gaps)
    for run in subject.runs:
        yield from (name for name, each in run.lock.data.items() if each.error and not each.is_url)


def _beside_jobs(folder: Path) -> list[str]:
    """Files that a sweeper wrote beside its jobs' folders, some of them."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if not is_hydras(name))[:_NAMED]


def _gaps(run: RecordedRun) -> list[str]:
    said = [text for text in run.lock.warnings if not text.startswith(layout.NOT_PUSHED)]
    urls = {name: entry.path for name, entry in run.lock.data.items() if entry.is_url}
    said += [f"data {name} stays where it is: {url}" for name, url in urls.items()]
    if run.lock.outputs and run.lock.outputs.unhashed:
        large = ", ".join(run.lock.outputs.unhashed)
        said.append(f"outputs that were not hashed do not travel: {large}")
    for name, code in run.lock.repos.items():
        if code.completeness != EXACT:
            said.append(f"the code of {name} is {code.completeness}: {'; '.join(code.reasons)}")
    return said
