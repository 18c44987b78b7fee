"""Outputs of two runs beside each other: identical, close, or different, and in what."""

from __future__ import annotations

import gzip
import json
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Union

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, parquet

from flexlock_hydra.cli.views import reruns as cli
from flexlock_hydra.record.volatile import FILES, KEYS
from flexlock_hydra.replay.compare.file_kinds import compare_contents
from flexlock_hydra.replay.compare.judge import Rules
from flexlock_hydra.replay.compare.outcome import Comparison, Outcome
from flexlock_hydra.replay.compare.path_names import Moved
from flexlock_hydra.replay.compare.tolerance import Tolerance

Content = Union[str, bytes, Callable[[Path], Any]]
FEW = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def compared(
    folder: Path, name: str, old: Content, new: Content, rules: Rules = Rules()
) -> Outcome:
    """Two files of one name, written and compared."""
    paths = []
    for side, content in (("old", old), ("new", new)):
        path = folder / side / name
        path.parent.mkdir(exist_ok=True)
        paths.append(path)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return compare_contents(name, paths[0], paths[1], rules)


def array(values: Any, **kwargs: Any) -> Callable[[Path], None]:
    """Writes a .npy file."""
    return lambda path: np.save(path, np.asarray(values, **kwargs), allow_pickle=True)


def hdf5(scale: float, note: str = "a") -> Callable[[Path], None]:
    """Writes an HDF5 file: two datasets in a group, an attribute, a link to another file."""

    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            group = file.create_group("layer")
            group["weights"] = np.full((3, 4), scale)
            group["names"] = ["first", note]
            group.attrs["epochs"] = 3
            file["outside"] = h5py.ExternalLink("/etc/hostname", "/")

    return write


def frame(write: Callable[..., Any], **columns: Any) -> Callable[[Path], None]:
    """Writes a table in columns."""
    return lambda path: write(pa.table(columns), str(path))


def safetensors(**tensors: tuple[str, list[int], bytes]) -> bytes:
    """A safetensors file: type, shape and raw elements of each tensor."""
    header, start = {}, 0
    for name, (kind, shape, raw) in tensors.items():
        offsets = [start, start + len(raw)]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
        start += len(raw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in tensors.values())


