"""Open the store of any data remote."""

from __future__ import annotations

from flexlock_hydra.ports.store.store import RemoteSpec, Store


def open_store(spec: RemoteSpec) -> Store:
    """The store of a data remote; nothing is connected to yet."""
    if spec.is_local:
        from flexlock_hydra.ports.store.folder import FolderStore

        return FolderStore(spec)
    from flexlock_hydra.ports.store.cloud import CloudStore  # brings asyncio

    return CloudStore(spec)
