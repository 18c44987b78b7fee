"""What a training leaves behind is compared by its values, and nothing in it is run."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import resource
import struct
import tempfile
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flexlock_hydra.replay.compare.file_kinds import compare_contents
from flexlock_hydra.replay.compare.judge import Judge, Rules, UnreadableError
from flexlock_hydra.replay.compare.kinds.events import paired
from flexlock_hydra.replay.compare.kinds.pickles import compare_told, pickle_contents
from flexlock_hydra.replay.compare.outcome import Outcome
from flexlock_hydra.replay.compare.path_names import Moved
from flexlock_hydra.replay.compare.tolerance import EXACT
from tests.conftest import Project, with_callback

MADE = Path(__file__).parent / "data" / "training"
FEW = settings(max_examples=100, deadline=None, derandomize=True, database=None)
MOVED = Rules(moved=Moved((("/home/ada/project", "/tmp/tree"),)))


def names(folder: Path) -> list[str]:
    """The files of a training, by their names in it."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def compared(new: str, kind: str, rules: Rules = MOVED) -> dict[str, Outcome]:
    """Files of a kind that PyTorch or TensorBoard wrote, beside those of another training."""
    old, new_names = names(MADE / "old"), names(MADE / new)
    now = paired(old, new_names)
    return {
        name: compare_contents(name, MADE / "old" / name, MADE / new / now.get(name, name), rules)
        for name in old
        if kind in name and now.get(name, name) in new_names
    }


def test_a_checkpoint_that_names_moved_folders() -> None:
    """A checkpoint with its tensors and objects is the same where only its folders moved."""
    (outcome,) = compared("moved", "last.ckpt").values()
    assert outcome.verdict == "identical"
    assert {each.by for each in outcome.left_out} == {"paths"}
    assert {each.key.partition(".")[0] for each in outcome.left_out} == {
        "hyper_parameters", "best"
    }
    (unmoved,) = compared("moved", "last.ckpt", Rules()).values()
    assert unmoved.verdict == "differs"
    assert "hyper_parameters" in str(unmoved) and "/home/ada/project/data" in str(unmoved)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("last.ckpt", "accuracy.value"),
        ("module.pt", "_modules.0._parameters.weight["),
        (".pkl", "scores.elements[5]"),
        ("events", "loss[2].value"),
    ],
)
def test_tensors_and_arrays_within_the_tolerance(kind: str, where: str) -> None:
    """Their elements are compared as numbers, whatever wrote them; the place is named."""
    close, worse = compared("noise", kind), compared("worse", kind)
    said = {each.verdict for each in close.values()}
    assert close and said <= {"close", "identical"} and "close" in said
    for outcome in close.values():
        assert outcome.largest is None or outcome.largest.where.startswith(where)
    assert {each.verdict for each in worse.values()} >= {"differs"}
    exact = compared("noise", kind, Rules(EXACT, moved=MOVED.moved)).values()
    assert "differs" in {each.verdict for each in exact}


def test_the_one_value_that_differs_is_named() -> None:
    """A time that a checkpoint holds under a name of its own: the key, and both texts."""
    (outcome,) = compared("stamp", "last.ckpt").values()
    assert str(outcome) == "last.ckpt: saved: 2026-11-26 04:00, now 2026-11-26 05:00"
    assert outcome.differing == 1


def test_what_was_logged_again() -> None:
    """Event files with other names and times hold the same, hyperparameters in any order."""
    found = compared("moved", "events")
    assert len(found) == 3
    assert {each.verdict for each in found.values()} == {"identical"}
    by = {each.by for outcome in found.values() for each in outcome.left_out}
    assert by == {"*:*_time", "paths"}


def field(number: int, content: bytes | float) -> bytes:
    """A field of a protobuf message."""
    if isinstance(content, bytes):
        return bytes([number << 3 | 2, len(content)]) + content
    return bytes([number << 3 | 1]) + struct.pack("<d", content)


def session(start: float, rate: float) -> bytes:
    """An event file with the hyperparameters of a session, as TensorFlow writes it."""
    rates = field(1, field(1, b"rate") + field(2, field(2, rate)))
    plugin = field(1, b"hparams") + field(2, field(3, rates + field(5, start)))
    value = field(1, b"_hparams_/session_start_info") + field(9, field(1, plugin))
    event = field(1, start) + field(5, field(1, value))
    return struct.pack("<QI", len(event), 0) + event + bytes(4)


