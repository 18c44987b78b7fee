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
from flexlock_hydra.record.model import FORMAT, RunLock

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: type[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


# Line breaks to YAML though not to people: written as they are, they come back as spaces.
_FOLDED = re.compile("[\x85\u2028\u2029\ufeff]")


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
    text = _dump(plain, allow_unicode=True)
    if _FOLDED.search(text):
        text = _dump(plain, allow_unicode=False)
    return text.encode("utf-8", "backslashreplace")


def loads(content: bytes, where: str = "run.lock") -> RunLock:
    """A lock from YAML.

    Raises:
        LockError: not YAML, not format 1, or a value of the wrong type.
    """
    hint = "Take it from the run's tag, or run the job again."
    try:
        plain = yaml.load(content, Loader=_StrictLoader)  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
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


def _dump(plain: Json, *, allow_unicode: bool) -> str:
    text: str = yaml.dump(
        plain, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=100
    )
    return text


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
