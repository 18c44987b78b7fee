"""Run a recorded job again: its code, overrides and data, in a new output directory."""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexlock_hydra.archive import collect, repos, runurl
from flexlock_hydra.archive.runs import RecordedRun, load_run, original_root
from flexlock_hydra.capture.digest import Digest, FileDigest, digest_file
from flexlock_hydra.capture.secrets import MASK, env_names
from flexlock_hydra.errors import CodeError, RerunError, TargetError
from flexlock_hydra.ports import gitcmd
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import same
from flexlock_hydra.record.model import RunLock
from flexlock_hydra.replay.compare import compare_files, result_files
from flexlock_hydra.replay.diff import flatten

_ZEN_LAUNCH = "zen_launch"
"""The name that hydra_zen.launch gives to the config that it runs."""

IDENTICAL = "identical"
DIFFERS = "differs"

_NOT_REPEATED = re.compile(
    r"hydra[/.](launcher|sweeper|sweep|mode)\b|hydra\.(run\.dir|job\.(num|id))$"
)
_STEERING = re.compile(r"LD_|DYLD_|PYTHON|BASH|GIT_|PATH$|ENV$|IFS$|SHELL")
"""Variables that would change which programs run: never taken from a record."""

_DETERMINISM = ("PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "TF_DETERMINISTIC_OPS")
_THREADS = re.compile(r".*_NUM_THREADS")


@dataclass(frozen=True)
class Reran:
    """A rerun and how its outputs compare with the recorded ones."""

    path: str
    id: str
    identical: int
    differ: tuple[str, ...]
    missing: tuple[str, ...]
    verdict: str


def rerun(
    run: RecordedRun, overrides: Sequence[str] = (), *, into: Path | None = None
) -> Reran:
    """Run a recorded job again and compare what comes out.

    Args:
        overrides: Hydra overrides that change the job; without any, the config that
            Hydra composes must be the recorded one.
        into: the new output directory; below ``outputs/reruns/`` without it.

    Raises:
        RerunError: it cannot be run faithfully, or ended before it wrote a lock.
        CodeError, DataError: its code or data is not here. TargetError: ``into`` is taken.
    """
    gitcmd.require_version()
    lock = run.lock
    repo = run.require_repo()
    expected = result_files(run) if lock.outputs else {}
    target = _free_folder(run, into)
    trees = collect.Trees()
    inputs = {
        name: collect.locate(run, name, entry)
        for name, entry in lock.data.items()
        if not (entry.is_url or trees.hold(run, entry))
    }
    arguments = _arguments(lock, overrides, runurl.source_again(run))
    with (
        repo.worktree(_commit(run, repo)) as tree,
        tempfile.TemporaryDirectory(prefix="flexlock-") as scratch,
        _further_repos(run, tree.root, Path(scratch)) as placed,
    ):
        moves = _place_inputs(run, inputs, tree.root)
        notes = {
            "folder": os.path.abspath(target),
            "parent": lock.run.id,
            "unresolved": None if overrides else lock.unresolved,
            "relocate": moves,
            "cwd": lock.job.command.cwd,
            "repos": {name: str(place) for name, place in placed.items()},
        }
        note = Path(scratch, "rerun.json")
        note.write_text(json.dumps(notes), encoding="utf-8")
        code = subprocess.run(
            [*_program(lock, tree.root), *arguments, *_hydra_arguments(lock, target)],
            cwd=_cwd(lock, tree.root),
            env=_environment(lock, tree.root, placed) | {layout.RERUN_VARIABLE: str(note)},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            check=False,
        ).returncode
    if not (target / layout.LOCK).exists():
        raise RerunError(
            f"the rerun of {lock.run.id} ended with exit code {code} before it wrote a lock",
            hint="What it said stands above.",
        )
    return _verdict(run, expected, load_run(target / layout.LOCK))


def as_json(reran: Reran) -> dict[str, Any]:
    """The command's JSON document."""
    return {**vars(reran), "differ": list(reran.differ), "missing": list(reran.missing)}


def _verdict(
    run: RecordedRun, expected: Mapping[str, FileDigest], again: RecordedRun
) -> Reran:
    both = run.lock.outputs and again.lock.outputs
    files = compare_files(expected, result_files(again) if both else {})
    differ = [*files.changed, *(f"{name} (new)" for name in files.added)]
    if changed_result(run.lock.run.result, again.lock.run.result):
        differ.append("the returned result")
    if again.lock.run.status != run.lock.run.status:
        differ.append(f"the status: {run.lock.run.status}, now {again.lock.run.status}")
    return Reran(
        path=str(again.folder),
        id=again.lock.run.id,
        identical=len(files.identical),
        differ=tuple(differ),
        missing=files.removed,
        verdict=DIFFERS if differ or files.removed else IDENTICAL,
    )


def changed_result(old: Any, new: Any) -> bool:
    """Whether two returned values differ, leaf by leaf."""
    one, other = flatten(old), flatten(new)
    return one.keys() != other.keys() or not all(same(one[key], other[key]) for key in one)


def _free_folder(run: RecordedRun, into: Path | None) -> Path:
    if into is not None:
        target = into.expanduser().absolute()
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise TargetError(
                f"{target} is not empty", hint="Choose a new folder: --into DIR"
            )
        return target
    folder = run.root / "outputs" / "reruns" / run.lock.run.id
    return next(
        place for n in range(1, 1 << 30) if not (place := folder / str(n)).exists()
    )


def _commit(run: RecordedRun, repo: GitRepo) -> str:
    code = run.lock.code
    if code is None:
        raise CodeError(
            f"the code of run {run.lock.run.id} was not recorded",
            hint="Put the project under git and run the job again.",
        )
    if not repo.has_object(f"{code.commit}^{{tree}}"):
        raise CodeError(
            f"commit {code.commit} of run {run.lock.run.id} is not in {repo.root}",
            hint=f"Fetch it: git fetch REMOTE tag {run.lock.tag}",
        )
    return code.commit


@contextmanager
def _further_repos(run: RecordedRun, root: Path, scratch: Path) -> Iterator[dict[str, Path]]:
    """Check the run's other repositories out; those outside of the main one, by name.

    Raises:
        CodeError: a commit is not here.
    """
    placed = {}
    with ExitStack() as trees:
        for each in repos.further(run.lock):
            store = repos.store_of(run, each)
            if store is None:
                raise CodeError(
                    f"commit {each.state.commit} of repository {each.name} is not here",
                    hint=f"It was in {each.original}; or pull the run from its tag.",
                )
            place = root / each.inside if each.inside else scratch / each.restored
            place.parent.mkdir(parents=True, exist_ok=True)
            trees.enter_context(store.worktree(each.state.commit, place))
            if each.inside is None:
                placed[each.name] = place
        yield placed


def _place_inputs(
    run: RecordedRun, inputs: Mapping[str, tuple[Path, Digest]], root: Path
) -> dict[str, str]:
    """Links to the recorded data where the job looks for it; what had to be moved."""
    old_root = original_root(run.lock)
    moves = {old_root: str(root)}
    for name, (source, found) in inputs.items():
        path = run.lock.data[name].place
        if Path(path).is_absolute():
            moves[path] = str(source)
            continue
        for rel, file in found.files.items():
            _link(root, posixpath.join(path, rel) if rel else path, source / rel, file)
    for run_id, prev in run.lock.prevs.items():
        for folder in collect.places(run, prev.path):
            lock = next(
                (
                    folder / name
                    for name in (layout.LOCK, layout.superseded_lock(run_id))
                    if (folder / name).is_file()
                ),
                None,
            )
            if lock is not None and not Path(prev.path).is_absolute():
                _link(root, f"{prev.path}/{layout.LOCK}", lock, digest_file(lock))
                break
    return moves


def _link(root: Path, path: str, source: Path, file: FileDigest) -> None:
    """A link at ``path`` to the recorded bytes, unless the code brought them itself."""
    place = root / path
    for up in reversed([root / up for up in Path(path).parents]):
        if up.is_symlink():
            up.unlink()
    if place.is_file() and not place.is_symlink() and digest_file(place) == file:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(source.absolute())


def _program(lock: RunLock, root: Path) -> list[str]:
    command = lock.job.command
    if lock.job.hydra is None or not (command.module or command.file):
        raise RerunError(
            f"run {lock.run.id} was no Hydra app started from a file or module",
            hint="Only such an app can be run again by this command.",
        )
    if lock.job.config_name == _ZEN_LAUNCH:
        raise RerunError(
            f"run {lock.run.id} was started by hydra-zen's launch() from {command.file}",
            hint="Start that script again; an app with a command line can be run by this command.",
        )
    if command.module and command.module != "__main__":
        return [sys.executable, "-m", command.module.removesuffix(".__main__")]
    return [sys.executable, str(_script(lock, root))]


def _script(lock: RunLock, root: Path) -> Path:
    """The script in the worktree; one that an environment installed, in this environment."""
    recorded = lock.job.command.file or ""
    if not Path(recorded).is_absolute():
        return root / recorded
    installed = Path(sys.executable).with_name(Path(recorded).name)
    if not installed.is_file():
        raise RerunError(
            f"run {lock.run.id} was started by {recorded}, which lies outside of the project",
            hint=f"Install what brings {installed.name} into this environment.",
        )
    return installed


def _arguments(lock: RunLock, overrides: Sequence[str], source: str | None) -> list[str]:
    """Hydra's own flags and the recorded overrides, those that are given anew left out.

    ``source`` stands for the recorded config path where that was another run.
    """
    from hydra._internal.utils import get_args_parser

    known, _ = get_args_parser().parse_known_args(list(lock.job.command.argv[1:]))
    known.config_path = source or known.config_path
    flags = [
        word
        for name in ("config_path", "config_name", "config_dir")
        if (value := getattr(known, name)) is not None
        for word in (f"--{name.replace('_', '-')}", value)
    ]
    given = {_key(override) for override in overrides}
    recorded = [
        override
        for override in (*lock.job.overrides.hydra, *lock.job.overrides.task)
        if _key(override) not in given and not _NOT_REPEATED.match(_key(override))
    ]
    masked = [_key(override) for override in recorded if MASK in override]
    if masked:
        raise RerunError(
            f"secrets are not recorded: {', '.join(masked)}",
            hint=f"Give them again: rerun RUN {' '.join(f'{key}=...' for key in masked)}",
        )
    return [*flags, *recorded, *overrides]


def _hydra_arguments(lock: RunLock, target: Path) -> list[str]:
    words = ["hydra.mode=RUN", f"hydra.run.dir={_quoted(str(target))}"]
    if lock.job.num is not None:
        words.append(f"hydra.job.num={lock.job.num}")
    if lock.job.id is not None:
        words.append(f"hydra.job.id={_quoted(lock.job.id)}")
    return words


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def _quoted(value: str) -> str:
    """A value in Hydra's override grammar, whatever characters it has."""
    escaped = re.sub(r"(\\+)(?=')|(\\+)$", lambda m: m[0] * 2, value).replace("'", "\\'")
    return f"'{escaped}'"


def _cwd(lock: RunLock, root: Path) -> Path:
    relative = posixpath.relpath(lock.job.command.cwd, original_root(lock))
    return root if relative.startswith("..") else root / relative


def _environment(lock: RunLock, root: Path, placed: Mapping[str, Path]) -> dict[str, str]:
    """This environment; the project's import paths, and what the run set and this lacks."""
    recorded = lock.environment.variables
    read = {name for name in env_names(lock.unresolved) if not _STEERING.match(name)}
    fixed = {
        name: value
        for name, value in recorded.items()
        if name in _DETERMINISM or _THREADS.fullmatch(name)
    }
    absent = {
        name: value
        for name, value in recorded.items()
        if name in read and name not in os.environ and MASK not in value
    }
    paths = [
        str(place / entry)
        for name, place in placed.items()
        for entry in lock.repos[name].import_paths or ()
    ]
    paths += [str(root / entry) for entry in lock.job.command.import_paths]
    return {**os.environ, **absent, **fixed, "PYTHONPATH": _joined(paths)}


def _joined(paths: Iterable[str]) -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([*paths, *([inherited] if inherited else [])])
