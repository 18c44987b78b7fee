"""The snapshot holds the very bytes: line ends, filters, encodings, odd indexes."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint
from tests.support.trees import code_files, listing, snapshot

pytestmark = pytest.mark.usefixtures("own_home")

CRLF, LF, MIXED = b"a\r\nb\r\n", b"a\nb\n", b"a\r\nb\n"
FILES = {"crlf.py": CRLF, "lf.py": LF, "mixed.py": MIXED}


def checked_out(project: Project, commit: str, into: Path) -> dict[bytes, tuple[str, bytes]]:
    """What a worktree of the same repository, with its configuration, gets of a commit."""
    project.git("worktree", "add", "-q", "--detach", str(into), commit)
    found = listing(into)
    project.git("worktree", "remove", "--force", str(into))
    return found


def untouchable(project: Project) -> dict[str, object]:
    """What no snapshot may change; a shared index gets a new time whenever git reads it."""
    found = fingerprint(project.root)
    return {name: each for name, each in found.items() if not name.startswith(".git/sharedindex.")}


def exact_or_named(project: Project, tmp_path: Path) -> tuple[str, ...]:
    """Check that a checkout differs in the named files alone; the reasons."""
    before = untouchable(project)
    state = snapshot(project.root)
    assert untouchable(project) == before
    back, here = checked_out(project, state.commit, tmp_path / "tree"), code_files(project)
    other = {os.fsdecode(name) for name in {*back, *here} if back.get(name) != here.get(name)}
    assert other == {reason.split(" would ")[0] for reason in state.reasons}
    assert state.completeness == ("partial" if other else "exact")
    return state.reasons


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("eol", ["native", "lf", "crlf"])
@pytest.mark.parametrize("autocrlf", ["true", "input", "false"])
def test_line_ends_under_each_configuration(
    autocrlf: str, eol: str, committed: bool, rich: Project, tmp_path: Path
) -> None:
    """A checkout gives the bytes that were there, or the file is named."""
    rich.git("config", "core.autocrlf", autocrlf)
    rich.git("config", "core.eol", eol)
    for name, content in FILES.items():
        rich.write(name, content)
    if committed:
        rich.commit()
    reasons = exact_or_named(rich, tmp_path)

    if autocrlf != "true":
        assert reasons == ()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("attributes", [
    "* text=auto", "* text", "* -text", "* eol=lf", "* eol=crlf", "* text=auto eol=crlf",
    "*.py binary", "*.py ident", "* text=auto\nlf.py eol=crlf",
])
def test_line_ends_under_each_attribute(
    attributes: str, committed: bool, rich: Project, tmp_path: Path
) -> None:
    """The same for .gitattributes, before and after the files are committed."""
    rich.write(".gitattributes", attributes + "\n")
    for name, content in FILES.items():
        rich.write(name, content)
    if committed:
        rich.commit()

    exact_or_named(rich, tmp_path)


@pytest.mark.parametrize("place", [".git/info/attributes", "~/.config/git/attributes", "other"])
def test_line_ends_under_attributes_outside_the_tree(
    place: str, rich: Project, tmp_path: Path
) -> None:
    """Attributes that no commit holds turn line ends as well: the file is named."""
    path = Path(place.replace("~", os.environ["HOME"]))
    rich.write(str(path), "lf.py eol=crlf\n")
    if place == "other":
        rich.git("config", "core.attributesFile", str(rich.path("other")))
    for name, content in FILES.items():
        rich.write(name, content)
    rich.commit()

    assert [reason.split(" ")[0] for reason in exact_or_named(rich, tmp_path)] == ["lf.py"]


def test_raw_bytes_are_kept_where_git_would_change_them(rich: Project) -> None:
    """CRLF in a text file is stored as it is, where git would store LF."""
    rich.write(".gitattributes", "*.py text=auto\n")
    rich.write("crlf.py", CRLF)
    state = snapshot(rich.root)

    assert state.reasons == ()
    raw = rich.git("hash-object", "--no-filters", "crlf.py")
    assert rich.git("rev-parse", f"{state.commit}:crlf.py") == raw


@pytest.mark.parametrize("content", ["a = 'ü'\n", "a = 1\n"])
@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16", "latin1"])
def test_working_tree_encodings(
    encoding: str, content: str, rich: Project, tmp_path: Path
) -> None:
    """A file in another encoding comes back in it."""
    rich.write(".gitattributes", f"*.enc working-tree-encoding={encoding}\n")
    rich.write("a.enc", content.encode(encoding))

    exact_or_named(rich, tmp_path)


FILTERS = {
    "both ways": ("tr a-z b-za", "tr b-za a-z"),
    "clean alone": ("sed /out/d", "cat"),
    "large files": ("printf 'pointer\\n'; cat > /dev/null", "cat > /dev/null; printf 'x = 1\\n'"),
    "none": ("", ""),
}


@pytest.mark.parametrize("kind", FILTERS)
def test_filters(kind: str, rich: Project, tmp_path: Path) -> None:
    """Filters of the user's run as git runs them; the bytes come back all the same."""
    clean, smudge = FILTERS[kind]
    rich.write(".gitattributes", "*.nb filter=own\n*.bin filter=lfs diff=lfs merge=lfs -text\n")
    if clean:
        rich.git("config", "filter.own.clean", clean)
        rich.git("config", "filter.own.smudge", smudge)
    rich.write("a.nb", "x = 1\n" if kind == "large files" else "cell\nout\n")
    rich.write("b.bin", bytes(range(256)))
    rich.commit()
    rich.write("a.nb", "x = 1\n" if kind == "large files" else "cell 2\nout 2\n")

    assert exact_or_named(rich, tmp_path) == ()


