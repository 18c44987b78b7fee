"""This package as a wheel, whatever it was installed from: the code that runs now."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from flexlock_hydra.capture.environment.packages import OWN
from flexlock_hydra.errors import RerunError

_PARTS = ("flexlock_hydra", "hydra_plugins.flexlock_hydra")
_WHEEL = (
    "Wheel-Version: 1.0\nGenerator: flexlock-hydra\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)
_OLDEST = (1980, 1, 1, 0, 0, 0)  # the time of every file in it: equal code makes equal bytes


@dataclass(frozen=True)
class Wheel:
    """A wheel in memory."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Equal for equal code."""
        return hashlib.sha256(self.content).hexdigest()

    def write(self, folder: Path) -> Path:
        """The file, in a folder."""
        path = folder / self.name
        path.write_bytes(self.content)
        return path


def own_wheel() -> Wheel:
    """A wheel of this package, as it is imported here; nothing is built or fetched.

    Raises:
        RerunError: it is not installed here, so that its metadata is not known.
    """
    try:
        installed = distribution(OWN)
    except PackageNotFoundError as error:
        raise RerunError(
            f"{OWN} runs from a folder here and is not installed",
            hint="Install it: pip install FOLDER",
        ) from error
    stem = f"{OWN.replace('-', '_')}-{installed.version}"
    return Wheel(f"{stem}-py3-none-any.whl", _zipped(stem, installed))


def _zipped(stem: str, installed: Distribution) -> bytes:
    info = f"{stem}.dist-info"
    files = {
        **dict(_package_files()),
        f"{info}/METADATA": (installed.read_text("METADATA") or "").encode(),
        f"{info}/WHEEL": _WHEEL.encode(),
        f"{info}/entry_points.txt": (installed.read_text("entry_points.txt") or "").encode(),
    }
    record = f"{info}/RECORD"
    lines = [f"{name},sha256={_base64(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _OLDEST)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return into.getvalue()


def _package_files() -> Iterator[tuple[str, bytes]]:
    """Path in the wheel and bytes of every file of this package, as it is imported here."""
    for part in _PARTS:
        spec = find_spec(part)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            root = Path(place)
            for path in sorted(root.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    inside = path.relative_to(root).as_posix()
                    yield f"{part.replace('.', '/')}/{inside}", path.read_bytes()


def _base64(content: bytes) -> str:
    """A hash as RECORD has it: urlsafe base64 without padding."""
    raw = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return raw.rstrip(b"=").decode()
