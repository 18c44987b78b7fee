"""Whether what recording, pushing and restoring runs stands on is there and well."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.archive.remotes.choose import embedded_store
from flexlock_hydra.archive.remotes.probe import DATA, GIT, Probe, ProbeAnswer, seconds_ahead
from flexlock_hydra.archive.runs.find import run_locks_below
from flexlock_hydra.capture.data.hash_index import index_path, look_through
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.ports.cache_folder import CACHE_VARIABLE
from flexlock_hydra.ports.git.command import git, require_version, run_git
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record.wording import some_of

# Seconds by which the clock of files here, or of a remote, may differ from this one.
_FILES_AHEAD, _REMOTE_AHEAD = 2.0, 60.0
_SAMPLE = 64  # objects of the embedded store that are read back
_ROOM = 1 << 30  # bytes that should be free where data is kept
_SECONDS = 60  # for Hydra to be imported, from a slow disk too
_HYDRA = """
import json, warnings
warnings.simplefilter("ignore")
from importlib.metadata import version
from hydra.core.plugins import Plugins
from hydra.core.config_store import ConfigStore
Plugins.instance()
known = ConfigStore.instance().repo.get("hydra", {}).get("callbacks", {})
print(json.dumps([version("hydra-core"), version("omegaconf"), "flexlock.yaml" in known]))
"""
_SEE_HYDRA = f"{sys.executable} -c 'import hydra.core.plugins'"
_PIP = f"{sys.executable} -m pip install"
_TURNED_ON = re.compile(
    r"^[^#\n]*(?:hydra[/.]callbacks\b[^\n#]*\bflexlock\b"
    r"|flexlock_hydra\.hooks\.callback\.FlexlockCallback"
    r"|hydra/callbacks[\"']?[ ]*:[^\n]*\n(?:[ ]*-[^\n:]*\n)*?[ ]*-[ ]*[\"']?flexlock\b"
    r"|callbacks:[^\n]*\n(?:[ ]+[^\n]*\n)*?[ ]+flexlock:)",
    re.MULTILINE,
)
_CALLED = re.compile(r"^[^#\n]*\bflexlock_hydra\b[^\n]*\bsnapshot\b", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what is so, and where it is wrong, what to type next."""

    name: str
    ok: bool
    reason: str = ""
    hint: str = ""


def examine(
    folder: Path, *, remote: str | None = None, git_remote: str | None = None, seconds: float
) -> Iterator[Finding]:
    """Look at everything, as seen from a folder; remotes have so many seconds to answer."""
    found, repo = _repository(folder)
    root = repo.root if repo else None
    asked = {GIT: git_remote, DATA: remote}
    probes = [Probe.start(kind, root, asked[kind], seconds) for kind in asked] if root else []
    try:
        yield from _git(folder)
        yield found
        yield from _programs()
        if repo is not None:
            yield _callback(repo)
    finally:
        answers = {probe.kind: probe.finish() for probe in probes}
    yield from (_reached(kind, said) for kind, said in answers.items())
    yield _clock_of_files(repo.git_dir if repo else folder)
    if (ahead := answers[DATA].ahead if answers else None) is not None:
        yield _clock(f"clock of the {DATA}", ahead, _REMOTE_AHEAD)
    yield _index()
    yield _store()


# Programs


def _git(folder: Path) -> Iterator[Finding]:
    try:
        said = git(folder, "version").decode().split()[2]
        require_version()
        yield Finding("git", True, said)
    except FlexlockError as error:
        yield Finding("git", False, str(error), error.hint)
        return
    keys = ("user.name", "user.email")
    missing = [key for key in keys if not run_git(folder, "config", key).stdout.strip()]
    commands = " && ".join(f'git config --global {key} "..."' for key in missing)
    told = f"{' and '.join(missing)} not set: git makes no commit of yours"
    yield Finding("git identity", not missing, told if missing else "", commands)


def _repository(folder: Path) -> tuple[Finding, GitRepo | None]:
    name = "repository"
    try:
        repo = GitRepo.find(folder)
    except FlexlockError as error:
        return Finding(name, False, str(error), error.hint), None
    if repo is None:
        hint = "git init, or go to the project: flexlock-hydra -C DIR doctor"
        return Finding(name, False, f"{folder} is in no git repository", hint), None
    if repo.rev_parse("HEAD") is None:
        hint = "git add . && git commit -m 'First commit'"
        return Finding(name, True, f"{repo.root}, without a commit yet", hint), repo
    return Finding(name, True, str(repo.root)), repo


def _programs() -> Iterator[Finding]:
    yield Finding("python", True, f"{platform.python_version()} in {sys.prefix}{_other_python()}")
    try:
        yield Finding("dvc", True, importlib.metadata.version("dvc"))
    except importlib.metadata.PackageNotFoundError:
        yield Finding("dvc", False, "it is not installed", f"{_PIP} 'dvc>=3.60,<4'")
    yield from _hydra()


def _other_python() -> str:
    other = shutil.which("python") or shutil.which("python3")
    if other is None or Path(other).parent.resolve() == Path(sys.executable).parent.resolve():
        return ""
    return f"; the python on PATH is another: {other}"


