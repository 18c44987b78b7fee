"""What the calls in a pickle would make, where that is a tensor or an array of plain numbers."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union

Plain = dict[str, Any]
Buffer = Union[bytes, bytearray]

CALL, STATE, ITEMS, ID = "()", "(state)", "(items)", "(id)"

_MOST_ELEMENTS = 2_000_000
"""Elements of all arrays of a pickle that are told one by one, and bytes that are decoded."""
_FORMS = {
    "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
    "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "b1": "?",
}
_PLAIN_TYPE = re.compile(r"[biufcmMSUV]\d{1,6}")
_ORDERS = {"<": "<", ">": ">", "|": "<"}


@dataclass
class PlainValues:
    """Puts tensors, arrays and bytes plainly in the place of the calls that would make them.

    ``left``: how many elements may still be shown one by one.
    """

    left: int = _MOST_ELEMENTS

    def put(self, value: Any) -> Any:
        """The value itself, changed where it is a tensor or an array; or the bytes that it is."""
        match value:
            case {"()": [str(name), tuple(arguments)]} if name in _PLAIN_FORMS:
                plain = _PLAIN_FORMS[name](self, arguments, value.get(STATE))
                if isinstance(plain, bytes):
                    return plain
                if plain is not None:
                    value.clear()
                    value.update(plain)
        return value

    def tensor(self, arguments: tuple[Any, ...], _: Any) -> Plain | None:
        """What PyTorch makes of a storage."""
        match arguments:
            case (storage, offset, tuple(shape), tuple(strides), *more):
                return {
                    "storage": storage, "offset": offset, "shape": shape, "strides": strides,
                    "more": more,
                }
        return None

    def array(self, _: tuple[Any, ...], state: Any) -> Plain | None:
        """An array that is made empty, and given its elements afterwards."""
        match state:
            case (_, tuple(shape), dtype, order, bytes(content)):
                return self.told(dtype, shape, order, content)
        return None

    def buffered(self, arguments: tuple[Any, ...], _: Any) -> Plain | None:
        """An array that is made of a buffer."""
        match arguments:
            case (bytes() | bytearray() as content, dtype, tuple(shape), str(order)):
                return self.told(dtype, shape, order == "F", content)
        return None

    def scalar(self, arguments: tuple[Any, ...], _: Any) -> Plain | None:
        """A number of NumPy's."""
        match arguments:
            case (dtype, bytes(content)):
                return self.told(dtype, (), False, content)
        return None

    def encoded(self, arguments: tuple[Any, ...], _: Any) -> bytes | None:
        """Bytes, as old protocols write them."""
        match arguments:
            case (str(text), "latin1") if len(text) <= self.left:
                self.left -= len(text)
                return text.encode("latin-1")
        return None

    def no_bytes(self, arguments: tuple[Any, ...], _: Any) -> bytes | None:
        """No bytes, as old protocols write them."""
        return None if arguments else b""

    def told(
        self, dtype: Any, shape: tuple[Any, ...], order: Any, content: Buffer
    ) -> Plain | None:
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


def _of_numpy(name: str) -> tuple[str, ...]:
    """The names of a function in NumPy 1 and 2."""
    return f"numpy.core.{name}", f"numpy._core.{name}"


def _struct_form(dtype: Any) -> str | None:
    match dtype:
        case {"()": ["numpy dtype", (str(kind), *_)], "(state)": (_, str(order), *_)}:
            if kind in _FORMS and order in _ORDERS:
                return _ORDERS[order] + _FORMS[kind]
    return None


_PLAIN_FORMS: Mapping[str, Callable[[PlainValues, tuple[Any, ...], Any], Plain | bytes | None]] = {
    "_codecs encode": PlainValues.encoded,
    "__builtin__ bytes": PlainValues.no_bytes,
    "builtins bytes": PlainValues.no_bytes,
    "torch._utils _rebuild_tensor_v2": PlainValues.tensor,
    **dict.fromkeys(_of_numpy("multiarray _reconstruct"), PlainValues.array),
    **dict.fromkeys(_of_numpy("multiarray scalar"), PlainValues.scalar),
    **dict.fromkeys(_of_numpy("numeric _frombuffer"), PlainValues.buffered),
}
