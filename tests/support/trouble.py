"""What goes wrong while something is pushed: hooks on the way to git, an own look at remotes."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, add_origin
from tests.support import forks
from tests.support.environ import clean_env

FILES = 100
APP = f'''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    for number in range({FILES}):
        path = out / f"part{{number % 7}}" / f"{{number}}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{{cfg.name}} {{number}}\\\\n" * (number * number % 97 + 1))


if __name__ == "__main__":
    main()
'''.replace("\\\\", "\\")
CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
table: ${snapshot:data/table.csv,table}
before: null
name: x
"""
_TRANSPORT = """#!/bin/sh
# git calls it with a host and a command; the first file of each name runs once.
[ "$1" = -G ] && exit 1
for last; do :; done
case "$last" in *git-receive-pack*) way=push ;; *) way=fetch ;; esac
at() {
    for hook in "$HOOKS/$1-$way"-*; do
        [ -e "$hook" ] || return 0
        mv "$hook" "$hook.ran.$1" 2>/dev/null || continue
        mv "$hook.ran.$1" "$HOOKS/ran"
        sh "$HOOKS/ran/$(basename "$hook").ran.$1" >&2 || exit 1
        return 0
    done
}
at before
sh -c "$last"
code=$?
at after
exit $code
"""


@pytest.fixture(scope="session")
def chain_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``outputs/a``, ``b`` and ``c``, each standing on the one before, with 100 files each."""
    folder = tmp_path_factory.mktemp("chain")
    project = Project(folder / "project", clean_env(folder / "home"))
    project.write("app.py", APP)
    project.write("conf/config.yaml", CONFIG)
    project.write(".gitignore", "outputs/\ndata/\n")
    project.write("data/table.csv", "a,b\n1,2\n")
    project.git("init", "-q", "-b", "main")
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.org")
    project.commit("first")
    project.app("hydra.run.dir=outputs/a", "name=a")
    for name, before in (("b", "a"), ("c", "b")):
        stands_on = f"before='${{snapshot:outputs/{before},before}}'"
        project.app(f"hydra.run.dir=outputs/{name}", f"name={name}", stands_on)
    return project.root


@pytest.fixture
def chain(chain_template: Path, tmp_path: Path) -> Project:
    """A copy of it with a bare ``origin``; data goes to ``store`` beside it."""
    shutil.copytree(chain_template, tmp_path / "project", symlinks=True)
    env = {"TMPDIR": str(tmp_path), "FLEXLOCK_REMOTE": str(tmp_path / "store")}
    project = Project(tmp_path / "project", {**clean_env(tmp_path / "home"), **env})
    add_origin(project, tmp_path / "origin.git")
    return project


# Processes


def start(
    project: Project, *words: str | Path, cwd: Path | None = None
) -> subprocess.Popen[str] | forks.Fork:
    """The command line, in a process group of its own."""
    given = [project.python, "-m", "flexlock_hydra", *map(str, words)]
    where = cwd or project.root
    return forks.start(given, where, project.env, new_session=True) or subprocess.Popen(
        given,
        cwd=where,
        env=project.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@dataclass
class Killer:
    """Kills processes and their children at moments of its own choice.

    It learns how long they take, since a machine has other work too.
    """

    chance: random.Random
    seconds: float = 1.0
    killed: int = 0

    def run(self, process: subprocess.Popen[str] | forks.Fork) -> None:
        """Kill it, unless it ends before."""
        began = time.monotonic()
        try:
            process.communicate(timeout=self.seconds * self.chance.uniform(0.2, 1.2))
            assert process.returncode == 0
            self.seconds = time.monotonic() - began
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.killed += process.returncode == -signal.SIGKILL


def own_command(*words: str | Path) -> str:
    """The command line for a hook; its output and its exit code go into a file beside it."""
    call = shlex.join([sys.executable, "-m", "flexlock_hydra", *map(str, words)])
    return f'{call} > "$0.out" 2>&1; echo $? > "$0.code"'


def hold_while(file: Path) -> str:
    """A script that makes a file and waits until it is gone, no longer than a minute."""
    waiting = f'[ -e "{file}" ] && [ $n -lt 1200 ]'
    return f'touch "{file}"; n=0; while {waiting}; do n=$((n + 1)); sleep 0.05; done'


# The way to the git remote


@dataclass(frozen=True)
class Way:
    """The way to ``origin``, which can be hooked.

    A hook is a shell script. It runs once, where git begins to fetch from origin (or to list
    its refs) or to push to it, or when that is done and git was not told yet; of several, the
    first that was given. A hook that fails breaks the connection.
    """

    hooks: Path

    def hook(self, when: str, script: str) -> Path:
        """Put a hook at ``before-fetch``, ``after-fetch``, ``before-push``, ``after-push``.

        The path is where its script lies when it ran.
        """
        number = sum(1 for path in self.hooks.rglob(f"{when}-*.sh*"))
        (self.hooks / f"{when}-{number}.sh").write_text(script)
        return self.hooks / "ran" / f"{when}-{number}.sh.ran.{when.partition('-')[0]}"

    def command(self, when: str, *words: str | Path) -> Callable[[], tuple[int, str]]:
        """Run the command line as a hook; what gives its exit code and its output."""
        ran = self.hook(when, own_command(*words))

        def result() -> tuple[int, str]:
            return int(Path(f"{ran}.code").read_text()), Path(f"{ran}.out").read_text()

        return result


def hooked(project: Project) -> Way:
    """Make ``origin`` a URL that git reaches through a program of ours."""
    bare = project.git("remote", "get-url", "origin")
    folder = project.root.with_name("way")
    (folder / "ran").mkdir(parents=True)
    transport = folder / "transport"
    transport.write_text(_TRANSPORT)
    transport.chmod(0o755)
    project.git("remote", "set-url", "origin", f"ssh://nowhere{bare}")
    project.env.update(GIT_SSH_COMMAND=shlex.quote(str(transport)), HOOKS=str(folder))
    return Way(folder)


# What is on the remotes, without any code of ours


def visible_tags(bare: Path) -> list[str]:
    """The tags of runs that anybody sees on a git remote."""
    return _git(bare, "for-each-ref", "--format=%(refname:strip=2)", "refs/tags").split()


def require_complete(bare: Path, root: Path = Path("/")) -> list[str]:
    """Whatever tag can be seen has all its data, byte for byte; those tags.

    Args:
        root: where the paths that the tags name begin.
    """
    seen = visible_tags(bare)
    for tag in seen:
        store, wanted = needed(bare, tag, root)
        for oid in wanted:
            assert _md5(store / "files/md5" / oid[:2] / oid[2:]) == oid[:32], f"{oid} of {tag}"
    return seen


def needed(bare: Path, tag: str, root: Path = Path("/")) -> tuple[Path, set[str]]:
    """The store that a tag names, and the objects by its metafiles and listings."""
    raw = subprocess.run(
        ["git", "-C", str(bare), "archive", tag, ".dvc", ".flexlock/data"],
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        files = {
            each.name: archive.extractfile(each).read()  # type: ignore[union-attr]
            for each in archive.getmembers()
            if each.isfile()
        }
    (url,) = [
        line.partition("=")[2].strip()
        for line in files[".dvc/config"].decode().splitlines()
        if line.strip().startswith("url =")
    ]
    store, wanted = root / url.lstrip("/"), set[str]()
    message = _git(bare, "for-each-ref", "--format=%(contents)", f"refs/tags/{tag}")
    manifest = json.loads(message.partition("\n\n")[2])
    outs = {
        out["path"]: out["md5"]
        for name, content in files.items()
        if name.endswith(".dvc")
        for out in yaml.safe_load(content)["outs"]
    }
    assert outs == {out["path"]: out["md5"] for out in manifest["outs"]}
    for piece in manifest["data"]:
        if any(f"{piece['path']}/".startswith(f"{path}/") for path in outs):
            wanted.add(piece["md5"])
    for oid in outs.values():
        wanted.add(oid)
        if oid.endswith(".dir"):
            listing = store / "files/md5" / oid[:2] / oid[2:]
            assert listing.exists(), f"{oid} of {tag}"
            wanted |= {each["md5"] for each in json.loads(listing.read_bytes())}
    return store, wanted


def announcements(store: Path) -> list[Path]:
    """Who says on a data remote that he pushes or deletes."""
    return [*store.glob("runs/**/pushing-*.json"), *store.glob("runs/deleting/*.json")]


def everything(*roots: Path) -> dict[str, Any]:
    """Every path below folders; of what is no folder also its content, time, place and mode."""
    found: dict[str, Any] = {}
    for root in roots:
        for path in sorted(root.rglob("*")):
            stat = path.lstat()
            facts = (stat.st_mtime_ns, stat.st_ino, stat.st_mode)
            is_folder = path.is_dir() and not path.is_symlink()
            found[str(path)] = "" if is_folder else (_md5(path), *facts)
    return found


def _md5(path: Path) -> str:
    try:
        return hashlib.md5(path.read_bytes()).hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        return "no file"


def _git(bare: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(bare), *words], check=True, capture_output=True, text=True
    )
    return done.stdout


# In the middle of an upload

_AMID = """
import subprocess
import sys
from itertools import islice

