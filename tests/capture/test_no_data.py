"""What is no data: pipes, sockets, broken links, and what is not there."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from flexlock_hydra.capture.data.digest import digest
from flexlock_hydra.errors import DataError
from tests.capture.test_digest import Case, files, nested, one_file

# What is no data


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    os.chdir(path.parent)  # a socket's path is short
    server.bind(path.name)
    server.close()


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_folder_link(path: Path) -> None:
    (path.parent.parent / "other").mkdir()
    path.symlink_to("../other")


NO_DATA: list[tuple[Case, str]] = [
    (make_fifo, "neither a file nor a folder"),
    (make_socket, "neither a file nor a folder"),
    (make_broken_link, "a broken link"),
    (make_loop, "a broken link"),
    (make_folder_link, "a link to a folder"),
]


@pytest.mark.parametrize(("make", "reason"), NO_DATA)
def test_what_is_no_data_is_left_out_and_named(
    make: Case, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe, a socket, a broken link, a link to a folder: named, and the rest hashed."""
    monkeypatch.chdir(tmp_path)
    files(tmp_path / "data", a="hello")
    make(tmp_path / "data" / "odd")
    found = digest(tmp_path / "data")

    assert found.skipped == (f"{tmp_path}/data/odd left out: {reason}",)
    assert list(found.files) == ["a"]


def test_what_was_left_out_changes_no_id(tmp_path: Path) -> None:
    """The id of a folder with a pipe in it is that of the files alone."""
    nested(tmp_path / "x")
    plain = digest(tmp_path / "x").md5
    os.mkfifo(tmp_path / "x" / "sub" / "pipe")

    assert digest(tmp_path / "x").md5 == plain


@pytest.mark.parametrize("make", [make_fifo, make_socket])
def test_an_input_that_is_no_file_is_refused(
    make: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe or socket as the input itself is DataError, and nobody waits for it."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "odd")
    with pytest.raises(DataError, match="odd is neither a file nor a folder"):
        digest(tmp_path / "odd")


@pytest.mark.parametrize("make", [lambda path: None, make_broken_link])
def test_a_missing_input_is_named(make: Case, tmp_path: Path) -> None:
    """An input that is not there, or a link to nothing, is DataError with its path."""
    make(tmp_path / "gone")
    with pytest.raises(DataError, match=f"^{tmp_path}/gone is missing$"):
        digest(tmp_path / "gone")


@pytest.mark.parametrize("where", ["top", "deep"])
def test_a_name_that_is_not_utf8_is_refused(where: str, tmp_path: Path) -> None:
    """A file whose name is no UTF-8 is DataError with the name's bytes and a way on."""
    folder = tmp_path / "data" / ("" if where == "top" else "sub")
    folder.mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_text("x")
    with pytest.raises(DataError, match=r"caf\\xe9.* has a name that is not UTF-8") as caught:
        digest(tmp_path / "data")

    assert "Rename" in caught.value.hint


def test_a_path_below_a_file_is_an_error_with_its_name(tmp_path: Path) -> None:
    """A path that goes through a file is DataError with the path."""
    one_file(tmp_path / "x")
    with pytest.raises(DataError, match="x/y cannot be read: Not a directory"):
        digest(tmp_path / "x" / "y")
