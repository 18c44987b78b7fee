"""Pieces of data one by one: patterns, URLs, links, variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flexlock_hydra.capture.data.digest import digest
from flexlock_hydra.capture.data.globs import Pattern
from flexlock_hydra.capture.data.hash_worker import HashTask
from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.capture.data.url_identity import file_of, identify_url, masked
from flexlock_hydra.errors import DataError
from flexlock_hydra.hooks.config.options import OutputSelection
from flexlock_hydra.hooks.job.hashed_data import Inputs, OutputFolder

# Pieces


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.csv", ["a.csv"]),
        ("**", ["a.csv", "b.txt", "s/a.csv", "s/t/a.csv"]),
        ("**/*.csv", ["a.csv", "s/a.csv", "s/t/a.csv"]),
        ("s", ["s/.h", "s/a.csv", "s/t/a.csv"]),
        ("s/*", ["s/a.csv", "s/t/a.csv"]),
        ("?.csv", ["a.csv"]),
        ("[ab].*", ["a.csv", "b.txt"]),
        (".*", [".h.csv"]),
        ("*/t/*", ["s/t/a.csv"]),
    ],
)
def test_patterns_match_as_glob_does(pattern: str, matches: list[str], tmp_path: Path) -> None:
    """A pattern has the files that ``glob.glob`` finds, and all in the folders it finds."""
    for name in ("a.csv", "b.txt", ".h.csv", "s/a.csv", "s/t/a.csv", "s/.h"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    parsed = Pattern(tmp_path, tuple(pattern.split("/")))

    assert sorted(digest(tmp_path, parsed.leaves_out).files) == sorted(matches)


def test_a_name_with_magic_is_a_name(tmp_path: Path) -> None:
    """A path that exists is no pattern, whatever its letters."""
    (tmp_path / "a[1].csv").write_text("1")

    assert Pattern.parse(tmp_path / "a[1].csv") is None
    assert Pattern.parse(tmp_path / "b[1].csv") == Pattern(tmp_path, ("b[1].csv",))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://u:pw@h/x?a=1", "https://u:***@h/x?a=1"),
        ("https://h/x?X-Amz-Signature=abc&y=2", "https://h/x?X-Amz-Signature=***&y=2"),
        ("https://h/x?sv=1&sig=abc%3D", "https://h/x?sv=1&sig=***"),
        ("https://h/a/../b", "https://h/a/%2E%2E/b"),
    ],
)
def test_urls_show_no_secret(url: str, shown: str) -> None:
    """Passwords and signatures in a URL are masked, the rest stays."""
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("url", "path"),
    [("file:///a%20b/c", "/a b/c"), ("file:///C:/x", "C:/x"), ("https://h/x", None)],
)
def test_file_urls_are_paths(url: str, path: str | None) -> None:
    """A file:// URL is the path that it means."""
    assert file_of(url) == path


def test_fsspec_is_asked(tmp_path: Path) -> None:
    """A URL of a scheme that fsspec knows is looked up through it; of no other."""
    (tmp_path / "x").write_text("12345")

    assert identify_url(f"local://{tmp_path}/x")["size"] == "5"
    with pytest.raises(DataError, match="nosuch://x cannot be looked up"):
        identify_url("nosuch://x")


def test_a_folder_behind_a_url_is_its_listing(tmp_path: Path) -> None:
    """A folder is identified by the names and marks of all its files, wherever it lies."""
    for name in ("one", "two"):
        for file in ("a.csv", "sub/b.csv"):
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("12345")
            os.utime(path, (0, 0))
    first = identify_url(f"local://{tmp_path}/one")
    (tmp_path / "one/sub/b.csv").write_text("54321")
    changed = identify_url(f"local://{tmp_path}/one")

    assert (first["nfiles"], first["size"]) == ("2", "10")
    assert first["listing"].startswith("sha256:")
    assert identify_url(f"local://{tmp_path}/two") == first
    assert (changed["nfiles"], changed["size"]) == ("2", "10")
    assert changed["listing"] != first["listing"]


def test_a_relative_path_is_looked_for_in_the_jobs_own_folder_first(tmp_path: Path) -> None:
    """What lies in neither folder, or in the folder of the start alone, is meant there."""
    places = Places(tmp_path / "job", tmp_path, tmp_path)
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "own").touch()
    for name in ("own", "other"):
        (tmp_path / name).touch()

    assert places.written("own") == "job/own"
    assert places.written("other") == "other"
    assert places.written("none") == "none"


def test_a_path_through_a_link_is_below_the_root(tmp_path: Path) -> None:
    """Links above a path are followed to find the root; the path's own last part is kept."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "last").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "root")
    places = Places(tmp_path, tmp_path, tmp_path / "root")

    assert places.written("link/last") == "last"
    assert places.written("last") == (tmp_path / "last").as_posix()


def test_many_outputs_are_kept_by_size_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above ``largest`` a file has a size alone, however many there are."""
    monkeypatch.setenv("FLEXLOCK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "out").mkdir()
    for number in range(300):
        (tmp_path / "out" / str(number)).touch()
    (tmp_path / "out" / "large").write_text("123456")
    found, _ = OutputFolder(tmp_path / "out", OutputSelection(largest=5)).observe()

    assert (found.nfiles, found.unhashed) == (300, {"large": 6})


def test_the_inputs_of_a_run_share_what_is_hashed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither many files nor many bytes add up to a job that waits."""
    monkeypatch.setenv("FLEXLOCK_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("1234")
    for inputs in (Inputs(files=2), Inputs(size=9)):
        for path in ("a/x", "b"):
            assert inputs.look(path, HashTask(str(tmp_path / path)), wait=False) is not None
        for path in ("c/x", "c"):
            assert inputs.look(path, HashTask(str(tmp_path / path)), wait=False) is None
        inputs.finish(None)


def test_variables_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~`` and variables are expanded, unless a path has such a name itself."""
    places = Places(tmp_path, tmp_path, tmp_path)
    monkeypatch.setenv("HERE", str(tmp_path / "there"))
    (tmp_path / "$HERE").mkdir()
    monkeypatch.chdir(tmp_path)

    assert places.locate("$HERE/x") == tmp_path / "there" / "x"
    assert places.locate("$HERE") == tmp_path / "$HERE"
    assert places.locate("~/x") == Path(os.environ["HOME"], "x")
