"""Send the objects of a tag to its data remote, until the remote says that all are there."""

from __future__ import annotations

from collections.abc import Mapping

from flexlock_hydra.archive.push.delivery import Delivery
from flexlock_hydra.archive.remotes.announce import Announcement
from flexlock_hydra.archive.tag.listings import damaged
from flexlock_hydra.archive.tag.payload import Payload
from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports.store.store import Store

_ROUNDS = 3
"""How often an upload is begun again when objects vanish meanwhile."""


def upload(delivery: Delivery, turn: Announcement) -> Mapping[str, int]:
    """Send what the remote says is absent, until it says that all is there.

    It is asked when nobody deletes. What was sent, object id -> bytes.
    """
    store, payload = delivery.store, delivery.payload
    sent: dict[str, int] = {}
    for number in range(_ROUNDS + 1):
        turn.wait_for_deletions()
        absent = store.absent(payload.sizes)
        if delivery.options.repair and number == 0:
            # Only once: to read everything back takes as long as the upload.
            absent = {**absent, **_damaged(store, payload, absent)}
        if not absent:
            if sent:
                store.settle()
            return sent
        if number < _ROUNDS:
            _send(delivery, absent)
            sent |= absent
    raise RemoteError(
        f"{len(absent)} objects are not on {store.spec.public_url} after the upload: "
        f"{', '.join(sorted(absent)[:3])}",
        hint="Nothing was tagged; push again.",
    )


def _damaged(store: Store, payload: Payload, absent: Mapping[str, int]) -> dict[str, int]:
    """The objects that are there with other bytes than they should have."""
    there = [oid for oid in payload.sizes if oid not in absent]
    return {oid: payload.sizes[oid] for oid in damaged(store, there)}


def _send(delivery: Delivery, absent: Mapping[str, int]) -> None:
    total, done, files = sum(absent.values()), 0, 0

    def sent(count: int, size: int) -> None:
        nonlocal done, files
        done, files = done + size, files + count
        delivery.options.progress(done, total, files, len(absent))

    delivery.store.send(delivery.payload.sendables(absent), sent)
