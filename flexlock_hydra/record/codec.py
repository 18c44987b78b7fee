"""Frozen dataclasses to plain mappings and back, with the type of every field checked.

A field's annotation is its format. Keys that no field knows are kept in ``extra``
and written again, so that a lock survives a round trip through an older version.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Union, get_args, get_origin

from flexlock_hydra.errors import LockError

Json = Any
"""What YAML holds: None, bool, int, float, str, list or dict with string keys."""


# Annotations of fields that are plain data already.
_AS_IS = frozenset({"Json", "Mapping[str, str]"})

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
        kind: Any = type(self)  # mypy takes no type for hashable whose instances are not
        for name, required in field_order(kind).items():
            value = getattr(self, name)
            if value is not None or required:
                as_it_is = self.__dataclass_fields__[name].type in _AS_IS
                plain[name] = value if as_it_is else encode(value)
        return plain | dict(self.extra)

    @classmethod
    def parse(cls: type[NodeT], plain: Json, where: str = "") -> NodeT:
        """Check and build from a plain mapping.

        Raises:
            LockError: a value of the wrong type, or a required key missing.
        """
        if not isinstance(plain, Mapping):
            raise _wrong(where, "a mapping", plain)
        kind: Any = cls
        hints, order = _hints(kind), field_order(kind)
        known = {
            name: decode(hints[name], plain[name], f"{where}.{name}".lstrip("."))
            for name, required in order.items()
            if name in plain and not (plain[name] is None and not required)
        }
        for name, required in order.items():
            if required and name not in known:
                raise LockError(f"{f'{where}.{name}'.lstrip('.')} is missing")
        extra = {str(key): value for key, value in plain.items() if key not in order}
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
    kinds = get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in kinds:
            return None
        return decode(next(each for each in kinds if each is not type(None)), value, where)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise _wrong(where, "a list", value)
        return tuple(decode(kinds[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong(where, "a mapping", value)
        return {str(key): decode(kinds[1], item, f"{where}.{key}") for key, item in value.items()}
    if issubclass(kind, Node):
        return kind.parse(value, where)
    return _decode_scalar(kind, value, where)


def _decode_scalar(kind: type, value: Json, where: str) -> Any:
    if kind is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is not kind:
        raise _wrong(where, {str: "text", int: "a whole number"}.get(kind, kind.__name__), value)
    return value


def _wrong(where: str, expected: str, value: Json) -> LockError:
    return LockError(f"{where or 'the file'} should be {expected}, not {value!r:.60}")


_hints = cache(typing.get_type_hints)


@cache
def field_order(cls: type[Node]) -> Mapping[str, bool]:
    """Names of the fields of the format, in its order, each with whether it must be there."""
    return {
        f.name: f.default is MISSING and f.default_factory is MISSING
        for f in fields(cls)
        if f.name != "extra"
    }
