"""Push: a run becomes a git tag, its data objects on a DVC remote.

Order: load and plan, hash and compare, upload, check every object, tag locally, push
the tag last. A tag that can be seen has all its data.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from flexlock_hydra.archive import metafiles
from flexlock_hydra.archive.cargo import Cargo, load_cargo
from flexlock_hydra.archive.remote import choose_git_remote, choose_remote
from flexlock_hydra.archive.runs import RecordedRun
from flexlock_hydra.capture.digest import FileDigest
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.errors import CodeError, DataError, LockError, PushError, RemoteError
from flexlock_hydra.ports.gitcmd import redact_url
from flexlock_hydra.ports import gitcmd
from flexlock_hydra.ports.dvcstore import RemoteSpec, Store
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT, MAIN, RUNNING

Progress = Callable[[int, int], None]


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


def push(
    run: RecordedRun,
    *,
    remote: str | None = None,
    git_remote: str | None = None,
    outputs: bool = True,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> Pushed:
    """Push a run with all that it stands on.

    Args:
        remote: data remote: a folder, a URL or a name from DVC's configuration.
        git_remote: name of a git remote; ``origin`` where there is one.
        outputs: whether the outputs of the run and its predecessors travel.
        dry_run: say what would be sent, and write nothing anywhere.
        progress: hears of the upload, in bytes: done, and in all.

    Raises:
        FlexlockError: nothing was tagged; the message says why and what to do.
    """
    gitcmd.require_version()
    repo = run.require_repo()
    _require_pushable(run)
    url = choose_git_remote(repo, git_remote)
    store = Store(choose_remote(repo, remote))
    cargo = load_cargo(run, repo, outputs=outputs)
    absent = _absent(store, cargo)
    commit = "" if dry_run else _commit(repo, cargo, store.spec)
    if commit:
        _deliver(repo, url, store, cargo, absent, commit, progress)
    return Pushed(
        tag=run.lock.tag,
        commit=commit,
        git_remote=redact_url(url) if url else None,
        remote=store.spec.public_url,
        objects=len(cargo.sizes),
        bytes=sum(cargo.sizes.values()),
        sent_objects=len(absent),
        sent_bytes=sum(absent.values()),
        warnings=(*_warnings(run, url, store.spec), *cargo.left, *_secrets(cargo)),
    )


def restore_commands(pushed: Pushed, root: Path) -> tuple[str, str]:
    """The two ways back: with this package, and with git and DVC alone."""
    url = shlex.quote(pushed.git_remote or str(root))
    folder = pushed.tag.rpartition("/")[2]
    return (
        f"flexlock-hydra pull {pushed.tag} --from {url}",
        f"git clone --branch {pushed.tag} {url} {folder} && cd {folder} && dvc pull",
    )


def _require_pushable(run: RecordedRun) -> None:
    if run.lock.run.status == RUNNING:
        raise PushError(
            f"run {run.lock.run.id} is still running", hint="Push it when it has ended."
        )
    if run.lock.code is None:
        raise CodeError(
            f"the code of run {run.lock.run.id} was not recorded: "
            f"{'; '.join(run.lock.warnings) or 'no git repository'}",
            hint="Put the project under git (git init) and run the job again.",
        )


def _absent(store: Store, cargo: Cargo) -> dict[str, int]:
    """The objects that the data remote lacks, with their sizes."""
    present = store.present(cargo.sizes)
    return {oid: size for oid, size in cargo.sizes.items() if oid not in present}


def _deliver(
    repo: GitRepo,
    url: str | None,
    store: Store,
    cargo: Cargo,
    absent: Mapping[str, int],
    commit: str,
    progress: Progress,
) -> None:
    """The data first, the tag last; the tag object is made before, to see if its name is free."""
    tag = cargo.run.lock.tag
    manifest = metafiles.manifest(cargo.run.lock, cargo.plan, store.spec, cargo.sizes)
    oid = repo.make_tag_object(tag, commit, metafiles.tag_message(manifest), _date(cargo.run))
    there = _require_free_tag(repo, url, tag, oid)
    _upload(store, cargo, absent, progress)
    store.write_file(layout.manifest_path(tag), json.dumps(manifest, indent=1).encode())
    if url and not there:
        repo.push_tag(url, tag, oid)
    repo.update_ref(f"refs/tags/{tag}", oid)


def _commit(repo: GitRepo, cargo: Cargo, remote: RemoteSpec) -> str:
    """The commit behind the tag: the code tree and what the plan adds to it."""
    code = cargo.run.lock.repos[MAIN]
    hidden = repo.is_ignored(f"{layout.METAFILES}/0000.dvc")
    gitignore = (repo.read_file(code.commit, ".gitignore") or b"") if hidden else None
    files = metafiles.tree_files(cargo.plan, cargo.locks, remote, cargo.leaves, gitignore)
    folders = {str(up) for path in files for up in PurePosixPath(path).parents}
    remove = {*cargo.plan.remove, *metafiles.nested_dvc(cargo.leaves)}
    remove |= {leaf for leaf in cargo.leaves if leaf in folders}
    tree = repo.edit_tree(code.tree, files, remove)
    message = f"{cargo.run.lock.tag}\n\nThe code is this commit's first parent.\n"
    return repo.commit_tree(tree, cargo.commits, message, _date(cargo.run))


def _require_free_tag(repo: GitRepo, url: str | None, tag: str, oid: str) -> bool:
    """Whether the git remote has this very tag already.

    Raises:
        PushError: a tag of the name with other content, there or here.
    """
    there = repo.remote_tag(url, tag) if url else None
    here = repo.tags(tag).get(tag)
    if there not in (None, oid):
        raise PushError(
            f"tag {tag} exists in {redact_url(url or '')} with other content",
            hint=f"It was pushed before, with another data remote or without outputs. "
            f"Delete it if it is not wanted: git push --delete REMOTE {tag}",
        )
    if here not in (None, oid) and not _is_ours(repo, tag):
        raise PushError(
            f"tag {tag} exists in {repo.root} with other content",
            hint=f"Delete it if it is not wanted: git tag -d {tag}",
        )
    return there == oid


def _is_ours(repo: GitRepo, tag: str) -> bool:
    """Whether a local tag came from an earlier push of the same run: it may be replaced."""
    message = repo.git("for-each-ref", "--format=%(contents:body)", f"refs/tags/{tag}")
    try:
        return bool(json.loads(message)["tag"] == tag)
    except (ValueError, KeyError, TypeError):
        return False


def _upload(
    store: Store, cargo: Cargo, absent: Mapping[str, int], progress: Progress
) -> None:
    """Send what is absent: files, then listings; then ask the remote for all of it."""
    total, done = sum(absent.values()), 0

    def sent(oids: Iterable[str]) -> None:
        nonlocal done
        done += sum(absent[oid] for oid in oids)
        progress(done, total)

    files = [(oid, path) for oid, (path, _) in cargo.files.items() if oid in absent]
    store.upload(files, sent)
    contents = {oid: content for oid, content in cargo.contents.items() if oid in absent}
    store.upload_bytes({o: c for o, c in contents.items() if not o.endswith(".dir")})
    store.upload_bytes({o: c for o, c in contents.items() if o.endswith(".dir")})
    changed = sorted(str(path) for path, file in cargo.files.values() if _changed(path, file))
    if changed:
        raise DataError(
            f"{changed[0]} changed while it was pushed", hint="Nothing was tagged; push again."
        )
    missing = _absent(store, cargo)
    if missing:
        raise RemoteError(
            f"{len(missing)} objects are not on {store.spec.public_url} after the upload: "
            f"{', '.join(sorted(missing)[:3])}",
            hint="Nothing was tagged; push again.",
        )


def _changed(path: Path, file: FileDigest) -> bool:
    """Whether a file is another one than when it was hashed."""
    try:
        stat = path.stat()
    except OSError:
        return True
    return (stat.st_size, stat.st_mtime_ns) != (file.size, file.mtime_ns)


def _warnings(run: RecordedRun, url: str | None, remote: RemoteSpec) -> tuple[str, ...]:
    """What the tag cannot promise, in words."""
    said = []
    if url is None:
        said.append("no git remote: the tag stays in this repository")
    if remote.is_local:
        said.append(f"the data is in {remote.url}, a folder that only this machine may reach")
    said += [text for text in run.lock.warnings if " left out: " in text]
    for name, entry in run.lock.data.items():
        if entry.is_url:
            said.append(f"data {name} stays where it is: {entry.path}")
    if run.lock.outputs and run.lock.outputs.unhashed:
        large = ", ".join(run.lock.outputs.unhashed)
        said.append(f"outputs that were not hashed do not travel: {large}")
    for name, code in run.lock.repos.items():
        if code.completeness != EXACT:
            said.append(f"the code of {name} is {code.completeness}: {'; '.join(code.reasons)}")
    return tuple(said)


def _secrets(cargo: Cargo) -> list[str]:
    """Hydra's own files among the outputs that show what looks like a secret."""
    found = []
    for piece in cargo.plan.pieces:
        for rel in piece.digest.files:
            if PurePosixPath(rel).parent.name == ".hydra" and rel.endswith(".yaml"):
                plain = yaml.load(piece.source_of(rel).read_bytes(), Loader=_AnyTag)
                if Masker().learn(plain).mask(plain) != plain:
                    found.append(
                        f"{piece.path}/{rel} of {piece.run} shows what looks like a secret "
                        "and travels as it is; --no-outputs leaves it here"
                    )
    return found


class _AnyTag(yaml.SafeLoader):
    """Reads Hydra's files whatever objects their tags name: those come out as None."""


_AnyTag.add_constructor(None, lambda loader, node: None)


def _date(run: RecordedRun) -> str:
    """The run's end, or its start where nobody wrote the end, as git's raw date."""
    text = run.lock.run.ended or run.lock.run.started
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise LockError(
            f"{run.path}: {text!r:.60} is no time", hint="Run the job again."
        ) from error
    return f"{int(moment.timestamp())} +0000"


def as_json(pushed: Pushed) -> dict[str, Any]:
    """The command's JSON document."""
    return {**vars(pushed), "warnings": list(pushed.warnings)}
