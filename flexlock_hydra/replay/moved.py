"""Texts that name a run's own folders, which lie elsewhere in a rerun."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath, PureWindowsPath


@dataclass(frozen=True)
class Moved:
    """Old folders and the new ones; the longest that a path starts with decides."""

    places: Mapping[str, str] = field(default_factory=dict)

    def same(self, old: str, new: str) -> bool:
        """Whether two texts are equal once both name the new folders."""
        return self._pattern is not None and self._now(old) == self._now(new)

    @cached_property
    def _places(self) -> dict[str, str]:
        old = {place: now for place, now in self.places.items() if _is_telling(place)}
        return {**old, **{now: now for now in old.values()}}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self._places, key=len, reverse=True)
        return re.compile("|".join(map(_whole, longest_first))) if longest_first else None

    def _now(self, text: str) -> str:
        assert self._pattern is not None
        return self._pattern.sub(lambda found: self._places[found[0]], text)


def _is_telling(place: str) -> bool:
    """Whether a text is surely this folder: no root, and more than one word."""
    path = (PureWindowsPath if "\\" in place else PurePosixPath)(place)
    return len(path.parts) > 1


def _whole(place: str) -> str:
    """The folder's own path or one below it, not one that only begins with the same letters."""
    before = r"(?<!\w)" if place.startswith(("/", "\\")) else r"(?<![\w/\\.-])"
    return rf"{before}{re.escape(place)}(?![\w-]|\.\w)"
