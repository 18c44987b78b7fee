"""The scene of an attack by a forged tag, and what it is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.archive.pull.pull import Pulled, pull
from flexlock_hydra.errors import FlexlockError, GitError
from tests.support.forged import Base, Tag, look


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A run that was really pushed."""
    return Base.make(tmp_path_factory.mktemp("pushed"))


@pytest.fixture
def scene(
    tmp_path: Path, env: dict[str, str], own_home: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with an empty HOME, another working folder, and files that are not the tag's."""
    return set_up(tmp_path, monkeypatch)


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the folders of an attack, and go to one of them."""
    for name in ("home", "here", "beside"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "beside/victim").write_text("mine")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.chdir(folder / "here")
    return folder


def attack(tag: Tag, **options: Any) -> Pulled | FlexlockError:
    """Pull a forged tag; whatever comes of it, outside of its folder nothing changes."""
    before = look(tag.scene, without=tag.scene / "into")
    try:
        return pull(tag.name, **{"source": str(tag.origin), "into": tag.scene / "into", **options})
    except FlexlockError as error:
        return error
    finally:
        assert look(tag.scene, without=tag.scene / "into") == before


def refused(found: Pulled | FlexlockError, said: str) -> None:
    """It ended with 2 and a line that says why."""
    assert isinstance(found, FlexlockError), found
    assert found.exit_code == 2
    assert said in str(found)
    assert "\n" not in str(found) or isinstance(found, GitError), "more than a line"
