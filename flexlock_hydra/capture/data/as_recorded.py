"""What lies at a recorded path, with what the job itself changed there put back.

The hash is the proof: files that were kept take the place of those that the job left, and
files that are new since its start are passed over; what comes out is the recorded data, or not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flexlock_hydra.capture.data.digest import (
    Digest, FileDigest, digest, digest_file, of_files, walk_files
)
from flexlock_hydra.capture.data.hash_index import HashIndex
from flexlock_hydra.capture.data.walk import LeaveOut
from flexlock_hydra.errors import DataError


@dataclass(frozen=True)
class During:
    """The time of a job, ns since the epoch; without an end it was killed, nobody knows when."""

    start: int
    end: int | None = None

    def has(self, moment: int | None) -> bool:
        """Whether a file's time lies in it."""
        return moment is not None and moment >= self.start and not self.is_past(moment)

    def is_past(self, moment: int | None) -> bool:
        """Whether a file's time lies behind it."""
        return moment is not None and self.end is not None and moment > self.end


@dataclass(frozen=True)
class FoundData:
    """Data where it lies now, file by file.

    Args:
        path: the file or folder.
        digest: of the files as they are to be taken.
        aside: names of files whose recorded bytes were kept, each with where they lie.
        later: names of files that the job changed and of which nothing earlier was kept;
            where there are any, the digest is not the recorded one.
    """

    path: Path
    digest: Digest
    aside: Mapping[str, Path] = field(default_factory=dict)
    later: tuple[str, ...] = ()

    def source_of(self, rel: str) -> Path:
        """Where one of its files lies now; the empty name is that of a single file."""
        return self.aside.get(rel) or (self.path / rel if rel else self.path)


def find_as_recorded(
    path: Path,
    md5: str,
    leave_out: LeaveOut | None = None,
    *,
    index: HashIndex | None = None,
    kept: Path | None = None,
    during: During | None = None,
) -> FoundData:
    """What lies at a path, as it was recorded if that can be had; compare the digest's md5.

    Args:
        md5: DVC's id of the recorded data.
        kept: where the bytes lie of what the job changed, if there are any.
        during: when the job ran; None where files' times say nothing, as after a pull.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    aside = dict(_kept_files(kept, leave_out)) if kept is not None else {}
    if not path.exists() and aside:
        now = Digest("", {})
    else:
        now = digest(path, leave_out, index)
        if now.md5 != md5 and now.has_locks:  # an older record counts them
            again = digest(path, leave_out, index, with_locks=True)
            now = again if again.md5 == md5 else now
    if now.md5 == md5 or not (aside or during):
        return FoundData(path, now)
    back = {name: digest_file(place) for name, place in aside.items()}
    if not md5.endswith(".dir"):
        return _one_file(FoundData(path, now), md5, aside, back, during)
    files = {**now.files, **back}
    new = {name for name, file in now.files.items()
           if name not in aside and during is not None and during.has(file.mtime_ns)}
    for some in (files, {name: file for name, file in files.items() if name not in new}):
        found = of_files(some)
        if found.md5 == md5:
            return FoundData(path, found, aside)
    past = any(during.is_past(file.mtime_ns) for name, file in now.files.items()
               if name not in aside) if during else True
    return FoundData(path, of_files(files), aside, () if past else tuple(sorted(new)))


def before_change(
    path: Path,
    leave_out: LeaveOut | None,
    *,
    index: HashIndex | None,
    kept: Path,
    since: int,
) -> tuple[Digest, tuple[str, ...]]:
    """The digest of what lay at a path before a time, and the later files that were not kept.

    What is later is not read: it may be large. Where such files are new, the digest is right.

    Args:
        since: ns since the epoch.

    Raises:
        DataError: it cannot be read, or is a file that was not kept.
    """
    aside = dict(_kept_files(kept, leave_out))
    back = {name: digest_file(place) for name, place in aside.items()}
    if "" in back:
        return Digest(back[""].md5, back), ()
    if not path.is_dir():
        raise DataError(f"{path} was not kept")
    late = set()

    def is_late(name: str) -> bool:
        if name.endswith("/"):
            return False
        with suppress(OSError):
            if os.stat(path / name).st_mtime_ns >= since:
                late.add(name)
        return name in late

    found = digest(path, lambda name: bool(leave_out and leave_out(name)) or is_late(name), index)
    return of_files({**found.files, **back}), tuple(sorted(late - back.keys()))


def _one_file(
    found: FoundData,
    md5: str,
    aside: Mapping[str, Path],
    back: Mapping[str, FileDigest],
    during: During | None,
) -> FoundData:
    """A single file: its kept bytes where they are the recorded ones, else the later version."""
    if "" in back and back[""].md5 == md5:
        return FoundData(found.path, Digest(md5, {"": back[""]}), aside)
    file = found.digest.files.get("")
    is_later = file is not None and during is not None and during.has(file.mtime_ns)
    return FoundData(found.path, found.digest, {}, ("",) if is_later else ())


def _kept_files(kept: Path, leave_out: LeaveOut | None) -> Iterator[tuple[str, Path]]:
    """Name -> place, of what was kept of an input."""
    if kept.is_file():
        yield "", kept
    elif kept.is_dir():
        try:
            for name in walk_files(kept):
                if leave_out is None or not leave_out(name):
                    yield name, kept / name
        except OSError as error:
            raise DataError(f"{kept} cannot be read: {error.strerror}") from error
