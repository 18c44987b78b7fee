"""Files beside data by which its readers keep each other out: no data, whoever reads it next."""

from __future__ import annotations

import os
import re
from collections.abc import Collection

_LMDB, _LMDB_DATA = "lock.mdb", "data.mdb"
_HDF5 = re.compile(r"\.(?:h5|hdf5|hdf|he5|nc|nc4)$", re.I)
_JOURNALS = ("-journal", "-wal")
"""What SQLite has not taken into the database yet: data, unless they are empty."""
_BESIDE = (*_JOURNALS, "-shm", "-lock", ".lock")
_ENDS = (_LMDB, *_BESIDE)  # a walk asks of each file: one look tells nearly all of them


def locked_by(name: str) -> str | None:
    """The name of the data beside it that a file is a lock of, by its own; None for other names.

    LMDB's ``lock.mdb`` and ``X-lock``, SQLite's ``X-journal``, ``X-wal`` and ``X-shm``, and
    ``X.h5.lock``. Where that data is not there, the file is no lock but data.
    """
    if name == _LMDB:
        return _LMDB_DATA
    for end in _BESIDE:
        if name.endswith(end) and name != end:
            data = name.removesuffix(end)
            return data if end != ".lock" or _HDF5.search(data) else None
    return None


def is_lock_file(path: str) -> bool:
    """Whether a file is the lock of data beside it, and holds no data itself."""
    if not path.endswith(_ENDS):
        return False
    folder, name = os.path.split(path)
    data = locked_by(name)
    if data is None or not os.path.isfile(os.path.join(folder, data)):
        return False
    try:
        return not name.endswith(_JOURNALS) or os.path.getsize(path) == 0
    except OSError:  # taken away meanwhile, as such files are
        return True


def without_locks(names: Collection[str]) -> list[str]:
    """Names in a folder, or paths below it, without those of locks; a journal is taken for one."""
    found = []
    for name in names:
        folder, slash, last = name.rpartition("/")
        data = locked_by(last)
        if data is None or f"{folder}{slash}{data}" not in names:
            found.append(name)
    return found
