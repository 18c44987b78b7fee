"""Pull: a tag becomes a folder with the code, the data and the locks in their places."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from flexlock_hydra.archive import metafiles, repos, runs
from flexlock_hydra.archive.remote import choose_git_remote, with_settings
from flexlock_hydra.capture.digest import digest_file, parse_tree_object
from flexlock_hydra.errors import DataError, GitError, RunNotFoundError, TargetError
from flexlock_hydra.ports.gitcmd import redact_url
from flexlock_hydra.ports import gitcmd
from flexlock_hydra.ports.dvcstore import ProjectRemotes, RemoteSpec, Store
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import check_path

_CHUNK = 256


@dataclass(frozen=True)
class Pulled:
    """A restored run: its folder and branch, files written, and what could not be."""

    path: str
    tag: str
    branch: str
    restored: int
    missing: tuple[str, ...] = ()


def pull(
    tag: str,
    *,
    source: str | None = None,
    into: Path | None = None,
    worktree: bool = False,
    data: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pulled:
    """Restore a pushed run.

    Args:
        source: git URL or folder that has the tag; without it this repository and its
            ``origin``.
        into: a new or empty folder; ``<job>-<run id>`` without it.
        worktree: a linked worktree of this repository instead of a clone.
        data: whether the data is fetched too.
        progress: hears of the download, in files: done, and in all.

    Raises:
        RunNotFoundError: no such tag. TargetError: the folder is not free, or the tag
            would write outside of it. DataError, GitError, RemoteError.
    """
    gitcmd.require_version()
    tag = tag.removeprefix("refs/tags/")
    named = layout.parse_tag(tag)
    if named is None:
        raise RunNotFoundError(
            f"{tag} is no tag of a run",
            hint=f"Such a tag is {layout.TAG_PREFIX}/<job>/<run id>; "
            "see: git ls-remote --tags REMOTE 'flexlock/*'",
        )
    target = (into or Path(f"{named[0]}-{named[1]}")).expanduser().absolute()
    branch = f"run-{named[1]}"
    here = GitRepo.find(Path.cwd())
    with _free_target(target, here if worktree else None, branch):
        if worktree:
            repo = _add_worktree(here, source, tag, target, branch)
        else:
            repo = GitRepo.clone_tag(_source(here, source, tag), tag, target, branch)
        unpacked = _unpack_repos(repo, tag, named[1])
        wanted = _wanted(repo, here or repo) if data else ({}, None)
        for path in wanted[0]:
            _check_place(repo.root, path)
    restored, missing = _restore(repo.root, *wanted, progress)
    return Pulled(str(repo.root), tag, branch, restored, (*unpacked, *missing))


def as_json(pulled: Pulled) -> dict[str, Any]:
    """The command's JSON document."""
    return {**vars(pulled), "missing": list(pulled.missing)}


@contextmanager
def _free_target(target: Path, linked_to: GitRepo | None, branch: str) -> Iterator[None]:
    """Make sure of a new or empty folder; take away what a failure leaves in it.

    ``linked_to`` is the repository of which the folder becomes a worktree.
    """
    existed = target.is_dir()
    if target.exists() and not existed:
        raise TargetError(f"{target} is a file", hint="Choose a folder: --into DIR")
    if existed and any(target.iterdir()):
        raise TargetError(
            f"{target} is not empty", hint="Choose a new or empty folder: --into DIR"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"{target.parent} cannot be made: {error.strerror}", hint="Choose another: --into DIR"
        ) from error
    if linked_to and linked_to.rev_parse(f"refs/heads/{branch}"):
        raise TargetError(
            f"{linked_to.root} has a branch {branch} already",
            hint=f"It was pulled before. To pull it again: git worktree remove its folder, "
            f"git branch -D {branch}",
        )
    with ExitStack() as failure:
        failure.callback(_take_away, target, linked_to, branch, existed)
        yield
        failure.pop_all()


def _take_away(target: Path, linked_to: GitRepo | None, branch: str, existed: bool) -> None:
    shutil.rmtree(target, ignore_errors=True)
    if linked_to:
        linked_to.git("worktree", "prune")
        linked_to.drop_branch(branch)
    if existed:
        target.mkdir()


def _source(here: GitRepo | None, source: str | None, tag: str) -> str:
    """The URL to fetch from: what was given, else where this repository has the tag."""
    if source is not None:
        local = Path(source).expanduser()
        return str(local.absolute()) if local.exists() else source
    if here is None:
        raise GitError(
            "this is no git repository, so the tag's home is unknown",
            hint="Say where the tag is: --from URL",
        )
    url = choose_git_remote(here, None)
    if url is not None and _remote_has(here, url, tag):
        return url
    if here.tags(tag):
        return str(here.root)
    known = redact_url(url) if url else str(here.root)
    raise RunNotFoundError(
        f"no tag {tag} in {known}",
        hint=f"See which there are: git ls-remote --tags {known} 'flexlock/*'",
    )


def _remote_has(repo: GitRepo, url: str, tag: str) -> bool:
    """Whether a git remote has a tag; a remote out of reach is as good as one without."""
    try:
        return repo.remote_tag(url, tag) is not None
    except GitError:
        if not repo.tags(tag):
            raise
        return False


