"""Frozen dataclasses to plain mappings and back, with the type of every field checked.

A field's annotation is its format. Keys that no field knows are kept in ``extra``
and written again, so that a lock survives a round trip through an older version.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Union, get_args, get_origin

from flexlock_hydra.errors import LockError

Json = Any
"""What YAML holds: None, bool, int, float, str, list or dict with string keys."""


_AS_IS = frozenset({"Json", "Mapping[str, str]"})
"""Annotations of fields that are plain data already."""

NodeT = TypeVar("NodeT", bound="Node")

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        """What type checkers read, and Python before 3.11 does not have."""
        return lambda kind: kind


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Frozen:
    """What is derived from it is a frozen dataclass with keyword arguments.

    ``@dataclass`` writes and compiles six methods for each class, which takes 0.5 ms: that
    would be the most of what every job waits for. Here they stand once, and of a class
    the fields alone are found.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls) -> None:
        dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)

    def __init__(self, **given: Any) -> None:
        for name, f in self.__dataclass_fields__.items():
            if name in given:
                value = given.pop(name)
            elif f.default_factory is not MISSING:
                value = f.default_factory()
            elif f.default is not MISSING:
                value = f.default
            else:
                raise TypeError(f"{type(self).__name__} needs {name}")
            object.__setattr__(self, name, value)
        if given:
            raise TypeError(f"{type(self).__name__} has no {', '.join(given)}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Refuse what the format does not allow."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to {name}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name}")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(vars(self) == vars(other))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"


class Node(Frozen):
    """A mapping of the format: known keys are fields, unknown ones stay in ``extra``."""

    extra: Mapping[str, Json] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Json]:
        """The plain mapping, keys in the format's order, absent values left out."""
        plain = {}
        for f in _fields(type(self)):
            value = getattr(self, f.name)
            if value is not None or _is_required(f):
                plain[f.name] = value if f.type in _AS_IS else encode(value)
        return plain | dict(self.extra)

    @classmethod
    def parse(cls: type[NodeT], plain: Json, where: str = "") -> NodeT:
        """Check and build from a plain mapping.

        Raises:
            LockError: a value of the wrong type, or a required key missing.
        """
        if not isinstance(plain, Mapping):
            raise _wrong(where, "a mapping", plain)
        hints = _hints(cls)
        known = {
            name: decode(hints[name], plain[name], f"{where}.{name}".lstrip("."))
            for name, required in _order(cls)
            if name in plain and not (plain[name] is None and not required)
        }
        for name, required in _order(cls):
            if required and name not in known:
                raise LockError(f"{f'{where}.{name}'.lstrip('.')} is missing")
        names = {name for name, _ in _order(cls)}
        extra = {str(key): value for key, value in plain.items() if key not in names}
        return cls(**known, extra=extra)


def same(one: Json, other: Json) -> bool:
    """Whether two plain values are equal; a number that is none equals itself here."""
    if isinstance(one, float) and isinstance(other, float) and one != one:
        return other != other
    return bool(one == other)


def is_number(value: Json) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def encode(value: Any) -> Json:
    """A field's value as plain data."""
    if isinstance(value, Node):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(kind: Any, value: Json, where: str) -> Any:
    """A plain value as what the annotation ``kind`` says, or LockError naming ``where``."""
    if kind is Any:
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(get_args(kind), value, where)
    if origin is tuple:
        return _decode_sequence(get_args(kind)[0], value, where)
    if origin is not None and issubclass(origin, Mapping):
        return _decode_mapping(get_args(kind)[1], value, where)
    if issubclass(kind, Node):
        return kind.parse(value, where)
    return _decode_scalar(kind, value, where)


def _decode_union(kinds: tuple[Any, ...], value: Json, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    last = next(kind for kind in kinds if kind is not type(None))
    return decode(last, value, where)


def _decode_sequence(kind: Any, value: Json, where: str) -> tuple[Any, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _wrong(where, "a list", value)
    return tuple(decode(kind, item, f"{where}[{i}]") for i, item in enumerate(value))


def _decode_mapping(kind: Any, value: Json, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "a mapping", value)
    return {str(key): decode(kind, item, f"{where}.{key}") for key, item in value.items()}


def _decode_scalar(kind: type, value: Json, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not kind:
        raise _wrong(where, {str: "text", int: "a whole number"}.get(kind, kind.__name__), value)
    return value


def _wrong(where: str, expected: str, value: Json) -> LockError:
    return LockError(f"{where or 'the file'} should be {expected}, not {value!r:.60}")


_hints_of: dict[Any, dict[str, Any]] = {}


def _hints(cls: type[Node]) -> dict[str, Any]:
    if cls not in _hints_of:
        _hints_of[cls] = typing.get_type_hints(cls)
    return _hints_of[cls]


def _fields(cls: type[Node]) -> Iterator[Field[Any]]:
    """The fields of the format, in its order."""
    return (f for f in fields(cls) if f.name != "extra")


def _is_required(f: Field[Any]) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


_order_of: dict[Any, tuple[tuple[str, bool], ...]] = {}


def _order(cls: type[Node]) -> tuple[tuple[str, bool], ...]:
    """Field names in the format's order, each with whether it must be there."""
    if cls not in _order_of:
        _order_of[cls] = tuple((f.name, _is_required(f)) for f in _fields(cls))
    return _order_of[cls]
