"""Find locks below a folder, by their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from flexlock_hydra.record import layout

_NOT_SEARCHED = frozenset({"node_modules", "__pycache__", "site-packages"})
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"


class Looked(NamedTuple):
    """A folder that was looked into, with the files that were wanted of it."""

    folder: str
    files: tuple[os.DirEntry[str], ...]
    is_repo: bool
    """Whether it is the root of a repository or of a working tree."""
    error: OSError | None = None
    """Why it could not be looked into."""


def repo_above(folder: Path) -> Path | None:
    """The root of the nearest repository around a folder, without asking git."""
    return next((up for up in (folder, *folder.parents) if (up / ".git").exists()), None)


def project_root() -> Path:
    """The root of the repository around the working folder; without one, that folder itself."""
    return repo_above(Path.cwd()) or Path.cwd()


def find_files(
    root: Path, wanted: Callable[[str], bool], *, last_first: bool = False
) -> Iterator[Path]:
    """The files with a wanted name, not in hidden folders or those of installed packages.

    Of a restored project also those that lay outside of it.

    ``last_first``: the folders whose names sort last come first; of dates the newest.
    """
    for looked in look_below(root, wanted, last_first=last_first):
        for entry in looked.files:
            yield Path(entry.path)


def look_below(
    root: Path, wanted: Callable[[str], bool], *, last_first: bool = False
) -> Iterator[Looked]:
    """Each folder that :func:`find_files` looks into, with its wanted files or its error."""
    folders = [os.fspath(root)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as scanned:
                entries = list(scanned)
        except OSError as error:
            yield Looked(folder, (), False, error)
            continue
        files, below, is_repo = [], [], False
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                if not name.startswith(".") and name not in _NOT_SEARCHED:
                    below.append(entry.path)
                elif name == layout.ARCHIVE_DIR:
                    # Where a pull puts what lay outside of the project.
                    place = os.path.join(folder, *layout.FSROOT.split("/"))
                    below += [place] if os.path.isdir(place) else []
            elif wanted(name) and _is_file(entry):
                files.append(entry)
            if name == ".git":
                is_repo = True
            elif name == _VIRTUAL_ENVIRONMENT and folder != os.fspath(root):
                break
        else:
            yield Looked(folder, tuple(files), is_repo)
            below.sort(reverse=not last_first)
            folders += below


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file or leads to one: whoever opens a pipe waits for its writer."""
    try:
        return entry.is_file()
    except OSError:
        return False