def _add_worktree(
    here: GitRepo | None, source: str | None, tag: str, target: Path, branch: str
) -> GitRepo:
    if here is None:
        raise GitError(
            "a worktree needs a git repository here", hint="Leave --worktree out, or go to one."
        )
    if not here.tags(tag):
        url = _source(here, source, tag)
        here.git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", url,
                 f"refs/tags/{tag}:refs/tags/{tag}")
    here.add_worktree(target, f"refs/tags/{tag}^{{commit}}", branch)
    found = GitRepo.find(target)
    assert found is not None
    return found


def _unpack_repos(repo: GitRepo, tag: str, run_id: str) -> list[str]:
    """Check the run's further repositories out in their places; those that did not travel."""
    _, lock = runs.lock_of_tag(repo, tag, run_id)
    missing = []
    for each in repos.further(lock):
        if each.inside is not None:
            _check_place(repo.root, each.inside)
        if repo.has_object(f"{each.state.commit}^{{tree}}"):
            repo.unpack(each.state.commit, repo.root / each.restored)
        else:
            missing.append(f"{each.restored}: the code of repository {each.name}")
    return missing


def _wanted(repo: GitRepo, here: GitRepo) -> tuple[dict[str, str], Store | None]:
    """Path -> md5 of every file that the tag's metafiles name, and where they are."""
    outs = [
        metafiles.parse_metafile(path.read_bytes(), path.name)
        for path in sorted((repo.root / layout.METAFILES).glob("*.dvc"))
    ]
    if not outs:
        return {}, None
    store = Store(with_settings(_tag_remote(repo.root), here))
    files: dict[str, str] = {}
    for path, oid in outs:
        if not oid.endswith(".dir"):
            files[path] = oid
            continue
        listing = store.read(oid)
        if listing is None:
            raise DataError(
                f"the listing of {path} ({oid}) is not on {store.spec.public_url}",
                hint="Push the run again from a machine that has it.",
            )
        files |= {f"{path}/{rel}": md5 for rel, md5 in parse_tree_object(listing).items()}
    return files, store


def _tag_remote(root: Path) -> RemoteSpec:
    """The data remote that a tag's own ``.dvc/config`` names, and nothing else of it."""
    remotes = ProjectRemotes.load(root)
    spec = remotes.by_name.get(metafiles.REMOTE_NAME)
    if spec is None:
        raise DataError(f"{root / '.dvc/config'} names no remote {metafiles.REMOTE_NAME}")
    return RemoteSpec(spec.url, spec.public_options)


def _restore(
    root: Path,
    files: Mapping[str, str],
    store: Store | None,
    progress: Callable[[int, int], None],
) -> tuple[int, list[str]]:
    """Fetch every file that is not there yet, check its bytes, put it in its place."""
    todo = {path: md5 for path, md5 in files.items() if not _is_there(root / path, md5)}
    missing: list[str] = []
    if store is None or not todo:
        return 0, missing
    by_md5: dict[str, list[str]] = {}
    for path, md5 in todo.items():
        by_md5.setdefault(md5, []).append(path)
    with tempfile.TemporaryDirectory(prefix=".flexlock-", dir=root) as folder:
        oids = sorted(by_md5)
        for start in range(0, len(oids), _CHUNK):
            chunk = {oid: Path(folder, oid) for oid in oids[start:start + _CHUNK]}
            failed = store.download(chunk.items())
            for oid, fetched in chunk.items():
                reason = failed.get(oid) or _damage(fetched, oid)
                if reason:
                    missing += [f"{path}: {reason}" for path in by_md5[oid]]
                else:
                    _place(root, fetched, by_md5[oid])
            progress(min(start + _CHUNK, len(oids)), len(oids))
    return len(todo) - len(missing), sorted(missing)


def _check_place(root: Path, path: str) -> None:
    """Refuse a path that would leave the folder or reach into ``.git``."""
    pure = PurePosixPath(path)
    try:
        check_path(path)
        safe = not pure.is_absolute() and bool(pure.parts)
    except ValueError:
        safe = False
    git_like = any(part.lower().rstrip(". ") in (".git", "git~1") for part in pure.parts)
    linked = any((root / up).is_symlink() for up in (pure, *pure.parents))
    own = pure.parts[:1] in ((".dvc",), (layout.ARCHIVE_DIR,)) and not path.startswith(
        (f"{layout.FSROOT}/", f"{layout.OTHER_VERSIONS}/")
    )
    if not safe or git_like or linked or own:
        raise TargetError(
            f"the tag would write {path!r:.200}, which is not safe",
            hint="Do not trust this tag; ask who pushed it.",
        )


def _is_there(path: Path, md5: str) -> bool:
    return path.is_file() and not path.is_symlink() and digest_file(path).md5 == md5


def _damage(fetched: Path, oid: str) -> str | None:
    found = digest_file(fetched).md5
    return None if found == oid else f"damaged on the remote: md5 {found}, not {oid}"


def _place(root: Path, fetched: Path, paths: list[str]) -> None:
    """Give a fetched file its name, and copies of it the others; no link is followed."""
    for path in paths[1:]:
        copy = fetched.with_name("copy")
        shutil.copyfile(fetched, copy)
        copy.chmod(0o644)
        os.replace(copy, _made_room(root / path))
    fetched.chmod(0o644)
    os.replace(fetched, _made_room(root / paths[0]))


def _made_room(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return place
