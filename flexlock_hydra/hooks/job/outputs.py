"""The output directory of one run: hashed at its end, and again if something wrote since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.data.digest import DataSummary, fingerprint, summarize
from flexlock_hydra.capture.data.read_data import Limits
from flexlock_hydra.capture.data.walk import TooLargeError
from flexlock_hydra.hooks.config.options import OutputSelection
from flexlock_hydra.record.model import Outputs, is_left_out

_AT_ONCE = Limits(files=256, size=4 * 1024**2)
"""What is hashed without the index; what is larger is not read again by a second look."""


@dataclass
class OutputFolder:
    """An output directory and what was found in it.

    Args:
        folder: the directory.
        selection: which of its files are hashed.
        left_out: files below it that others write to after the job, logs.
    """

    folder: Path
    selection: OutputSelection
    left_out: Iterable[str] = ()
    found: DataSummary | None = None

    def observe(self) -> tuple[Outputs, tuple[str, ...]]:
        """Hash the files; the lock's section of outputs, and warnings of what is not in it.

        Raises:
            DataError: something there cannot be read.
        """
        self.left_out = frozenset(self.left_out)
        self.found = found = self._summarize()
        return (
            Outputs(
                path=".",
                hash={"md5": found.md5},
                size=found.size,
                nfiles=found.nfiles,
                left_out=tuple(sorted(self.left_out)),
                only=self.selection.only,
                unhashed=found.unhashed or None,
                executable=found.executable or None,
                links=found.links or None,
                empty=found.empty or None,
            ),
            found.warnings,
        )

    def has_changed(self) -> bool:
        """Whether something wrote to the files since they were hashed.

        Raises:
            DataError: something there cannot be read.
        """
        if self.found is None:
            return False
        now, _ = fingerprint(
            self.folder, self._leaves_out, since=0, largest=self.selection.largest
        )
        return now != self.found.fingerprint

    def _summarize(self) -> DataSummary:
        where, largest = (self.folder, self._leaves_out), self.selection.largest
        try:
            return summarize(*where, largest=largest, limits=_AT_ONCE)
        except TooLargeError:
            from flexlock_hydra.capture.data.hash_index import HashIndex, index_path

            with HashIndex.open(index_path()) as index:
                return summarize(*where, largest=largest, index=index)

    def _leaves_out(self, name: str) -> bool:
        return is_left_out(name, frozenset(self.left_out), self.selection.only)
