"""Pickles by their opcodes: what they hold is told, nothing of it is made or called.

A value that pickle would make by a call stands as a mapping: ``()`` has what would be called
with which arguments, ``(state)`` and ``(items)`` what it would be given afterwards. Tensors
and arrays of NumPy stand with their shape and elements, see :mod:`.pickled`.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds import pickled
from flexlock_hydra.replay.compare.kinds.plain import compare_values
from flexlock_hydra.replay.compare.kinds.reading import content_of, unreadable

_MOST_OPCODES = 1_000_000
_DEEPEST = 20
# What ``pickletools`` and a stack that is not as deep as it should be raise.
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError)
# Characters of a name that is put together, of a key or item of a set that is no text.
_LONGEST_NAME = 1000
_SETS = frozenset(f"{module} {name}" for module in ("builtins", "__builtin__")
                  for name in ("set", "frozenset"))


def compare_pickles(old: Path, new: Path, judge: Judge) -> None:
    """Two pickles, value by value.

    Raises:
        UnreadableError: no pickle, too large, or more than one.
    """
    before, after = (pickle_contents(pickled.unpacked(content_of(path))) for path in (old, new))
    compare_told(before, after, judge)


def compare_told(old: Any, new: Any, judge: Judge) -> None:
    """What two pickles hold, which may hold itself.

    Raises:
        UnreadableError: too much, or nested too deeply.
    """
    judge.seen = set()
    compare_values(old, new, judge)


def pickle_contents(content: bytes) -> Any:
    """What a pickle holds, as plain values.

    Raises:
        UnreadableError: it is none, too large, or something stands behind it.
    """
    file, known = io.BytesIO(content), pickled.PlainValues()
    with unreadable("no pickle", _BROKEN):
        found = _read_pickle(file, known)
    if file.tell() < len(content):
        raise UnreadableError("more than one pickle")
    return found


def _read_pickle(file: io.BytesIO, known: pickled.PlainValues, depth: int = 0) -> Any:
    """What the next pickle in a file holds."""
    if depth > _DEEPEST:
        raise UnreadableError("pickles in pickles")
    stack = _Stack(known=known)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > _MOST_OPCODES:
            raise UnreadableError(f"more than {_MOST_OPCODES:,} opcodes")
        stack.take(opcode.name, argument)
        if opcode.name == "BUILD" and pickled.is_wrapper(stack.values[-1]):
            inner = partial(_read_pickle, file, known, depth + 1)
            pickled.take_array(stack.values[-1], file, known, inner)
    stack.sort_sets()
    return stack.values.pop()


@dataclass
class _Stack:
    """The values of a pickle while its opcodes are read."""

    values: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    sets: list[list[Any]] = field(default_factory=list)
    known: pickled.PlainValues = field(default_factory=pickled.PlainValues)

    def take(self, name: str, argument: Any) -> None:
        """Do what an opcode says, short of importing and calling; unreadable if it needs these."""
        action = _ACTIONS.get(name)
        if action is None:
            raise UnreadableError(f"a pickle with {name}")
        action(self, argument)

    def store(self, at: int) -> None:
        """Keep the value on top for when it is named again."""
        self.memo[at] = self.values[-1]

    def top(self, size: int) -> list[Any]:
        """The values on top, in their order, which go as well."""
        return [self.values.pop() for _ in range(size)][::-1]

    def since_mark(self) -> list[Any]:
        """The values above the last mark, which goes as well."""
        mark = self.marks.pop()
        found = self.values[mark:]
        del self.values[mark:]
        return found

    def call(self, *parts: Any) -> None:
        """A value that a call would make."""
        match parts:
            case (str(name), ([*items],)) if name in _SETS:
                self.set(items)
            case _:
                self.values.append(self.known.put({pickled.CALL: list(parts)}))

    def set(self, items: list[Any]) -> None:
        """A set, whose order says nothing."""
        self.sets.append(items)
        self.values.append({pickled.CALL: ["set"], pickled.ITEMS: items})

    def sort_sets(self) -> None:
        """Put the items of sets into one order, where they are plain."""
        for items in self.sets:
            if all(map(_is_brief, items)):
                items.sort(key=lambda item: (type(item).__name__, item))

    def set_items(self, flat: list[Any]) -> None:
        """Give keys and values to the mapping on top."""
        mapping = self.values[-1]
        for key, value in zip(flat[::2], flat[1::2]):
            _put_once(mapping, _plain_key(key), value)

    def append(self, items: list[Any]) -> None:
        """Give items to the list, the set or the object on top."""
        top = self.values[-1]
        if isinstance(top, dict):
            top = top.setdefault(pickled.ITEMS, [])
        top.extend(items)

    def build(self) -> None:
        """Give its state to the object on top."""
        state = self.values.pop()
        _put_once(self.values[-1], pickled.STATE, state)
        self.known.put(self.values[-1])


def _put_once(mapping: dict[str, Any], key: str, value: Any) -> None:
    if key in mapping:
        raise UnreadableError("a key stands twice")
    mapping[key] = value


def _plain_key(key: Any) -> str:
    """A key as text; keys of several parts only where each of these is plain."""
    if isinstance(key, str):
        return key
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > _LONGEST_NAME or not all(map(_is_brief, parts)):
        raise UnreadableError("a key that is no plain value")
    return repr(key)


def _is_brief(value: Any) -> bool:
    """Whether a value is plain and short, so that it may be copied and put in order."""
    if isinstance(value, int):
        return value.bit_length() <= _LONGEST_NAME
    if isinstance(value, (str, bytes)):
        return len(value) <= _LONGEST_NAME
    return value is None or isinstance(value, float)


def _make_dict(stack: _Stack, _: Any) -> None:
    flat = stack.since_mark()
    stack.values.append({})
    stack.set_items(flat)


def _stack_global(stack: _Stack, _: Any) -> None:
    module, name = stack.top(2)
    if not (isinstance(name, str) and isinstance(module, str)):
        raise UnreadableError("a name that is no text")
    if max(len(name), len(module)) > _LONGEST_NAME:
        raise UnreadableError("a name that is too long")
    stack.values.append(f"{module} {name}")


def _drop(stack: _Stack, _: Any) -> None:
    if stack.marks and stack.marks[-1] == len(stack.values):
        stack.marks.pop()
    else:
        stack.values.pop()


def _make_object(stack: _Stack, _: Any) -> None:
    kind, *arguments = stack.since_mark()
    stack.call(kind, tuple(arguments))


_PUSHED = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT", "GLOBAL",
)
_ACTIONS: Mapping[str, Callable[[_Stack, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda stack, _: None),
    **dict.fromkeys(_PUSHED, lambda stack, argument: stack.values.append(argument)),
    "NONE": lambda stack, _: stack.values.append(None),
    "NEWTRUE": lambda stack, _: stack.values.append(True),
    "NEWFALSE": lambda stack, _: stack.values.append(False),
    "MEMOIZE": lambda stack, _: stack.store(len(stack.memo)),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda stack, at: stack.store(int(at))),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda stack, at: stack.values.append(stack.memo[int(at)])
    ),
    "MARK": lambda stack, _: stack.marks.append(len(stack.values)),
    "EMPTY_LIST": lambda stack, _: stack.values.append([]),
    "EMPTY_TUPLE": lambda stack, _: stack.values.append(()),
    "EMPTY_DICT": lambda stack, _: stack.values.append({}),
    "EMPTY_SET": lambda stack, _: stack.set([]),
    "LIST": lambda stack, _: stack.values.append(stack.since_mark()),
    "TUPLE": lambda stack, _: stack.values.append(tuple(stack.since_mark())),
    "TUPLE1": lambda stack, _: stack.values.append(tuple(stack.top(1))),
    "TUPLE2": lambda stack, _: stack.values.append(tuple(stack.top(2))),
    "TUPLE3": lambda stack, _: stack.values.append(tuple(stack.top(3))),
    "DICT": _make_dict,
    "FROZENSET": lambda stack, _: stack.set(stack.since_mark()),
    "APPEND": lambda stack, _: stack.append(stack.top(1)),
    "APPENDS": lambda stack, _: stack.append(stack.since_mark()),
    "ADDITEMS": lambda stack, _: stack.append(stack.since_mark()),
    "SETITEM": lambda stack, _: stack.set_items(stack.top(2)),
    "SETITEMS": lambda stack, _: stack.set_items(stack.since_mark()),
    "POP": _drop,
    "POP_MARK": lambda stack, _: stack.since_mark(),
    "DUP": lambda stack, _: stack.values.append(stack.values[-1]),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda stack, _: stack.call(*stack.top(2)),
    "NEWOBJ": lambda stack, _: stack.call(*stack.top(2)),
    "NEWOBJ_EX": lambda stack, _: stack.call(*stack.top(3)),
    "OBJ": _make_object,
    "INST": lambda stack, name: stack.call(name, tuple(stack.since_mark())),
    "BUILD": lambda stack, _: stack.build(),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), lambda stack, code: stack.call("extension", code)),
    # What lies outside of the pickle is known by its name there.
    "PERSID": lambda stack, name: stack.values.append({pickled.ID: name}),
    "BINPERSID": lambda stack, _: stack.values.append({pickled.ID: stack.values.pop()}),
}
