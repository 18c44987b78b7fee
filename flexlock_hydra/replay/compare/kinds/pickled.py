"""Tensors and arrays of plain numbers in pickles, in place of the calls that would make them.

joblib's are among them: arrays whose bytes stand behind their wrappers, and compression.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union

from flexlock_hydra.replay.compare.judge import UnreadableError
from flexlock_hydra.replay.compare.kinds.reading import LARGEST, check_size, unreadable

Plain = dict[str, Any]
Buffer = Union[bytes, bytearray]

CALL, STATE, ITEMS, ID = "()", "(state)", "(items)", "(id)"

# Elements of all arrays of a pickle that are told one by one, and bytes that are decoded.
_MOST_ELEMENTS = 2_000_000
_FORMS = {
    "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?",
}
_PLAIN_TYPE = re.compile(r"[biufcmMSUV]\d{1,6}")
_ORDERS = {"<": "<", ">": ">", "|": "<"}
_WRAPPER = "joblib.numpy_pickle NumpyArrayWrapper"
_ALIGNMENT = "numpy_array_alignment_bytes"
_GZIP = 16 + zlib.MAX_WBITS
# How files begin that joblib compressed, which no pickle does.
_PACKED: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(_GZIP),
    b"\x78": zlib.decompressobj,
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00": lzma.LZMADecompressor,
}


@dataclass
class PlainValues:
    """Puts tensors, arrays and bytes plainly in the place of the calls that would make them.

    ``left``: how many elements may still be shown one by one.
    """

    left: int = _MOST_ELEMENTS

    def put(self, value: Any) -> Any:
        """The value itself, changed where it is a tensor or an array; or the bytes that it is."""
        match value:
            case {"()": [str(name), tuple(arguments)]}:
                plain = self._plain(name, arguments, value.get(STATE))
                if isinstance(plain, bytes):
                    return plain
                if plain is not None:
                    value.clear()
                    value.update(plain)
        return value

    def _plain(self, name: str, arguments: tuple[Any, ...], state: Any) -> Plain | bytes | None:
        """What a call makes, by its name in NumPy 1; None: no tensor, array or bytes."""
        match name.replace("numpy._core.", "numpy.core."), arguments, state:
            case (
                "torch._utils _rebuild_tensor_v2",
                (storage, offset, tuple(shape), tuple(strides), *more),
                _,
            ):
                return {
                    "storage": storage, "offset": offset, "shape": shape, "strides": strides,
                    "more": more,
                }
            # Made empty, and given its elements afterwards.
            case "numpy.core.multiarray _reconstruct", _, (_, tuple(shape), dtype, order, bytes(b)):
                return self.told(dtype, shape, order, b)
            case (
                "numpy.core.numeric _frombuffer",
                (bytes() | bytearray() as it, dtype, tuple(shape), str(order)),
                _,
            ):
                return self.told(dtype, shape, order == "F", it)
            case "numpy.core.multiarray scalar", (dtype, bytes(it)), _:
                return self.told(dtype, (), False, it)
            # Bytes as old protocols write them: in a text, or by no argument where there are none.
            case "_codecs encode", (str(text), "latin1"), _ if len(text) <= self.left:
                self.left -= len(text)
                return text.encode("latin-1")
            case "builtins bytes" | "__builtin__ bytes", (), _:
                return b""
        return None

    def told(self, dtype: Any, shape: tuple[Any, ...], order: Any, content: Buffer) -> Plain | None:
        """An array with its elements in a list, in the order of the file."""
        form = _struct_form(dtype)
        if form is None or not all(type(length) is int and length >= 0 for length in shape):
            return None
        count = math.prod(shape)
        if count > self.left or count * struct.calcsize(form) != len(content):
            return None
        self.left -= count
        elements = struct.unpack(f"{form[0]}{count}{form[1:]}", content)
        if not shape:
            return {"type": form[1:], "value": elements[0]}
        return {"type": form[1:], "shape": shape, "columns_first": order, "elements": elements}


def item_size(dtype: Any) -> int | None:
    """Bytes of an element; None of Python's objects, and where the type is not known."""
    match dtype:
        case {"()": ["numpy dtype", (str(kind), *_)]} if _PLAIN_TYPE.fullmatch(kind):
            return int(kind[1:]) * (4 if kind[0] == "U" else 1)
    return None


def unpacked(content: bytes) -> bytes:
    """The pickle in a file that may be compressed.

    Raises:
        UnreadableError: it is damaged, or has more than ``LARGEST`` bytes.
    """
    opened = next((_PACKED[begin] for begin in _PACKED if content.startswith(begin)), None)
    if opened is None:
        return content
    with unreadable("no pickle", (zlib.error, lzma.LZMAError, OSError)):
        found: bytes = opened().decompress(content, LARGEST + 1)
    check_size(len(found), LARGEST)
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


def _struct_form(dtype: Any) -> str | None:
    match dtype:
        case {"()": ["numpy dtype", (str(kind), *_)], "(state)": (_, str(order), *_)}:
            if kind in _FORMS and order in _ORDERS:
                return _ORDERS[order] + _FORMS[kind]
    return None
