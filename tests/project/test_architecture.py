"""The page on the architecture tells of the house as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text() for name in ("docs/architecture.md", "CONTRIBUTING.md")}
FOLDERS = sorted(
    path.parent.relative_to(ROOT)
    for package in ("flexlock_hydra", "hydra_plugins")
    for path in (ROOT / package).rglob("__init__.py")
)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_folder_is_named(folder: Path) -> None:
    """A folder of the package is on the page: by its path, or by its name in its floor's row."""
    page = PAGES["docs/architecture.md"]
    floor, name = Path(*folder.parts[:2]), Path(*folder.parts[2:])
    row = next(
        (line for line in page.splitlines() if line.startswith(f"| `{floor.as_posix()}`")), ""
    )

    assert f"`{folder.as_posix()}`" in page or f"`{name.as_posix()}`" in row or floor.name == (
        "flexlock_hydra"
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_named_module_is_there(name: str) -> None:
    """What the pages call a file of this repository is one."""
    named = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|cfg|md|toml|txt))`", PAGES[name])
    places = (ROOT, ROOT / "flexlock_hydra")

    assert named
    assert [each for each in named if not any((place / each).exists() for place in places)] == []
