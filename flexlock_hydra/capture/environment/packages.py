"""Installed distributions, by the names of their metadata folders: hardly a file is opened.

Nothing is kept between processes, so nothing is ever stale: to read the names costs less
than to find out whether they have changed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.ports.git.command import redact_url

_EGG = re.compile(r"(?P<name>[^-]+)(?:-(?P<version>[^-]+)(?:-py[\d.]+)?(?:-.+)?)?\.egg-info")
_VERSION = re.compile(r"^Version: *(\S+)", re.MULTILINE)
_CHANNEL = re.compile(r'"channel": *"([^"]*)"')
_CHANNEL_URL = re.compile(r"(?:/t/[^/]+)?/?(?P<name>.*?)(?:/(?:noarch|[a-z]+-[\w]+))?/?")
EDITABLE = " (editable: "
OWN = "flexlock-hydra"
"""The recorder is not what is recorded."""
_HEAD = 8192  # Bytes of a conda record that its channel is looked for in: after them come its files


def packages(path: Iterable[str] | None = None) -> Mapping[str, str]:
    """Normal name -> version of each distribution, with where it came from if not an index.

    The first on ``path`` counts, as for an import; ``sys.path`` without one.
    """
    entries = sys.path if path is None else path
    return _packages_in(tuple(_folder_now(entry or ".") for entry in entries))


def without_own(found: Mapping[str, str]) -> dict[str, str]:
    """Packages but this one: the recorder changes no result, so it is compared nowhere."""
    return {name: version for name, version in found.items() if name != OWN}


def version_pairs(
    recorded: Mapping[str, str], here: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Each package of two environments by name, with both its versions; None where it is not."""
    for name in sorted({*recorded, *here}):
        yield name, recorded.get(name), here.get(name)


def editable_folder(version: str) -> tuple[str, str | None]:
    """A recorded version without its place, and the folder that it is edited in, if it is."""
    plain, editable, place = version.partition(EDITABLE)
    return plain, place.removesuffix(")") if editable else None


def editable_installs() -> dict[str, Path]:
    """Distribution -> folder, of those installed in place: PEP 610, or ``develop``."""
    places = ((name, editable_folder(held)[1]) for name, held in without_own(packages()).items())
    return {name: Path(folder) for name, folder in places if folder is not None}


def finder_homes() -> Iterator[Path]:
    """Folders that setuptools' editable finders import packages from, without ``sys.path``."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable___"):
            for place in getattr(module, "MAPPING", {}).values():
                yield Path(place).parent


def conda() -> Mapping[str, str] | None:
    """Name -> ``version=build (channel)`` of the conda packages around this interpreter."""
    for prefix in (sys.prefix, sys.base_prefix, os.environ.get("CONDA_PREFIX")):
        if prefix and os.path.isdir(folder := os.path.join(prefix, "conda-meta")):
            return _conda_packages(_folder_now(folder))
    return None


def _folder_now(folder: str) -> tuple[str, int]:
    """A folder as it is now: installing and removing change its time."""
    path = os.path.abspath(folder)
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError:
        return path, 0


@lru_cache(maxsize=4)
def _packages_in(folders: tuple[tuple[str, int], ...]) -> Mapping[str, str]:
    """The distributions of folders as they were at given times; a wheel goes before an egg."""
    wheels: dict[str, str] = {}
    others: dict[str, str] = {}
    for folder, changed in folders:
        for name in _file_names(folder) if changed else ():
            if name.endswith(".dist-info"):
                project, _, version = name.removesuffix(".dist-info").rpartition("-")
                key = _normal_name(project)
                # pip renames to ~... what it is about to remove, and leaves that if it is killed.
                if key and key not in wheels and not name.startswith("~"):
                    wheels[key] = version + _origin(os.path.join(folder, name, "direct_url.json"))
            elif name.endswith(".egg-info") and (egg := _EGG.fullmatch(name)):
                version = egg["version"] or _source_version(Path(folder, name))
                others.setdefault(_normal_name(egg["name"]), version)
    return dict(sorted({**others, **wheels}.items()))


def _file_names(folder: str) -> list[str]:
    """The names in a folder, sorted; none where it cannot be listed."""
    try:
        return sorted(os.listdir(folder))
    except OSError:  # a zip file, for one
        return []


def _normal_name(name: str) -> str:
    """A project's name as PyPI compares it (PEP 503)."""
    plain = name.lower().replace("_", "-").replace(".", "-")
    return re.sub("-+", "-", plain) if "--" in plain else plain


def _source_version(egg_info: Path) -> str:
    """The version of a source tree that is on the path itself, as ``develop`` puts it there."""
    found = None
    with suppress(OSError):
        found = _VERSION.search((egg_info / "PKG-INFO").read_text("utf-8", "replace"))
    return f"{found[1] if found else 'unknown'}{EDITABLE}{egg_info.parent})"


def _origin(direct_url: str) -> str:
    """`` (<where from>)`` of a distribution that was not found on an index (PEP 610)."""
    if not os.access(direct_url, os.R_OK):  # most have none: this asks at a third of the cost
        return ""
    try:
        with open(direct_url, "rb") as file:
            origin = json.load(file)
        return f" ({_described_origin(origin)})"
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return ""


def _described_origin(origin: Mapping[str, Mapping[str, str]]) -> str:
    """A folder that is edited, or the URL as pip takes it: with the commit, or the hash."""
    url = str(origin["url"])
    if origin.get("dir_info", {}).get("editable"):
        return f"editable: {_folder_of_url(urlsplit(url).path)}"
    url = Masker().text(redact_url(url))
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    notes = [*_archive_hash(origin.get("archive_info", {}))]
    if folder := origin.get("subdirectory"):
        notes.append(f"subdirectory={folder}")
    return f"{url}#{'&'.join(notes)}" if notes else url


def _folder_of_url(path: str) -> str:
    """The path of a ``file`` URL as a folder of this system."""
    if os.name != "nt":
        return unquote(path)
    from urllib.request import url2pathname  # brings http.client and ssl

    return url2pathname(path)


def _archive_hash(archive: Mapping[str, object]) -> Iterator[str]:
    """``<algorithm>=<hash>`` of an archive, in the present form of PEP 610 or in its first."""
    hashes = archive.get("hashes")
    if isinstance(hashes, Mapping) and hashes:
        yield "=".join(next(iter(hashes.items())))
    elif hashed := archive.get("hash"):
        yield str(hashed)


@lru_cache(maxsize=4)
def _conda_packages(folder: tuple[str, int]) -> Mapping[str, str]:
    """Name -> version, build and channel of each package in a ``conda-meta`` as it was then."""
    path, _ = folder
    found = {}
    for file in _file_names(path):
        name, *rest = file.removesuffix(".json").rsplit("-", 2)
        if file.endswith(".json") and len(rest) == 2:
            found[name] = "=".join(rest) + _channel_note(os.path.join(path, file))
    return found


def _channel_note(record: str) -> str:
    """`` (<channel>)`` of a conda record: its name, or its URL where it has another host."""
    try:
        with open(record, "rb") as file:
            found = _CHANNEL.search(file.read(_HEAD).decode("utf-8", "replace"))
    except OSError:
        return ""
    if not found:
        return ""
    url = urlsplit(redact_url(found[1]))
    path = _CHANNEL_URL.fullmatch(url.path)
    name = path["name"] if path else url.path
    host = "" if url.netloc in ("", "conda.anaconda.org") else f"{url.scheme}://{url.netloc}/"
    return f" ({host}{name})"
