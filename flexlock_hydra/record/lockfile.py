"""Read and write run.lock."""

from __future__ import annotations

import errno
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from flexlock_hydra.errors import LockError, RunNotFoundError
from flexlock_hydra.record import layout
from flexlock_hydra.record.codec import Json, Node, NodeT
from flexlock_hydra.record.emitter import emit
from flexlock_hydra.record.model import FORMAT, RunLock

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT, _MAPPING, _SEQUENCE = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))

# What YAML's own constructors raise for a value that its tag or form promises wrongly.
YAML_ERRORS = (
    yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError,
    RecursionError,
)
_HEAD = re.compile(
    rb"^\s+id: ['\"]?(\d{8}T\d{6}Z-[0-9a-f]{8}).*?^\s+started: ['\"]?([^'\"\n]+)", re.M | re.S
)
_DEEPEST = 200
# What fsync says on file systems without it: some of FUSE, of networks, of containers.
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
# Folder and thread of whoever is alone with a folder in this process.
_alone: set[tuple[str, int]] = set()
_INDENT = re.compile(rb"^[ ?:-]*", re.MULTILINE)
_ALIAS = re.compile(rb"(?:^|[\s,\[{:-])\*[^\s,\]}*]")


def dumps(lock: Node) -> bytes:
    """A lock, of a run or a sweep, as YAML, UTF-8, keys in the format's order."""
    plain = lock.to_dict()
    try:
        return emit(plain).encode()
    except UnicodeEncodeError:
        return emit(_printable(plain)).encode()


def parse_lock(content: bytes, where: str = "run.lock") -> RunLock:
    """A lock from YAML.

    Raises:
        LockError: not YAML, not format 1, or a value of the wrong type.
    """
    return parse_kind(RunLock, content, where, "Take it from the run's tag, or run the job again.")


def parse_kind(kind: type[NodeT], content: bytes, where: str, hint: str) -> NodeT:
    """A lock of a kind from YAML.

    Raises:
        LockError: not YAML, not format 1, or a value of the wrong type.
    """
    try:
        return kind.parse(load_plain(content))
    except LockError as error:
        raise LockError(f"{where}: {error}", hint=error.hint or hint) from error
    except YAML_ERRORS as error:
        reason = " ".join(str(error).split())
        raise LockError(f"{where} is damaged: {reason:.300}", hint=hint) from error


def load_plain(content: bytes) -> Json:
    """The plain mapping of a lock whose format number is known.

    Raises:
        YAML_ERRORS: not YAML. LockError: no lock, or one of a newer format.
    """
    plain = load_yaml(content)
    number = plain.get("format") if isinstance(plain, dict) else None
    if type(number) is not int or number < 1:
        raise LockError("not a lock: it has no format number")
    if number > FORMAT:
        raise LockError(
            f"format {number} is newer than this version reads ({FORMAT})",
            hint="pip install --upgrade flexlock-hydra",
        )
    return plain


def load_yaml(content: bytes) -> Json:
    """YAML's safe subset, each key of a mapping once, no aliases, bounded in depth.

    Raises:
        YAML_ERRORS: it is none.
    """
    _check_shape(content)
    loader = _Loader(content)
    try:
        node = loader.get_single_node()
        return None if node is None else _construct(loader, node)
    finally:
        loader.dispose()


def read_lock(path: str | os.PathLike[str]) -> RunLock:
    """The lock of a run, as it was written.

    Args:
        path: the run's output directory, or the lock file itself.

    Raises:
        RunNotFoundError: no such file. LockError: see :func:`parse_lock`.
    """
    place = Path(path)
    if place.is_dir() and place.name != layout.LOCK:
        place /= layout.LOCK
    return parse_lock(read_content(place), where=str(place))


def read_content(path: Path) -> bytes:
    """The bytes of a lock file.

    Raises:
        RunNotFoundError: no such file. LockError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunNotFoundError(
            f"no run.lock at {path}",
            hint="Name an output directory or a lock file; of a run by its id or tag: "
            "flexlock_hydra.find_run(NAME).lock",
        ) from error
    except OSError as error:
        raise LockError(f"{path} cannot be read: {error.strerror}") from error


def read_head(path: Path) -> tuple[str, str] | None:
    """When a run started, and its id, from the first lines alone; None where they say neither."""
    try:
        with path.open("rb") as file:
            return parse_head(file.read(1024))
    except OSError:
        return None


def parse_head(content: bytes) -> tuple[str, str] | None:
    """When a run started, and its id, by the first lines of its lock."""
    match = _HEAD.search(content)
    return (match[2].decode("utf-8", "replace"), match[1].decode()) if match else None


def has_id(path: Path, wanted: str) -> bool:
    """Whether the first lines of a sweep's lock name this id."""
    try:
        with path.open("rb") as file:
            return f"\nid: {wanted}\n".encode() in file.read(100)
    except OSError:
        return False


def write(lock: Node, path: Path) -> None:
    """Write a lock atomically: the file is the old one or the new one, never a part.

    What replaces a record is on the disk before it does. A first record does not wait for
    the disk: should the power fail in the seconds after, there is no result yet to lose.
    """
    write_bytes(path, dumps(lock), durable=path.exists())


@contextmanager
def alone(folder: Path, patience: float = 10.0) -> Iterator[None]:
    """Keep all others that ask the same from changing the locks of a folder meanwhile.

    Where the system has no lock for a folder (Windows, some network file systems), or
    another holds it for ``patience`` seconds, this goes on without: no job hangs for it.
    """
    holder = (str(folder), threading.get_ident())
    fd = None if holder in _alone else _opened(folder)  # a signal's handler writes amid a write
    if fd is None:
        yield
        return
    _alone.add(holder)
    try:
        _acquire(fd, time.monotonic() + patience)
        yield
    finally:
        _alone.discard(holder)
        with suppress(OSError):  # no such lock here
            fcntl.flock(fd, fcntl.LOCK_UN)  # closing leaves it with a child forked meanwhile
        os.close(fd)


def _opened(folder: Path) -> int | None:
    with suppress(OSError):
        return os.open(folder, os.O_RDONLY) if fcntl else None
    return None


def _acquire(fd: int, deadline: float) -> None:
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return
        except OSError:
            return
        time.sleep(0.005)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace a file by one that is written beside it first, with the mode of any new file."""
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                _sync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)  # it is in its place, or never will be


def _sync(fd: int) -> None:
    """Have a file's content on the disk, where its file system can tell when it is there.

    Raises:
        OSError: it could not be written.
    """
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _construct(loader: Any, node: yaml.Node) -> Json:
    """The value of a node; YAML's own way by generators takes twice the time."""
    if node.tag == _TEXT:
        return node.value
    if node.tag == _SEQUENCE and isinstance(node, yaml.SequenceNode):
        return [_construct(loader, item) for item in node.value]
    if node.tag != _MAPPING or not isinstance(node, yaml.MappingNode):
        return loader.construct_object(node, deep=True)
    keys = [_construct(loader, key) for key, _ in node.value]
    mapping = {key: _construct(loader, item) for key, (_, item) in zip(keys, node.value)}
    if len(mapping) != len(keys):
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        raise yaml.constructor.ConstructorError(
            None, None, f"key {', '.join(twice)} stands twice", node.start_mark
        )
    return mapping


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
