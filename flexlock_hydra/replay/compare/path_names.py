"""Texts that name a run's own folders, or its objects, which lie elsewhere in a rerun."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import quote

_ADDRESS = re.compile(r"(?<=\bat )0x[0-9A-Fa-f]+(?=>|$)")


@dataclass(frozen=True)
class Moved:
    """Pairs of names of one folder; a folder has as many names as pairs lead to.

    Texts are the same once each name in them stands for its folder, in whichever of two
    runs it is the one in use; of names that begin alike the longest counts.
    """

    names: tuple[tuple[str, str], ...] = ()

    def same(self, old: str, new: str) -> bool:
        """Whether two texts are equal but for names of the same folders."""
        return old == new or self.plain(old) == self.plain(new)

    def plain(self, text: str) -> str:
        """A text with one name for each folder."""
        if not any(name in text for name in self._folder_by_name):  # which is fast
            return text
        return self._pattern.sub(lambda found: self._folder_by_name[found[0]], text)

    @cached_property
    def _folder_by_name(self) -> dict[str, str]:
        """Each name, as it may stand in a text -> what stands for its folder."""
        folder: dict[str, str] = {}
        for one, other in self.names:
            if _is_surely_a_folder(one) and _is_surely_a_folder(other):
                kept, merged = folder.setdefault(one, one), folder.setdefault(other, other)
                folder = {name: kept if it == merged else it for name, it in folder.items()}
        return {form: f"\0{it}" for name, it in folder.items() for form in _written_forms(name)}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        rooted = [name for name in self._folder_by_name if name.startswith(("/", "\\"))]
        relative = [name for name in self._folder_by_name if name not in rooted]
        # A relative name is no such folder where it stands behind other parts of a path.
        wholes = _whole_paths(rooted, r"\w"), _whole_paths(relative, r"[\w/\\.-]")
        return re.compile("|".join(wholes))


def without_addresses(text: str) -> str:
    """A text in which Python's objects do not say where they are in memory."""
    return _ADDRESS.sub("", text) if "0x" in text else text


def _is_surely_a_folder(place: str) -> bool:
    """Whether a text is surely this folder: no root, and more than one word."""
    path = (PureWindowsPath if "\\" in place else PurePosixPath)(place)
    return len([part for part in path.parts if part != ".."]) > 1


def _written_forms(name: str) -> set[str]:
    """A folder's name as it stands in texts, in URLs, and in texts with escapes."""
    return {name, quote(name, safe="/:~\\"), name.replace("\\", "\\\\"), name.replace("\\", "/")}


def _whole_paths(names: list[str], before: str) -> str:
    """The folders' own paths or ones below, not such that only begin with the same letters."""
    if not names:
        return r"(?!)"
    longest_first = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return rf"(?<!{before})(?:{longest_first})(?![\w-]|\.\w)"
