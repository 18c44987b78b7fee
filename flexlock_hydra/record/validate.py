"""What a record may not hold, whoever wrote it: records come with tags of strangers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

from flexlock_hydra.errors import LockError
from flexlock_hydra.record import layout

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_OBJECT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def check_hash(recorded: Mapping[str, str] | None) -> None:
    """Refuse a hash without DVC's object id.

    Raises:
        LockError: it has none.
    """
    if recorded is not None and not _MD5.fullmatch(recorded.get("md5", "")):
        raise LockError(f"hash {dict(recorded)!r:.80} has no md5 of DVC's form")


def check_run_ids(*ids: str, where: str = "") -> None:
    """Refuse what is no run id: ids become names of files, refs and tags.

    Raises:
        LockError: one of them is none.
    """
    for run_id in ids:
        if not layout.RUN_ID.fullmatch(run_id):
            raise LockError(f"{where}{run_id!r:.60} is no run id")


def check_object_ids(*oids: str) -> None:
    """Refuse what is no full git object id: git could take it for an option.

    Raises:
        LockError: one of them is none.
    """
    for oid in oids:
        if not _OBJECT_ID.fullmatch(oid):
            raise LockError(f"{oid!r:.60} is no git object id")


def check_import_paths(paths: tuple[str, ...]) -> None:
    """Refuse an import path that leads out of its repository.

    Raises:
        LockError: one of them does.
    """
    for path in paths:
        check_path(path)
        if path.startswith(("/", "\\")) or ":" in path[:2]:
            raise LockError(f"import_paths: {path!r:.100} must be relative")


def check_path(path: str) -> None:
    """Refuse a recorded path that climbs: none that was written here ever does.

    Raises:
        LockError: ``..`` in the path, or a NUL byte.
    """
    if ".." not in path and "\0" not in path:  # of nearly all; the rest is slow
        return
    parts = {*PurePosixPath(path).parts, *PureWindowsPath(path).parts}
    if ".." in parts or "\0" in path:
        raise LockError(f"path {path!r:.100} leads out of its folder")
