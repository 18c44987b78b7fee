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

from flexlock_hydra.capture.environment.environment import capture_environment
from flexlock_hydra.capture.environment.packages import (
    OWN,
    editable_folder,
    version_pairs,
    without_own,
)
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.record.model import Environment
from tests.conftest import Project


def captured(root: Path, *variables: str) -> Environment:
    """The environment of this process."""
    return capture_environment(root, variables, Masker())


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
    there = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): is_wheel(found)
        for found in metadata.distributions()
        if Path(str(found.locate_file(""))).is_dir()
    }
    names = list(captured(tmp_path).packages)

    assert {name for name, wheel in there.items() if wheel} <= set(names) <= set(there)
    assert names == sorted(names)


def is_wheel(found: metadata.Distribution) -> bool:
    """Whether a distribution was installed as a wheel, as everything is by pip of today."""
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


COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(("origin", "shown"), [
    ({"url": "file:///home/ada/x", "dir_info": {}}, "file:///home/ada/x"),
    ({"url": "file:///home/ada/x", "dir_info": {"editable": False}}, "file:///home/ada/x"),
    ({"url": "https://example.org/x.git", "vcs_info": {"vcs": "git", "commit_id": COMMIT}},
     f"git+https://example.org/x.git@{COMMIT}"),
    ({"url": "ssh://git@example.org/x.git", "subdirectory": "sub",
      "vcs_info": {"vcs": "git", "commit_id": COMMIT, "requested_revision": "main"}},
     f"git+ssh://git@example.org/x.git@{COMMIT}#subdirectory=sub"),
    ({"url": "https://example.org/x.whl", "archive_info": {}}, "https://example.org/x.whl"),
    ({"url": "https://example.org/x.whl", "archive_info": {"hashes": {"sha256": "ab"}}},
     "https://example.org/x.whl#sha256=ab"),
    ({"url": "https://example.org/x.tgz", "subdirectory": "sub",
      "archive_info": {"hash": "sha256=ab"}},
     "https://example.org/x.tgz#sha256=ab&subdirectory=sub"),
    ({"url": "https://ada:hunter22@example.org/x.whl", "archive_info": {}},
     "https://example.org/x.whl"),
    ({"url": "https://example.org/x.whl?token=hunter22", "archive_info": {}},
     "https://example.org/x.whl?token=***"),
])
def test_another_origin_is_named(origin: object, shown: str, site: Path) -> None:
    """What came from a URL is told as pip takes it: commit, hash, folder, no credentials."""
    install(site, "other-1.0.dist-info", origin)

    assert captured(site).packages == {"other": f"1.0 ({shown})"}


@pytest.mark.parametrize("origin", [
    "", "{", "[]", "null", "3", '"x"', '{"dir_info": null}', '{"dir_info": {"editable": true}}',
    '{"url": "https://e.org", "vcs_info": 3}',
    '{"url": "http://[", "dir_info": {"editable": true}}', "\udcff", '{"url": "x", "dir_info": []}',
])
def test_a_damaged_origin_adds_nothing(origin: str, site: Path) -> None:
    """A distribution whose note of where it came from cannot be read has its plain version."""
    install(site, "other-1.0.dist-info")
    note = site / "other-1.0.dist-info" / "direct_url.json"
    note.write_bytes(origin.encode("utf-8", "surrogateescape"))

    assert captured(site).packages == {"other": "1.0"}


@pytest.mark.parametrize(("folder", "shown"), [
    ("old_name-1.2.egg-info", {"old-name": "1.2"}),
    ("old_name-1.2-py3.11.egg-info", {"old-name": "1.2"}),
    ("old-1.2-py3.11-linux-x86_64.egg-info", {"old": "1.2"}),
    ("~umpy-1.0.dist-info", {}),
    ("nothing.dist-info", {}),
])
def test_other_metadata_folders(folder: str, shown: dict[str, str], site: Path) -> None:
    """Eggs count as distributions; what pip left behind of an update that failed does not."""
    install(site, folder)

    assert captured(site).packages == shown


def test_a_source_tree_on_the_path_is_editable(site: Path) -> None:
    """What ``setup.py develop`` put on the path has the version of its tree, and the folder."""
    (site / "mine.egg-info").mkdir()
    (site / "mine.egg-info/PKG-INFO").write_text("Metadata-Version: 2.1\nVersion: 0.3.dev1\n")

    assert captured(site).packages == {"mine": f"0.3.dev1 (editable: {site})"}


def test_a_wheel_counts_before_an_egg(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build's leftover in the working folder does not hide the editable install."""
    (site / "mine.egg-info").mkdir()
    url = {"url": "file:///home/ada/mine", "dir_info": {"editable": True}}
    install(tmp_path / "later", "mine-0.4.dist-info", url)
    monkeypatch.setattr(sys, "path", [str(site), str(tmp_path / "later")])

    assert captured(site).packages == {"mine": "0.4 (editable: /home/ada/mine)"}


def test_an_installation_during_the_process_is_seen(site: Path) -> None:
    """Installed, upgraded, removed: the next job of a sweep records what is there then."""
    assert captured(site).packages == {}
    install(site, "new-1.0.dist-info")
    assert captured(site).packages == {"new": "1.0"}
    (site / "new-1.0.dist-info").rename(site / "new-1.1.dist-info")
    assert captured(site).packages == {"new": "1.1"}


def test_an_unchanged_path_is_read_once(site: Path) -> None:
    """A further job of the same process takes the packages as they were found."""
    install(site, "new-1.0.dist-info")

    assert captured(site).packages is captured(site).packages


# conda


def conda_record(prefix: Path, stem: str, **fields: str) -> None:
    """A file of conda's about one installed package, its keys sorted as conda does."""
    path = prefix / "conda-meta" / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**fields, "files": ["x" * 100] * 200}, indent=2))


