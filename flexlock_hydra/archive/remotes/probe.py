"""Whether remotes answer, asked by a process of its own: it can be ended if one does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from flexlock_hydra.archive.remotes.choose import choose_git_remote, choose_remote, embedded_store
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.remote import remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.store import Store

GIT, DATA = "git remote", "data remote"
_FOLDER = "checks"  # where on a data remote the file of a probe lies for a moment
_CODE = "import sys; from flexlock_hydra.archive.remotes import probe; probe.answer(*sys.argv[1:])"


@dataclass(frozen=True)
class ProbeAnswer:
    """What a remote answered: where it is, what is wrong, how far its clock is ahead."""

    where: str
    wrong: str = ""
    hint: str = ""
    ahead: float | None = None
    """Seconds."""


class TriedStore(NamedTuple):
    """What became of a file on a data remote, and how far the clock there is ahead."""

    listed: bool
    whole: bool
    gone: bool
    ahead: float | None


@dataclass(frozen=True)
class Probe:
    """A question to a remote that is under way."""

    kind: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    until: float

    @classmethod
    def start(cls, kind: str, root: Path, asked: str | None, seconds: float) -> Probe:
        """Ask a project's remote, the one that is named or the one a push takes."""
        said = tempfile.TemporaryFile()
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, kind, str(root), *([asked] if asked else [])],
            cwd=sys.prefix,  # Python would import what lies in the project's folder
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that what it starts, ssh for one, ends with it
        )
        return cls(kind, process, said, time.monotonic() + seconds)

    def finish(self) -> ProbeAnswer:
        """Wait for the answer as long as was said; then end the process and all it started."""
        try:
            self.process.wait(max(self.until - time.monotonic(), 0.01))
        except subprocess.TimeoutExpired:
            hint = "Check the network, or wait for longer: --timeout 60"
            return ProbeAnswer("", "no answer in time", hint)
        finally:
            self._end()
        with self.said:
            self.said.seek(0)
            try:
                return ProbeAnswer(**json.loads(self.said.read()))
            except (TypeError, ValueError):
                told = f"the process that asked it ended with {self.process.returncode}"
                return ProbeAnswer("", told, "Try it once more.")

    def _end(self) -> None:
        if self.process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()


def answer(kind: str, root: str, asked: str | None = None) -> None:
    """What the process of a probe does: ask, and print the answer as JSON."""
    found = ProbeAnswer("", "this is no git repository")
    if repo := GitRepo.find(Path(root)):
        try:
            found = {GIT: _git, DATA: _data}[kind](repo, asked)
        except FlexlockError as error:
            found = ProbeAnswer("", str(error), error.hint)
    print(json.dumps(vars(found)))


def _git(repo: GitRepo, asked: str | None) -> ProbeAnswer:
    url = choose_git_remote(repo, asked)
    if url is None:
        return ProbeAnswer("there is none; tags stay here")
    remote_refs(repo.root, url, "HEAD")
    return ProbeAnswer(redact_url(url))


def _data(repo: GitRepo, asked: str | None) -> ProbeAnswer:
    spec = choose_remote(repo, asked)
    where = spec.public_url
    if spec.is_local and not Path(spec.url).exists():
        if spec.url == str(embedded_store()):
            return ProbeAnswer(f"{where}, made by the first push")
        hint = f"flexlock-hydra remote init {where}, or mount what it is on"
        return ProbeAnswer(where, f"there is no folder {where} yet", hint)
    tried = try_out(open_store(spec))
    if not tried.whole:
        told = "other bytes came back than were written"
        return ProbeAnswer(where, told, "Choose another remote.")
    return ProbeAnswer(where, ahead=tried.ahead)


def try_out(store: Store) -> TriedStore:
    """Write a file to a data remote, list it, read it back and delete it.

    Raises:
        RemoteError: one of these cannot be done.
    """
    # Random bytes: an old file of the name, or a cache on the way, cannot pass for them.
    name, content = f"{_FOLDER}/{os.urandom(8).hex()}.json", os.urandom(64)
    before = time.time()
    store.write_file(name, content)
    after = time.time()
    try:
        back = store.read_file(name)
        dates = [each.modified for each in store.files(_FOLDER) if each.oid == name]
    finally:
        store.remove_file(name)
    ahead = seconds_ahead(dates[0], before, after) if dates and dates[0] else None
    return TriedStore(bool(dates), back == content, store.read_file(name) is None, ahead)


def seconds_ahead(date: float, before: float, after: float) -> float:
    """How far a time is out of the seconds in which it was; whole seconds may be all it has."""
    return min(0.0, date + 1 - before) or max(0.0, date - after)
