"""Which paths no job means when it reads data: the system's, Python's, caches, tools' own files."""

from __future__ import annotations

import os
import re
import site
import sys
from collections.abc import Callable
from functools import cache

_SYSTEM = (
    "/usr", "/etc", "/proc", "/sys", "/dev", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/run",
    "/var/lib", "/var/run", "/var/cache", "/snap", "/nix/store", "/System", "/Library",
)
# Folders in the user's home that programs keep their own things in.
_OF_HOME = (
    ".cache", ".config", ".local", ".conda", ".nv", ".triton", ".matplotlib", ".keras", ".dvc",
    ".jupyter", ".ipython", ".pyenv", ".rustup", ".cargo", ".npm", ".netrc", ".gitconfig",
    ".pydistutils.cfg", ".Xauthority", "Library/Caches",
)
# Variables that name the cache folders of libraries.
_CACHE_VARIABLES = (
    "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE",
    "TRANSFORMERS_CACHE", "TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR",
    "NUMBA_CACHE_DIR", "MPLCONFIGDIR", "CUDA_CACHE_PATH", "JAX_COMPILATION_CACHE_DIR",
    "KERAS_HOME", "TFHUB_CACHE_DIR", "PIP_CACHE_DIR", "UV_CACHE_DIR", "FLEXLOCK_CACHE",
    "WANDB_DIR", "WANDB_CACHE_DIR", "DVC_SITE_CACHE_DIR", "PYTHONPYCACHEPREFIX",
)
_OF_TOOLS = re.compile(
    r"(?:^|/)(?:__pycache__|\.git|\.hg|\.svn|\.dvc|\.hydra|\.submitit|\.ipynb_checkpoints|"
    r"\.pytest_cache|\.mypy_cache|\.ruff_cache|\.tox|\.venv|\.idea|\.vscode|\.cache|\.flexlock|"
    r"site-packages|dist-packages|node_modules|[^/]*\.(?:egg|dist)-info|"
    r"wandb|mlruns|mlartifacts|lightning_logs|\.aim|\.neptune|\.clearml|\.guild)(?:/|$)"
    r"|\.(?:pyc|pyo|pyd|so|dylib|dll|swp|swo|lock)$|(?:^|/)(?:\.DS_Store|Thumbs\.db|lock\.mdb|"
    r"[^/]*~|\.[^/]*\.sw[a-z])$|\.so\.[\d.]+$|-(?:wal|shm|journal)$"
)
_SECRET_NAMES = re.compile(
    r"(?:^|/)(?:\.env(?:\.[\w.-]+)?|\.netrc|_netrc|\.pgpass|\.pypirc|\.htpasswd|\.npmrc|"
    r"\.git-credentials|id_(?:rsa|dsa|ecdsa|ed25519)|[^/]*credentials?(?:\.[\w]+)?|"
    r"(?:[^/]*[._-])?(?:secrets?|tokens?|passwords?|passwd|api[_-]?keys?)"
    r"(?:\.(?:ya?ml|json|toml|ini|txt|env|cfg))?|"
    r"[^/]*\.(?:pem|p12|pfx|jks|keystore|kdbx|key|ppk|gpg|asc))$",
    re.I,
)


# What is in every name that the rules below are about, secrets' and settings' too: most names of
# data have none of it, and one look tells.
_TELLING = re.compile(
    r"^[._]|~$|-(?:wal|shm|journal)$|\.so\.|secret|token|passw|credential|id_|api|lock|thumbs|"
    r"\.(?:ya?ml|json|toml|ini|env|cfg|conf|properties|secrets|lock|mdb|"
    r"py[cod]|so|dylib|dll|sw[a-z]|pem|p12|pfx|jks|keystore|kdbx|key|ppk|gpg|asc)$",
    re.I,
)


def is_plain(name: str) -> bool:
    """Whether a file's name says nothing but that it is data: no tool's, no secret, no settings."""
    return _TELLING.search(name) is None


def is_tools_own(path: str) -> bool:
    """Whether a path, relative to what a project or its data has as its top, is a tool's own."""
    return _OF_TOOLS.search(path) is not None


def is_secret_by_name(path: str) -> bool:
    """Whether a file's name says that it holds keys, tokens or passwords."""
    return _SECRET_NAMES.search(path) is not None


@cache
def of_the_system() -> Callable[[str], bool]:
    """Tells of an absolute path whether it is the system's, Python's, or in a library's cache."""
    folders = tuple(sorted({f"{os.path.normpath(each)}{os.sep}" for each in _folders() if each}))
    return lambda path: path.startswith(folders)


def _folders() -> list[str]:
    home = os.path.expanduser("~")
    named = [os.environ.get(name, "") for name in _CACHE_VARIABLES]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix]
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    found = [*_SYSTEM, *named, *python, *packages, *(os.path.join(home, n) for n in _OF_HOME)]
    found += [os.path.realpath(each) for each in found if each]
    # A folder that holds the project, or is all there is, tells nothing: `/` as Python's prefix.
    return [each for each in found if os.path.isabs(each) and os.path.dirname(each) != each]
