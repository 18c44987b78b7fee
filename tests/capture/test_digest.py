"""DVC's object ids, made without DVC."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flexlock_hydra.capture.data.digest import (
    FileDigest,
    digest,
    digest_bytes,
    fingerprint,
    of_files,
    parse_tree_object,
    summarize,
    tree_object,
)
from flexlock_hydra.errors import DataError
from tests.conftest import Project
from tests.support.environ import clean_env

EMPTY_FILE = "d41d8cd98f00b204e9800998ecf8427e"
EMPTY_FOLDER = "d751713988987e9331980363e24189ce.dir"  # of the listing `[]`
HELLO = "5d41402abc4b2a76b9719d911017c592"


def files(root: Path, **content: str | bytes) -> None:
    """Write files below a folder, made where it is missing."""
    named(root, {name.replace("__", "/"): text for name, text in content.items()})


def named(root: Path, content: dict[str, str | bytes]) -> None:
    """Write files of any name below a folder."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


def one_file(path: Path) -> None:
    path.write_bytes(b"hello")


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def crlf_file(path: Path) -> None:
    path.write_bytes(b"a\r\nb\r\n")


def big_file(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4 * 1024 * 20)


def nested(path: Path) -> None:
    files(path, a="1", sub__b="2", sub__deeper__c="3", sub__deeper__again__d="4")


def unicode_nfc(path: Path) -> None:
    named(path, {unicodedata.normalize("NFC", "é/ü.txt"): "1", "日本語": "2", "😀": "3"})


def unicode_nfd(path: Path) -> None:
    named(path, {unicodedata.normalize("NFD", "é/ü.txt"): "1"})


def unicode_both(path: Path) -> None:
    named(path, {unicodedata.normalize(form, "é"): form for form in ("NFC", "NFD")})


def odd_names(path: Path) -> None:
    odd = ["a b", "it's", 'say "x"', "new\nline", "back\\slash", "tab\t", " lead", "#", "%20",
           "-v", "~", "*", "[a]", "\x7f", "trail "]
    named(path, {name: name for name in odd})


def sort_traps(path: Path) -> None:
    traps = ["a.b", "a/b", "a-b", "a b", "ab", "A", "B/c", "b", "Z", "_", "aa/a", "a0", "é",
             "\U0001f600", "\uffee", "10", "9"]
    named(path, {name: name for name in traps})


def same_content(path: Path) -> None:
    files(path, a="x", b="x", sub__c="x")


def linked_file(path: Path) -> None:
    files(path, real="content", sub__x="1")
    (path / "link").symlink_to("real")
    (path / "sub" / "up").symlink_to("../real")
    outside = path.with_name("outside.txt")
    outside.write_text("from elsewhere")
    (path / "absolute").symlink_to(outside)


def empty_subfolder(path: Path) -> None:
    files(path, a="1")
    (path / "empty" / "deeper").mkdir(parents=True)


def empty_folder(path: Path) -> None:
    path.mkdir()


def many_small(path: Path) -> None:
    named(path, {f"{i % 40}/{i}.txt": str(i) for i in range(2000)})


def hidden_names(path: Path) -> None:
    named(path, {".hidden": "1", ".config/x": "2", ".gitignore": "*.csv\n", "x.csv": "3"})


def other_repositories(path: Path) -> None:
    files(path, a="1")
    named(path, {".hg/store": "2", "sub/.git/HEAD": "ref: x", "sub/b": "3", ".github/w": "4"})


def submodule(path: Path) -> None:
    named(path, {"a": "1", "sub/.git": "gitdir: ../.git/modules/sub\n", "sub/b": "2"})


def executable(path: Path) -> None:
    files(path, run="#!/bin/sh\n")
    (path / "run").chmod(0o755)


