"""What is built and installed: both packages, the schema, the entry points."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True, capture_output=True,
    )
    return folder


def test_wheel(built: Path) -> None:
    """The wheel has both packages, the schema and py.typed, no tests, no namespace file."""
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    for wanted in (
        "flexlock_hydra/record/schema.json",
        "flexlock_hydra/py.typed",
        "hydra_plugins/flexlock_hydra/search_path.py",
        "hydra_plugins/flexlock_hydra/__init__.py",
    ):
        assert wanted in names
    assert "hydra_plugins/__init__.py" not in names
    assert not any(name.startswith(("tests", "examples")) for name in names)


def test_sdist(built: Path) -> None:
    """The sdist has what it takes to build, test and run the example."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for wanted in (
        "flexlock_hydra/record/schema.json",
        "hydra_plugins/flexlock_hydra/search_path.py",
        "tests/conftest.py",
        "examples/data/wdbc.csv",
        "conf/train.yaml",
        "constraints/hydra-1.3.txt",
        "constraints/hydra-1.3.2.txt",
        "Makefile",
        "LICENSE",
    ):
        assert wanted in names


def test_an_installed_wheel_records_a_run(built: Path, tmp_path: Path) -> None:
    """Installed from the wheel, Hydra finds the plugin."""
    target = tmp_path / "site"
    wheel = next(built.glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(target)
    app = tmp_path / "app.py"
    app.write_text(
        "import flexlock_hydra, hydra\nassert 'site' in flexlock_hydra.__file__\n"
        "@hydra.main(version_base=None, config_path=None)\ndef main(cfg): pass\nmain()\n"
    )
    subprocess.run(
        [sys.executable, str(app), "hydra/callbacks=flexlock"],
        cwd=tmp_path, env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"}, check=True,
    )
    assert list(tmp_path.glob("outputs/*/*/run.lock"))


def test_entry_points() -> None:
    """Hydra 1.4 finds the plugins by their entry points, a shell the command by its name."""
    plugins = {
        point.load().__name__
        for point in entry_points(group="hydra.plugins")
        if "flexlock" in point.name
    }
    assert plugins == {"FlexlockConfigSource", "FlexlockSearchPath"}
    scripts = {point.name: point.value for point in entry_points(group="console_scripts")}
    assert scripts["flexlock-hydra"] == "flexlock_hydra.cli.main:main"
    assert "flexlock" not in scripts


@pytest.mark.parametrize("name", ["hydra-core", "omegaconf"])
def test_the_oldest_that_is_allowed_is_tested(name: str) -> None:
    """The lower bounds of Hydra and OmegaConf are what the oldest environment has."""
    project = (ROOT / "pyproject.toml").read_text()
    oldest = (ROOT / "constraints/hydra-1.3.2.txt").read_text()
    bound = re.search(rf'"{name}>=([\d.]+),', project)
    pinned = re.search(rf"^{name}==([\d.]+)$", oldest, re.M)
    assert bound and pinned
    assert pinned[1].removesuffix(".0") == bound[1]
