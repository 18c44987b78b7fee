"""Read and write run.lock."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from flexlock_hydra.errors import LockError, RunNotFoundError
from flexlock_hydra.record.codec import Json
from flexlock_hydra.record.emitter import emit
from flexlock_hydra.record.model import FORMAT, RunLock

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML's own constructors raise for a value that its tag or form promises wrongly.
_YAML_ERRORS = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)
_HEAD = re.compile(
    rb"^\s+id: ['\"]?(\d{8}T\d{6}Z-[0-9a-f]{8}).*?^\s+started: ['\"]?([^'\"\n]+)", re.M | re.S
)
_DEEPEST = 200
_INDENT = re.compile(rb"^[ ?:-]*", re.MULTILINE)
_ALIAS = re.compile(rb"(?:^|[\s,\[{:-])\*[^\s,\]}*]")


class _StrictLoader(_Loader):  # type: ignore[misc]
    """YAML's safe subset, with a key that stands twice in one mapping refused."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        if isinstance(node, yaml.MappingNode) and len(mapping) != len(node.value):
            keys = [self.construct_object(key) for key, _ in node.value]
            twice = sorted({str(key) for key in keys if keys.count(key) > 1})
            raise yaml.constructor.ConstructorError(
                None, None, f"key {', '.join(twice)} stands twice", node.start_mark
            )
        return mapping


def dumps(lock: RunLock) -> bytes:
    """A lock as YAML, UTF-8, keys in the format's order."""
    plain = lock.to_dict()
    try:
        return emit(plain).encode()
    except UnicodeEncodeError:
        return emit(_printable(plain)).encode()


def loads(content: bytes, where: str = "run.lock") -> RunLock:
    """A lock from YAML.

    Raises:
        LockError: not YAML, not format 1, or a value of the wrong type.
    """
    hint = "Take it from the run's tag, or run the job again."
    try:
        _check_shape(content)
        plain = yaml.load(content, Loader=_StrictLoader)
    except _YAML_ERRORS as error:
        reason = " ".join(str(error).split())
        raise LockError(f"{where} is damaged: {reason:.300}", hint=hint) from error
    try:
        check_format(plain)
        return RunLock.parse(plain)
    except LockError as error:
        raise LockError(f"{where}: {error}", hint=error.hint or hint) from error


def check_format(plain: Json) -> None:
    """Refuse what is no lock, or one of a newer format."""
    number = plain.get("format") if isinstance(plain, dict) else None
    if type(number) is not int or number < 1:
        raise LockError("not a run.lock: it has no format number")
    if number > FORMAT:
        raise LockError(
            f"format {number} is newer than this version reads ({FORMAT})",
            hint="pip install --upgrade flexlock-hydra",
        )


def read(path: Path) -> RunLock:
    """The lock in a file.

    Raises:
        RunNotFoundError: no such file. LockError: see :func:`loads`.
    """
    try:
        return loads(path.read_bytes(), where=str(path))
    except FileNotFoundError as error:
        raise RunNotFoundError(f"no run.lock at {path}") from error
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from error


def read_head(path: Path) -> tuple[str, str] | None:
    """When a run started, and its id, from the first lines alone; None where they say neither."""
    try:
        with path.open("rb") as file:
            match = _HEAD.search(file.read(1024))
    except OSError:
        return None
    return (match[2].decode(), match[1].decode()) if match else None


def write(lock: RunLock, path: Path) -> None:
    """Write a lock atomically: the file is the old one or the new one, never a part."""
    write_bytes(path, dumps(lock))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file by one that is written beside it first."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        try:
            _write_all(fd, content)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _check_shape(content: bytes) -> None:
    """Refuse what would exhaust the stack or the memory: deep nesting, aliases.

    Only a file that may have either is looked through twice.

    Raises:
        ValueError: it has.
    """
    indents = max(map(len, _INDENT.findall(content)), default=0)
    brackets = content.count(b"[") + content.count(b"{")
    if indents + brackets < _DEEPEST and not _ALIAS.search(content):
        return
    depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"it has an alias, *{event.anchor}")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")


def _printable(value: Json) -> Json:
    """The value with characters that UTF-8 cannot hold written as escapes."""
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view):]


def _umask() -> int:
    """The process's umask, read where that needs no change of it (Linux), else 022."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            line = next(line for line in status if line.startswith("Umask:"))
    except (OSError, StopIteration):
        return 0o022
    return int(line.split()[1], 8)
