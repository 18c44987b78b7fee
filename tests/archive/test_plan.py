"""The plan: every out is described whole, nothing overlaps, no version is lost."""

from __future__ import annotations

from pathlib import Path

import yaml
from hypothesis import given
from hypothesis import strategies as st

from flexlock_hydra.archive.tag import metafiles
from flexlock_hydra.archive.tag.metafiles import parse_metafile
from flexlock_hydra.archive.tag.plan import Piece, Plan, make_plan
from flexlock_hydra.capture.data.digest import Digest, FileDigest, digest_bytes, of_files
from flexlock_hydra.ports.store.store import RemoteSpec
from flexlock_hydra.record.relative_path import is_under, join_path

NEW, OLD = "20260102T000000Z-00000002", "20260101T000000Z-00000001"


def file(content: str) -> FileDigest:
    """The digest of a small file."""
    return digest_bytes(content.encode())


def piece(run: str, path: str, files: dict[str, str] | str, name: str = "d") -> Piece:
    """A piece of data: a folder's files, or one file's content."""
    if isinstance(files, str):
        found = Digest(file(files).md5, {"": file(files)})
    else:
        found = of_files({rel: file(content) for rel, content in files.items()})
    return Piece(run, name, path, found, Path(path))


def test_data_in_git_needs_no_metafile() -> None:
    """What git brings back byte for byte is no out."""
    plan = make_plan([piece(NEW, "data", {"a": "1"})], {"data/a": file("1")}, ["data/a"])
    assert plan.outs == ()


def test_partly_tracked_folder_is_described_whole() -> None:
    """An out's listing holds git's files too, else DVC refuses to write it."""
    data = piece(NEW, "data", {"a": "1", "b": "2"})
    plan = make_plan([data], {"data/a": file("1")}, ["data/a"])
    assert [out.path for out in plan.outs] == ["data"]
    assert plan.outs[0].digest == data.digest
    assert plan.remove == ()


def test_other_bytes_in_git_make_room() -> None:
    """A tracked file with other bytes (a pointer) leaves the tag's tree."""
    plan = make_plan([piece(NEW, "d", {"a": "1"})], {"d/a": file("pointer")}, ["d/a", "x"])
    assert plan.remove == ("d/a",)


def test_a_link_in_the_way_is_removed() -> None:
    """A tracked link at, above or below an out leaves the tag's tree."""
    for leaf in ("data", "data/set", "data/set/link"):
        plan = make_plan([piece(NEW, "data/set", {"a": "1"})], {}, [leaf])
        assert plan.remove == (leaf,)


def test_a_child_equal_to_its_parents_entry_is_no_out_of_its_own() -> None:
    """Overlapping outs become one."""
    plan = make_plan(
        [piece(NEW, "data/a", "1"), piece(OLD, "data", {"a": "1", "b": "2"})], {}, []
    )
    assert [out.path for out in plan.outs] == ["data"]


def test_another_version_goes_aside() -> None:
    """A predecessor's other version of a path has a place of its own."""
    plan = make_plan([piece(NEW, "d/a", "new"), piece(OLD, "d/a", "old")], {}, [])
    assert [out.path for out in plan.outs] == [f".flexlock/runs/{OLD}/d/a", "d/a"]


def test_a_version_with_more_files_goes_aside() -> None:
    """A folder that would come back with a file too many has a place of its own."""
    plan = make_plan([piece(NEW, "d", {"a": "1", "b": "2"}), piece(OLD, "d", {"a": "1"})], {}, [])
    assert f".flexlock/runs/{OLD}/d" in [out.path for out in plan.outs]


def test_a_lock_may_stand_in_an_output_folder() -> None:
    """Outputs say nothing of locks and logs, so a folder with them is no other version."""
    found = of_files({"m": file("1")})
    outputs = Piece(OLD, "outputs", "o", found, Path("o"), frozenset({"x.log"}))
    whole = piece(NEW, "o", {"m": "1", "run.lock": "lock", "x.log": "log"})
    plan = make_plan([whole, outputs], {"o/run.lock": file("lock")}, [])
    assert [out.path for out in plan.outs] == ["o"]
    assert set(plan.outs[0].digest.files) == {"m", "run.lock", "x.log"}


