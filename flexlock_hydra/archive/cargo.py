"""Load all that a push sends: the plan, the locks, the objects, the commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flexlock_hydra.archive import collect, repos
from flexlock_hydra.archive.plan import Plan, is_under, join, make_plan
from flexlock_hydra.archive.runs import RecordedRun
from flexlock_hydra.capture.digest import FileDigest, digest_bytes, tree_object
from flexlock_hydra.errors import CodeError, GitError
from flexlock_hydra.ports.gitrepo import GitRepo


@dataclass(frozen=True)
class Cargo:
    """A run, checked, with everything that must be reachable from its tag.

    The data remote must hold ``files``, object id -> source and digest, and
    ``contents``, object id -> bytes: folders' listings, files that only git has, locks.
    """

    run: RecordedRun
    plan: Plan
    locks: Mapping[str, bytes]
    commits: tuple[str, ...]
    leaves: tuple[str, ...]
    files: Mapping[str, tuple[Path, FileDigest]]
    contents: Mapping[str, bytes]
    left: tuple[str, ...] = ()
    """Repositories whose commits do not travel, in words."""

    @property
    def sizes(self) -> dict[str, int]:
        """Object id -> bytes, of all objects."""
        return {oid: file.size for oid, (_, file) in self.files.items()} | {
            oid: len(content) for oid, content in self.contents.items()
        }


def load_cargo(run: RecordedRun, repo: GitRepo, *, outputs: bool) -> Cargo:
    """Find, hash and compare whatever the run and its predecessors recorded.

    Raises:
        DataError, RunNotFoundError, CodeError, PushError: see :mod:`collect`.
    """
    runs = [run, *collect.predecessors(run)]
    locks = {_lock_path(each, run.root): each.path.read_bytes() for each in runs}
    pieces = [
        piece
        for each in runs
        for piece in collect.pieces(each, run.root, outputs=outputs, inherited=each is not run)
    ]
    commits = _commits(repo, runs)
    more, left = _further_commits(repo, runs)
    tree = repo.ls_tree(commits[0])
    roots = {piece.path for piece in pieces}
    tracked = collect.GitFiles(repo, tree).below(lambda path: _is_below(path, roots))
    tracked |= {path: digest_bytes(content) for path, content in locks.items()}
    plan = make_plan(pieces, tracked, tree)
    files, contents = _objects(repo, plan, locks, commits[0])
    commits = list(dict.fromkeys((*commits, *more)))
    return Cargo(run, plan, locks, tuple(commits), tuple(tree), files, contents, tuple(left))


def _is_below(path: str, roots: set[str]) -> bool:
    return path in roots or any(str(up) in roots for up in PurePosixPath(path).parents)


def _commits(repo: GitRepo, runs: Iterable[RecordedRun]) -> list[str]:
    """The snapshot commits of all runs, each once, all of them in this repository."""
    commits = list(dict.fromkeys(each.lock.code.commit for each in runs if each.lock.code))
    for each in runs:
        code = each.lock.code
        if code is None or repo.has_object(f"{code.commit}^{{tree}}"):
            continue
        if each.repo and each.repo != repo and each.repo.has_object(code.commit):
            repo.fetch_snapshot(each.repo, code.commit)
            continue
        raise CodeError(
            f"the code of run {each.lock.run.id}, commit {code.commit}, is not in {repo.root}",
            hint="Fetch it: git fetch --all --tags; or push from where the run was made.",
        )
    return commits


def _further_commits(
    repo: GitRepo, runs: Iterable[RecordedRun]
) -> tuple[list[str], list[str]]:
    """The snapshot commits of all runs' further repositories, brought into this one.

    Also, in words, those that cannot be: their repository is gone, shallow, or of another
    object format.
    """
    commits, left = [], []
    for run in runs:
        for each in repos.further(run.lock):
            store = repos.store_of(run, each)
            if store is None:
                left.append(f"repository {each.name} of {run.lock.run.id} does not travel: "
                            f"commit {each.state.commit} is not here any more")
                continue
            try:
                repo.fetch_snapshot(store, each.state.commit)
                commits.append(each.state.commit)
            except GitError as error:
                left.append(
                    f"repository {each.name} of {run.lock.run.id} does not travel: {error}"
                )
    return commits, left


def _lock_path(run: RecordedRun, home: Path) -> str:
    return f"{collect.restore_path(run.folder, home)}/{run.path.name}".removeprefix("./")


def _objects(
    repo: GitRepo, plan: Plan, locks: Mapping[str, bytes], commit: str
) -> tuple[dict[str, tuple[Path, FileDigest]], dict[str, bytes]]:
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
            elif path in sources:
                files.setdefault(file.md5, (sources[path], file))
            else:
                contents[file.md5] = repo.read_file(commit, path) or b""
    listings = [out.digest for out in plan.outs] + [
        piece.digest
        for piece in plan.pieces
        if any(is_under(piece.path, out.path) for out in plan.outs)
    ]
    contents |= {found.md5: tree_object(found.files) for found in listings if found.is_folder}
    return {oid: file for oid, file in files.items() if oid not in contents}, contents