@pytest.mark.parametrize(("channel", "shown"), [
    ("https://conda.anaconda.org/conda-forge/linux-64", " (conda-forge)"),
    ("https://conda.anaconda.org/conda-forge/noarch", " (conda-forge)"),
    ("https://conda.anaconda.org/t/ad-12345678-secret/private/linux-64", " (private)"),
    ("https://ada:hunter22@example.org/t/tok/team/osx-arm64", " (https://example.org/team)"),
    ("https://repo.anaconda.com/pkgs/main/linux-64",
     " (https://repo.anaconda.com/pkgs/main)"),
    ("defaults", " (defaults)"),
    ("conda-forge/linux-64", " (conda-forge)"),
])
def test_conda_packages_are_recorded(
    channel: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version, build and channel of what conda installed, without a channel's token."""
    conda_record(tmp_path, "numpy-base-1.26.4-py311h8a23956_0", channel=channel, name="numpy-base")
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))

    assert captured(tmp_path).conda == {"numpy-base": f"1.26.4=py311h8a23956_0{shown}"}


def test_a_damaged_conda_record_keeps_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record without a channel is named by its file; other files are none."""
    conda_record(tmp_path, "zlib-1.3-h1_0")
    (tmp_path / "conda-meta/history").touch()
    (tmp_path / "conda-meta/state.json").touch()
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))

    assert captured(tmp_path).conda == {"zlib": "1.3=h1_0"}


def test_without_conda_there_is_no_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment that conda has no part in says nothing of it."""
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))

    assert captured(tmp_path).conda is None


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


def test_lock_files_around_the_script_are_found(tmp_path: Path) -> None:
    """In a repository of several projects it is the lock file of this one that counts too."""
    script = tmp_path / "projects" / "one" / "src"
    script.mkdir(parents=True)
    for name in ["uv.lock", "projects/one/pylock.dev.toml", "projects/one/requirements-dev.txt",
                 "projects/two/uv.lock"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "poetry.lock").touch()
    found = capture_environment(tmp_path, [], Masker(), [script, outside]).lockfiles

    assert list(found) == ["uv.lock", "projects/one/pylock.dev.toml",
                           "projects/one/requirements-dev.txt", f"{outside}/poetry.lock"]


def test_a_changed_lock_file_is_hashed_again(tmp_path: Path) -> None:
    """Locking again during a sweep is seen by its next job."""
    (tmp_path / "uv.lock").write_text("one")
    first = captured(tmp_path).lockfiles
    (tmp_path / "uv.lock").write_text("other")

    assert captured(tmp_path).lockfiles != first


def test_other_files_are_no_lock_files(tmp_path: Path) -> None:
    """A run's lock, a folder of the name, a file below: none is a lock file."""
    (tmp_path / "run.lock").touch()
    (tmp_path / "uv.lock").mkdir()
    (tmp_path / "uv.lock" / "poetry.lock").touch()

    assert captured(tmp_path).lockfiles == {}


def test_nothing_is_imported_for_it(project: Project) -> None:
    """The packages are found without importing them or parsing their metadata."""
    program = (
        "import sys, pathlib\n"
        "from flexlock_hydra.capture.environment.environment import capture_environment\n"
        "from flexlock_hydra.capture.secrets.masker import Masker\n"
        "assert capture_environment(pathlib.Path.cwd(), [], Masker()).packages\n"
        "print(sorted({'importlib.metadata', 'dvc', 'git', 'numpy', 'hydra'} & set(sys.modules)))"
    )

    assert project.call(sys.executable, "-c", program).out == "[]\n"


def test_this_package_is_compared_nowhere() -> None:
    """What runs a comparison of packages sees each other name once, and never the recorder."""
    recorded = {"b": "1", "a": "1", OWN: "1"}
    here = {"c": "3", "a": "2", OWN: "2"}

    assert [*version_pairs(without_own(recorded), without_own(here))] == [
        ("a", "1", "2"), ("b", "1", None), ("c", None, "3")
    ]


@pytest.mark.parametrize(("version", "parts"), [
    ("1.2", ("1.2", None)),
    ("1.2 (https://example.org/x.whl)", ("1.2 (https://example.org/x.whl)", None)),
    ("1.2 (editable: /home/ada/x (old))", ("1.2", "/home/ada/x (old)")),
])
def test_the_folder_of_an_editable_version(version: str, parts: tuple[str, str | None]) -> None:
    """A recorded version that was edited in place is told from the folder it was edited in."""
    assert editable_folder(version) == parts
