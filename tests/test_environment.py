"""What the job runs in."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest

from flexlock_hydra.capture import environment
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.record.model import Environment
from tests.conftest import Project


def captured(root: Path, *variables: str) -> Environment:
    """The environment of this process."""
    return environment.capture(root, variables, Masker())


def install(site: Path, folder: str, origin: object = None) -> None:
    """A distribution's metadata folder, with PEP 610's direct_url.json where given."""
    path = site / folder
    path.mkdir(parents=True)
    (path / "METADATA").write_text("Metadata-Version: 2.1\n")
    if origin is not None:
        (path / "direct_url.json").write_text(
            origin if isinstance(origin, str) else json.dumps(origin)
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole of ``sys.path``."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder)])
    return folder


def test_the_interpreter(tmp_path: Path) -> None:
    """Version, implementation and platform are those of this interpreter."""
    found = captured(tmp_path)

    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.implementation == platform.python_implementation()
    assert found.platform == "-".join(platform.uname()[i] for i in (0, 2, 4))


@pytest.mark.parametrize("name", ["hydra-core", "omegaconf", "PyYAML", "pytest", "GitPython",
                                  "dvc_data", "jsonschema-specifications"])
def test_installed_distributions_have_their_versions(name: str, tmp_path: Path) -> None:
    """A distribution is named in its normal form, with the version that is installed."""
    normal = re.sub(r"[-_.]+", "-", name).lower()

    assert captured(tmp_path).packages[normal] == metadata.version(name)


def test_every_distribution_is_there(tmp_path: Path) -> None:
    """The names are those that importlib.metadata finds, sorted."""
    expected = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        for found in metadata.distributions()
        if Path(str(found.locate_file(""))).is_dir() and is_wheel(found)
    }
    names = list(captured(tmp_path).packages)

    assert set(names) == expected
    assert names == sorted(names)


def is_wheel(found: metadata.Distribution) -> bool:
    """Whether a distribution was installed as a wheel, as everything is today."""
    return found.read_text("WHEEL") is not None


@pytest.mark.parametrize(("folder", "name", "version"), [
    ("plain-1.0.dist-info", "plain", "1.0"),
    ("Under_Score-2.0.post1.dist-info", "under-score", "2.0.post1"),
    ("dotted.name-3.0rc1.dist-info", "dotted-name", "3.0rc1"),
    ("local-1.0+cu121.dist-info", "local", "1.0+cu121"),
    ("epoch-1!2.0.dist-info", "epoch", "1!2.0"),
])
def test_names_and_versions(folder: str, name: str, version: str, site: Path) -> None:
    """Names are normalised as PyPI does, versions are kept to the letter."""
    install(site, folder)

    assert captured(site).packages == {name: version}


def test_an_editable_install_is_named_with_its_folder(site: Path) -> None:
    """Code that is imported from a working folder is told, with the folder."""
    url = "file:///home/ada/my%20project"
    install(site, "mine-0.1.dist-info", {"url": url, "dir_info": {"editable": True}})

    assert captured(site).packages == {"mine": "0.1 (editable: /home/ada/my project)"}


@pytest.mark.parametrize("origin", [
    {"url": "file:///home/ada/x", "dir_info": {}},
    {"url": "file:///home/ada/x", "dir_info": {"editable": False}},
    {"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": "0" * 40}},
    {"url": "https://example.org/x.whl", "archive_info": {}},
    "", "{", "[]", "null", '{"dir_info": null}', '{"dir_info": {"editable": true}}',
])
def test_any_other_origin_adds_nothing(origin: object, site: Path) -> None:
    """Installed copies, and a damaged note of where they came from, are plain versions."""
    install(site, "other-1.0.dist-info", origin)

    assert captured(site).packages == {"other": "1.0"}


def test_the_first_on_the_path_counts(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two versions on the path it is the one that an import would find."""
    install(site, "twice-1.0.dist-info")
    install(tmp_path / "later", "twice-2.0.dist-info")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "gone"), str(site), str(tmp_path / "later")])

    assert captured(site).packages == {"twice": "1.0"}


def test_lock_files_are_hashed(tmp_path: Path) -> None:
    """Lock files in the project's root are named with the sha256 of their bytes."""
    names = ["uv.lock", "poetry.lock", "requirements.txt", "environment.yml", "conda-lock.yml"]
    for name in names:
        (tmp_path / name).write_text(f"content of {name}\n")

    assert captured(tmp_path).lockfiles == {
        name: f"sha256:{hashlib.sha256(f'content of {name}'.encode() + bytes([10])).hexdigest()}"
        for name in names
    }


def test_a_known_lock_file_hash(tmp_path: Path) -> None:
    """The hash of an empty lock file is this one."""
    (tmp_path / "uv.lock").touch()

    assert captured(tmp_path).lockfiles == {
        "uv.lock": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    }


def test_other_files_are_no_lock_files(tmp_path: Path) -> None:
    """A run's lock, a folder of the name, a file below: none is a lock file."""
    (tmp_path / "run.lock").touch()
    (tmp_path / "uv.lock").mkdir()
    (tmp_path / "uv.lock" / "poetry.lock").touch()

    assert captured(tmp_path).lockfiles == {}


def test_variables_that_change_results_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short list of variables is recorded where they are set, and only there."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    variables = captured(tmp_path).variables

    assert variables["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert variables["OMP_NUM_THREADS"] == ""
    assert "MKL_NUM_THREADS" not in variables
    assert not {"HOME", "PATH", "USER"} & set(variables)


def test_variables_that_the_config_reads_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that the config reads is recorded once, with its value."""
    monkeypatch.setenv("DATA_ROOT", "/srv/data")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NOT_SET", raising=False)
    variables = captured(tmp_path, "DATA_ROOT", "TZ", "NOT_SET").variables

    assert (variables["DATA_ROOT"], variables["TZ"]) == ("/srv/data", "UTC")
    assert "NOT_SET" not in variables


def test_secret_variables_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of a secret name, or with a password in its URL, shows no secret."""
    monkeypatch.setenv("HF_TOKEN", "hunter22")
    monkeypatch.setenv("DB_URL", "postgres://ada:hunter22@db/x")
    variables = captured(tmp_path, "HF_TOKEN", "DB_URL").variables

    assert variables["HF_TOKEN"] == "***"
    assert variables["DB_URL"] == "postgres://ada:***@db/x"


def test_a_known_secret_in_a_variable_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret of the config that a variable repeats is hidden there too."""
    monkeypatch.setenv("CONNECTION", "user=ada;pass=hunter22")
    masker = Masker().learn({"password": "hunter22"})
    found = environment.capture(tmp_path, ["CONNECTION"], masker)

    assert found.variables["CONNECTION"] == "user=ada;pass=***"


def test_nothing_is_imported_for_it(project: Project) -> None:
    """The packages are found without importing them or parsing their metadata."""
    program = (
        "import sys, pathlib\n"
        "from flexlock_hydra.capture import environment\n"
        "from flexlock_hydra.capture.secrets import Masker\n"
        "assert environment.capture(pathlib.Path.cwd(), [], Masker()).packages\n"
        "print(sorted({'importlib.metadata', 'dvc', 'git', 'numpy', 'hydra'} & set(sys.modules)))"
    )

    assert project.call(sys.executable, "-c", program).out == "[]\n"