def test_when_a_session_began_is_no_part_of_it(tmp_path: Path) -> None:
    """A plugin's own times have names by which they are left out; its values have not."""
    name = "events.out.tfevents.1.h.1.0"
    for side, content in (("old", (1e9, 0.5)), ("new", (2e9, 0.5)), ("other", (1e9, 0.6))):
        (tmp_path / side).write_bytes(session(*content))
    same = compare_contents(name, tmp_path / "old", tmp_path / "new", Rules())
    assert same.verdict == "identical"
    assert {each.by for each in same.left_out} == {"*:*_time", "*:*time_sec*"}
    other = compare_contents(name, tmp_path / "old", tmp_path / "other", Rules())
    assert str(other).endswith(": 0.5, now 0.6")


def test_event_files_are_paired_in_their_order() -> None:
    """The first event file of a folder stands beside the first there, whoever wrote it."""
    old = ["a/events.out.tfevents.9.h.1.0", "a/events.out.tfevents.10.h.1.1",
           "b/events.out.tfevents.1.h.1.0.v2", "c/events.out.tfevents.1.h.1.0"]
    new = ["a/events.out.tfevents.101.i.2.1", "a/events.out.tfevents.100.i.2.0",
           "b/events.out.tfevents.1.h.1.0", "d/events.out.tfevents.1.h.1.0"]
    assert paired(old, new) == {
        "a/events.out.tfevents.9.h.1.0": "a/events.out.tfevents.100.i.2.0",
        "a/events.out.tfevents.10.h.1.1": "a/events.out.tfevents.101.i.2.1",
    }


APP = """
import os
import shutil
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    shutil.copytree(Path(os.environ["MADE"]), out, dirs_exist_ok=True)
    (out / "note.txt").write_text(f"{out}/last.ckpt\\nsee {Path(__file__).parent}/README\\n")
    return str(out / "last.ckpt")


if __name__ == "__main__":
    main()
"""


@pytest.mark.hydra
def test_a_training_that_runs_again(project: Project) -> None:
    """Checkpoints, logged numbers, and texts and results that are paths; far off they differ."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback(""))
    project.commit("training")
    project.app("hydra.run.dir=outputs/a", MADE=str(MADE / "old"))
    found = project.flexlock("rerun", "outputs/a", "--json", MADE=str(MADE / "noise")).json
    assert found["verdict"] == "close" and found["differ"] == found["missing"] == []
    assert {"last.ckpt", "module.pt", "scores4.pkl"} < {*found["close"]}
    assert any(name.startswith("events.out.tfevents") for name in found["close"])
    paths = {(each["file"], each["key"]) for each in found["left_out"] if each["by"] == "paths"}
    assert {("note.txt", "lines"), ("result", "")} <= paths
    worse = project.flexlock("rerun", "outputs/a", MADE=str(MADE / "worse"), check=False)
    assert worse.code == 1
    assert "differs: last.ckpt: accuracy.value: 0.75, now 0.7575" in worse.out
    assert "missing: hparams/events.out.tfevents" in worse.out


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def joblib_kinds(off: float) -> dict[str, Any]:
    """What people dump by joblib, with numbers that are ``off``."""
    numbers = np.random.default_rng(0).normal(size=(20, 3)) + off
    return {
        "arrays": {
            "plain": numbers, "columns": np.asfortranarray(numbers), "none": numbers[:0],
            "texts": np.array(["a", "bc"]),
            "objects": np.array([{"k": numbers}, None], dtype=object),
        },
        "model": make_pipeline(StandardScaler(), Ridge()).fit(numbers, numbers.sum(axis=1)),
    }


@pytest.mark.parametrize("packed", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("kind", ["arrays", "model"])
def test_what_joblib_dumps(kind: str, packed: Any, tmp_path: Path) -> None:
    """Arrays, whose bytes joblib puts between the pickle's, are compared by their elements."""
    verdicts = {}
    for off in (0.0, 1e-9, 1.0):
        joblib.dump(joblib_kinds(0.0)[kind], tmp_path / "old", compress=packed)
        joblib.dump(joblib_kinds(off)[kind], tmp_path / "new", compress=packed)
        verdicts[off] = compare_contents("m.joblib", tmp_path / "old", tmp_path / "new", Rules())
    assert [each.verdict for each in verdicts.values()] == ["close", "close", "differs"]
    assert verdicts[1e-9].largest and verdicts[1e-9].largest.relative < 1e-5
    assert "elements[" in str(verdicts[1.0]) and not verdicts[1.0].reason


