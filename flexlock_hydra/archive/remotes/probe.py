"""Whether remotes answer, asked by a process of its own: it can be ended if one does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from flexlock_hydra.archive.remotes.choose import choose_git_remote, choose_remote, embedded_store
from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.ports.git.command import redact_url
from flexlock_hydra.ports.git.remote import remote_refs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.store.open_store import open_store

GIT, DATA = "git remote", "data remote"
_FOLDER = "checks"
"""Where on a data remote the file of a probe lies for a moment."""
_CODE = "import sys; from flexlock_hydra.archive.remotes import probe; probe.answer(*sys.argv[1:])"


@dataclass(frozen=True)
class ProbeAnswer:
    """What a remote answered: where it is, what is wrong, how far its clock is ahead."""

    where: str
    wrong: str = ""
    hint: str = ""
    ahead: float | None = None
    """Seconds."""


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
        words = [sys.executable, "-c", _CODE, kind, str(root), *([asked] if asked else [])]
        process = subprocess.Popen(
            words,
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
            return ProbeAnswer(
                "", "no answer in time", "Check the network, or wait for longer: --timeout 60"
            )
        finally:
            self._end()
        self.said.seek(0)
        try:
            return ProbeAnswer(**json.loads(self.said.read()))
        except (TypeError, ValueError):
            code = self.process.returncode
            return ProbeAnswer(
                "", f"the process that asked it ended with {code}", "Try it once more."
            )
        finally:
            self.said.close()

    def _end(self) -> None:
        if self.process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
            self.process.wait()


def answer(kind: str, root: str, asked: str | None = None) -> None:
    """What the process of a probe does: ask, and print the answer as JSON."""
    ask = {GIT: _git, DATA: _data}[kind]
    repo = GitRepo.find(Path(root))
    found = (
        ProbeAnswer("", "this is no git repository") if repo is None else _asked(ask, repo, asked)
    )
    print(json.dumps(vars(found)))


def _asked(
    ask: Callable[[GitRepo, str | None], ProbeAnswer], repo: GitRepo, asked: str | None
) -> ProbeAnswer:
    try:
        return ask(repo, asked)
    except FlexlockError as error:
        return ProbeAnswer("", str(error), error.hint)


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
        return ProbeAnswer(
            where, f"there is no folder {where} yet",
            f"flexlock-hydra remote init {where}, or mount what it is on",
        )
    return _written(spec, where)


def _written(spec: Any, where: str) -> ProbeAnswer:
    store = open_store(spec)
    name, content = f"{_FOLDER}/{os.urandom(8).hex()}.json", os.urandom(64)
    before = time.time()
    store.write_file(name, content)
    after = time.time()
    try:
        back = store.read_file(name)
        dates = [each.modified for each in store.files(_FOLDER) if each.oid == name]
    finally:
        store.remove_file(name)
    if back != content:
        return ProbeAnswer(
            where, "other bytes came back than were written", "Choose another remote."
        )
    return ProbeAnswer(where, ahead=_ahead(dates, before, after))


def _ahead(dates: Sequence[float | None], before: float, after: float) -> float | None:
    """How far a time is out of the seconds in which it was; whole seconds may be all it has."""
    if not dates or not dates[0]:
        return None
    return min(0.0, dates[0] + 1 - before) or max(0.0, dates[0] - after)
