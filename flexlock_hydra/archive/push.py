"""Push: a run becomes a git tag, its data objects on a DVC remote.

Order: load and plan, hash and compare, upload, check every object, tag locally, push
the tag last. A tag that can be seen has all its data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flexlock_hydra.archive import collect, metafiles
from flexlock_hydra.archive.plan import Plan, is_under, join, make_plan
from flexlock_hydra.archive.remote import choose_git_remote, choose_remote
from flexlock_hydra.archive.runs import RecordedRun
from flexlock_hydra.capture.digest import FileDigest, digest_bytes, tree_object
from flexlock_hydra.errors import CodeError, DataError, PushError, RemoteError
from flexlock_hydra.ports import gitcmd
from flexlock_hydra.ports.dvcstore import RemoteSpec, Store
from flexlock_hydra.ports.gitrepo import GitRepo, redact_url
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import EXACT, RUNNING, CodeState


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


@dataclass(frozen=True)
class Objects:
    """Everything that the data remote must hold: files by their source, the rest by bytes."""

    files: Mapping[str, tuple[Path, FileDigest]]
    contents: Mapping[str, bytes]

    @property
    def sizes(self) -> dict[str, int]:
        """Object id -> bytes."""
        return {oid: file.size for oid, (_, file) in self.files.items()} | {
            oid: len(content) for oid, content in self.contents.items()
        }


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
    repo, code = run.require_repo(), _require_pushable(run)
    url = choose_git_remote(repo, git_remote)
    store = Store(choose_remote(repo, remote))
    runs = [run, *collect.predecessors(run)]
    commits = _commits(repo, runs)
    locks = {_lock_path(each, run.root): each.path.read_bytes() for each in runs}
    pieces = [
        piece
        for each in runs
        for piece in collect.pieces(
            each, run.root, outputs=outputs, inherited=each is not run
        )
    ]
    tree = repo.ls_tree(code.commit)
    git_files = collect.GitFiles(repo, tree).below(
        lambda path: any(is_under(path, piece.path) for piece in pieces)
    )
    git_files |= {path: digest_bytes(content) for path, content in locks.items()}
    plan = make_plan(pieces, git_files, tree)
    objects = _objects(repo, plan, git_files, locks, code.commit)
    content = metafiles.manifest(run.lock, plan, store.spec, objects.sizes)
    present = store.present(objects.sizes)
    absent = {oid: size for oid, size in objects.sizes.items() if oid not in present}
    done = Pushed(
        tag=run.lock.tag,
        commit="",
        git_remote=redact_url(url) if url else None,
        remote=store.spec.public_url,
        objects=len(objects.sizes),
        bytes=sum(objects.sizes.values()),
        sent_objects=len(absent),
        sent_bytes=sum(absent.values()),
        warnings=_warnings(run, url, store.spec),
    )
    if dry_run:
        return done
    tag_commit = _commit(repo, run, plan, locks, store.spec, list(tree), commits)
    oid = repo.make_tag_object(
        run.lock.tag, tag_commit, metafiles.tag_message(content), _date(run)
    )
    tagged = _require_free_tag(repo, url, run.lock.tag, oid)
    _upload(store, objects, absent, progress)
    store.write_file(
        layout.manifest_path(run.lock.tag), json.dumps(content, indent=1).encode()
    )
    repo.update_ref(f"refs/tags/{run.lock.tag}", oid)
    if url and not tagged:
        repo.push_tag(url, run.lock.tag, oid)
    return Pushed(**{**vars(done), "commit": tag_commit})


def restore_commands(pushed: Pushed, root: Path) -> tuple[str, str]:
    """The two ways back: with this package, and with git and DVC alone."""
    url = pushed.git_remote or str(root)
    folder = pushed.tag.rpartition("/")[2]
    return (
        f"flexlock-hydra pull {pushed.tag} --from {url}",
        f"git clone --branch {pushed.tag} {url} {folder} && cd {folder} && dvc pull",
    )


def _require_pushable(run: RecordedRun) -> CodeState:
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
    return run.lock.code


def _commits(repo: GitRepo, runs: Iterable[RecordedRun]) -> list[str]:
    """The snapshot commits of all runs, each once, all of them in this repository."""
    commits = list(dict.fromkeys(each.lock.code.commit for each in runs if each.lock.code))
    for each in runs:
        code = each.lock.code
        if code is None or repo.has_object(f"{code.commit}^{{tree}}"):
            continue
        if each.repo and each.repo != repo and each.repo.has_object(code.commit):
            repo.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                     str(each.repo.root), layout.shadow_ref(code.commit))
            continue
        raise CodeError(
            f"the code of run {each.lock.run.id}, commit {code.commit}, is not in {repo.root}",
            hint="Fetch it: git fetch --all --tags; or push from where the run was made.",
        )
    return commits


def _lock_path(run: RecordedRun, home: Path) -> str:
    return f"{collect.restore_path(run.folder, home)}/{run.path.name}".removeprefix("./")


def _objects(
    repo: GitRepo,
    plan: Plan,
    git_files: Mapping[str, FileDigest],
    locks: Mapping[str, bytes],
    commit: str,
) -> Objects:
    """What the outs and the recorded listings consist of, with where the bytes are."""
    sources = {
        join(piece.path, rel): piece.source_of(rel)
        for piece in plan.pieces
        for rel in piece.digest.files
    }
    files: dict[str, tuple[Path, FileDigest]] = {}
    contents: dict[str, bytes] = {}
    for out in plan.outs:
        for rel, file in out.digest.files.items():
            path = join(out.path, rel)
            if path in locks and digest_bytes(locks[path]) == file:
                contents[file.md5] = locks[path]
            elif path in sources and sources[path].is_file():
                files.setdefault(file.md5, (sources[path], file))
            else:
                contents[file.md5] = repo.read_file(commit, path) or b""
        if out.digest.is_folder:
            contents[out.digest.md5] = tree_object(out.digest.files)
    for piece in plan.pieces:
        inside = any(is_under(piece.path, out.path) for out in plan.outs)
        if inside and piece.digest.is_folder:
            contents[piece.digest.md5] = tree_object(piece.digest.files)
    return Objects({oid: file for oid, file in files.items() if oid not in contents}, contents)


def _commit(
    repo: GitRepo,
    run: RecordedRun,
    plan: Plan,
    locks: Mapping[str, bytes],
    remote: RemoteSpec,
    leaves: Sequence[str],
    parents: Sequence[str],
) -> str:
    hidden = repo.is_ignored(f"{layout.METAFILES}/0000.dvc")
    gitignore = (repo.read_file(parents[0], ".gitignore") or b"") if hidden else None
    files = metafiles.tree_files(plan, locks, remote, leaves, gitignore)
    remove = {*plan.remove, *metafiles.nested_dvc(leaves)}
    remove |= {
        leaf for leaf in leaves if any(path.startswith(f"{leaf}/") for path in files)
    }
    tree = repo.edit_tree(run.lock.repos["main"].tree, files, remove)
    message = f"{run.lock.tag}\n\nThe code is this commit's first parent.\n"
    return repo.commit_tree(tree, parents, message, _date(run))


def _require_free_tag(repo: GitRepo, url: str | None, tag: str, oid: str) -> bool:
    """Whether the git remote has this very tag already.

    Raises:
        PushError: a tag of the name with other content, there or here.
    """
    there = repo.remote_tag(url, tag) if url else None
    here = repo.tags(tag).get(tag)
    for place, found in ((redact_url(url or ""), there), (str(repo.root), here)):
        if found not in (None, oid):
            raise PushError(
                f"tag {tag} exists in {place} with other content",
                hint=f"Delete it if it is not wanted: git push --delete REMOTE {tag}, "
                f"git tag -d {tag}",
            )
    return there == oid


def _upload(
    store: Store, objects: Objects, absent: Mapping[str, int], progress: Progress
) -> None:
    """Send what is absent: files, then listings; then ask the remote for all of it."""
    total, done = sum(absent.values()), 0

    def sent(oids: Iterable[str]) -> None:
        nonlocal done
        done += sum(absent[oid] for oid in oids)
        progress(done, total)

    files = [(oid, path) for oid, (path, _) in objects.files.items() if oid in absent]
    store.upload(files, sent)
    contents = {oid: content for oid, content in objects.contents.items() if oid in absent}
    store.upload_bytes({o: c for o, c in contents.items() if not o.endswith(".dir")})
    store.upload_bytes({o: c for o, c in contents.items() if o.endswith(".dir")})
    changed = sorted(str(path) for path, file in objects.files.values() if _changed(path, file))
    if changed:
        raise DataError(
            f"{changed[0]} changed while it was pushed", hint="Nothing was tagged; push again."
        )
    missing = set(objects.sizes) - store.present(objects.sizes)
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
    for name, code in run.lock.repos.items():
        if code.completeness != EXACT:
            said.append(f"the code of {name} is {code.completeness}: {'; '.join(code.reasons)}")
        if name != "main":
            said.append(f"repository {name} is recorded but does not travel")
    return tuple(said)


def _date(run: RecordedRun) -> str:
    """The run's end, or its start where nobody wrote the end, as git's raw date."""
    moment = datetime.fromisoformat(run.lock.run.ended or run.lock.run.started)
    return f"{int(moment.timestamp())} +0000"


def as_json(pushed: Pushed) -> dict[str, Any]:
    """The command's JSON document."""
    return {**vars(pushed), "warnings": list(pushed.warnings)}