CASES = [
    one_file, empty_file, crlf_file, big_file, nested, unicode_nfc, unicode_nfd, unicode_both,
    odd_names, sort_traps, same_content, linked_file, empty_subfolder, empty_folder, many_small,
    hidden_names, other_repositories, submodule, executable,
]
Case = Callable[[Path], None]


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every case in it, each one added by DVC itself."""
    root = tmp_path_factory.mktemp("dvc")
    dvc = Project(root, clean_env(root))
    for case in CASES:
        case(root / case.__name__)
    dvc.dvc("init", "--no-scm", "-q")
    dvc.dvc("add", "-q", *(case.__name__ for case in CASES))
    return root


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.__name__))
def test_the_id_is_the_one_of_dvc(case: Case, added: Path) -> None:
    """The id of a file or folder is what ``dvc add`` writes for it."""
    (out,) = yaml.safe_load((added / f"{case.__name__}.dvc").read_bytes())["outs"]
    found = digest(added / case.__name__)

    assert found.md5 == out["md5"]
    assert found.size == out["size"]
    assert found.nfiles == out.get("nfiles", 1)


@pytest.mark.parametrize("case", [nested, odd_names, unicode_both, sort_traps, linked_file])
def test_the_listing_is_the_one_of_dvc(case: Case, added: Path) -> None:
    """The bytes of a folder's listing are those in DVC's own cache."""
    found = digest(added / case.__name__)
    oid = found.md5
    stored = added / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]

    assert tree_object(found.files) == stored.read_bytes()


# Literal ids


LITERAL: list[tuple[Case, str]] = [
    (one_file, HELLO),
    (empty_file, EMPTY_FILE),
    (empty_folder, EMPTY_FOLDER),
    (nested, "87d14ddd2b0cf7cc5667f8494cf5014d.dir"),
]


@pytest.mark.parametrize(("case", "md5"), LITERAL)
def test_known_ids(case: Case, md5: str, tmp_path: Path) -> None:
    """The ids of a few files and folders are these, for ever."""
    case(tmp_path / "x")

    assert digest(tmp_path / "x").md5 == md5


def test_a_folder_is_told_by_its_id(tmp_path: Path) -> None:
    """The id of a folder ends with ``.dir``, that of a file does not."""
    files(tmp_path / "folder", a="hello")

    assert digest(tmp_path / "folder").is_folder
    assert not digest(tmp_path / "folder" / "a").is_folder


def test_every_file_is_listed(tmp_path: Path) -> None:
    """A folder's digest names each file with its md5 and size."""
    files(tmp_path, a="hello", sub__b="")

    assert digest(tmp_path).files == {
        "a": FileDigest(HELLO, 5),
        "sub/b": FileDigest(EMPTY_FILE, 0),
    }


def test_sums(tmp_path: Path) -> None:
    """Size and number of files are the sums over the whole folder."""
    files(tmp_path, a="hello", sub__b="12", sub__c="")
    found = digest(tmp_path)

    assert (found.size, found.nfiles) == (7, 3)


def test_a_single_file_stands_under_the_empty_name(tmp_path: Path) -> None:
    """The digest of a file holds that file alone, under the empty name."""
    one_file(tmp_path / "x")

    assert digest(tmp_path / "x").files == {"": FileDigest(HELLO, 5)}


def test_the_time_of_the_read_is_kept(tmp_path: Path) -> None:
    """A file's digest knows the modification time that the file had when it was read."""
    one_file(tmp_path / "x")
    os.utime(tmp_path / "x", ns=(1, 1_700_000_000_123_456_789))

    assert digest(tmp_path / "x").files[""].mtime_ns == 1_700_000_000_123_456_789