from flexlock_hydra.archive.push import push
from flexlock_hydra.cli.main import main
from flexlock_hydra.ports.store.folder import FolderStore

script = [sys.argv.pop(1)]


class Amid(FolderStore):
    def send(self, objects, sent=lambda count, size: None):
        objects = iter(objects)
        super().send(islice(objects, 1), sent)
        if script:
            subprocess.run(["sh", "-c", script.pop()], check=True)
        super().send(objects, sent)


push.open_store = Amid
main()
"""


def amid(project: Project, script: str, *words: str) -> list[str]:
    """The words of a command line that runs a shell script when one object was sent."""
    program = project.write("../amid.py", _AMID)
    return [project.python, str(program), script, *words]


# Small disks


@dataclass(frozen=True)
class Disk:
    """A disk of its own at a folder, which only those see who enter."""

    folder: Path
    holder: int
    """The process that keeps it."""

    def enter(self, cwd: Path) -> list[str]:
        """What goes before a command that sees the disk."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        ours = ["nsenter", "--target", str(self.holder), "--mount", *user]
        return [*ours, "env", "-C", str(cwd)]

    def seen(self, path: Path) -> Path:
        """A path as it is for those who entered."""
        return Path(f"/proc/{self.holder}/root{path}")

    def fill(self, leave: int) -> Path:
        """Fill it up but for some bytes; the file that is to be deleted to make room."""
        filler = self.seen(self.folder) / "filler"
        filler.write_bytes(b"x" * (shutil.disk_usage(filler.parent).free - leave))
        return filler


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Disk]:
    """A disk in memory at a folder; what was in the folder is on it."""
    folder.mkdir(parents=True, exist_ok=True)
    prctl = ctypes.CDLL(None).prctl
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = (
        'cp -a "$0" "$0.kept" && mount -t tmpfs -o "$1" none "$0" && cp -a "$0.kept/." "$0"'
        ' && rm -r "$0.kept" && echo up && exec sleep 1000'
    )
    with subprocess.Popen(
        ["unshare", *user, "--mount", "sh", "-c", script, str(folder), options],
        stdout=subprocess.PIPE,
        preexec_fn=lambda: prctl(1, signal.SIGKILL),  # PR_SET_PDEATHSIG: it ends with the tests
    ) as holder:
        try:
            assert holder.stdout and holder.stdout.readline() == b"up\n"
            yield Disk(folder, holder.pid)
        finally:
            holder.kill()
