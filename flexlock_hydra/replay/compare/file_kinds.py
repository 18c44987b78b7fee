"""The table of file kinds, and two files of one name compared by the kind that they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from flexlock_hydra.replay.compare.judge import Judge, Rules, UnreadableError
from flexlock_hydra.replay.compare.kinds.archives import compare_gzips, compare_zips, is_zip
from flexlock_hydra.replay.compare.kinds.arrays import compare_npy, compare_npz, compare_safetensors
from flexlock_hydra.replay.compare.kinds.checkpoints import compare_checkpoints
from flexlock_hydra.replay.compare.kinds.columns import compare_arrow, compare_parquet
from flexlock_hydra.replay.compare.kinds.events import compare_events, is_events
from flexlock_hydra.replay.compare.kinds.hdf5 import compare_hdf5
from flexlock_hydra.replay.compare.kinds.pickles import compare_pickles
from flexlock_hydra.replay.compare.kinds.plain import compare_json, compare_json_lines, compare_yaml
from flexlock_hydra.replay.compare.kinds.reading import compare_bytes, require_package
from flexlock_hydra.replay.compare.kinds.text import compare_lines, compare_numbers, compare_tables
from flexlock_hydra.replay.compare.outcome import Outcome

Compare = Callable[[Path, Path, Judge], None]
"""Tells a judge what differs; raises UnreadableError where the files are not of its kind."""


@dataclass(frozen=True)
class FileKind:
    """One kind of file: how it is told from others, and the ways to compare two of it."""

    ways: tuple[Compare, ...]
    """The one that says the most first; each next is taken where that cannot read the files."""
    suffixes: tuple[str, ...] = ()
    shows: Callable[[str, Path, Path], bool] | None = None
    """Tells by the files' name and their first bytes, where there is no suffix to go by."""
    needs: str = ""
    """The optional package without which the first way cannot be gone."""

    def is_of(self, name: str, old: Path, new: Path) -> bool:
        """Whether two files of one name are of this kind."""
        if self.shows is not None:
            return self.shows(name, old, new)
        return PurePosixPath(name).suffix.lower() in self.suffixes


FILE_KINDS: tuple[FileKind, ...] = (
    FileKind((compare_events,), shows=lambda name, old, new: is_events(name)),
    FileKind((compare_json, compare_json_lines, compare_lines), (".json", ".geojson", ".ipynb")),
    FileKind((compare_json_lines, compare_lines), (".jsonl", ".ndjson")),
    FileKind((compare_yaml, compare_lines), (".yaml", ".yml")),
    FileKind((compare_tables, compare_lines), (".csv", ".tsv")),
    FileKind((compare_arrow,), (".feather", ".arrow", ".ipc"), needs="pyarrow"),
    FileKind((compare_parquet,), (".parquet",), needs="pyarrow"),
    FileKind((compare_hdf5,), (".h5", ".hdf5", ".nc"), needs="h5py"),
    FileKind((compare_npy,), (".npy",), needs="NumPy"),
    FileKind((compare_npz, compare_zips), (".npz",), needs="NumPy"),
    FileKind((compare_safetensors,), (".safetensors",), needs="NumPy"),
    FileKind((compare_gzips,), (".gz",)),
    # A .pt of PyTorch is a zip archive or, from before its version 1.6, a bare pickle.
    FileKind((compare_checkpoints, compare_zips), shows=lambda name, old, new: is_zip(old, new)),
    FileKind((compare_pickles,), (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt")),
    FileKind((compare_numbers, compare_lines), shows=lambda name, old, new: True),
)
"""The first kind that two files are of counts; the last one takes all that is left."""

# What is said where a way was taken because a better one could not read the files.
_SIMPLER: dict[Compare, str] = {compare_lines: "compared as text", compare_zips: "compared as zip"}


def compare_contents(file: str, old: Path, new: Path, rules: Rules) -> Outcome:
    """Two files as their kind says; where they are not of it, in the next simpler way.

    Nothing in them is unpickled or run, and what is read at once is bounded.

    Args:
        file: their name below the output directory.

    Raises:
        OSError: one of them cannot be read.
    """
    name = PurePosixPath(file).name
    kind = next(kind for kind in FILE_KINDS if kind.is_of(name, old, new))
    reasons: list[str] = []
    for way in kind.ways:
        judge = Judge(file, rules)
        try:
            if kind.needs and way is kind.ways[0]:
                require_package(kind.needs)
            way(old, new, judge)
        except UnreadableError as why:
            reasons += [str(why)] if str(why) not in (*reasons, "") else []
        else:
            if reasons and way in _SIMPLER:
                return judge.outcome("; ".join([*reasons, _SIMPLER[way]]))
            return judge.outcome()
    judge = Judge(file, rules)
    compare_bytes(old, new, judge)
    return judge.outcome("; ".join([*reasons, "compared by bytes"]))
