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
from pathlib import Path
from typing import Any

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.joblibs import is_wrapper, take_array, unpacked
from flexlock_hydra.replay.compare.kinds.limits import unreadable
from flexlock_hydra.replay.compare.kinds.pickled import CALL, ID, ITEMS, STATE, PlainValues
from flexlock_hydra.replay.compare.kinds.plain import LARGEST, compare_values, content_of

_MOST_OPCODES = 1_000_000
_DEEPEST = 20
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError)
"""What ``pickletools`` and a stack that is not as deep as it should be raise."""
_LONGEST_NAME = 1000
"""Characters of a name that is put together, of a key or item of a set that is no text."""
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_SETS = frozenset(f"{module} {name}" for module in ("builtins", "__builtin__")
                  for name in ("set", "frozenset"))
_SKIPPED = frozenset({"PROTO", "FRAME", "STOP"})


def compare_pickles(old: Path, new: Path, judge: Judge) -> None:
    """Two pickles, value by value.

    Raises:
        UnreadableError: no pickle, too large, or more than one.
    """
    before, after = (
        pickle_contents(unpacked(content_of(path, LARGEST), LARGEST)) for path in (old, new)
    )
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
    file, known = io.BytesIO(content), PlainValues()
    with unreadable("no pickle", _BROKEN):
        found = _read_pickle(file, known)
    if file.tell() < len(content):
        raise UnreadableError("more than one pickle")
    return found


def _read_pickle(file: io.BytesIO, known: PlainValues, depth: int = 0) -> Any:
    """What the next pickle in a file holds."""
    if depth > _DEEPEST:
        raise UnreadableError("pickles in pickles")
    stack = _Stack(known=known)
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count > _MOST_OPCODES:
            raise UnreadableError(f"more than {_MOST_OPCODES:,} opcodes")
        stack.take(opcode.name, argument)
        if opcode.name == "BUILD" and is_wrapper(stack.values[-1]):
            take_array(stack.values[-1], file, known, lambda: _read_pickle(file, known, depth + 1))
    stack.sort_sets()
    return stack.pop()


@dataclass
class _Stack:
    """The values of a pickle while its opcodes are read."""

    values: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    sets: list[list[Any]] = field(default_factory=list)
    known: PlainValues = field(default_factory=PlainValues)

    def take(self, name: str, argument: Any) -> None:
        """Do what an opcode says, short of importing and calling.

        Raises:
            UnreadableError: its value is not in the file.
        """
        if name in _CONSTANTS:
            self.values.append(_CONSTANTS[name])
        elif name in _PUSHED:
            self.values.append(argument)
        elif name in _STORED:
            self.memo[len(self.memo) if name == "MEMOIZE" else int(argument)] = self.values[-1]
        elif name in _LOADED:
            self.values.append(self.memo[int(argument)])
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in _SKIPPED:
            raise UnreadableError(f"a pickle with {name}")

    def pop(self) -> Any:
        """The value on top."""
        return self.values.pop()

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
                self.values.append(self.known.put({CALL: list(parts)}))

    def set(self, items: list[Any]) -> None:
        """A set, whose order says nothing."""
        self.sets.append(items)
        self.values.append({CALL: ["set"], ITEMS: items})

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
            top = top.setdefault(ITEMS, [])
        top.extend(items)

    def build(self) -> None:
        """Give its state to the object on top."""
        state = self.pop()
        _put_once(self.values[-1], STATE, state)
        self.known.put(self.values[-1])

    def persistent(self, name: Any) -> None:
        """A value that lies outside of the pickle."""
        self.values.append({ID: name})


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


def _makes_tuple(size: int) -> Callable[[_Stack, Any], None]:
    def take(stack: _Stack, _: Any) -> None:
        parts = [stack.pop() for _ in range(size)]
        stack.values.append(tuple(reversed(parts)))

    return take


def _makes_call(size: int) -> Callable[[_Stack, Any], None]:
    def take(stack: _Stack, _: Any) -> None:
        parts = [stack.pop() for _ in range(size)]
        stack.call(*reversed(parts))

    return take


def _make_dict(stack: _Stack, _: Any) -> None:
    flat = stack.since_mark()
    stack.values.append({})
    stack.set_items(flat)


def _set_item(stack: _Stack, _: Any) -> None:
    value, key = stack.pop(), stack.pop()
    stack.set_items([key, value])


def _stack_global(stack: _Stack, _: Any) -> None:
    name, module = stack.pop(), stack.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise UnreadableError("a name that is no text")
    if max(len(name), len(module)) > _LONGEST_NAME:
        raise UnreadableError("a name that is too long")
    stack.values.append(f"{module} {name}")


def _drop(stack: _Stack, _: Any) -> None:
    if stack.marks and stack.marks[-1] == len(stack.values):
        stack.marks.pop()
    else:
        stack.pop()


def _make_object(stack: _Stack, _: Any) -> None:
    kind, *arguments = stack.since_mark()
    stack.call(kind, tuple(arguments))


_PUSHED = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT", "GLOBAL",
})
_STORED = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_LOADED = frozenset({"GET", "BINGET", "LONG_BINGET"})
_ACTIONS: Mapping[str, Callable[[_Stack, Any], Any]] = {
    "MARK": lambda stack, _: stack.marks.append(len(stack.values)),
    "EMPTY_LIST": lambda stack, _: stack.values.append([]),
    "EMPTY_TUPLE": lambda stack, _: stack.values.append(()),
    "EMPTY_DICT": lambda stack, _: stack.values.append({}),
    "EMPTY_SET": lambda stack, _: stack.set([]),
    "LIST": lambda stack, _: stack.values.append(stack.since_mark()),
    "TUPLE": lambda stack, _: stack.values.append(tuple(stack.since_mark())),
    "TUPLE1": _makes_tuple(1),
    "TUPLE2": _makes_tuple(2),
    "TUPLE3": _makes_tuple(3),
    "DICT": _make_dict,
    "FROZENSET": lambda stack, _: stack.set(stack.since_mark()),
    "APPEND": lambda stack, _: stack.append([stack.pop()]),
    "APPENDS": lambda stack, _: stack.append(stack.since_mark()),
    "ADDITEMS": lambda stack, _: stack.append(stack.since_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda stack, _: stack.set_items(stack.since_mark()),
    "POP": _drop,
    "POP_MARK": lambda stack, _: stack.since_mark(),
    "DUP": lambda stack, _: stack.values.append(stack.values[-1]),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _makes_call(2),
    "NEWOBJ": _makes_call(2),
    "NEWOBJ_EX": _makes_call(3),
    "OBJ": _make_object,
    "INST": lambda stack, name: stack.call(name, tuple(stack.since_mark())),
    "BUILD": lambda stack, _: stack.build(),
    "EXT1": lambda stack, code: stack.call("extension", code),
    "EXT2": lambda stack, code: stack.call("extension", code),
    "EXT4": lambda stack, code: stack.call("extension", code),
    "PERSID": lambda stack, name: stack.persistent(name),
    "BINPERSID": lambda stack, _: stack.persistent(stack.pop()),
}
