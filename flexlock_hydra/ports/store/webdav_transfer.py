"""WebDAV, by the client of webdav4."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import time
from typing import Any

from flexlock_hydra.ports.store.object_source import ObjectSource, size_of
from flexlock_hydra.ports.store.transfer import Options, TimeLimits, Transfer, folder_of


class WebDavTransfer(Transfer):
    """One request each to write, rename and read; webdav4 would ask twice as often.

    It would also try for ever to read on from where a connection was cut.
    """

    def __init__(self, fs: Any) -> None:
        super().__init__(fs)
        self.get, self.cat = self._get, self._cat

    @classmethod
    def prepare(cls, arguments: dict[str, Any], options: Options, limits: TimeLimits) -> None:
        arguments["timeout"] = options.get("timeout", limits.read)

    def _get(self, place: str, to: str) -> None:
        with self._asked(place) as answer, open(to, "wb") as file:
            for block in answer.iter_raw():
                file.write(block)

    def _cat(self, place: str) -> bytes:
        with self._asked(place) as answer:
            return b"".join(answer.iter_raw())

    @contextlib.contextmanager
    def _asked(self, place: str) -> Any:
        client = self.fs.client
        url, plain = client.join_url(place), {"Accept-Encoding": "identity"}
        with client.http.stream("GET", url, headers=plain, follow_redirects=True) as answer:
            if answer.status_code == 404:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
            answer.raise_for_status()
            yield answer

    def _make(self, folder: str) -> None:
        self._make_url(self.fs.client.join_url(folder))

    def _make_url(self, url: Any) -> None:
        """Make a folder, and those above it where they are missing, up to the server's root."""

        def make() -> Any:
            path = f"{url.path.rstrip('/')}/"
            return self.fs.client.http.request("MKCOL", url.copy_with(path=path))

        answer, above = make(), folder_of(url.path.rstrip("/"))
        if answer.status_code in (404, 409) and above:
            self._make_url(url.copy_with(path=above))
            answer = make()
        if answer.status_code not in (405, 301):  # it is there
            answer.raise_for_status()

    def _upload(self, content: bytes | ObjectSource, place: str) -> None:
        with (
            open(content.path, "rb") if isinstance(content, ObjectSource) else io.BytesIO(content)
        ) as f:
            self.fs.client.upload_fileobj(f, place, overwrite=True, size=size_of(content))

    def _rename(self, beside: str, place: str) -> None:
        from webdav4.client import ResourceLocked

        for wait in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 0):
            try:
                self.fs.client.move(beside, place, overwrite=True)
                return
            except ResourceLocked:  # for a moment, by another sender of the same
                if not wait:
                    raise
                time.sleep(wait * random.uniform(0.5, 1.5))
