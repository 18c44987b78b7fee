"""TensorBoard's event files: what was logged, by tag and step; not when, where and by whom."""

from __future__ import annotations

import hashlib
import posixpath
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from flexlock_hydra.replay.compare.judge import Judge, UnreadableError
from flexlock_hydra.replay.compare.kinds.plain import compare_values
from flexlock_hydra.replay.compare.kinds.reading import check_size, unreadable

WALL_TIME = "wall_time"

_LARGEST = 64 * 1024**2
_MOST_VALUES = 1_000_000
_NAME = re.compile(r"events\.out\.tfevents\.(?P<time>\d+)\.(?P<rest>.+)")
_COUNTED = re.compile(r"\.\d+\.(?P<number>\d+)(?P<suffix>\D.*)?$")
_VARINT, _BYTES = 0, 2
_FIXED = {1: struct.Struct("<d"), 5: struct.Struct("<f")}
_STEP, _SUMMARY = 2, 5
_TAG, _SIMPLE, _HISTOGRAM, _TENSOR, _METADATA = 1, 2, 5, 8, 9
_FLOATS, _DOUBLES, _TEXTS = 5, 6, 8
_DEEPEST = 20
# By tag: the field of a message in what a plugin logged, and in it the field of a time.
_TIMES = {
    "_hparams_/experiment": ("2", "4", "time_created_secs"),
    "_hparams_/session_start_info": ("3", "5", "start_time_secs"),
    "_hparams_/session_end_info": ("4", "2", "end_time_secs"),
}
Message = dict[int, list[Any]]


def is_events(name: str) -> bool:
    """Whether a file's name is one that TensorBoard's writers give."""
    return _NAME.fullmatch(name) is not None


def paired(old: Iterable[str], new: Iterable[str]) -> dict[str, str]:
    """Event files of two runs, old -> new: the first of a folder with the first there.

    Their names hold a time, a host and a process, so no two runs give the same.
    """
    before, after = _by_folder(old), _by_folder(new)
    return {
        one: two
        for folder in before.keys() & after.keys()
        for one, two in zip(before[folder], after[folder])
    }


def compare_events(old: Path, new: Path, judge: Judge) -> None:
    """Two event files.

    Raises:
        UnreadableError: no such file, or too large.
    """
    (before, when), (after, now) = (_read_events(path) for path in (old, new))
    compare_values(before, after, judge)
    with judge.part(WALL_TIME, judge.rule(WALL_TIME)) as inner:
        compare_values(when, now, inner, (WALL_TIME,))


