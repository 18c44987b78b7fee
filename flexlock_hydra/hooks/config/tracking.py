"""The sinks that hear of each path a config names; each run in progress is one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol


class Sink(Protocol):
    """Something that takes note of the paths that the resolver is asked for."""

    owner: Owner

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Take note of a path; return what the resolver returns for it.

        Args:
            given: the path as text.
            name: the key that the config gives it, if any.
            config_key: where in the config it stands.
            original: what to return where the path is not moved; the text if None.
        """


@dataclass(frozen=True)
class Owner:
    """The process and the thread that a sink works for."""

    pid: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)


@dataclass
class PathCollector:
    """A sink that collects the paths that a config names before any job runs."""

    seen: list[tuple[str, str | None, str]] = field(default_factory=list)
    owner: Owner = field(default_factory=Owner)

    @property
    def given(self) -> list[str]:
        """The paths, as they were given."""
        return [given for given, _, _ in self.seen]

    @property
    def names(self) -> dict[str, str]:
        """The names that are given to paths, by their config keys."""
        return {key: name for _, name, key in self.seen if name is not None}

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Collect a path, and return it."""
        self.seen.append((given, name, config_key))
        return given if original is None else original

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Be the innermost sink while the block runs."""
        enter_sink(self)
        try:
            yield
        finally:
            leave_sink(self)

    def repeat(self) -> None:
        """Have the sink that is the innermost by now take note of what was collected."""
        if (sink := current()) is not None:
            for each in self.seen:
                sink.see(*each)


_stack: list[Sink] = []


def current() -> Sink | None:
    """The innermost sink of this thread, else the one job's whose thread this may be.

    None in a child that a job started, and in a further thread where several jobs run: it
    could be of any of them.
    """
    here = Owner()
    # A worker thread of joblib runs a job of its own beside those of other threads.
    sinks = mine()
    of_this_thread = [sink for sink in sinks if sink.owner == here]
    if of_this_thread:
        return of_this_thread[-1]
    return sinks[-1] if len({sink.owner for sink in sinks}) == 1 else None


def mine() -> list[Sink]:
    """The sinks of this process itself, the innermost last: a fork inherits its parent's."""
    pid = os.getpid()
    return [sink for sink in _stack if sink.owner.pid == pid]


def enter_sink(sink: Sink) -> None:
    """Make a sink the innermost one."""
    _stack.append(sink)


def leave_sink(sink: Sink) -> None:
    """Remove a sink, wherever in the stack it is."""
    # By identity: two collectors of the same paths are equal.
    _stack[:] = [other for other in _stack if other is not sink]