# Names


def test_a_name_that_changes_its_case_alone(rich: Project, tmp_path: Path) -> None:
    """A file renamed from a.py to A.py is there under its new name."""
    rich.path("lib/a.py").rename(rich.path("lib/A.py"))

    assert exact_or_named(rich, tmp_path) == ()


@pytest.mark.parametrize("precompose", ["true", "false"])
def test_names_in_both_normal_forms(
    precompose: str, rich: Project, tmp_path: Path
) -> None:
    """One name composed and one decomposed are two files."""
    rich.git("config", "core.precomposeUnicode", precompose)
    for form in ("NFC", "NFD"):
        rich.write(unicodedata.normalize(form, "café.py"), form)

    assert exact_or_named(rich, tmp_path) == ()


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
def test_names_with_line_ends_and_quotes_under_line_end_rules(
    rich: Project, tmp_path: Path
) -> None:
    """Odd names take part in the check of bytes."""
    rich.write(".gitattributes", "* text=auto\n")
    for name in ("tab\t.py", 'quote".py', "-x.py", ":(top).py", "*.py", " .py"):
        rich.write(name, CRLF)
    rich.write("new\nline.py", LF)

    assert exact_or_named(rich, tmp_path) == ()


# Indexes


def sparse(project: Project) -> None:
    project.git("sparse-checkout", "set", "--cone", "lib")
    project.write("lib/a.py", "a = 2\n")


def split(project: Project) -> None:
    project.git("update-index", "--split-index")
    project.write("lib/a.py", "a = 2\n")
    project.git("add", "lib/a.py")
    project.write("lib/b.py", "b = 2\n")


def untracked_cache(project: Project) -> None:
    project.git("update-index", "--untracked-cache")
    project.git("status")
    project.write("lib/new.py", "n = 1\n")


def newest_index(project: Project) -> None:
    project.git("update-index", "--index-version", "4")
    project.write("lib/a.py", "a = 2\n")


def hidden(project: Project) -> None:
    project.git("update-index", "--assume-unchanged", "lib/a.py")
    project.git("update-index", "--skip-worktree", "lib/b.py")
    project.write("lib/a.py", "a = 2\n")
    project.write("lib/b.py", "b = 2\n")


@pytest.mark.parametrize("make", [split, untracked_cache, newest_index, hidden],
                         ids=lambda make: make.__name__)
def test_kinds_of_indexes(make: object, rich: Project, tmp_path: Path) -> None:
    """The index may be split, cached, of another version, or told to overlook files."""
    assert callable(make)
    make(rich)

    assert exact_or_named(rich, tmp_path) == ()


@pytest.mark.parametrize("index", ["true", "false"])
def test_a_cone_of_a_sparse_checkout(index: str, rich: Project) -> None:
    """What is outside of the cone is as in HEAD; a sparse index stays sparse."""
    rich.write("far/off/c.py", "c = 1\n")
    rich.commit()
    rich.git("config", "index.sparse", index)
    sparse(rich)
    before = fingerprint(rich.root)
    state = snapshot(rich.root)

    assert not rich.path("far").exists()
    assert (state.dirty, state.completeness) == (("lib/a.py",), "exact")
    assert rich.git("show", f"{state.commit}:far/off/c.py") == "c = 1"
    assert fingerprint(rich.root) == before


def test_a_shallow_clone(rich: Project, tmp_path: Path) -> None:
    """A clone without its history has a snapshot on the commit that it has."""
    rich.commit("another")
    clone = Project(tmp_path / "clone", rich.env)
    rich.git("clone", "-q", "--depth", "1", f"file://{rich.root}", str(clone.root))
    clone.write("lib/a.py", "a = 2\n")

    assert exact_or_named(clone, tmp_path) == ()