def archive(when: int = 2020, **members: bytes) -> Callable[[Path], None]:
    """Writes a zip archive whose members are of a year."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(zipfile.ZipInfo(name, (when, 1, 1, 0, 0, 0)), content)

    return write


F4 = "<f4"
ONE = np.float32(1).tobytes()
PLACES: list[tuple[str, Content, Content, str, str]] = [
    ("a.json", '{"a": {"b": [1, 0.5]}}', '{"a": {"b": [1, 0.6]}}', "a.b[1]", "0.5, now 0.6"),
    ("a.json", '{"a": 1}', "{}", "a", "absent"),
    ("a.json", '{"a": [1]}', '{"a": [1, 2]}', "a", "1 items, now 2 items"),
    ("a.json", '{"a": 1}', '{"a": true}', "a", "1, now True"),
    ("a.json", '{"a": 1}', '{"a": "1"}', "a", "1, now '1'"),
    ("a.json", '{"a": null}', '{"a": {}}', "a", "None, now 0 keys"),
    ("a.json", '{"a": 100000}', '{"a": 100001}', "a", "100000, now 100001"),
    ("a.json", '{"a": NaN}', '{"a": 1.0}', "a", "nan, now 1.0"),
    ("a.json", '{"a": Infinity}', '{"a": -Infinity}', "a", "inf, now -inf"),
    ("a.json", '{"a": 1, "a": 2}', '{"a": 3, "a": 2}', "line 1", "a key stands twice"),
    ("a.json", '{"a": 1', '{"a": 2', "line 1", "no JSON; compared as text"),
    ("a.jsonl", '{"a": 1}\n{"a": 2}\n', '{"a": 1}\n{"a": 3}\n', "[1].a", "2, now 3"),
    ("a.jsonl", '{"a": 1}\n', '{"a": 1}\n{"a": 3}\n', "", "1 documents, now 2 documents"),
    ("a.json", '{"a": 1}\n{"a": 2}\n', '{"a": 1}\n{"a": 3}\n', "[1].a", "2, now 3"),
    ("a.yaml", "a:\n  b: [1, x]\n", "a:\n  b: [1, y]\n", "a.b[1]", "x, now y"),
    ("a.yaml", "a: !!python/name:os.getcwd\n", "a: 1\n", "line 1", "no plain YAML"),
    ("a.csv", "x,y\n1,a\n2,b\n", "x,y\n1,a\n3,b\n", "row 2, column x", "2, now 3"),
    ("a.csv", "x,y\n1,a\n", "x,z\n1,a\n", "column y", "there, now absent"),
    ("a.csv", "x,y\n1,a\n", "x,y\n1,a\n2,b\n", "", "1 rows, now 2 rows"),
    ("a.csv", "x,y\n1,a\n", "x,y\n1\n", "row 1", "2 cells, now 1 cells"),
    ("a.csv", 'x,y\n1,"a, ""b"""\n', 'x,y\n1,"a, ""c"""\n', "row 1, column y", 'a, "b", now'),
    ("a.csv", "x;y\n1;2,5\n", "x;y\n1;2,6\n", "row 1, column y", "2,5, now 2,6"),
    ("a.csv", "0.1,0.2\n0.3,0.4\n", "0.1,0.2\n0.3,0.5\n", "row 2, column 2", "0.4, now 0.5"),
    ("a.csv", ",x\n0,1\n", ",x\n1,1\n", "row 1, column 1", "0, now 1"),
    ("a.tsv", "x\ty\n1\ta b\n", "x\ty\n1\ta c\n", "row 1, column y", "a b, now a c"),
    ("a.txt", "one\ntwo\n", "one\nthree\n", "line 2", "two, now three"),
    ("a.txt", "one\n", "one\ntwo\n", "line 2", "absent, now two"),
    ("a.txt", "loss 0.5\n", "loss 0.50000001\n", "line 1", "loss 0.5, now loss 0.50000001"),
    ("a.txt", "# v 1\n0.5\n", "# v 2\n0.5\n", "line 1", "# v 1, now # v 2"),
    ("a.txt", "0.5 1\n0.7 2\n", "0.5 1\n0.7 3\n", "line 2, number 2", "2, now 3"),
    ("a.npy", array([[1.0, 2], [3, 4]]), array([[1.0, 2], [3, 5]]), "[1, 1]", "4.0, now 5.0"),
    ("a.npy", array(1.0), array(2.0), "value", "1.0, now 2.0"),
    ("a.npy", array([1.0]), array([1.0], dtype="f4"), "type", "float64, now float32"),
    ("a.npy", array([1.0]), array([[1.0]]), "shape", "(1,), now (1, 1)"),
    ("a.npy", array(["a"]), array(["b"]), "[0]", "a, now b"),
    ("a.npy", array([2**63 + 1], dtype="u8"), array([2**63], dtype="u8"), "[0]", str(2**63 + 1)),
    ("a.npy", array([-2**63]), array([2**63 - 1]), "[0]", str(-2**63)),
    ("a.npy", array([True]), array([False]), "[0]", "True, now False"),
    ("a.npy", array(["2026-01-01"], dtype="M8[D]"), array(["2026-01-02"], dtype="M8[D]"), "[0]",
     "2026-01-01, now 2026-01-02"),
    ("a.npy", array([(1, [2, 3])], dtype=[("x", "i4"), ("y", "i4", 2)]),
     array([(1, [2, 4])], dtype=[("x", "i4"), ("y", "i4", 2)]), "[0].y", "3, now 4"),
    ("a.npy", array([{"a": 1}], dtype=object), array([{"a": 2}], dtype=object), "byte ",
     "it would have to be unpickled; compared by bytes"),
    ("a.npz", lambda p: np.savez(p, w=[1.0, 2]), lambda p: np.savez(p, w=[1.0, 3]), "w[1]",
     "2.0, now 3.0"),
    ("a.npz", lambda p: np.savez(p, w=[1.0]), lambda p: np.savez(p, v=[1.0]), "w",
     "there, now absent"),
    ("a.npz", lambda p: np.savez(p, w=np.array([{}])), lambda p: np.savez(p, w=np.array([[]] * 1)),
     "w.npy, byte ", "it would have to be unpickled; compared as zip"),
    ("a.parquet", frame(parquet.write_table, x=[1.0, 2.0]),
     frame(parquet.write_table, x=[1.0, 3.0]), "row 2, column x", "2.0, now 3.0"),
    ("a.parquet", frame(parquet.write_table, x=["a", None]),
     frame(parquet.write_table, x=["a", "b"]), "row 2, column x", "None, now b"),
    ("a.parquet", frame(parquet.write_table, x=[1.0, None]),
     frame(parquet.write_table, x=[1.0, 0.0]), "row 2, column x", "None, now 0.0"),
    ("a.parquet", frame(parquet.write_table, x=[[1, 2]]),
     frame(parquet.write_table, x=[[1, 3]]), "row 1, column x[1]", "2, now 3"),
    ("a.parquet", frame(parquet.write_table, x=[1]), frame(parquet.write_table, x=[1.0]),
     "column x", "int64, now double"),
    ("a.parquet", frame(parquet.write_table, x=[1]), frame(parquet.write_table, x=[1, 2]), "",
     "1 rows, now 2 rows"),
    ("a.feather", frame(feather.write_feather, x=[1, 2]),
     frame(feather.write_feather, x=[1, 3]), "row 2, column x", "2, now 3"),
    ("a.h5", hdf5(1.0), hdf5(2.0), "layer/weights[0, 0]", "1.0, now 2.0"),
    ("a.h5", hdf5(1.0), hdf5(1.0, "b"), "layer/names", "a, now b"),
    ("a.safetensors", safetensors(w=("F32", [1], ONE)),
     safetensors(w=("F32", [1], np.float32(2).tobytes())), "w[0]", "1.0, now 2.0"),
    ("a.safetensors", safetensors(w=("BF16", [1], b"\x80\x3f")),
     safetensors(w=("BF16", [1], b"\x00\x40")), "w[0]", "1.0, now 2.0"),
    ("a.safetensors", safetensors(w=("F32", [1], ONE)), safetensors(w=("F32", [1, 1], ONE)),
     "w shape", "(1,), now (1, 1)"),
    ("a.pt", archive(data=b"abc", other=b"x"), archive(data=b"abd", other=b"x"), "data, byte 2",
     "63, now 64"),
    ("a.pkl", pickle.dumps({"a": [1]}), pickle.dumps({"a": [2]}), "a[0]", "1, now 2"),
    ("a.gz", gzip.compress(b"abc", mtime=1), gzip.compress(b"abd", mtime=1), "unpacked, byte 2",
     "63, now 64"),
    ("a.png", b"\x89PNG\0\1", b"\x89PNG\0\2", "byte 5", "01, now 02 (compared by bytes)"),
    ("a.bin", b"\0" * 3_000_000, b"\0" * 2_999_999 + b"\1", "byte 2999999", "00, now 01"),
    ("a.bin", b"\0\0", b"\0", "byte 1", "00, now the end"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "where", "said"),
    PLACES,
    ids=[f"{place[0]} {place[3]} {i}" for i, place in enumerate(PLACES)],
)
def test_the_first_difference_is_told(
    tmp_path: Path, name: str, old: Content, new: Content, where: str, said: str
) -> None:
    """Of a file that differs it is said where, what it was and what it is now."""
    outcome = compared(tmp_path, name, old, new)

    assert outcome.verdict == "differs"
    assert outcome.differences[0].where.startswith(where)
    assert said in str(outcome)


