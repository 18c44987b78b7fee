"""Arrays in files: ``.npy``, ``.npz``, safetensors. Read piece by piece, never unpickled."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds import reading
from flexlock_hydra.replay.compare.kinds.archives import PICKLED, compare_members
from flexlock_hydra.replay.compare.kinds.plain import compare_values, load_json
from flexlock_hydra.replay.compare.kinds.reading import Stream

if TYPE_CHECKING:
    import numpy

_PIECE = 4 * 1024**2  # bytes of an array that are compared at once
_LARGEST_TURNED = 256 * 1024**2  # bytes of an array whose elements are put into another order
# Element types of safetensors; the last ones are no numbers to NumPy.
_SAFE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8", "C128": "<c16",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
    "BF16": "<u2", "F8_E4M3": "<u1", "F8_E5M2": "<u1",
}
_BF16 = "BF16"
# What NumPy raises for a header that is none.
_NO_HEADER = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError,
              RecursionError, SyntaxError, TokenError)


@dataclass(frozen=True)
class _Header:
    """What an array is, before its elements; ``kind`` is the element type as it is told."""

    kind: str
    dtype: numpy.dtype[Any]
    shape: tuple[int, ...]
    columns_first: bool = False

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def compare_npy(old: Path, new: Path, judge: Judge) -> None:
    """Two files with an array each.

    Raises:
        UnreadableError: no such file, or one with Python objects.
    """
    with old.open("rb") as one, new.open("rb") as other:
        _compare_npy_streams(one, other, "", judge)


def compare_npz(old: Path, new: Path, judge: Judge) -> None:
    """Two archives of arrays.

    Raises:
        UnreadableError: no such archive, too large, or one with Python objects.
    """
    compare_members(old, new, _compare_member, judge)


def compare_safetensors(old: Path, new: Path, judge: Judge) -> None:
    """Two files of named tensors: ``length, JSON header, raw elements``.

    Raises:
        UnreadableError: no such file, or one with tensors of a type that is not known.
    """
    with old.open("rb") as one, new.open("rb") as other:
        (before, base), (after, base_now) = _tensors(one), _tensors(other)
        notes = [tensors.pop("__metadata__", {}) for tensors in (before, after)]
        compare_values(notes[0], notes[1], judge, ("__metadata__",))
        for name in dict.fromkeys((*before, *after)):
            if judge.stands(name, name in before, name in after, None):
                pair = _tensor_at(one, base, before[name]), _tensor_at(other, base_now, after[name])
                _compare_arrays((pair[0], one), (pair[1], other), name, judge)


def compare_elements(
    kind: str, count: int, old: Stream, new: Stream, where: str, judge: Judge
) -> None:
    """Raw elements, ``kind`` as safetensors calls it; NumPy must be there.

    Raises:
        UnreadableError: there are fewer.
    """
    import numpy

    header = _Header(kind, numpy.dtype(_SAFE[kind]), (count,))
    _compare_arrays((header, old), (header, new), where, judge)


def _compare_member(old: Stream, new: Stream, name: str, judge: Judge) -> None:
    if name.endswith(".npy"):
        _compare_npy_streams(old, new, name.removesuffix(".npy"), judge)
    else:
        reading.compare_streams(old, new, name, judge)


def _compare_npy_streams(old: Stream, new: Stream, where: str, judge: Judge) -> None:
    headers = (_npy_header(old), old), (_npy_header(new), new)
    _compare_arrays(*headers, where, judge)
    if judge.is_clean and (old.read(1) or new.read(1)):
        raise UnreadableError("longer than its header says")


def _compare_arrays(
    old: tuple[_Header, Stream], new: tuple[_Header, Stream], where: str, judge: Judge
) -> None:
    (one, _), (other, _) = old, new
    place = where and f"{where} "
    if one.shape != other.shape:
        judge.differs(f"{place}shape", str(one.shape), str(other.shape))
    elif one.kind != other.kind:
        judge.differs(f"{place}type", one.kind, other.kind)
    elif one.dtype.itemsize:
        from flexlock_hydra.replay.compare.kinds.numbers import compare_pieces, element

        in_step = one.columns_first == other.columns_first
        pieces = [_pieces(*each) if in_step else _in_row_order(*each) for each in (old, new)]
        first = in_step and one.columns_first
        compare_pieces(zip(*pieces), one.shape, judge, element(where), columns_first=first)


def _pieces(header: _Header, source: Stream) -> Iterator[Any]:
    """The elements in the order of the file, some at a time."""
    import numpy

    step = max(_PIECE // header.dtype.itemsize, 1)
    for start in range(0, header.count, step):
        count = min(step, header.count - start)
        content = reading.read_all(source, count * header.dtype.itemsize)
        piece = numpy.frombuffer(content, header.dtype)
        if header.kind == _BF16:
            piece = (piece.astype("<u4") << 16).view("<f4")
        yield piece


def _in_row_order(header: _Header, source: Stream) -> Iterator[Any]:
    """All elements in one piece, the last index running fastest."""
    if header.count * header.dtype.itemsize > _LARGEST_TURNED:
        raise UnreadableError("large, with their elements in another order")
    import numpy

    pieces = numpy.concatenate([*_pieces(header, source)] or [numpy.empty(0, header.dtype)])
    yield pieces.reshape(header.shape, order="F" if header.columns_first else "C").reshape(-1)


def _npy_header(stream: Stream) -> _Header:
    """The header of an array of no Python objects, parsed by NumPy, which takes literals alone."""
    from numpy.lib import format as npy

    with reading.unreadable("no array file", _NO_HEADER):
        version = npy.read_magic(stream)
        readers: Mapping[Any, Callable[..., Any]] = {
            (1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0
        }
        if version not in readers:
            raise UnreadableError(f"an array file of version {version[0]}")
        shape, columns_first, dtype = readers[version](stream)
    if dtype.hasobject:
        raise UnreadableError(PICKLED)
    sane = all(length >= 0 for length in shape) and math.prod(shape) < 1 << 62
    if not sane or dtype.itemsize > _PIECE:
        raise UnreadableError("no array file")
    return _Header(str(dtype.newbyteorder("=")), dtype, shape, columns_first and len(shape) > 1)


def _tensors(file: IO[bytes]) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the elements begin."""
    length = int.from_bytes(reading.read_all(file, 8), "little")
    if length > reading.LARGEST:
        raise UnreadableError("no safetensors file")
    header = load_json(reading.read_all(file, length))
    if not isinstance(header, dict):
        raise UnreadableError("no safetensors file")
    return header, 8 + length


def _tensor_at(file: IO[bytes], base: int, tensor: Any) -> _Header:
    """What a tensor is; the file is then where its elements begin."""
    import numpy

    match tensor:
        case {"dtype": str(kind), "shape": list(shape), "data_offsets": [int(start), int(end)]}:
            dtype = numpy.dtype(_SAFE.get(kind, "V0"))
            whole = all(type(length) is int and length >= 0 for length in shape)
            if whole and dtype.itemsize and 0 <= start < 1 << 62:
                header = _Header(kind, dtype, tuple(shape))
                if header.count * dtype.itemsize == end - start:
                    file.seek(base + start)
                    return header
    raise UnreadableError("no safetensors file, or one with a type that is not known")
