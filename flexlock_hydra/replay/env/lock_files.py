"""What lock files say of distributions: the hashes of their files, and where they lie."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HASH = re.compile(r"(?:sha256|sha384|sha512):[0-9a-f]{64,128}")
_INDEX = re.compile(r"https?://[^\s$@]+")
_PYPI = re.compile(r"https://(?:pypi\.org|files\.pythonhosted\.org)(?:/|$)")
_PINNED = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])? *==(?P<version>[^\s;#*\\]+)")
_OPTION = re.compile(r"(?:-i|--index-url|--extra-index-url)[ =]+(\S+)")


@dataclass(frozen=True)
class Pin:
    """One distribution of a lock file."""

    name: str
    version: str
    hashes: frozenset[str] = frozenset()
    index: str | None = None


@dataclass(frozen=True)
class Pins:
    """The distributions of a run's lock files, by name and version."""

    found: Mapping[str, Mapping[str, Pin]] = field(default_factory=dict)
    indexes: tuple[str, ...] = ()
    """Indexes that serve all of them."""

    def get(self, name: str, version: str) -> Pin | None:
        """The one of this version."""
        return self.found.get(name, {}).get(version)

    def others(self, name: str, version: str) -> list[str]:
        """The versions of a lock file that has this distribution, and not in this version."""
        versions = self.found.get(name, {})
        return [] if version in versions else sorted(versions)

    def __add__(self, other: Pins) -> Pins:
        """Both; of one distribution, what comes first counts."""
        names = {**other.found, **self.found}
        merged = {name: {**other.found.get(name, {}), **self.found.get(name, {})} for name in names}
        return Pins(merged, tuple(dict.fromkeys((*self.indexes, *other.indexes))))


def read_pins(path: str, content: bytes) -> Pins:
    """What a lock file says; nothing where it is of a kind that is not known, or damaged."""
    name = PurePosixPath(path).name
    try:
        pins, indexes = _pins_and_indexes(name, content.decode("utf-8"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return Pins()
    found: dict[str, dict[str, Pin]] = {}
    for pin in pins:
        found.setdefault(pin.name, {})[pin.version] = pin
    return Pins(found, tuple(index for index in indexes if _is_index(index)))


def _pins_and_indexes(name: str, text: str) -> tuple[list[Pin], list[str]]:
    if name in ("uv.lock", "poetry.lock", "pdm.lock"):
        return [*_pins_of_tables(tomllib.loads(text)["package"])], []
    if re.fullmatch(r"pylock(?:\.[^.]+)?\.toml", name):
        return [*_pins_of_tables(tomllib.loads(text)["packages"])], []
    if name == "Pipfile.lock":
        return _pins_of_pipfile(text)
    return _pins_of_requirements(text) if name.endswith(".txt") else ([], [])


def _pins_of_tables(tables: Iterable[Mapping[str, Any]]) -> Iterator[Pin]:
    for table in tables:
        if "version" in table:
            hashes, index = _hashes_of_files(table), _index_of_table(table)
            yield _make_pin(table["name"], table["version"], hashes, index)


def _hashes_of_files(table: Mapping[str, Any]) -> Iterator[str]:
    """Of a source distribution and of wheels, as each of the formats has them."""
    sdist = table.get("sdist")
    for file in (*table.get("files", ()), *table.get("wheels", ()), *([sdist] if sdist else ())):
        if "hash" in file:
            yield file["hash"]
        yield from (f"{kind}:{value}" for kind, value in file.get("hashes", {}).items())


def _index_of_table(table: Mapping[str, Any]) -> str | None:
    source = table.get("source", {})
    of_poetry = source.get("url") if source.get("type") == "legacy" else None
    found = source.get("registry") or of_poetry or table.get("index")
    return found if found and _is_index(found) else None


def _pins_of_pipfile(text: str) -> tuple[list[Pin], list[str]]:
    document = json.loads(text)
    pins = [
        _make_pin(name, entry["version"].removeprefix("=="), entry.get("hashes", ()))
        for group in ("develop", "default")
        for name, entry in document.get(group, {}).items()
        if "version" in entry
    ]
    return pins, [source["url"] for source in document["_meta"].get("sources", ())]


def _pins_of_requirements(text: str) -> tuple[list[Pin], list[str]]:
    """Pinned lines with their hashes; lines of ranges pin nothing."""
    pins = []
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        if found := _PINNED.match(line.strip()):
            pins.append(_make_pin(found["name"], found["version"], _HASH.findall(line)))
    return pins, _OPTION.findall(text)


def _make_pin(name: str, version: str, hashes: Iterable[str], index: str | None = None) -> Pin:
    good = frozenset(each for each in hashes if _HASH.fullmatch(each))
    return Pin(re.sub(r"[-_.]+", "-", name).lower(), version, good, index)


def _is_index(url: str) -> bool:
    """Whether a URL is that of an index which uv does not ask anyway; no variables in it."""
    return _INDEX.fullmatch(url) is not None and not _PYPI.match(url)