CLOSE: list[tuple[str, Content, Content, str]] = [
    ("a.json", '{"a": 0.5, "b": 1}', '{"b": 1, "a": 0.500001}', "a: 0.5, now 0.500001"),
    ("a.json", '{"a": [NaN, 1.0]}', '{"a": [NaN, 1.000001]}', "a[1]: 1.0, now 1.000001"),
    ("a.jsonl", '{"a": 0.5}\n', '{"a": 0.500001}\n', "[0].a: 0.5, now 0.500001"),
    ("a.yaml", "a: 0.5\n", "a: 0.500001\n", "a: 0.5, now 0.500001"),
    ("a.csv", "x,y\n0.5,a\n", "x,y\n0.500001,a\n", "row 1, column x: 0.5, now 0.500001"),
    ("a.txt", "1 0.5\n", "1 0.500001\n", "line 1, number 2: 0.5, now 0.500001"),
    ("a.npy", array([1.0, 2.0]), array([1.0, 2.000001]), "[1]: 2.0, now 2.000001"),
    ("a.npy", array([1 + 1j]), array([1 + 1.000001j]), "[0]: (1+1j), now (1+1.000001j)"),
    ("a.npy", array([1.0, math.nan, math.inf]), array([1.000001, math.nan, math.inf]),
     "[0]: 1.0, now 1.000001"),
    ("a.npy", array([[1.0, 2], [3, 4]]), array([[1.0, 2], [3, 4]], order="F"),
     "the same values in other bytes"),
    ("a.npy", array([1.0], dtype="<f8"), array([1.0], dtype=">f8"),
     "the same values in other bytes"),
    ("a.npz", lambda p: np.savez(p, w=[1.0]), lambda p: np.savez_compressed(p, w=[1.000001]),
     "w[0]: 1.0, now 1.000001"),
    ("a.parquet", frame(parquet.write_table, x=[1.0, None], y=["a", "b"]),
     frame(parquet.write_table, x=[1.000001, None], y=["a", "b"]),
     "row 1, column x: 1.0, now 1.000001"),
    ("a.parquet", frame(parquet.write_table, x=range(9000)),
     lambda p: parquet.write_table(pa.table({"x": range(9000)}), p, row_group_size=7),
     "the same values in other bytes"),
    ("a.h5", hdf5(1.0), hdf5(1.000001), "layer/weights[0, 0]: 1.0, now 1.000001"),
    ("a.safetensors", safetensors(w=("F32", [1], ONE)),
     safetensors(w=("F32", [1], np.float32(1.000001).tobytes())), "w[0]: 1.0, now 1.00000"),
    ("a.json", '{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "the same values in other bytes"),
    ("a.json", '{"a": 1}', '{"a": 1.0}', "the same values in other bytes"),
    ("a.csv", "x,y\n1,2\n3,4\n", "y,x\n2,1\n4,3\n", "the same values in other bytes"),
    ("a.csv", "x,y\n1,2\n", 'x,y\r\n"1",2\r\n', "the same values in other bytes"),
    ("a.zip", archive(2020, a=b"1"), archive(2021, a=b"1"), "the same contents in another"),
    ("a.pt", archive(2020, a=b"1"), archive(2021, a=b"1"), "the same contents in another"),
    ("a.gz", gzip.compress(b"1", mtime=1), gzip.compress(b"1", mtime=2), "the same contents in"),
]


@pytest.mark.parametrize(
    ("name", "old", "new", "said"), CLOSE, ids=[f"{c[0]} {i}" for i, c in enumerate(CLOSE)]
)
def test_close(tmp_path: Path, name: str, old: Content, new: Content, said: str) -> None:
    """Numbers within the tolerance, or the same values in other bytes, are close."""
    outcome = compared(tmp_path, name, old, new)

    assert outcome.verdict == "close"
    assert said in str(outcome)


def test_whole_numbers_take_the_absolute_tolerance_alone(tmp_path: Path) -> None:
    """A count that is one off differs, however large it is, until --atol says otherwise."""
    pairs: list[tuple[str, Content, Content]] = [
        ("a.json", '{"n": 1000000}', '{"n": 1000001}'),
        ("a.csv", "n\n1000000\n", "n\n1000001\n"),
        ("a.npy", array([1000000]), array([1000001])),
    ]
    for name, old, new in pairs:
        assert compared(tmp_path, name, old, new).verdict == "differs"
        wide = Rules(Tolerance(atol=1))
        assert compared(tmp_path, name, old, new, wide).verdict == "close"


def test_differences_are_counted_and_the_first_ones_kept(tmp_path: Path) -> None:
    """A thousand differences are told by their number and ten examples."""
    old, new = (json.dumps([n + i for i in range(1000)]) for n in (0, 1))
    outcome = compared(tmp_path, "a.json", old, new)

    assert (outcome.differing, len(outcome.differences)) == (1000, 10)
    assert "(and 999 more)" in str(outcome)


def test_long_texts_are_cut_where_they_differ(tmp_path: Path) -> None:
    """Of two long lines the part is told in which they differ."""
    outcome = compared(tmp_path, "a.txt", "x" * 5000 + "old" + "y" * 5000, "x" * 5000 + "new")

    assert len(str(outcome)) < 250
    assert "xxxold" in str(outcome)
    assert "xxxnew" in str(outcome)


# Moved folders.

MOVED = Moved((
    ("/home/ada/project", "/tmp/tree"),
    ("/home/ada/project", "/tmp/tree of the step before"),
    ("/home/ada/project/outputs/a", "/new/1"),
    ("outputs/a", "/new/1"),
    ("/", "/x"),
    ("..", "../.."),
))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("/home/ada/project/data.csv", "/tmp/tree/data.csv", True),
        ("/home/ada/project/outputs/a/model.pt", "/new/1/model.pt", True),
        ("outputs/a/model.pt", "/new/1/model.pt", True),
        ("saved to /home/ada/project.", "saved to /tmp/tree.", True),
        ("file:///home/ada/project/x", "file:///tmp/tree/x", True),
        ("/home/ada/project/x, /home/ada/project/y", "/home/ada/project/x, /tmp/tree/y", True),
        ("/home/ada/project2/x", "/tmp/tree2/x", False),
        ("/home/ada/project/x", "/tmp/tree/y", False),
        ("/home/ada/project.old/x", "/tmp/tree.old/x", False),
        ("my-outputs/a", "my-/new/1", False),
        ("/a", "/x/a", False),
        ("../a", "../../a", False),
        ("/tmp/tree of the step before/x", "/tmp/tree/x", True),
        ("file:///tmp/tree%20of%20the%20step%20before/x", "file:///home/ada/project/x", True),
        ("/new/1/x", "/tmp/tree/x", False),
    ],
)
def test_texts_that_differ_by_moved_folders_alone(old: str, new: str, same: bool) -> None:
    """A path of the run's own folders is the same where only those lie elsewhere."""
    assert MOVED.same(old, new) is same


