"""Who hears of the paths that a config names."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import Any, Protocol


class Sink(Protocol):
    """What the resolver tells of each path that it is asked for."""

    owner: Owner

    def see(
        self, given: str, name: str | None, config_key: str, original: Any = None
    ) -> Any:
        """Take note of a path; return what the resolver returns."""


@dataclass(frozen=True)
class Owner:
    """The process and the thread that a sink works for."""

    pid: int = field(default_factory=os.getpid)
    thread: int = field(default_factory=threading.get_ident)


@dataclass
class PathCollector:
    """Notes paths and does nothing else: which data a config names, before any job."""

    given: list[str] = field(default_factory=list)
    owner: Owner = field(default_factory=Owner)

    def see(self, given: str, name: str | None, config_key: str, original: Any = None) -> Any:
        """Take note of a path."""
        self.given.append(given)
        return given if original is None else original


_stack: list[Sink] = []


def current() -> Sink | None:
    """The innermost sink of this thread, else the one job's whose thread this may be.

    None in a child that a job started, and in a further thread where several jobs run: it
    could be of any of them.
    """
    here = Owner()
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
    _stack[:] = [other for other in _stack if other is not sink]
