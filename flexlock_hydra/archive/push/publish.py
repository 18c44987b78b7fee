"""Make the commit behind a tag, and point the tag's refs at it, here and on the git remote."""

from __future__ import annotations

import time
from collections.abc import Mapping

from flexlock_hydra.archive.push.delivery import Delivery
from flexlock_hydra.archive.tag import metafiles, tag_object
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.errors import GitError
from flexlock_hydra.ports.git.ignored import would_ignore
from flexlock_hydra.ports.git.make_objects import commit_tree, edit_tree
from flexlock_hydra.ports.git.remote import push_refs, remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import with_parents

_PATIENCE = 10.0
"""Seconds to wait for another push to be done with a ref of the git remote."""


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
    tree = edit_tree(repo, subject.tree, files, remove)
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
    """Push refs that the git remote may have already; another push of the run may be quicker.

    Raises:
        GitError: it refused them.
    """
    as_wanted = all(delivery.refs.get(ref) == oid for ref, oid in wanted.items())
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
    """Whether the git remote has refs as they are wanted; not, where it cannot be asked."""
    try:
        found = remote_refs(delivery.repo.root, url, *refs)
    except GitError:
        return False
    return all(found.get(ref) == oid for ref, oid in refs.items())