def test_metafiles_of_the_user_are_named_literally() -> None:
    """A project's own DVC files are ignored in the tag, whatever their names."""
    leaves = ["a b.dvc", "x[1].dvc", "dvc.yaml", "sub/dvc.lock", "train.py", "sub/.dvc/config"]
    files = metafiles.tree_files(Plan((), (), ()), {}, RemoteSpec("/r"), leaves, None)
    assert files[".dvcignore"] == b"/a\\ b.dvc\n/dvc.yaml\n/sub/dvc.lock\n/x\\[1\\].dvc\n"
    assert metafiles.nested_dvc(leaves) == ["sub/.dvc/config"]


def test_no_secret_in_the_tags_configuration() -> None:
    """Credentials stay out of what is committed, settings of the place stay in."""
    remote = RemoteSpec(
        "https://ada:pass@host/x", {"password": "pw", "user": "eve", "secret_access_key": "k"}
    )
    text = metafiles.dvc_config(remote)
    assert "user = eve" in text and "verify = true" in text
    assert not any(secret in text for secret in ("pass@", "pw", "secret"))


WORLD = st.dictionaries(
    st.sampled_from(["p/a", "p/b", "p/q/a", "p/q/d/e", "p/d/f", "r/a"]),
    st.sampled_from("12"),
    min_size=1,
)
ROOTS = st.lists(st.sampled_from(["p", "p/q", "p/d", "r"]), max_size=3, unique=True)


def seen(run: str, world: dict[str, str], roots: list[str]) -> list[Piece]:
    """What a run records of the files that were there: some folders, maybe nested."""
    below = {root: [path for path in world if is_under(path, root)] for root in roots}
    return [
        piece(run, root, {path[len(root) + 1:]: world[path] for path in paths})
        for root, paths in below.items()
        if paths
    ]


PIECES = st.tuples(
    st.builds(seen, st.just(NEW), WORLD, ROOTS), st.builds(seen, st.just(OLD), WORLD, ROOTS)
).map(lambda both: both[0] + both[1])


@given(PIECES, st.dictionaries(st.sampled_from(["p/a", "p/q/b", "r/c"]), st.sampled_from("12")))
def test_whatever_overlaps_every_piece_comes_back_whole(
    pieces: list[Piece], tracked: dict[str, str]
) -> None:
    """Outs never overlap, and each folder that DVC writes is described to the last file."""
    git_files = {path: file(content) for path, content in tracked.items()}
    plan = make_plan(pieces, git_files, git_files)
    roots = [out.path for out in plan.outs]
    assert not any(is_under(a, b) for a in roots for b in roots if a != b)
    restored = {path: f for path, f in git_files.items() if path not in plan.remove}
    for out in plan.outs:
        written = {join_path(out.path, rel): f for rel, f in out.digest.files.items()}
        below = {path for path in restored if is_under(path, out.path)}
        assert below <= set(written), "git would leave a file that DVC does not know"
        assert all(restored[path] == written[path] for path in below)
        restored |= written
    for placed in plan.pieces:
        if placed.run == OLD:
            assert all(restored[path] == f for path, f in placed.files().items())


@given(st.text(min_size=1).filter(lambda path: "\0" not in path))
def test_metafiles_are_read_as_they_were_written(path: str) -> None:
    """A path of any characters survives the way through a metafile."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return
    out = make_plan([piece(NEW, path, "1")], {}, []).outs[0]
    content = metafiles.metafile(out)
    parsed = parse_metafile(content, "0000.dvc")
    assert (parsed.path, parsed.md5) == (path, file("1").md5)
    assert yaml.safe_load(content)["outs"][0]["path"] == path
