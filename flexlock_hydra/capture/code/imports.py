"""Where the modules that this process has imported come from."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from flexlock_hydra.capture.environment.packages import finder_homes

_OWN_PACKAGES = frozenset({"flexlock_hydra", "hydra_plugins"})
# The script's module; multiprocessing gives it the second name wherever it is imported
_SCRIPT = frozenset({"__main__", "__mp_main__"})

# Where the standard library lies: ``lib``, with its extension modules and its zip file
_PYTHONS_OWN = f"{Path(os.__file__).parents[1]}{os.sep}"
_looked_at: set[str] = set()
# Name -> file of the imported modules that no installation brought, of those looked at
_own_modules: dict[str, str] = {}


def set_script(file: Path) -> None:
    """Say which file runs as ``__main__``; in ``sys.modules`` that may be a profiler."""
    _looked_at.add("__main__")
    if is_installed(str(file)):
        _own_modules.pop("__main__", None)
    else:
        _own_modules["__main__"] = str(file)


def imported(roots: Iterable[str]) -> list[str]:
    """Files of the imported modules that lie below a root, installed ones left out."""
    prefixes = tuple(f"{root}{os.sep}" for root in roots)
    files = (file for _, file in module_files(("",)))
    # Git's roots are without links, a module's path may come to one through some.
    return [
        file if file.startswith(prefixes) else place
        for file in files
        if file.startswith(prefixes) or (place := _real_place(file)).startswith(prefixes)
    ]


def is_used(root: Path, main: Path | None = None) -> bool:
    """Whether a module that lies below a folder was imported; links in its path are followed.

    ``main``: another folder, whose modules do not count where it lies below this one, as the
    worktree of a rerun lies in the user's checkout.
    """
    prefix = f"{root}{os.sep}"
    inner = f"{main}{os.sep}" if main and main != root and main.is_relative_to(root) else None
    return any(
        file.startswith(prefix) or f"{_real_path(os.path.dirname(file))}{os.sep}".startswith(prefix)
        for _, file in module_files(("",))
        if not (inner and file.startswith(inner))
    )


def module_files(prefixes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Imported modules whose files begin with a prefix, installed ones left out: name, file."""
    for name in sys.modules.keys() - _looked_at:
        _looked_at.add(name)
        file = getattr(sys.modules.get(name), "__file__", None)
        # Python's own importer gives absolute paths; torch.ops calls itself `_ops.py`.
        if isinstance(file, str) and os.path.isabs(file) and not is_installed(file):
            _own_modules[name] = file
    return [(name, file) for name, file in _own_modules.items() if file.startswith(prefixes)]


def import_paths(root: Path) -> Iterator[str]:
    """Where modules of a repository are imported from, relative to its root.

    Entries of ``sys.path``, and the folders of packages that an editable install's
    finder brought without one.
    """
    entries = [Path(entry or ".").absolute() for entry in sys.path]
    entries += finder_homes()
    entries += [
        package_home(name, Path(file))
        for name, file in module_files((f"{root}{os.sep}",))
        if name not in _SCRIPT
    ]
    for path in dict.fromkeys(entries):
        if path.is_relative_to(root) and not is_installed(str(path)):
            yield path.relative_to(root).as_posix()


def package_home(name: str, file: Path) -> Path:
    """The folder that holds a module's top-level package, by the module's name."""
    depth = name.count(".") + (file.name == "__init__.py")
    return file.parents[min(depth, len(file.parents) - 1)]  # a module may have any name


def foreign(roots: Iterable[str]) -> list[str]:
    """Entries of ``sys.path`` that modules came from and that nothing records."""
    known = tuple(f"{root}{os.sep}" for root in roots)
    paths = {os.path.abspath(entry or os.curdir) for entry in sys.path}
    others = (path for path in paths if not f"{path}{os.sep}".startswith(known))
    entries = {path for path in others if not is_installed(path)}
    found: dict[str, str] = {}
    for name, file in module_files(tuple(f"{entry}{os.sep}" for entry in entries)):
        top = name.partition(".")[0]
        if top not in _OWN_PACKAGES and name not in _SCRIPT:
            home = str(package_home(name, Path(file)))
            if home in entries:
                found.setdefault(home, top)
    return [f"{top} was imported from {home}, in no recorded repository"
            for home, top in sorted(found.items())]


@functools.cache
def is_installed(path: str) -> bool:
    """Whether a file or folder belongs to Python itself or to an installed distribution."""
    parts = Path(path).parts
    installed = "site-packages" in parts or "dist-packages" in parts
    return installed or path.startswith(_PYTHONS_OWN)


def _real_place(file: str) -> str:
    folder, name = os.path.split(file)
    return os.path.join(_real_path(folder), name)


@functools.cache
def _real_path(folder: str) -> str:
    return os.path.realpath(folder)
