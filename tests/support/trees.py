"""Working trees and what snapshots of them hold, for the tests of both."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from flexlock_hydra.capture.code.scope import Scope
from flexlock_hydra.capture.code.snapshot import capture_code
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record.model import CodeState
from tests.conftest import Project


def snapshot(root: Path, scope: Scope = Scope(), cwd: Path | None = None) -> CodeState:
    """The code state of the repository that a folder is in."""
    repo = GitRepo.find(root)
    assert repo is not None
    return capture_code(repo, cwd or root, scope)


def listing(root: Path) -> dict[bytes, tuple[str, bytes]]:
    """Every file and link below a folder: name -> kind and content."""
    found: dict[bytes, tuple[str, bytes]] = {}
    top = os.fsencode(root)
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name != b".git"]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        for name in [*names, *links]:
            path = os.path.join(folder, name)
            if path == os.path.join(top, b".git"):
                continue
            found[os.path.relpath(path, top)] = leaf(path)
    return found


def leaf(path: bytes) -> tuple[str, bytes]:
    """What a file or link holds, and whether it is executable."""
    if os.path.islink(path):
        return "link", os.readlink(path)
    with open(path, "rb") as file:
        return "program" if os.access(path, os.X_OK) else "file", file.read()


def code_files(project: Project) -> dict[bytes, tuple[str, bytes]]:
    """The files of a working tree that git does not ignore, as git itself lists them."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        check=True,
    )
    names = {name for name in done.stdout.split(b"\0") if name}
    return {name: entry for name, entry in listing(project.root).items() if name in names}


def restored(project: Project, commit: str, into: Path) -> dict[bytes, tuple[str, bytes]]:
    """What a fresh clone holds after checking out a snapshot."""
    project.git("init", "-q", str(into))
    project.git("fetch", "-q", str(project.root), f"refs/flexlock/shadow/{commit}", cwd=into)
    project.git("checkout", "-q", "FETCH_HEAD", cwd=into)
    return listing(into)