@given(st.data())
@FEW
def test_a_damaged_dump_of_joblib(data: st.DataObject) -> None:
    """Wherever its bytes are damaged or end, it is read in bounds or said to be no pickle."""
    file = io.BytesIO()
    joblib.dump(joblib_kinds(0.0)["arrays"], file)
    content = bytearray(file.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    for damaged in (content, content[:end]):
        with suppress(UnreadableError):
            pickle_contents(bytes(damaged))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that would call something is told as that call, which is not made."""
    evil = tmp_path / "evil"
    for side, value in (("old", 1), ("new", 2)):
        (tmp_path / side).write_bytes(pickle.dumps([Evil(evil), value]))
    outcome = compare_contents("a.pkl", tmp_path / "old", tmp_path / "new", Rules())
    assert str(outcome) == "a.pkl: [1]: 1, now 2"
    assert not evil.exists()
    assert pickle_contents(pickle.dumps(Evil(evil))) == {
        "()": [f"{os.mkdir.__module__} mkdir", (str(evil),)]
    }


def push(text: str) -> bytes:
    """The opcode that puts a text on the stack and remembers it."""
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


LONG = push("x" * 10_000_000) + b"q\0"
HUGE = b"\x8b" + struct.pack("<I", 4_000_000) + b"\x7f" * 4_000_000
HOSTILE = {
    "names": LONG + b"h\0h\0\x93" * 1_000,
    "keys": b"}" + LONG + b"0" + b"h\0\x85K\1s" * 1_000,
    "decoded": b"c_codecs\nencode\nq\1" + push("x" * 1_000_000) + b"q\0" + push("latin1")
               + b"q\2" + b"h\1h\0h\2\x86R" * 20_000,
    "arrays": pickle.dumps(np.zeros(100_000), 2)[2:-1] + b"0" + b"h\0h\1R(K\1h\7tb" * 3,
    "set": b"\x8f" + b"(K\1\x90" * 50_000,
    "nested": b"]" + b"\x85" * 100_000,
    "doubled": b"]q\0" + b"(h\0h\0lq\0" * 60,
    "itself": b"]q\0h\0ah\0a",
    "cut": b"\x8c\xffabc",
    "popped": b"0000",
    "number": HUGE,
    "key": b"}" + HUGE + b"K\1s",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles(tmp_path: Path, kind: str) -> None:
    """Pickles that multiply, nest, hold themselves or are cut end in a verdict, in bounds."""
    for side, end in (("old", b"K\1\x86."), ("new", b"K\2\x86.")):
        (tmp_path / side).write_bytes(HOSTILE[kind] + end)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = compare_contents("a.pkl", tmp_path / "old", tmp_path / "new", Rules())
    assert outcome.verdict == "differs" and len(str(outcome)) < 500
    assert time.monotonic() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=4)
    | st.binary(max_size=4) | st.sets(st.integers() | st.text(max_size=3), max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    | st.builds(lambda pairs: OrderedDict(pairs), st.lists(st.tuples(st.text(max_size=2), inner))),
    max_leaves=15,
)


@FEW
@given(PLAIN, st.integers(0, 5), st.integers(0, 5))
def test_a_pickle_is_itself_in_any_protocol(value: Any, one: int, other: int) -> None:
    """What a pickle holds does not depend on how it was written."""
    judge = Judge("a.pkl")
    compare_told(
        pickle_contents(pickle.dumps(value, one)),
        pickle_contents(pickle.dumps(value, other)),
        judge,
    )
    assert judge.is_clean


@FEW
@given(st.binary(max_size=60) | st.lists(
    st.sampled_from([op.code.encode("latin-1") for op in pickletools.opcodes] + [b"\0", b"\1"]),
    max_size=30,
).map(b"".join))
def test_any_bytes_are_a_pickle_or_none(content: bytes) -> None:
    """No sequence of opcodes ends in another error than that it cannot be read."""
    try:
        pickle_contents(content)
    except UnreadableError:
        pass


@FEW
@given(st.data())
def test_a_damaged_event_file(data: st.DataObject) -> None:
    """An event file with a byte changed, or cut, is compared all the same."""
    (name,) = (path for path in (MADE / "old").iterdir() if path.name.endswith(".0"))
    content = bytearray(name.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder, name.name)
        damaged.write_bytes(content[:data.draw(st.integers(1, len(content)))])
        assert compare_contents(name.name, name, damaged, Rules()).verdict
