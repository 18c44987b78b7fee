"""Pushes and deletions on one data remote keep out of each other's way.

A push announces itself before it asks which objects are there; a deletion announces
itself before it looks for pushes. Whichever is second sees the first: a deletion gives
up, a push waits and then asks once more. So no object is deleted that a push counts on.
Nothing is locked: what a killed process announced is passed over when it is old, or when
its process was of this machine and is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store import Store
from flexlock_hydra.record import layout

_STALE = 24 * 3600.0
"""Seconds after which an announcement is taken for a killed process's."""
_PATIENCE = 600.0
"""Seconds that a push waits for a deletion."""


@dataclass(frozen=True)
class Announced:
    """That something goes on, by the remote's own clock: ours may be wrong by a year."""

    store: Store
    name: str
    offset: float
    """Seconds that the remote's clock is ahead of this process's monotonic one."""

    @property
    def now(self) -> float:
        """The remote's time."""
        return time.monotonic() + self.offset

    def rivals(self, folder: str) -> list[str]:
        """Who else announced something below a folder of the remote, and may still live."""
        return [
            each.oid
            for each in self.store.files(folder)
            if each.oid != self.name
            and (layout.is_pushing(each.oid) or each.oid.startswith(f"{layout.DELETING}/"))
            and (each.modified is None or self.now - each.modified < _STALE)
            and not self._is_dead(each.oid)
        ]

    def wait_for_deletions(self) -> None:
        """Return when nobody deletes objects.

        Raises:
            RemoteError: somebody still does after ten minutes.
        """
        end = time.monotonic() + _PATIENCE
        while going_on := self.rivals(layout.DELETING):
            if time.monotonic() > end:
                raise RemoteError(
                    f"{self.store.spec.public_url}: objects are being deleted ({going_on[0]})",
                    hint="Wait for it to end; if nobody does that any more, remove this file.",
                )
            time.sleep(0.5)

    def _is_dead(self, name: str) -> bool:
        """Whether a process of this machine announced it that is no more."""
        try:
            said = json.loads(self.store.read_file(name) or b"{}")
            host, pid = said["host"], int(said["pid"])
        except (ValueError, KeyError, TypeError):
            return False
        if host != socket.gethostname() or os.name == "nt":
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


@contextmanager
def pushing(store: Store, tag: str) -> Iterator[Announced]:
    """Announce a push of a tag while it goes on."""
    with _announced(store, layout.pushing_path(tag, os.urandom(8).hex())) as turn:
        yield turn


@contextmanager
def deleting(store: Store) -> Iterator[Announced]:
    """Announce a deletion while it goes on.

    Raises:
        RemoteError: a push is going on, or another deletion.
    """
    with _announced(store, f"{layout.DELETING}/{os.urandom(8).hex()}.json") as turn:
        if rivals := turn.rivals(layout.RUNS):
            raise RemoteError(
                f"{store.spec.public_url}: somebody else pushes or deletes now ({rivals[0]})",
                hint="Try again when it has ended; if nobody does any more, remove this file.",
            )
        yield turn


@contextmanager
def _announced(store: Store, name: str) -> Iterator[Announced]:
    said = {"host": socket.gethostname(), "pid": os.getpid()}
    store.write_file(name, json.dumps(said).encode())
    try:
        written = store.files(name.rpartition("/")[0])
        now = next((each.modified for each in written if each.oid == name), None) or time.time()
        yield Announced(store, name, now - time.monotonic())
    finally:
        with contextlib.suppress(RemoteError):  # what is left is passed over one day
            store.remove_file(name)
