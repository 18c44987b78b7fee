"""HDF5 files, dataset by dataset; where h5py is installed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from flexlock_hydra.record.codec import Json
from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.plain import compare_values
from flexlock_hydra.replay.compare.kinds.reading import MOST_UNPACKED, unreadable
from flexlock_hydra.replay.compare.outcome import ABSENT

_PIECE = 1 << 20  # elements that are read at once
_LARGEST_CHUNK = 256 * 1024**2
_MOST_MEMBERS = 100_000
# What h5py raises for damaged files.
_BROKEN = (ValueError, TypeError, OSError, LookupError, RuntimeError, NotImplementedError,
           MemoryError, OverflowError)


def compare_hdf5(old: Path, new: Path, judge: Judge) -> None:
    """Two HDF5 files: every group, dataset and attribute; links to other places aside.

    Raises:
        UnreadableError: no such file, or one with values that lie elsewhere or cannot be
            told.
    """
    import h5py

    with (
        unreadable("no HDF5 file", _BROKEN),
        h5py.File(old, "r") as one,
        h5py.File(new, "r") as other,
    ):
        before, after = _groups_and_datasets(one), _groups_and_datasets(other)
        for name in dict.fromkeys((*before, *after)):
            kind, kind_now = (
                _kind(found[name]) if name in found else ABSENT for found in (before, after)
            )
            if kind != kind_now:
                judge.differs(name, kind, kind_now)
            else:
                _compare_member(before[name], after[name], name.strip("/"), judge)


def _groups_and_datasets(file: Any) -> dict[str, Any]:
    """Every group and dataset, each once, without following links to other files."""
    names: list[str] = []

    def met(name: str) -> bool | None:
        names.append(name)
        return True if len(names) > _MOST_MEMBERS else None

    if file.visit(met):
        raise UnreadableError(f"more than {_MOST_MEMBERS:,} datasets and groups")
    return {"/": file, **{name: file[name] for name in names}}


def _kind(member: Any) -> str:
    """``group``, or the type and shape of a dataset."""
    if not hasattr(member, "dtype"):
        return "group"
    return f"{member.dtype.newbyteorder('=')} {member.shape}"


def _compare_member(old: Any, new: Any, name: str, judge: Judge) -> None:
    notes = [{key: _plain_value(value) for key, value in each.attrs.items()} for each in (old, new)]
    compare_values(notes[0], notes[1], judge, (f"{name}@",))
    if not hasattr(old, "dtype") or old.shape is None:
        return
    _check_dataset(old)
    _check_dataset(new)
    with judge.part(name, judge.rule(name.replace("/", "."))) as inner:
        _compare_elements(old, new, name, inner)


def _compare_elements(old: Any, new: Any, name: str, judge: Judge) -> None:
    from flexlock_hydra.replay.compare.kinds.numbers import compare_pieces, element

    pieces = (
        (old[place].reshape(-1), new[place].reshape(-1)) for place in _places(old.shape)
    ) if old.shape else [(old[()].reshape(-1), new[()].reshape(-1))]
    if not old.dtype.hasobject:
        compare_pieces(pieces, old.shape, judge, element(name))
        return
    for one, other in pieces:
        judge.spend(len(one))
        for before, after in zip(one, other):
            compare_values(_plain_value(before), _plain_value(after), judge, (name,))


def _check_dataset(dataset: Any) -> None:
    """Refuse what lies elsewhere, is no plain value, or is larger than its file looks."""
    import h5py

    if dataset.external or dataset.is_virtual:
        raise UnreadableError(f"{dataset.name} lies in other files")
    if dataset.dtype.hasobject and h5py.check_string_dtype(dataset.dtype) is None:
        raise UnreadableError(f"{dataset.name} holds references, or arrays of many lengths")
    itemsize = dataset.dtype.itemsize
    if math.prod(dataset.chunks or (0,)) * itemsize > _LARGEST_CHUNK:
        raise UnreadableError(f"{dataset.name} is stored in pieces that are too large")
    if dataset.size * itemsize > MOST_UNPACKED:
        raise UnreadableError(f"{dataset.name} is larger than {MOST_UNPACKED // 1024**3} GiB")


def _places(shape: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    """Slices, in the order of the elements, that each hold so many of them at most."""
    axis = len(shape) - 1
    while axis > 0 and math.prod(shape[axis:]) <= _PIECE:
        axis -= 1
    step = max(_PIECE // max(math.prod(shape[axis + 1:]), 1), 1)
    for above in product(*map(range, shape[:axis])):
        for start in range(0, shape[axis], step):
            yield (*above, slice(start, min(start + step, shape[axis])))


def _plain_value(value: Any) -> Json:
    """An attribute or a text as plain data; what refers to elsewhere is not followed."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if hasattr(value, "tolist"):
        return _plain_value(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain_value(item) for item in value]
    return value if isinstance(value, (str, int, float)) else type(value).__name__
