"""Data behind a URL: what identifies it, without a download."""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from flexlock_hydra.errors import DataError

_TIMEOUT = 5.0  # Seconds that a server has to answer
_MASK = "***"
_SIGNED = re.compile(
    r"(?<=[?&;])([^=&;#]*(?:sig|signature|token|key|credential|secret|password|auth)[^=&;#]*)"
    r"=[^&;#]*",
    re.IGNORECASE,
)
_MARKS = {
    "etag": ("ETag", "etag", "e_tag"),
    "version": ("VersionId", "version_id", "version_aware_id", "generation", "blob_id"),
    "md5": ("md5Hash", "content_md5", "Content-MD5"),
    "sha256": ("sha256",),
    "size": ("size", "Size", "Content-Length"),
    "modified": ("LastModified", "last_modified", "Last-Modified", "updated", "mtime"),
}


def file_of(url: str) -> str | None:
    """The path that a ``file://`` URL means; None of another URL."""
    parts = urlsplit(url)
    if parts.scheme.lower() != "file":
        return None
    path = unquote(parts.path)
    return path[1:] if re.match(r"/[A-Za-z]:/", path) else path


def masked(url: str) -> str:
    """The URL without a password, and with what signs a request taken out."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = f"{user.partition(':')[0]}:{_MASK}"
    query = _SIGNED.sub(rf"\1={_MASK}", f"?{parts.query}")[1:]
    path = re.sub(r"(?<=/)\.\.(?=/|$)", "%2E%2E", parts.path)
    return urlunsplit((parts.scheme, f"{user}{at}{host}", path, query, parts.fragment))


def identify_url(url: str) -> dict[str, str]:
    """ETag, version, size in bytes and time of the last change, as far as they are told.

    A folder is told by its ``listing``: the sha256 of those marks of all its files.

    Raises:
        DataError: no answer, or one that says nothing.
    """
    ask = _of_http if urlsplit(url).scheme in ("http", "https") else _of_fsspec
    try:
        marks = ask(url)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = reason.replace(url, "it")
        raise DataError(f"{masked(url)} cannot be looked up: {reason}") from error
    except Exception as error:  # each storage library has errors of its own
        raise DataError(f"{masked(url)} cannot be looked up: {type(error).__name__}") from error
    if not marks:
        raise DataError(f"{masked(url)}: the server tells neither ETag nor size nor date")
    return marks


def _of_http(url: str) -> dict[str, str]:
    import urllib.request

    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), method="HEAD")
    if at:
        import base64

        request.add_header(
            "Authorization", f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
        )
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        return _marks(dict(response.headers.items()))


def _of_fsspec(url: str) -> dict[str, str]:
    """What fsspec's file system for the scheme tells."""
    fsspec: Any = importlib.import_module("fsspec.core")
    fs, path = fsspec.url_to_fs(url)
    info = fs.info(path)
    if info.get("type") != "directory":
        return _marks(info)
    root = info["name"].rstrip("/")
    files = {
        name.removeprefix(root).lstrip("/"): _marks(told)
        for name, told in fs.find(path, detail=True).items()
    }
    listing = json.dumps(files, sort_keys=True).encode()
    return {
        "listing": f"sha256:{hashlib.sha256(listing).hexdigest()}",
        "nfiles": str(len(files)),
        "size": str(sum(int(marks.get("size", 0)) for marks in files.values())),
    }


def _marks(told: Mapping[str, Any]) -> dict[str, str]:
    lower = {name.lower(): value for name, value in told.items()}
    found = {}
    for mark, names in _MARKS.items():
        value = next((lower[n.lower()] for n in names if lower.get(n.lower()) is not None), None)
        if value is not None:
            found[mark] = str(value).strip('"')
    return found
