"""Small environments by uv, from the indexes that pip is configured with here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from flexlock_hydra.replay.env.interpreter import python_of
from flexlock_hydra.replay.env.own_wheel import own_wheel

_FOR_A_JOB = (
    "hydra-core", "omegaconf", "antlr4-python3-runtime", "packaging", "pyyaml", "platformdirs",
    "gitpython", "gitdb", "smmap",
)
"""What a job with the callback imports; Hydra 1.4 has the parser in itself."""


@lru_cache
def settings() -> dict[str, str]:
    """Variables for uv: pip's indexes, and uv's own cache in the real home folder."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    pip = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", said, re.MULTILINE))
    cache = subprocess.run([uv(), "cache", "dir"], capture_output=True, text=True, check=True)
    found = {
        "UV_CACHE_DIR": cache.stdout.strip(),
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(
            url for url in pip.get("extra-index-url", "").split() if url.startswith("http")
        ),
        "SSL_CERT_FILE": pip.get("cert", ""),
    }
    return {name: value for name, value in found.items() if value}


def uv() -> str:
    """The program."""
    from uv import find_uv_bin

    return os.fspath(find_uv_bin())


def call(*words: str | Path) -> str:
    """Run uv with this Python, of which the tests' PATH has none; its standard output."""
    done = subprocess.run(
        [uv(), *map(str, words)],
        env={**os.environ, "UV_PYTHON": sys.executable, **settings()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def small_environment(folder: Path, *more: str | Path) -> Path:
    """An environment in which a job with the callback can run; its interpreter."""
    call("venv", "--python", sys.executable, folder)
    python = python_of(folder)
    wheels = folder / "wheels"
    wheels.mkdir()
    pinned = [f"{name}=={found}" for name in _FOR_A_JOB if (found := _version(name))]
    install(python, *pinned, own_wheel().write(wheels), *more)
    return python


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def install(python: Path, *what: str | Path) -> None:
    """Install exactly these."""
    call("pip", "install", "--python", python, "--no-deps", *what)


def installed(python: Path) -> dict[str, str]:
    """Name -> version of what uv finds in an environment."""
    lines = call("pip", "list", "--python", python, "--format", "freeze").splitlines()
    return dict(line.split("==") for line in lines)
