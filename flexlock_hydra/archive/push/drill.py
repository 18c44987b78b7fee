"""A drill: restore a tag from the remotes alone before it goes out, and compare."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flexlock_hydra.archive.pull.pull import restore_for_drill
from flexlock_hydra.archive.push.delivery import Delivery
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.capture.data.digest import FileDigest, digest_file
from flexlock_hydra.errors import PushError
from flexlock_hydra.ports.git.make_objects import hash_files
from flexlock_hydra.ports.git.remote import fetch_refs, push_refs
from flexlock_hydra.ports.git.repo import GitRepo, TreeEntry
from flexlock_hydra.ports.git.status import GITLINK
from flexlock_hydra.ports.git.worktrees import init_with_remote
from flexlock_hydra.record.relative_path import join_path

_DRILL_REFS = "refs/flexlock/drill"
_FILES_NAMED = 10


def drill(delivery: Delivery, oid: str) -> int:
    """Restore a tag object and compare every file with what was recorded; how many were.

    With a git remote, the object lies there for a while under a ref that is no tag.

    Raises:
        PushError: a file differs or is missing; each is named.
    """
    payload, repo = delivery.payload, delivery.repo
    outs = payload.plan.outs
    data = {join_path(o.path, rel): file for o in outs for rel, file in o.digest.files.items()}
    code = _expected_code(payload, data)
    with (
        _lent_to_all(repo, delivery.url, oid) as (source, ref),
        tempfile.TemporaryDirectory(prefix="flexlock-drill-") as folder,
    ):
        copy = init_with_remote(source, Path(folder, "restored"))
        fetch_refs(copy.root, source, [f"{ref}:refs/tags/{payload.subject.tag}"])
        missing = restore_for_drill(copy, payload.subject.tag, delivery.store)
        wrong = [*missing, *_differences(copy.root, repo, data, code, payload.locks)]
    if wrong:
        named = "\n".join(f"  {each}" for each in wrong[:_FILES_NAMED])
        raise PushError(
            f"the drill failed, no tag was pushed: {len(wrong)} files are not as recorded\n"
            f"{named}",
            hint="Push again with --repair: it replaces what is damaged on the remote.",
        )
    return len({*data, *code, *payload.locks})


@contextmanager
def _lent_to_all(repo: GitRepo, url: str | None, oid: str) -> Iterator[tuple[str, str]]:
    """Put an object where anybody could fetch it, for a while; the URL, and the ref there."""
    ref = f"{_DRILL_REFS}/{oid}-{os.urandom(4).hex()}"  # others may try the same run now

    def point(target: str) -> None:
        if url is not None:
            push_refs(repo.root, url, {ref: target})
        else:
            repo.git("update-ref", *([ref, target] if target else ["-d", ref]))

    point(oid)
    try:
        yield url or str(repo.root), ref
    finally:
        point("")


def _expected_code(payload: Payload, data: Collection[str]) -> dict[str, TreeEntry]:
    """The files of the run's code that the restored folder must have as they are."""
    added = {".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"}
    changed = added.union(data, payload.plan.remove, payload.locks)
    tree = payload.tree.items()
    return {path: e for path, e in tree if e.mode != GITLINK and path not in changed}


def _differences(
    root: Path,
    repo: GitRepo,
    data: Mapping[str, FileDigest],
    code: Mapping[str, TreeEntry],
    locks: Mapping[str, bytes],
) -> Iterator[str]:
    for path, file in data.items():
        try:
            found = digest_file(root / path)
        except OSError as error:
            yield f"{path}: {error.strerror}"
            continue
        if found != file:
            yield f"{path}: md5 {found.md5}, recorded {file.md5}"
    files = [path for path, entry in code.items() if entry.mode != "120000"]
    present = [path for path in files if (root / path).is_file()]
    yield from (f"{path}: not restored" for path in set(files) - set(present))
    restored = dict(zip(present, hash_files(repo, root, present), strict=True))
    for path, oid in restored.items():
        if oid != code[path].oid:
            yield f"{path}: not the recorded code"
        executable = bool((root / path).stat().st_mode & stat.S_IXUSR)
        if os.name != "nt" and executable != (code[path].mode == "100755"):
            yield f"{path}: another mode"
    for path, entry in code.items():
        if entry.mode == "120000" and not (root / path).is_symlink():
            yield f"{path}: not a link"
    for path, content in locks.items():
        if not (root / path).is_file() or (root / path).read_bytes() != content:
            yield f"{path}: not the recorded lock"
