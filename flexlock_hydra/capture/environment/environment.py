"""What the job runs in: interpreter, distributions, lock files, machine, variables."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from flexlock_hydra.capture.environment import machine, packages
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.record.model import Environment

# Variables that change results: threads, determinism, devices, libraries, locale
_VARIABLES = re.compile(
    r"""
    (?: OMP | GOMP | KMP | MKL | OPENBLAS | GOTO | BLIS | NUMEXPR | VECLIB | DNNL | ONEDNN
      | TORCH | PYTORCH | CUDA | CUBLAS | CUDNN | NCCL | XLA | JAX | HIP | ROCR | MIOPEN | LC
    )_\w+
    | TF_(?: \w*DETERMINIS\w* | CUDNN_\w+ | XLA_\w+ | ENABLE_\w+ | NUM_\w+ | USE_\w+ )
    | NVIDIA_(?: TF32_OVERRIDE | VISIBLE_DEVICES )
    | PYTHON(?: HASHSEED | OPTIMIZE | UTF8 | IOENCODING )
    | PL_GLOBAL_SEED | LD_PRELOAD | LD_LIBRARY_PATH | CONDA_PREFIX | LANG | LANGUAGE | TZ
    """,
    re.VERBOSE,
)

_LOCKFILES = re.compile(
    r"(?:uv|poetry|pdm|Pipfile|pixi)\.lock|pylock(?:\.[^.]+)?\.toml|conda-lock\.ya?ml"
    r"|environment\.ya?ml|requirements[^/]*\.txt"
)

_LARGEST = 256 << 20  # Bytes of a lock file that is read again; no tool writes a larger one


def capture_environment(
    root: Path,
    config_variables: Iterable[str],
    masker: Masker,
    folders: Iterable[Path] = (),
    *,
    of_job: bool = False,
) -> Environment:
    """The environment of this process.

    Lock files are looked for in ``root``, in ``folders``, and in the folders between.

    Args:
        config_variables: those that the config reads or sets.
        of_job: leave out what came to be set since the first job of this process: a library that
            an earlier job used did that, and will again.
    """
    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        libc=_libc_version(),
        packages=packages.packages(),
        conda=packages.conda(),
        lockfiles=dict(_lockfiles(root, folders)),
        cpu=machine.cpu(),
        memory=machine.memory(),
        gpu=machine.gpus(),
        torch=machine.torch(),
        container=machine.container(),
        variables=_result_variables(config_variables, masker, of_job),
    )


def is_lockfile(name: str) -> bool:
    """Whether a file of this name pins packages."""
    return _LOCKFILES.fullmatch(name) is not None


def read_lockfile(path: Path) -> bytes | None:
    """The bytes of a lock file that is there; what a record calls one and is none is not read."""
    with suppress(OSError):
        if is_lockfile(path.name) and path.is_file() and path.stat().st_size < _LARGEST:
            return path.read_bytes()
    return None


def lockfile_hash(content: bytes) -> str:
    """The hash of a lock file's bytes, as a record names it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _libc_version() -> str | None:
    """The C library, which brings the elementary functions; known where it is glibc."""
    names = getattr(os, "confstr_names", {})
    return os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in names else None


def _result_variables(
    config_variables: Iterable[str], masker: Masker, of_job: bool
) -> dict[str, str]:
    """The variables that change results or that the config reads, masked."""
    names = _names_at_first_job() if of_job else _names_now()
    return {
        name: masker.mask(value, name)
        for name in sorted(names.union(config_variables))
        if (value := os.environ.get(name)) is not None
    }


def _names_now() -> frozenset[str]:
    return frozenset(name for name in os.environ if _changes_results(name))


@lru_cache(maxsize=1)
def _names_at_first_job() -> frozenset[str]:
    return _names_now()


@lru_cache(maxsize=4096)
def _changes_results(name: str) -> bool:
    """Whether a variable changes results whatever the config says."""
    return _VARIABLES.fullmatch(name) is not None


def _lockfiles(root: Path, folders: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Path, relative to the root below it, and hash of each lock file."""
    # Outside of the root each folder alone, below it those above it too.
    places = [(folder, up) for folder in folders for up in (folder, *folder.parents)]
    around = [up for folder, up in places if up == folder or up.is_relative_to(root)]
    for folder in dict.fromkeys((root, *around)):
        for path in _lockfiles_in(str(folder), _file_version(folder)):
            if hashed := _hash_of_file(path, _file_version(Path(path))):
                place = Path(path)
                name = place.relative_to(root) if place.is_relative_to(root) else place
                yield name.as_posix(), hashed


def _file_version(path: Path) -> tuple[int, ...]:
    """What differs once a file or a folder's list of names has changed."""
    try:
        stat = path.stat()
    except OSError:
        return ()
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


@lru_cache(maxsize=64)
def _lockfiles_in(folder: str, changed: tuple[int, ...]) -> list[str]:
    names = sorted(os.listdir(folder)) if changed else []
    paths = [os.path.join(folder, name) for name in names if is_lockfile(name)]
    return [path for path in paths if os.path.isfile(path)]


@lru_cache(maxsize=64)
def _hash_of_file(path: str, changed: tuple[int, ...]) -> str | None:
    """The hash of a file that can be read, which is read once for each time that it changed."""
    try:
        return lockfile_hash(Path(path).read_bytes())
    except OSError:
        return None
