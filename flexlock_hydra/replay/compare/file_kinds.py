"""Two files of one name and different bytes: compared by what their name says that they are."""

from __future__ import annotations

from collections.abc import Callable
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
from flexlock_hydra.replay.compare.kinds.raw import compare_bytes
from flexlock_hydra.replay.compare.kinds.tables import compare_tables
from flexlock_hydra.replay.compare.kinds.text import compare_lines, compare_numbers
from flexlock_hydra.replay.compare.outcome import Outcome

Compare = Callable[[Path, Path, Judge], None]
"""Tells a judge what differs; raises UnreadableError where the files are not of its kind."""

_JSON = (compare_json, compare_json_lines, compare_lines)
_JSON_LINES = (compare_json_lines, compare_lines)
_YAML = (compare_yaml, compare_lines)
_TABLE = (compare_tables, compare_lines)
_TEXT = (compare_numbers, compare_lines)
_KINDS: dict[str, tuple[Compare, ...]] = {
    **dict.fromkeys((".json", ".geojson", ".ipynb"), _JSON),
    **dict.fromkeys((".jsonl", ".ndjson"), _JSON_LINES),
    **dict.fromkeys((".yaml", ".yml"), _YAML),
    **dict.fromkeys((".csv", ".tsv"), _TABLE),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), (compare_arrow,)),
    **dict.fromkeys((".h5", ".hdf5", ".nc"), (compare_hdf5,)),
    ".npy": (compare_npy,),
    ".npz": (compare_npz, compare_zips),
    ".safetensors": (compare_safetensors,),
    ".parquet": (compare_parquet,),
    ".gz": (compare_gzips,),
}
_PICKLES = frozenset({".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt"})


def compare_contents(file: str, old: Path, new: Path, rules: Rules) -> Outcome:
    """Two files as their kind says; where they are not of it, in the next simpler way.

    Nothing in them is unpickled or run, and what is read at once is bounded.

    Args:
        file: their name below the output directory.

    Raises:
        OSError: one of them cannot be read.
    """
    reasons: list[str] = []
    for way in _ways(PurePosixPath(file), old, new):
        judge = Judge(file, rules)
        try:
            way(old, new, judge)
        except UnreadableError as why:
            reasons += [str(why)] if str(why) not in (*reasons, "") else []
        else:
            if reasons and way in (compare_lines, compare_zips):
                reasons.append("compared as text" if way is compare_lines else "compared as zip")
                return judge.outcome("; ".join(reasons))
            return judge.outcome()
    judge = Judge(file, rules)
    compare_bytes(old, new, judge)
    return judge.outcome("; ".join([*reasons, "compared by bytes"]))


def _ways(file: PurePosixPath, old: Path, new: Path) -> tuple[Compare, ...]:
    """The ways to compare two files, the one that says the most first."""
    suffix = file.suffix.lower()
    if is_events(file.name):
        return (compare_events,)
    if suffix in _KINDS:
        return _KINDS[suffix]
    if is_zip(old) and is_zip(new):
        return (compare_checkpoints, compare_zips)
    return (compare_pickles,) if suffix in _PICKLES else _TEXT
