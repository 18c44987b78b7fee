"""What holds for any outputs that are compared, hostile ones included."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flexlock_hydra.errors import FlexlockError
from flexlock_hydra.record.volatile import Volatile
from flexlock_hydra.replay.compare import file_kinds
from flexlock_hydra.replay.compare.file_kinds import FILE_KINDS, FileKind
from flexlock_hydra.replay.compare.judge import Judge, Rules
from flexlock_hydra.replay.compare.kinds.plain import compare_values
from flexlock_hydra.replay.compare.path_names import Moved
from flexlock_hydra.replay.compare.tolerance import Tolerance
from tests.replay.test_compare import FEW, compared

# Properties.

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=20,
)
FINITE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e100, max_value=1e100)


def values(old: Any, new: Any, tolerance: Tolerance = Tolerance()) -> Judge:
    """Two plain values, judged."""
    judge = Judge("a.json", Rules(tolerance, Volatile(), Moved()))
    compare_values(old, new, judge)
    return judge


@FEW
@given(PLAIN)
def test_a_value_is_itself(value: Any) -> None:
    """Whatever JSON can hold is the same as its copy."""
    assert values(value, json.loads(json.dumps(value))).is_clean


@FEW
@given(PLAIN, PLAIN)
def test_the_verdict_is_symmetric_without_a_relative_tolerance(one: Any, other: Any) -> None:
    """With rtol 0 it does not matter which of two values was the recorded one."""
    tolerance = Tolerance(rtol=0, atol=1)
    there, back = (values(a, b, tolerance).outcome() for a, b in ((one, other), (other, one)))

    assert (there.verdict, there.differing) == (back.verdict, back.differing)


@FEW
@given(FINITE, st.floats(0, 0.99), st.floats(1.01, 100), st.sampled_from([-1, 1]))
def test_the_tolerance_is_the_border(old: float, less: float, more: float, sign: int) -> None:
    """What is off by less than the tolerance is close, by more differs: in text and in arrays."""
    tolerance = Tolerance(1e-5, 1e-8)
    allowed = tolerance.atol + tolerance.rtol * abs(old)
    for factor, verdicts in ((less, {"close"}), (more, {"differs"})):
        new = old + sign * factor * allowed
        if new == old:
            continue
        assert values(old, new).outcome().verdict in verdicts
        npy = [io.BytesIO(), io.BytesIO()]
        for file, value in zip(npy, (old, new)):
            np.save(file, np.array([value]))
            file.seek(0)
        from flexlock_hydra.replay.compare.kinds.arrays import _compare_npy_streams

        judge = Judge("a.npy")
        _compare_npy_streams(npy[0], npy[1], "", judge)
        assert judge.outcome().verdict in verdicts


@FEW
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_arrays_and_numbers_agree(
    pairs: list[tuple[float, float]], rtol: float, atol: float
) -> None:
    """The elements of an array are judged as single numbers are."""
    from flexlock_hydra.replay.compare.kinds.numbers import compare_pieces, element

    rules = Rules(Tolerance(rtol, atol))
    whole, single = Judge("a.npy", rules), Judge("a.npy", rules)
    old, new = (np.array(side) for side in zip(*pairs))
    compare_pieces([(old, new)], old.shape, whole, element(""))
    for one, other in pairs:
        single.number("", one, other)

    assert whole.outcome().verdict == single.outcome().verdict
    assert whole.outcome().differing == single.outcome().differing


@FEW
@given(st.lists(st.lists(st.text(alphabet='ab,"\n ;é0.', max_size=4), min_size=2, max_size=2)))
def test_a_table_is_itself_however_it_is_quoted(rows: list[list[str]]) -> None:
    """Quoting every cell of a table changes its bytes, none of its values."""
    import csv
    import tempfile

    texts = []
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        file = io.StringIO()
        csv.writer(file, quoting=quoting).writerows([["x", "y"], *rows])
        texts.append(file.getvalue())
    with tempfile.TemporaryDirectory(prefix="close-") as folder:
        assert compared(Path(folder), "a.csv", texts[0], texts[1]).verdict == "close"


@FEW
@given(PLAIN)
def test_yaml_and_json_say_the_same(value: Any) -> None:
    """A value written as YAML is read as the value."""
    from flexlock_hydra.replay.compare.kinds.plain import _load_yaml

    assert values(value, _load_yaml(yaml.safe_dump(value).encode())).is_clean


@pytest.mark.parametrize(("rtol", "atol"), [(-1, 0), (math.nan, 0), (0, math.inf)])
def test_a_tolerance_that_is_none(rtol: float, atol: float) -> None:
    """A tolerance is a number from zero on."""
    with pytest.raises(FlexlockError, match="not a number from 0 on"):
        Tolerance(rtol, atol)


# The table of kinds.

OPTIONAL = [(kind, suffix) for kind in FILE_KINDS if kind.needs for suffix in kind.suffixes]


@pytest.mark.parametrize(("kind", "suffix"), OPTIONAL, ids=[suffix for _, suffix in OPTIONAL])
def test_a_package_that_is_missing_is_named(
    kind: FileKind, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of a kind that needs a package are compared by bytes without it, and it is said."""
    monkeypatch.setitem(sys.modules, kind.needs.lower(), None)
    reason = compared(tmp_path, f"a{suffix}", "x", "y").reason

    assert reason.startswith(f"{kind.needs} is not installed here; ")
    assert reason.endswith("compared by bytes")


