"""What joblib adds to pickles: arrays whose bytes stand behind their wrappers; compression."""

from __future__ import annotations

import bz2
import io
import lzma
import math
import zlib
from collections.abc import Callable
from typing import Any

from flexlock_hydra.replay.compare.judge import UnreadableError
from flexlock_hydra.replay.compare.kinds.limits import check_size, unreadable
from flexlock_hydra.replay.compare.kinds.pickled import CALL, STATE, Plain, PlainValues, item_size

_WRAPPER = "joblib.numpy_pickle NumpyArrayWrapper"
_ALIGNMENT = "numpy_array_alignment_bytes"
_GZIP = 16 + zlib.MAX_WBITS
_PACKED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(_GZIP),
    b"\x78": zlib.decompressobj,
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00": lzma.LZMADecompressor,
}
"""How files begin that joblib compressed, which no pickle does."""


def unpacked(content: bytes, largest: int) -> bytes:
    """The pickle in a file that may be compressed.

    Raises:
        UnreadableError: it is damaged, or has more than ``largest`` bytes.
    """
    opened = next((_PACKED[begin] for begin in _PACKED if content.startswith(begin)), None)
    if opened is None:
        return content
    with unreadable("no pickle", (zlib.error, lzma.LZMAError, OSError)):
        found: bytes = opened().decompress(content, largest + 1)
    check_size(len(found), largest)
    return found


def is_wrapper(value: Any) -> bool:
    """Whether an array follows in the file; ``value`` is what an object was told to be."""
    return isinstance(value, dict) and value.get(CALL) == [_WRAPPER, ()] and STATE in value


def take_array(
    wrapper: Plain, file: io.BytesIO, known: PlainValues, inner: Callable[[], Any]
) -> None:
    """Put the array that follows in the place of its wrapper.

    Args:
        inner: reads a pickle from the file: an array of objects is one of its own.

    Raises:
        UnreadableError: no such array follows.
    """
    state = wrapper[STATE]
    match state:
        case {"shape": tuple(shape), "order": order, "dtype": dtype}:
            size = item_size(dtype)
        case _:
            raise UnreadableError("no array of joblib")
    if size is None:
        plain = {"array": inner()}
    else:
        if state.get(_ALIGNMENT) is not None:
            file.seek(int.from_bytes(file.read(1), "little"), io.SEEK_CUR)
        content = _array_bytes(file, shape, size)
        plain = known.told(dtype, shape, order == "F", content) or {
            "type": dtype, "shape": shape, "order": order, "bytes": content
        }
    wrapper.clear()
    wrapper.update(plain)


def _array_bytes(file: io.BytesIO, shape: tuple[Any, ...], size: int) -> bytes:
    if not all(type(length) is int and 0 <= length < 1 << 48 for length in shape):
        raise UnreadableError("no array of joblib")
    wanted = math.prod(shape) * size
    left = len(file.getbuffer()) - file.tell()
    if wanted > left:
        raise UnreadableError("an array is cut off")
    return file.read(wanted)