def _by_folder(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """Event files by folder and by what stands behind their numbers, the earliest first."""
    found: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for path in names:
        folder, name = posixpath.split(path)
        if (match := _NAME.fullmatch(name)) and len(match["time"]) < 20:
            counted = _COUNTED.search(match["rest"])
            suffix = (counted["suffix"] or "") if counted else ""
            number = int(counted["number"][:20]) if counted else 0
            found.setdefault((folder, suffix), []).append((int(match["time"]), number, path))
    return {key: [path for *_, path in sorted(files)] for key, files in found.items()}


def _read_events(path: Path) -> tuple[dict[str, Any], list[Any]]:
    """What was logged, by tag in the order of the file; and when."""
    check_size(path.stat().st_size, _LARGEST)
    series: dict[str, Any] = {}
    times: list[Any] = []
    count = 0
    with path.open("rb") as file:
        for record in _records(file):
            event = _fields_of(record)
            times += event.pop(1, [])
            step = _signed(event.pop(_STEP, [0])[-1])
            for summary in event.pop(_SUMMARY, []):
                for value in map(_fields_of, _fields_of(summary).get(1, [])):
                    count += 1
                    tag, logged = _logged(value)
                    series.setdefault(tag, []).append({"step": step, **logged})
            count += 1
            if count > _MOST_VALUES:
                raise UnreadableError(f"more than {_MOST_VALUES:,} values")
            if event:
                series.setdefault("(events)", []).append(_plain_field(event))
    return series, times


def _records(file: IO[bytes]) -> Iterator[bytes]:
    """The records of a file; one that was cut off at its end is none, as TensorBoard has it."""
    found = 0
    while len(head := file.read(12)) == 12:
        length = int.from_bytes(head[:8], "little")
        if length > _LARGEST:
            raise UnreadableError("no event file")
        record = file.read(length)
        if len(record) < length or len(file.read(4)) < 4:
            if not found:
                raise UnreadableError("no event file")
            return
        found += 1
        yield record


@unreadable("no event file", (struct.error,))
def _fields_of(content: Any) -> Message:
    """The fields of a protobuf message: numbers, or bytes, by field number."""
    if not isinstance(content, bytes):
        raise UnreadableError("no event file")
    found: Message = {}
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        value: Any
        if key & 7 == _VARINT:
            value, at = _varint(content, at)
        elif form := _FIXED.get(key & 7):
            value, at = form.unpack_from(content, at)[0], at + form.size
        elif key & 7 == _BYTES:
            size, at = _varint(content, at)
            value, at = content[at:at + size], at + size
            if len(value) < size:
                raise UnreadableError("no event file")
        else:
            raise UnreadableError("no event file")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i, byte in enumerate(content[at:at + 10]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise UnreadableError("no event file")


def _signed(value: Any) -> Any:
    return value - (1 << 64) if isinstance(value, int) and value >= 1 << 63 else value


def _logged(value: Message) -> tuple[str, dict[str, Any]]:
    """The tag of a summary's value, and what it holds."""
    tag, logged = str(_as_text(value.pop(_TAG, [b""])[-1])), {}
    for number, held in value.items():
        if number == _SIMPLE:
            logged["value"] = held[-1]
        elif number == _TENSOR:
            logged["value"] = [_tensor(_fields_of(each)) for each in held]
        elif number == _HISTOGRAM:
            logged["histogram"] = [_histogram(_fields_of(each)) for each in held]
        elif number == _METADATA:
            logged["metadata"] = [_with_time(tag, _plain_field(each)) for each in held]
        else:
            logged[f"field {number}"] = [_plain_field(each) for each in held]
    return tag, logged


def _with_time(tag: str, metadata: Any) -> Any:
    """Metadata in which the time of a plugin's message has a name."""
    outer, inner, name = _TIMES.get(tag, ("", "", ""))
    match metadata:
        case {"1": [{"2": [{**plugin}]}]} if outer in plugin:
            messages: Any = plugin[outer]
            for message in messages:
                if isinstance(message, dict) and inner in message:
                    message[name] = message.pop(inner)
    return metadata


def _tensor(tensor: Message) -> dict[str, Any]:
    numbers = {_FLOATS: "f", _DOUBLES: "d"}
    return {
        str(number): _numbers(held, numbers[number]) if number in numbers
        else [_as_text(each) if number == _TEXTS else _plain_field(each) for each in held]
        for number, held in tensor.items()
    }


def _histogram(histogram: Message) -> dict[str, Any]:
    """Smallest, largest, number, sum, squares; limits of the buckets and what is in them."""
    names = ("min", "max", "num", "sum", "sum_squares", "limits", "buckets")
    return {
        names[number - 1]: _numbers(held, "d")
        for number, held in histogram.items()
        if number <= len(names)
    }


def _numbers(held: list[Any], form: str) -> list[Any]:
    """Numbers one by one, or packed."""
    found: list[Any] = []
    for each in held:
        if isinstance(each, bytes):
            count = len(each) // struct.calcsize(form)
            if count * struct.calcsize(form) != len(each):
                raise UnreadableError("no event file")
            found += struct.unpack(f"<{count}{form}", each)
        else:
            found.append(each)
    return found


def _as_text(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _plain_field(value: Any, depth: int = 0) -> Any:
    """A field as plain data: text, a message, or bytes by their hash."""
    if isinstance(value, dict):
        return {str(number): _mapped([_plain_field(each, depth + 1) for each in held])
                for number, held in value.items()}
    if not isinstance(value, bytes):
        return value
    text = value.decode("utf-8", "replace")
    if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text:
        return text
    try:
        if depth < _DEEPEST:
            return _plain_field(_fields_of(value), depth)
    except UnreadableError:
        pass
    return f"{len(value)} bytes, md5 {hashlib.md5(value, usedforsecurity=False).hexdigest()}"


def _mapped(entries: list[Any]) -> Any:
    """The entries of a map, whose order says nothing, by their keys."""
    found = {}
    for entry in entries:
        match entry:
            case {"1": [str(key)], **value} if not value.keys() - {"2"}:
                found[key] = value
    return found if len(found) == len(entries) > 1 else entries