def test_a_new_kind_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row says all that a comparison must know of a kind: its suffix, its ways."""

    def compare_sizes(old: Path, new: Path, judge: Judge) -> None:
        judge.size("", old.stat().st_size, new.stat().st_size, "acme bytes")

    row = FileKind((compare_sizes,), (".acme",))
    monkeypatch.setattr(file_kinds, "FILE_KINDS", (row, *FILE_KINDS))

    assert str(compared(tmp_path, "a.acme", "x", "yy")) == "a.acme: 1 acme bytes, now 2 acme bytes"


# Hostile files.

HOSTILE = '''
import gzip, io, json, resource, sys, zipfile
from pathlib import Path
import numpy as np
from flexlock_hydra.replay.compare.file_kinds import compare_contents
from flexlock_hydra.replay.compare.judge import Rules

GB = 1024**3
resource.setrlimit(resource.RLIMIT_AS, (6 * GB, 6 * GB))
folder = Path(sys.argv[1])
header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
npy = b"\\x93NUMPY\\1\\0" + len(header).to_bytes(2, "little") + header
wide = npy.replace(b"'<f8'", b"'V2000000000'")
wide = b"\\x93NUMPY\\1\\0" + (len(header) + 8).to_bytes(2, "little") + header.replace(
    b"'<f8'", b"'V2000000000'")
empty = b"\\x93NUMPY\\1\\0" + (len(header) - 1).to_bytes(2, "little") + header.replace(
    b"'<f8'", b"'V0'")


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def many(n):
    return zipped(**{f"{i:0300}": b"" for i in range(n)})


def lying(content, size):
    at = content.rindex(b"PK\\1\\2")
    return content[:at + 24] + size.to_bytes(4, "little") + content[at + 28:]


def repacked(content, method):
    at = content.rindex(b"PK\\1\\2")
    return content[:at + 10] + method.to_bytes(2, "little") + content[at + 12:]


lol = "a0: &a0 [x,x,x,x,x,x,x,x,x]\\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\\n" for i in range(1, 40))
merge = "a0: &a0 {x: 1}\\n" + "".join(
    f"a{i}: &a{i} {{<<: [{','.join([f'*a{i - 1}'] * 9)}]}}\\n" for i in range(1, 40))
cases = {
    "large.json": b'{"a": "' + b"x" * 40_000_000 + b'%d"}',
    "bomb.json": b"[" + b"[]," * 10_000_000 + b"%d]",
    "deep.json": b"[" * 100_000 + b"%d" + b"]" * 100_000,
    "deeper.json": b"[" * 600 + b"%d" + b"]" * 600,
    "digits.json": b"[" + b"9" * 1_000_000 + b"%d]",
    "alias.yaml": lol.encode() + b"z: %d\\n",
    "circle.yaml": b"&a [*a, *a, *a, %d]\\n",
    "merge.yaml": merge.encode() + b"z: %d\\n",
    "deep.yaml": b"[" * 5000 + b"%d" + b"]" * 5000,
    "number.yaml": b"a: 1" + b":11" * 100_000 + b"\\nb: %d\\n",
    "tags.yaml": b"[!!int '', !!bool x, !!timestamp y, %d]",
    "line.csv": b"a,b\\n" + b"," * 20_000_000 + b"%d",
    "quote.csv": b'a,b\\n"' + b"x" * 1_000_000 + b"%d",
    "nul.csv": b"a,b\\n\\0,%d\\n",
    "claims.npy": npy + b"12345678%d",
    "wide.npy": wide + b"%d",
    "empty.npy": empty + b"%d",
    "noheader.npy": b"\\x93NUMPY\\1\\0\\xff\\xff{'descr': (((((%d",
    "token.npy": b"\\x93NUMPY\\1\\0\\x04\\0(((\\n%d",
    "zeros.npz": lambda n: zipped(**{"a.npy": bytes(50_000_000), "n": b"%d" % n}),
    "lying.npz": lambda n: lying(zipped(a=b"x%d" % n), 1 << 31),
    "method.zip": lambda n: repacked(zipped(a=b"x%d" % n), 14),
    "locked.zip": lambda n: zipped(a=b"x%d" % n).replace(b"\\0\\0\\x08\\0", b"\\1\\0\\x08\\0"),
    "members.zip": lambda n: many(13_000 + n),
    "cut.zip": b"PK\\3\\4%d",
    "tensor.safetensors": (1 << 60).to_bytes(8, "little") + b"%d",
    "offsets.safetensors": (75).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[99],'
        b'"data_offsets":[0,396]},"v":{"dtype":"F99%d"}}'.ljust(80),
    "broken.h5": b"\\x89HDF\\r\\n\\x1a\\n%d",
    "broken.parquet": b"PAR1%d" + b"\\xff\\xff\\xff\\x7fPAR1",
    "broken.feather": b"ARROW1\\0\\0%d",
    "broken.csv.gz": b"\\x1f\\x8b%d",
    "bomb.gz": lambda n: gzip.compress(bytes(100_000_000) + b"%d" % n, 9),
    "\\udcff.txt": b"\\xff%d",
}
for name, content in cases.items():
    paths = []
    for n in (1, 2):
        path = folder / str(n) / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content(n) if callable(content) else content.replace(b"%d", b"%d" % n))
        paths.append(path)
    outcome = compare_contents(name, paths[0], paths[1], Rules())
    print(json.dumps([name, outcome.verdict, len(str(outcome)), outcome.reason]))
# Not of getrusage: what the process was that started this one would count as well.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024 / GB)
'''


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory as Linux tells it")
def test_hostile_files_are_compared_in_bounds(tmp_path: Path) -> None:
    """Files that claim, nest or unpack to more than there is end no comparison."""
    script = tmp_path / "hostile.py"
    script.write_text(HOSTILE)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    *lines, peak = done.stdout.splitlines()
    found = {name: (verdict, reason) for name, verdict, length, reason in map(json.loads, lines)}

    assert {verdict for verdict, _ in found.values()} == {"differs"}
    assert all(length < 500 for _, _, length, _ in map(json.loads, lines))
    assert float(peak) < 1.0
    assert "larger than 32 MiB" in found["large.json"][1]
    assert "more than 2,000,000 values" in found["bomb.json"][1]
    assert "nested deeper than 100" in found["deeper.json"][1]
    assert "more than 5,000,000 values" in found["alias.yaml"][1]
    assert "shorter than its header says" in found["claims.npy"][1]
    assert "packed by a method" in found["method.zip"][1]
    assert "more members than are looked at" in found["members.zip"][1]
