"""Pushes and deletions on one data remote keep out of each other's way.

A push announces itself before it asks which objects are there; a deletion announces
itself before it looks for pushes. Whichever is second sees the first: a deletion gives
up, a push waits and then asks once more. So no object is deleted that a push counts on.
Nothing is locked: what a killed process announced is passed over when it is old, and
taken away when its process was of this machine and is gone.

Pushes of one run may go on at once, but not of different parts of it: the remote has one
manifest for a tag, and a collection believes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flexlock_hydra.archive.tag.manifest import parse_json
from flexlock_hydra.capture.environment import process
from flexlock_hydra.errors import LockError, PushError, RemoteError
from flexlock_hydra.ports.store.store import Store
from flexlock_hydra.record import layout
from flexlock_hydra.record.model import Process

_STALE = 24 * 3600.0  # seconds after which an announcement is taken for a killed process's
_PATIENCE = 600.0  # seconds that a push waits for a deletion


@dataclass(frozen=True)
class Announcement:
    """That something goes on, by the remote's own clock: ours may be wrong by a year."""

    store: Store
    name: str
    content: bytes
    offset: float
    """Seconds that the remote's clock is ahead of this process's monotonic one."""

    @property
    def now(self) -> float:
        """What the clock of the remote shows now, in seconds since the epoch."""
        return time.monotonic() + self.offset

    def rivals(self, folder: str) -> dict[str, Any]:
        """What else was announced below a folder of the remote by who may still live.

        File -> what it says.
        """
        found = {}
        for each in self.store.files(folder):
            is_temporary = posixpath.basename(each.oid).startswith(".")
            deletes = each.oid.startswith(f"{layout.DELETING}/") and not is_temporary
            if each.oid == self.name or not (layout.is_pushing(each.oid) or deletes):
                continue
            content = self.store.read_file(each.oid)
            if content is None:  # it ended meanwhile
                continue
            said = parse_json(content)
            if _is_dead(said):
                with contextlib.suppress(RemoteError):
                    self.store.remove_file(each.oid)
            elif each.modified is None or self.now - each.modified < _STALE:
                found[each.oid] = said
        return found

    def wait_for_deletions(self) -> None:
        """Return when nobody deletes objects, and nobody who begins to could overlook us.

        Raises:
            RemoteError: somebody still does after ten minutes.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            # Anew: ours is old after a long upload, and gone where our own tag was deleted.
            self.store.write_file(self.name, self.content)
            going_on = self.rivals(layout.DELETING)
            if not going_on:
                return
            if time.monotonic() > end:
                raise RemoteError(
                    f"{self.store.spec.public_url}: objects are being deleted "
                    f"({next(iter(going_on))})",
                    hint="Wait for it to end; if nobody does that any more, remove this file.",
                )
            time.sleep(0.5)


def _is_dead(said: Mapping[str, Any]) -> bool:
    """Whether a process announced it that is no more, for certain: it was of this machine."""
    try:
        who = Process.parse(said)
    except LockError:
        return False
    here = process.this_process()
    places = [(each.host, each.boot_id, each.pid_namespace) for each in (who, here)]
    return places[0] == places[1] and process.is_alive(who) is False


@contextmanager
def pushing(store: Store, tag: str, needs: str) -> Iterator[Announcement]:
    """Announce a push of a tag while it goes on.

    Args:
        needs: stands for what the tag needs of the remote.

    Raises:
        PushError: the tag is being pushed by somebody else, who needs something else.
    """
    name = layout.pushing_path(tag, os.urandom(8).hex())
    with _announced(store, name, needs=needs) as turn:
        for rival, said in turn.rivals(posixpath.dirname(name)).items():
            if said.get("needs", needs) != needs:
                raise PushError(
                    f"{tag} is being pushed now with other options ({rival} on "
                    f"{store.spec.public_url})",
                    hint="Wait for it to end; if nobody does that any more, remove this file.",
                )
        yield turn


@contextmanager
def deleting(store: Store) -> Iterator[Announcement]:
    """Announce a deletion while it goes on.

    Raises:
        RemoteError: a push is going on, or another deletion.
    """
    with _announced(store, f"{layout.DELETING}/{os.urandom(8).hex()}.json") as turn:
        if rivals := turn.rivals(layout.RUNS):
            raise RemoteError(
                f"{store.spec.public_url}: somebody else pushes or deletes now "
                f"({next(iter(rivals))})",
                hint="Try again when it has ended; if nobody does any more, remove this file.",
            )
        yield turn


@contextmanager
def _announced(store: Store, name: str, **more: str) -> Iterator[Announcement]:
    content = json.dumps({**process.this_process().to_dict(), **more}).encode()
    store.write_file(name, content)
    try:
        written = store.files(name.rpartition("/")[0])
        now = next((each.modified for each in written if each.oid == name), None) or time.time()
        yield Announcement(store, name, content, now - time.monotonic())
    finally:
        with contextlib.suppress(RemoteError):  # what is left is passed over one day
            store.remove_file(name)