def test_moved_paths_are_told(tmp_path: Path) -> None:
    """A file that differs by moved paths alone is identical, and they are named."""
    rules = Rules(moved=MOVED)
    old, new = '{"a": {"model": "outputs/a/m.pt"}}', '{"a": {"model": "/new/1/m.pt"}}'
    outcome = compared(tmp_path, "a.json", old, new, rules)

    assert outcome.verdict == "identical"
    assert [(str(each), each.by) for each in outcome.left_out] == [("a.json:a.model", "paths")]
    outcome = compared(tmp_path, "a.txt", "in outputs/a\n", "in /new/1\n", rules)
    assert [(str(each), each.by) for each in outcome.left_out] == [("a.txt:lines", "paths")]


@pytest.mark.parametrize(("old", "new", "verdict"), [
    ("<app.Model object at 0x7f00423b9b90>", "<app.Model object at 0x7faaf8>", "identical"),
    ("<M at 0x1> in outputs/a", "<M at 0x2> in /new/1", "identical"),
    ("<app.Model object at 0x1>", "<app.Other object at 0x2>", "differs"),
    ("seen at 0x1, lr 0.1", "seen at 0x2, lr 0.1", "differs"),
    ("id 0x1>", "id 0x2>", "differs"),
])
def test_addresses_in_memory(old: str, new: str, verdict: str, tmp_path: Path) -> None:
    """Where an object was in memory is no part of a result, and that is told."""
    before, after = (json.dumps({"repr": text}) for text in (old, new))
    outcome = compared(tmp_path, "a.json", before, after, Rules(moved=MOVED))
    assert outcome.verdict == verdict
    left_out = [(str(each), each.by) for each in outcome.left_out]
    assert left_out == ([("a.json:repr", "addresses")] if verdict == "identical" else [])


