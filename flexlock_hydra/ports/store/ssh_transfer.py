"""ssh, by sshfs and asyncssh's channels."""

from __future__ import annotations

import contextlib
from typing import Any

from flexlock_hydra.ports.store.object_source import name_beside
from flexlock_hydra.ports.store.transfer import Options, TimeLimits, Transfer


class SshTransfer(Transfer):
    """A rename replaces what is there. Small files go down to the channels of sshfs.

    Its own ``pipe_file`` makes every folder above the file anew: twenty requests a file.
    """

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self.put, self.make = self._put_small, self._make_folder

    @classmethod
    def prepare(cls, arguments: dict[str, Any], options: Options, limits: TimeLimits) -> None:
        arguments["timeout"] = options.get("timeout", limits.read)
        arguments["keepalive_interval"] = limits.alive

    async def _make_folder(self, folder: str) -> None:
        from asyncssh.sftp import SFTPError, SFTPFailure

        async with self.fs._pool.get() as channel:
            try:
                await channel.mkdir(folder)
            except SFTPFailure:
                pass  # it is there, or writing says what is wrong
            except SFTPError:
                await self.fs._makedirs(folder, exist_ok=True)

    async def _put_small(self, place: str, content: bytes) -> None:
        beside = name_beside(place)
        try:
            async with self.fs._pool.get() as channel, channel.open(beside, "wb") as file:
                await file.write(content)
            await self.fs._mv(beside, place)
        except BaseException:
            with contextlib.suppress(Exception):  # it may not be there; the first error counts
                await self.fs._rm_file(beside)
            raise

    def _rename(self, beside: str, place: str) -> None:
        self.fs.mv(beside, place)
