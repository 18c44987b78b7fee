"""What this process has open or mapped right now, as Linux tells it: readers in C, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

_FD, _MAPS = "/proc/self/fd", "/proc/self/maps"


def open_for_reading() -> set[str]:
    """The absolute paths of regular files that are open for reading, or mapped; none elsewhere."""
    return {path for path in (*_descriptors(), *_mapped()) if os.path.isabs(path)}


def _descriptors() -> Iterator[str]:
    names: list[str] = []
    with suppress(OSError):  # no Linux
        names = os.listdir(_FD)
    for name in names:
        with suppress(OSError, ValueError):  # closed meanwhile
            path = os.readlink(f"{_FD}/{name}")
            if not path.startswith("/") or path.startswith("/dev/") or path.endswith(" (deleted)"):
                continue
            with open(f"/proc/self/fdinfo/{name}", encoding="ascii") as info:
                flags = next(int(line.split()[1], 8) for line in info if line.startswith("flags:"))
            if flags & os.O_ACCMODE == os.O_RDONLY:
                yield path


def _mapped() -> Iterator[str]:
    with suppress(OSError), open(_MAPS, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields = line.rstrip("\n").split(maxsplit=5)
            # Private and executable: a program or a library.
            if len(fields) == 6 and "x" not in fields[1] and fields[5].startswith("/"):
                yield fields[5]