@pytest.mark.parametrize(("returned", "said"), [
    (True, "no output files to compare; result and status are the same"),
    (False, "nothing was compared: no output files, no plain result; the status is the same"),
])
def test_an_empty_comparison_says_so(
    returned: bool, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there was nothing to compare the verdict does not stand alone."""
    cli.show_comparison(Comparison(Tolerance(), returned=returned))
    assert capsys.readouterr().out == f"{said}\nidentical: 0 files\n"


def test_every_default_is_documented() -> None:
    """The page on what counts as the same names each file and key that does not."""
    page = Path(__file__).parents[2].joinpath("docs/reproduce.md").read_text()
    _, _, left_out = page.partition("### What is left out")
    assert [each for each in (*FILES, *KEYS) if f"`{each}`" not in left_out] == []


WORDS = st.lists(st.sampled_from([
    "/home/ada/project", "/tmp/tree", "/tmp/tree of the step before", "outputs/a", "/new/1",
    "/home/ada/project/outputs/a", "/x", " ", "-", "file://", ".old",
]))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(WORDS, WORDS)
def test_moved_texts_are_the_same_both_ways(one: list[str], other: list[str]) -> None:
    """A text is itself, two are the same both ways, and a folder's name may stand for another."""
    old, new = "".join(one), "".join(other)
    assert MOVED.same(old, old)
    assert MOVED.same(old, new) == MOVED.same(new, old)
    there = " ".join(one)
    renamed = [{"/home/ada/project": "/tmp/tree", "outputs/a": "/new/1"}.get(w, w) for w in one]
    assert MOVED.same(there, " ".join(renamed))


def test_numbers_that_no_float_holds(tmp_path: Path) -> None:
    """Whole numbers beyond any float are compared, and told by their size."""
    old, new = (json.dumps({"n": 10**400 + i}) for i in (0, 1))
    assert compared(tmp_path, "a.json", old, new).verdict == "differs"
    close = compared(tmp_path, "a.json", old, new, Rules(Tolerance(atol=2)))
    assert close.verdict == "close" and "1329 bits" in str(close)
