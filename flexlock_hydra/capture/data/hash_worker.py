"""Hash beside the job: a process of its own, so that the job does not wait.

The job's process writes a task a line to it and reads an answer a line, both JSON. The
process ends when the pipe to it does, or when the process that started it is gone. It is
started without site-packages (``-I -S``): hashing needs the standard library alone.
Only URLs need what is installed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flexlock_hydra.capture.data.digest import DataSummary, summarize
from flexlock_hydra.capture.data.globs import all_but, outside
from flexlock_hydra.errors import DataError

_START = """
import sys, types
package = types.ModuleType("flexlock_hydra")
package.__path__ = [sys.argv[1]]
sys.modules["flexlock_hydra"] = package
from flexlock_hydra.capture.data import hash_worker
hash_worker.serve_tasks(sys.argv[2], int(sys.argv[3]))
"""
_POLL = 1.0  # Seconds between two looks at whether the job's process is still there


@dataclass(frozen=True)
class HashTask:
    """Something to identify: a file, a folder, a pattern's matches, a URL.

    Args:
        path: the absolute path, the pattern's base folder, or the URL.
        parts: what is matched below the base; empty for all.
        since: the time (ns) from which changes are told.
        is_url: whether it is a URL.
        files: of a folder, the files that are meant; empty for all.
    """

    path: str
    parts: tuple[str, ...] = ()
    since: int = 0
    is_url: bool = False
    files: tuple[str, ...] = ()

    @property
    def leave_out(self) -> Callable[[str], bool] | None:
        """What of a folder is passed over."""
        return all_but(self.files) if self.files else outside(self.parts)


@dataclass(frozen=True)
class HashAnswer:
    """What a task came to: a summary, the marks of a URL, or an error in words."""

    summary: DataSummary | None = None
    remote: Mapping[str, str] | None = None
    error: str = ""


def identify(task: HashTask, index: Any = None) -> HashAnswer:
    """Hash what a task names, or ask for the marks of its URL, in this process and at once."""
    try:
        if task.is_url:
            from flexlock_hydra.capture.data.url_identity import identify_url

            return HashAnswer(remote=identify_url(task.path))
        found = summarize(Path(task.path), task.leave_out, index=index, since=task.since)
        return HashAnswer(summary=found)
    except DataError as error:
        return HashAnswer(error=str(error))


Answered = Callable[[list[tuple[int, HashAnswer]]], None]
"""Is called with the answers that have come, each with the number of its task."""


@dataclass
class HashWorker:
    """The other process, from the job's side.

    Args:
        index: the path of the index.
        with_packages: whether installed packages can be imported there.
    """

    index: str
    with_packages: bool = False
    waiting: dict[int, HashTask] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    thread: threading.Thread | None = None
    mutex: threading.Lock = field(default_factory=threading.Lock)
    idle: threading.Event = field(default_factory=threading.Event)
    gone: bool = False
    """Whether it ended by itself: it answers no more."""

    def ask(self, number: int, task: HashTask) -> None:
        """Give it a task; it is started with the first one."""
        with self.mutex:
            self.idle.clear()
            self.waiting[number] = task
        if self.process is None and not self.gone:
            self._start()
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):  # its end is told by the pipe from it
                _write_line(self.process.stdin.fileno(), number, task)
        if self.gone:
            self.idle.set()

    def listen(self, answered: Answered) -> None:
        """Call back with answers as they come, from a thread that waits for them."""
        if self.thread is None and self.process is not None and not self.gone:
            self.thread = threading.Thread(
                target=self._read, args=(self.process, answered), daemon=True, name="flexlock"
            )
            self.thread.start()

    def wait(self, seconds: float | None) -> None:
        """Wait until everything is answered, it ended, or the time is over."""
        if self.thread is not None:
            self.idle.wait(seconds)

    def stop(self) -> None:
        """End it; what was not answered stays in ``waiting``."""
        self.gone = True
        if self.process is not None:
            self.process.kill()
            if self.thread is not None:
                self.thread.join()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> None:
        """Frozen programs have no interpreter to start: what would start is themselves."""
        if not sys.executable or getattr(sys, "frozen", False):
            self.gone = True
            return
        package = Path(__file__).parents[2]
        alone = [] if self.with_packages else ["-I", "-S"]
        arguments = [str(package), self.index, str(os.getpid())]
        try:
            self.process = subprocess.Popen(
                [sys.executable, *alone, "-c", _START, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd=package,
                start_new_session=True,  # Ctrl-C is meant for the job
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except (OSError, ValueError):
            self.gone = True

    def _read(self, process: subprocess.Popen[bytes], answered: Answered) -> None:
        assert process.stdout is not None
        try:
            for lines in _read_lines(process.stdout.fileno()):
                answers = [_parse(line) for line in lines]
                answered(answers)
                with self.mutex:
                    for number, _ in answers:
                        self.waiting.pop(number, None)
                    if not self.waiting:
                        self.idle.set()
            process.wait()
        finally:
            self.gone = True
            self.idle.set()


def _write_line(fd: int, number: int, what: HashTask | HashAnswer) -> None:
    """A task or an answer as a line of JSON, whole: a pipe may take a part of it at a time."""
    view = memoryview(json.dumps({"number": number, **asdict(what)}).encode() + b"\n")
    while view:
        view = view[os.write(fd, view):]


def _read_lines(fd: int) -> Iterator[list[bytes]]:
    """Lines as they come. A buffered read could not be left when the interpreter ends."""
    rest = b""
    while block := os.read(fd, 1 << 16):
        *lines, rest = (rest + block).split(b"\n")
        yield lines


def _parse(line: bytes) -> tuple[int, HashAnswer]:
    plain = json.loads(line)
    summary = DataSummary.parse(plain["summary"]) if plain["summary"] else None
    return plain["number"], HashAnswer(summary, plain["remote"], plain["error"])


# The other side


def serve_tasks(index_path: str, parent: int) -> None:
    """Answer tasks until the pipe ends or the parent is gone."""
    from flexlock_hydra.capture.data.hash_index import HashIndex

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(19)
    replies = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a library that prints would break the answers
    tasks: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    index = HashIndex.open(Path(index_path))
    while True:
        plain = tasks.get()
        number = plain.pop("number")
        task = HashTask(**{**plain, **{name: tuple(plain[name]) for name in ("parts", "files")}})
        if task.is_url:
            threading.Thread(target=_answer, args=(replies, number, task), daemon=True).start()
        else:
            _answer(replies, number, task, index)


def _answer(replies: int, number: int, task: HashTask, index: Any = None) -> None:
    try:
        answer = identify(task, index)
    except Exception as error:  # a border: whatever it is, the job's side has to hear of it
        answer = HashAnswer(error=f"{task.path}: {type(error).__name__}: {error}")
    with _replying:
        _write_line(replies, number, answer)


_replying = threading.Lock()


def _receive(tasks: queue.SimpleQueue[dict[str, Any]]) -> None:
    for lines in _read_lines(0):
        for line in lines:
            tasks.put(json.loads(line))
    os._exit(0)


def _watch(parent: int) -> None:
    """A child that the job forked may hold the pipe open when the job is long gone."""
    while os.name == "nt" or os.getppid() == parent:
        time.sleep(_POLL)
    os._exit(0)
