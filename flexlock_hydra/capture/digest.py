"""DVC's object ids, made with the standard library alone.

A file's id is the md5 of its bytes. A folder's id is the md5 of a JSON listing of its
files, sorted by path, with ``.dir`` appended (dvc_data.hashfile.tree.Tree).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.errors import DataError

_BLOCK = 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}")
_NEVER_DATA = frozenset({".git", ".hg", ".dvc"})
"""Names that DVC's own ignore rules leave out of any data (dvc.ignore)."""


@dataclass(frozen=True)
class FileDigest:
    """One file: its md5 (32 hex digits), its size in bytes, its mtime (ns) when read."""

    md5: str
    size: int
    mtime_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Digest:
    """A file or a folder: DVC's id, total bytes, and the files by relative path.

    A single file stands in ``files`` under the empty name.
    """

    md5: str
    files: Mapping[str, FileDigest]
    skipped: tuple[str, ...] = ()
    """Why entries were left out, each in words."""

    @property
    def size(self) -> int:
        """Bytes in all files."""
        return sum(file.size for file in self.files.values())

    @property
    def nfiles(self) -> int:
        """How many files."""
        return len(self.files)

    @property
    def is_folder(self) -> bool:
        """Whether this is the digest of a folder."""
        return self.md5.endswith(".dir")


def digest(path: Path, leave_out: Callable[[str], bool] = lambda name: False) -> Digest:
    """Hash a file or a folder; ``leave_out`` takes paths relative to the folder.

    Raises:
        DataError: missing, unreadable, no file or folder, or a name that is not UTF-8.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _digest_folder(path, leave_out)
        if stat.S_ISREG(mode):
            file = digest_file(path)
            return Digest(file.md5, {"": file})
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing") from error
    except OSError as error:
        raise DataError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    raise DataError(f"{path} is neither a file nor a folder")


def digest_file(path: Path | str) -> FileDigest:
    """The md5 and size of one file, in one read.

    Raises:
        OSError: it cannot be read.
    """
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with open(path, "rb", buffering=0) as file:
        mtime_ns = os.fstat(file.fileno()).st_mtime_ns
        while block := file.read(_BLOCK):
            md5.update(block)
            size += len(block)
    return FileDigest(md5.hexdigest(), size, mtime_ns)


def digest_bytes(content: bytes) -> FileDigest:
    """The digest of a file that holds these bytes."""
    return FileDigest(hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))


def is_unchanged(root: Path, found: Digest, leave_out: Callable[[str], bool]) -> bool:
    """Whether a folder still has the files of a digest, by names, sizes and mtimes."""
    now = {}
    for name, reason in _walk(root, leave_out):
        if not reason:
            info = (root / name).stat()
            now[name] = (info.st_size, info.st_mtime_ns)
    return now == {name: (file.size, file.mtime_ns) for name, file in found.files.items()}


def files_below(root: Path) -> Iterator[str]:
    """The files of a folder by relative path, found as they are asked for."""
    return (name for name, reason in _walk(root, lambda name: False) if not reason)


def of_files(files: Mapping[str, FileDigest], skipped: tuple[str, ...] = ()) -> Digest:
    """The digest of a folder that holds these files."""
    return Digest(f"{digest_bytes(tree_object(files)).md5}.dir", files, skipped)


def tree_object(files: Mapping[str, FileDigest]) -> bytes:
    """The bytes that DVC stores for a folder: its ``.dir`` object."""
    listing = [{"md5": files[name].md5, "relpath": name} for name in sorted(files)]
    return json.dumps(listing, sort_keys=True).encode()


def parse_tree_object(content: bytes) -> dict[str, str]:
    """Relative path -> md5 of a ``.dir`` object.

    Raises:
        DataError: it is none.
    """
    try:
        listing = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        damaged = [name for name, md5 in listing.items() if not _MD5.fullmatch(md5)]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"damaged listing of a folder: {error!r:.100}") from error
    if damaged or not all(isinstance(name, str) for name in listing):
        raise DataError(f"damaged listing of a folder: no md5 for {damaged!r:.100}")
    return listing


def _digest_folder(root: Path, leave_out: Callable[[str], bool]) -> Digest:
    files, skipped = {}, []
    for name, reason in _walk(root, leave_out):
        if reason:
            skipped.append(f"{root / name} left out: {reason}")
        else:
            files[name] = digest_file(root / name)
    return of_files(files, tuple(skipped))


def _walk(root: Path, leave_out: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Each leaf's relative path, with a reason where it is no data that DVC can hold."""
    folders = [""]
    while folders:
        folder = folders.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}{entry.name}"
                if leave_out(name) or entry.name in _NEVER_DATA:
                    continue
                _check_name(entry)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                else:
                    yield name, _why_no_file(entry)


def _why_no_file(entry: os.DirEntry[str]) -> str:
    """Why an entry is nothing that DVC can hold; empty for a file."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return "a broken link"
    if stat.S_ISREG(mode):
        return ""
    return "a link to a folder" if stat.S_ISDIR(mode) else "neither a file nor a folder"


def _check_name(entry: os.DirEntry[str]) -> None:
    try:
        entry.name.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{os.fsencode(entry.path)!r} has a name that is not UTF-8",
            hint="Rename it: such a name cannot be restored elsewhere.",
        ) from error