def _hydra() -> Iterator[Finding]:
    """Hydra as a job would find it: in a process of its own, with all plugins of here."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _HYDRA],
            cwd=sys.prefix, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS,
            check=False,
        )
        version, omegaconf, known = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        yield Finding("hydra", False, "it could not be imported in a minute", _SEE_HYDRA)
        return
    except (IndexError, ValueError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        yield Finding("hydra", False, f"it cannot be started: {last[-1]}", _SEE_HYDRA)
        return
    yield Finding("hydra", True, f"{version} with OmegaConf {omegaconf}")
    lost = f"Hydra in {sys.prefix} does not find it"
    told = "hydra/callbacks=flexlock is known" if known else lost
    again = "" if known else f"{_PIP} --force-reinstall --no-deps flexlock-hydra"
    yield Finding("plugin", known, told, again)


# The project


def _callback(repo: GitRepo) -> Finding:
    """Whether a config or a script of the project turns the recording on."""
    found = run_git(
        repo.root, "grep", "-l", "-z", "-I", "--untracked", "-e", "flexlock",
        "--", "*.yaml", "*.yml", "*.py", ":(exclude,glob)**/.hydra/**",
    )
    names = [os.fsdecode(name) for name in found.stdout.split(b"\0") if name]
    on = [name for name in names if _turns_on(repo.root / name)]
    if on:
        return Finding("callback", True, f"turned on in {some_of(on, 1)}")
    if next(run_locks_below(repo.root), None):
        return Finding("callback", True, "in no config, but runs were recorded")
    return Finding(
        "callback", False, "no config here turns it on: nothing is recorded",
        "Add to the defaults list: - override /hydra/callbacks: flexlock; or for one run: "
        "python app.py hydra/callbacks=flexlock",
    )


def _turns_on(path: Path) -> bool:
    with suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        by_script = path.suffix == ".py" and _CALLED.search(text)
        return bool(by_script or _TURNED_ON.search(text))
    return False


# Remotes and clocks


def _reached(kind: str, said: ProbeAnswer) -> Finding:
    if said.wrong:
        where = f"{said.where}: " if said.where and said.where not in said.wrong else ""
        return Finding(kind, False, f"{where}{said.wrong}", said.hint or "Check its URL.")
    return Finding(kind, True, said.where)


def _clock_of_files(folder: Path) -> Finding:
    """Changes are told by the times of files: a file server with another clock hides some."""
    name = "clock of files"
    try:
        before = time.time()
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".flexlock-clock-") as file:
            written = os.fstat(file.fileno()).st_mtime
        after = time.time()
    except OSError as error:
        hint = "Choose a folder that you may write to."
        return Finding(name, False, f"{folder} cannot be written to: {error.strerror}", hint)
    return _clock(name, seconds_ahead(written, before, after), _FILES_AHEAD)


def _clock(name: str, ahead: float, allowed: float) -> Finding:
    if abs(ahead) <= allowed:
        return Finding(name, True, "as here")
    told = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the one here"
    return Finding(name, False, told, "Set both by a time server, here: timedatectl set-ntp true")


# Caches


def _index() -> Finding:
    """The index of hashed files: whole, and open to be written."""
    path, name = index_path(), "hash index"
    if not path.exists():
        above = next(up for up in path.parents if up.exists())
        if not _can_make_folders(above):
            hint = f"Name a folder that you may write to: export {CACHE_VARIABLE}=DIR"
            told = f"{above} cannot be written to: files are hashed anew"
            return Finding(name, False, told, hint)
        return Finding(name, True, f"{path}, made by the first run")
    wrong, rows = look_through(path)
    if wrong:
        again = f"rm {path} (it is made anew)"
        return Finding(name, False, f"{path} {wrong}: files are hashed anew", again)
    if not os.access(path, os.W_OK):
        hint = f"chmod u+w {path}, or export {CACHE_VARIABLE}=DIR"
        return Finding(name, False, f"{path} cannot be written to", hint)
    return Finding(name, True, f"{path}, {rows} files")


def _can_make_folders(place: Path) -> bool:
    """Tried, for what root may do and what a file system does are not told by rights."""
    with suppress(OSError), tempfile.TemporaryDirectory(dir=place, prefix=".flexlock-"):
        return True
    return False


def _store() -> Finding:
    """The embedded store: some of its objects are read back and hashed."""
    folder, name = embedded_store(), "embedded store"
    if not folder.is_dir():
        return Finding(name, True, f"{folder}, made by the first push without a data remote")
    try:
        store = open_store(RemoteSpec(str(folder)))
        stored = [each.oid for each in store.stored()]
        sample = random.sample(stored, min(_SAMPLE, len(stored)))
        bad = [oid for oid, md5 in store.md5s(sample) if md5 != oid.removesuffix(".dir")]
        free = shutil.disk_usage(folder).free
    except (FlexlockError, OSError) as error:
        hint = f"Look at it: ls -l {folder}"
        return Finding(name, False, f"{folder} cannot be read: {error}", hint)
    if bad:
        hint = "Push the runs that need them again: flexlock-hydra push RUN --repair"
        return Finding(name, False, f"{folder}: damaged: {', '.join(sorted(bad)[:3])}", hint)
    if free < _ROOM:
        hint = "Make room, or take what no tag needs away: flexlock-hydra gc"
        return Finding(name, False, f"{folder}: {free >> 20} MB left on its disk", hint)
    return Finding(name, True, f"{folder}, {len(stored)} objects, {len(sample)} read back whole")
