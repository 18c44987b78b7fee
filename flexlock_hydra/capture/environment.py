"""What the job runs in: interpreter, distributions, lock files, GPUs, variables."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.record.model import Environment

_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "PYTHONHASHSEED",
    "TF_DETERMINISTIC_OPS",
    "LANG",
    "LC_ALL",
    "TZ",
)
_LOCKFILES = (
    "uv.lock",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "pixi.lock",
    "conda-lock.yml",
    "environment.yml",
    "requirements.txt",
)
_NVIDIA = Path("/proc/driver/nvidia")


def capture(root: Path, config_variables: Iterable[str], masker: Masker) -> Environment:
    """The environment of this process; ``root`` is where lock files are looked for."""
    names = [*_VARIABLES, *sorted(set(config_variables) - set(_VARIABLES))]
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        packages=dict(sorted(_packages())),
        lockfiles=dict(_lockfiles(root)),
        gpu=tuple(_gpus()),
        variables={
            name: masker.mask(value, name)
            for name in names
            if (value := os.environ.get(name)) is not None
        },
    )


def _packages() -> Iterator[tuple[str, str]]:
    """Installed distributions by the names of their metadata folders: no file is parsed."""
    seen: set[str] = set()
    for entry in sys.path:
        for folder in sorted(Path(entry or ".").glob("*.dist-info")):
            name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
            name = re.sub(r"[-_.]+", "-", name).lower()
            if name and name not in seen:
                seen.add(name)
                yield name, version + _editable(folder / "direct_url.json")


def _editable(direct_url: Path) -> str:
    """`` (editable: <folder>)`` of a distribution that was installed so (PEP 610)."""
    try:
        origin = json.loads(direct_url.read_bytes())
        editable, url = origin["dir_info"]["editable"], urlsplit(origin["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" (editable: {url2pathname(url.path)})" if editable else ""


def _lockfiles(root: Path) -> Iterator[tuple[str, str]]:
    for name in _LOCKFILES:
        path = root / name
        if path.is_file():
            yield name, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _gpus() -> Iterator[dict[str, str]]:
    """NVIDIA cards as their kernel driver lists them: nothing is started."""
    try:
        driver = re.search(r"Module\s+(?:for \S+\s+)?([\d.]+)", (_NVIDIA / "version").read_text())
        cards = sorted((_NVIDIA / "gpus").glob("*/information"))
    except OSError:
        return
    for card in cards:
        fields = dict(
            line.split(":", 1) for line in card.read_text().splitlines() if ":" in line
        )
        yield {
            "name": fields.get("Model", "").strip(),
            "uuid": fields.get("GPU UUID", "").strip(),
            "driver": driver[1] if driver else "",
        }
