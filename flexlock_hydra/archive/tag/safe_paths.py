"""Which paths of a tag are safe to write: no file of it may reach what git, DVC or we keep.

Whoever pushed a tag may want to harm who pulls it. File systems take more names for one file
than git does, so names are compared as the most careless of them does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath

from flexlock_hydra.errors import TargetError
from flexlock_hydra.ports.git.repo import TreeEntry
from flexlock_hydra.record import layout
from flexlock_hydra.record.relative_path import with_parents

DISTRUST = "Do not trust this tag; ask who pushed it."
FILE_MODES = ("100644", "100755")
_LINK = "120000"
# Bytes that Linux takes in a path, a little less, and in a name.
_LONGEST_PATH, _LONGEST_NAME = 4000, 255
# The first letters of names, and the names: git's, and those of DVC's folder and ours.
_GITS = (".gG", re.compile(r"\.git|git~\d+"))
_OURS = (".dDfF", re.compile(r"\.dvc|dvc~\d+|\.flexlock|flexlo~\d+"))
_IGNORED = frozenset(
    [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)
"""What HFS+ passes over in a name."""


def check_place(path: str, *, own: bool = True) -> None:
    """Refuse a path that would leave the folder, or reach into what git, DVC or we keep there.

    Args:
        own: whether it is data, which has no business among what the tag keeps there.

    Raises:
        TargetError: it does.
    """
    parts = path.split("/")
    foreign = path.replace("\\", "/").split("/")
    climbs = ".." in foreign or "\0" in path
    absolute = not foreign[0] or bool(PureWindowsPath(path).drive)
    odd = any(part in ("", ".") for part in parts)
    git_like = any(_is_like(part, _GITS) for part in foreign)
    reserved = own and _is_like(foreign[0], _OURS) and not path.startswith(
        (f"{layout.FSROOT}/", f"{layout.OTHER_VERSIONS}/")
    )
    if climbs or absolute or odd or git_like or reserved or not _is_name(path, own):
        raise TargetError(f"the tag would write {path!r:.200}, which is not safe", hint=DISTRUST)


def check_files(paths: Sequence[str], tree: Mapping[str, TreeEntry]) -> None:
    """Refuse files whose places are not safe, lie below a link or a file, or meet one another.

    Raises:
        TargetError: they are.
    """
    wanted = set(paths)
    if len(wanted) < len(paths):
        twice = next(path for path, count in Counter(paths).items() if count > 1)
        raise TargetError(f"the tag would write {twice!r:.200} twice", hint=DISTRUST)
    seen: set[str] = set()
    for path in wanted:
        check_place(path)
        for up in with_parents(path):
            mode = tree[up].mode if up in tree else ""
            if mode == _LINK:
                raise TargetError(
                    f"the tag would write {path!r:.200} through its own link {up!r:.200}",
                    hint=DISTRUST,
                )
            if up != path and (up in wanted or mode in FILE_MODES):
                raise TargetError(
                    f"the tag would write {up!r:.200} as a file and as a folder", hint=DISTRUST
                )
            if up in seen:
                break
            seen.add(up)


def check_tag_file(path: str, entry: TreeEntry) -> None:
    """Refuse what a push never puts where DVC and we keep things: DVC would act upon it.

    Raises:
        TargetError: it is.
    """
    first, _, rest = path.partition("/")
    mine = (".dvc", layout.ARCHIVE_DIR)
    if _is_like(first, _OURS) and (
        first not in mine
        or entry.mode not in FILE_MODES
        or _folded(rest.partition("/")[0]) in ("", "config.local", "missing")
    ):
        raise TargetError(f"the tag would write {path!r:.200}, which is not safe", hint=DISTRUST)


def _is_name(path: str, own: bool) -> bool:
    """Whether a file can have such a path: names of data are UTF-8, none is too long."""
    try:
        raw = path.encode("utf-8", "strict" if own else "surrogateescape")
    except UnicodeEncodeError:
        return False
    return len(raw) <= _LONGEST_PATH and max(map(len, raw.split(b"/"))) <= _LONGEST_NAME


def _is_like(part: str, kind: tuple[str, re.Pattern[str]]) -> bool:
    """Whether some file system takes a name for one of a kind: case, dots, no-width letters."""
    first_letters, names = kind
    # Most names are settled here: a tag may have a million of them.
    if part.isascii() and part[:1] not in first_letters:
        return False
    return names.fullmatch(_folded(part)) is not None


def _folded(part: str) -> str:
    """A name as file systems compare it that ignore case, no-width letters and last dots."""
    plain = "".join(char for char in part if ord(char) not in _IGNORED)
    return plain.partition(":")[0].rstrip(" .").lower()