def test_a_link_to_a_folder_is_the_folder(tmp_path: Path) -> None:
    """An input that is itself a link has the id of what it leads to."""
    nested(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")

    assert digest(tmp_path / "link") == digest(tmp_path / "real")


def test_names_are_bytes_not_looks(tmp_path: Path) -> None:
    """The composed and the decomposed form of a name give different ids."""
    unicode_nfc(tmp_path / "c")
    unicode_nfd(tmp_path / "d")
    same = {"é/ü.txt"}
    normal = {unicodedata.normalize("NFC", name) for name in digest(tmp_path / "d").files}

    assert normal == {unicodedata.normalize("NFC", name) for name in same}
    assert digest(tmp_path / "d").md5 != of_files(
        {name: digest_bytes(b"1") for name in normal}
    ).md5


def test_bytes_have_the_id_of_a_file_that_holds_them() -> None:
    """The digest of bytes is that of a file with them."""
    assert digest_bytes(b"hello") == FileDigest(HELLO, 5)


# Leaving out


def test_files_and_folders_can_be_left_out(tmp_path: Path) -> None:
    """``leave_out`` drops a file by its path, and a folder with all in it."""
    files(tmp_path, a="1", b="2", sub__a="3", logs__x="4", logs__deep__y="5")

    found = digest(tmp_path, lambda name: name in ("a", "logs/"))

    assert sorted(found.files) == ["b", "sub/a"]


def test_what_is_left_out_is_not_reported(tmp_path: Path) -> None:
    """A pipe that the caller leaves out needs no word about it."""
    os.mkfifo(tmp_path / "pipe")

    assert digest(tmp_path, lambda name: name == "pipe").skipped == ()


def test_a_file_above_the_largest_size_is_not_read(tmp_path: Path) -> None:
    """A file of just the largest size is hashed; one byte more, and it has a size alone."""
    files(tmp_path, a="123", b="1234")

    found = summarize(tmp_path, largest=3)

    assert (found.nfiles, found.size, found.unhashed) == (1, 3, {"b": 4})


def test_a_file_above_the_largest_size_counts_as_a_change(tmp_path: Path) -> None:
    """The fingerprint of a folder is another where a file that is not read has a new size."""
    files(tmp_path, a="123", b="1234")
    found = summarize(tmp_path, largest=3).fingerprint
    assert fingerprint(tmp_path, since=0, largest=3)[0] == found
    files(tmp_path, b="12345")

    assert fingerprint(tmp_path, since=0, largest=3)[0] != found


@pytest.mark.parametrize("name", ["", "a"])
def test_a_late_file_is_named_whatever_its_mtime(name: str, tmp_path: Path) -> None:
    """A file that changed since is told in a folder and alone, with its mtime put back."""
    files(tmp_path, a="1")
    os.utime(tmp_path / "a", (1e9, 1e9))
    changed = (tmp_path / "a").stat().st_ctime_ns

    assert summarize(tmp_path / name, since=changed).late == "a"
    assert summarize(tmp_path / name, since=changed + 1).late == ""


@pytest.mark.parametrize("content", ["", "1"])
def test_a_pipe_in_a_files_place_is_refused(content: str, tmp_path: Path) -> None:
    """What became a pipe after the folder was listed does not pass for a file."""
    files(tmp_path, a=content, b="2")

    def change(name: str) -> bool:
        if name == "b":
            (tmp_path / "a").unlink()
            os.mkfifo(tmp_path / "a")
        return False

    with pytest.raises(DataError, match=f"^{tmp_path}/a cannot be read: no regular file any more"):
        digest(tmp_path, change)


def test_a_file_that_vanishes_meanwhile_is_named(tmp_path: Path) -> None:
    """What was there when the folder was listed, and not when its file was, is no data."""
    files(tmp_path, a="1", b="2")

    def remove(name: str) -> bool:
        (tmp_path / name).unlink()
        return False

    found = digest(tmp_path, remove)

    assert found.skipped == tuple(
        f"{tmp_path / name} left out: it vanished while the folder was read" for name in "ab"
    )


# Listings


def test_a_listing_is_parsed_again(tmp_path: Path) -> None:
    """The names and md5s of a listing are read back from its bytes."""
    odd_names(tmp_path / "x")
    found = digest(tmp_path / "x").files

    assert parse_tree_object(tree_object(found)) == {
        name: file.md5 for name, file in found.items()
    }


def test_the_id_of_a_folder_is_the_md5_of_its_listing(tmp_path: Path) -> None:
    """Who has the listing can prove it by the folder's id."""
    nested(tmp_path / "x")
    found = digest(tmp_path / "x")

    assert found.md5 == f"{hashlib.md5(tree_object(found.files)).hexdigest()}.dir"


def test_a_listing_is_sorted_whatever_the_order_of_the_files() -> None:
    """The order in which files are found does not change the bytes."""
    names = ["b", "a/b", "a.b", "A"]
    forth = {name: FileDigest(HELLO, 5) for name in names}
    back = {name: FileDigest(HELLO, 5) for name in reversed(names)}

    assert tree_object(forth) == tree_object(back)
    assert [entry["relpath"] for entry in json.loads(tree_object(forth))] == sorted(names)


@pytest.mark.parametrize("content", [b"", b"{}x", b"3", b'[{"md5": "x"}]', b"[1]", b"\xff",
                                     b'{"a": 1}', b"null"])
def test_a_damaged_listing_is_refused(content: bytes) -> None:
    """Bytes that are no listing are DataError."""
    with pytest.raises(DataError, match="damaged listing"):
        parse_tree_object(content)


def test_nothing_of_dvc_is_imported(tmp_path: Path) -> None:
    """Hashing a folder loads the standard library alone: no DVC, no GitPython, no Hydra."""
    nested(tmp_path / "x")
    program = (
        "import sys, pathlib\n"
        "from flexlock_hydra.capture.data.digest import digest\n"
        "digest(pathlib.Path(sys.argv[1]))\n"
        "print(sorted({'dvc', 'dvc_data', 'dvc_objects', 'fsspec', 'git', 'hydra'}\n"
        "             & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "x"],
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert done.stdout == b"[]\n"
