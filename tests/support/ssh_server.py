"""An ssh server of its own: SFTP and commands at one port, SFTP without writing at another.

``ssh_server.py FOLDER PORT READ_ONLY_PORT``; the folder holds the keys ``host``, which it has,
and ``writer.pub``, which it lets in.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import asyncssh

_HOST = "127.0.0.1"
_WRITES = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC


class Files(asyncssh.SFTPServer):
    """All files of this machine."""

    def write(self, file_obj: Any, offset: int, data: bytes) -> int:
        """Write all of it or fail: on a full disk the base class passes over what did not fit."""
        written = super().write(file_obj, offset, data)
        assert isinstance(written, int)
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


class ReadOnly(Files):
    """Nothing may be changed."""

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        """Open a file to read it."""
        if pflags & _WRITES:
            deny()
        return super().open(path, pflags, attrs)


def deny(*_: object) -> None:
    """Refuse."""
    raise asyncssh.SFTPPermissionDenied("Permission denied")


for _name in ("setstat", "lsetstat", "fsetstat", "remove", "mkdir", "rmdir", "rename",
              "posix_rename", "symlink", "link"):
    setattr(ReadOnly, _name, deny)


async def run_command(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run what a client asks for in a shell, as git does."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_shell(
        process.command or "exit 1", stdin=pipe, stdout=pipe, stderr=pipe
    )
    await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
    for stream in (process.stdout, process.stderr):
        await stream.drain()  # till all is sent that the child has said
    process.exit(await child.wait())


async def serve(folder: Path, port: int, read_only_port: int) -> None:
    """Serve until the process is ended."""
    keys: dict[str, Any] = {
        "server_host_keys": [folder / "host"],
        "authorized_client_keys": str(folder / "writer.pub"),
        "encoding": None,
        "login_timeout": 60,
    }
    await asyncssh.listen(_HOST, port, sftp_factory=Files, process_factory=run_command, **keys)
    await asyncssh.listen(_HOST, read_only_port, sftp_factory=ReadOnly, **keys)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), *map(int, sys.argv[2:])))
