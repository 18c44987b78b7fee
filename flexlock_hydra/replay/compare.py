"""Compare the outputs of two runs, file by file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from flexlock_hydra.archive import collect
from flexlock_hydra.archive.runs import RecordedRun
from flexlock_hydra.capture.digest import FileDigest
from flexlock_hydra.capture.index import Index
from flexlock_hydra.errors import DataError


@dataclass(frozen=True)
class FileChanges:
    """Files by relative path: in both and the same, different, only old, only new."""

    identical: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    added: tuple[str, ...]


def result_files(run: RecordedRun, index: Index | None = None) -> dict[str, FileDigest]:
    """The output files that are part of a result: Hydra's own records left out.

    ``index``: knows the hashes of files that did not change since they were read.

    Raises:
        DataError: the folder is gone or unreadable, or is not what was recorded.
    """
    recorded = run.lock.outputs
    if recorded is None:
        raise DataError(
            f"the outputs of {run.lock.run.id} were not recorded",
            hint="Run it with hydra.callbacks.flexlock.outputs=true and let it end.",
        )
    by_size = {name: FileDigest("", size) for name, size in (recorded.unhashed or {}).items()}
    found = collect.digest_outputs(run, recorded, index)
    return without_hydra({**found.files, **by_size})


def compare_files(old: Mapping[str, FileDigest], new: Mapping[str, FileDigest]) -> FileChanges:
    """What differs between two sets of files."""
    both = sorted(old.keys() & new.keys())
    return FileChanges(
        identical=tuple(name for name in both if old[name] == new[name]),
        changed=tuple(name for name in both if old[name] != new[name]),
        removed=tuple(sorted(old.keys() - new.keys())),
        added=tuple(sorted(new.keys() - old.keys())),
    )


def without_hydra(files: Mapping[str, FileDigest]) -> dict[str, FileDigest]:
    """Without the folder (``.hydra``) in which Hydra writes its own config of the job."""
    records = {
        str(PurePosixPath(name).parent)
        for name in files
        if PurePosixPath(name).name == "hydra.yaml"
        and str(PurePosixPath(name).with_name("overrides.yaml")) in files
    }
    return {
        name: file for name, file in files.items() if str(PurePosixPath(name).parent) not in records
    }
