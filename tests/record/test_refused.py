"""What is no lock, or a damaged one, is refused by name, whatever its bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flexlock_hydra.errors import LockError, RunNotFoundError
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.model import DataEntry, RunLock
from tests.support.locks import FULL, MD5, PREV_ID, RUN_ID, SHA, WRONG, plain_full, put


def as_yaml(plain: Any) -> bytes:
    """Plain data as YAML in the given order."""
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text.encode()


@pytest.mark.parametrize("number", [2, 99])
def test_a_newer_format_is_refused_with_a_way_on(number: int) -> None:
    """A lock of a later format names both versions and the upgrade command."""
    with pytest.raises(LockError, match=rf"here: format {number} is newer .*\(1\)") as caught:
        lockfile.parse_lock(as_yaml({"format": number, "run": "anything"}), where="here")

    assert caught.value.hint == "pip install --upgrade flexlock-hydra"


@pytest.mark.parametrize("plain", [{}, [], None, "text", {"format": None}, {"format": "1"},
                                   {"format": True}, {"format": 0}, {"format": -1}, 7])
def test_what_has_no_format_number_is_no_lock(plain: Any) -> None:
    """YAML without a usable format number is refused as no run.lock."""
    with pytest.raises(LockError, match="here: not a lock"):
        lockfile.parse_lock(as_yaml(plain), where="here")


DAMAGE = {
    "empty": (b"", "not a lock"),
    "cut": (b"format: 1\nrun:\n  id: x\n  process: {host: no", "is damaged"),
    "tabs": (b"format: 1\n\trun: 2", "is damaged"),
    "latin1": ("format: 1\nname: é".encode("latin-1"), "is damaged"),
    "binary": (bytes(range(256)), "is damaged"),
    "nul": (b"format: 1\x00", "is damaged"),
    "two documents": (b"format: 1\n---\nformat: 1\n", "is damaged"),
    "unknown alias": (b"format: *a", "is damaged"),
    "python object": (b"format: !!python/object/apply:os.system [exit]", "is damaged: .*python"),
    "python name": (b"run: !!python/name:os.system", "is damaged: .*python"),
    "own tag": (b"run: !thing {a: 1}", "is damaged: .*!thing"),
    "unhashable key": (b"format: 1\n? [a]\n: b", "is damaged"),
    "key twice": (b"format: 1\nrun: {}\nformat: 1\n", "is damaged: key format stands twice"),
    "key twice below": (b"format: 1\nrun: {id: 1, pid: 2, id: 3}\n", "key id stands twice"),
    "key twice in a list": (b"a: [{x: 1, x: 2}]\n", "key x stands twice"),
    "date": (b"format: 2001-99-99", "is damaged"),
    "number": (b"format: !!int ''", "is damaged"),
    "fraction": (b"format: !!float ''", "is damaged"),
    "truth": (b"format: !!bool maybe", "is damaged"),
    "moment": (b"format: !!timestamp soon", "is damaged"),
    "merge": (b"format: 1\n<<: 3", "is damaged"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_yaml_is_refused(case: str) -> None:
    """What is no plain YAML is refused with the file's name, a reason and a way on."""
    content, reason = DAMAGE[case]
    with pytest.raises(LockError, match=f"^here.*{reason}") as caught:
        lockfile.parse_lock(content, where="here")

    assert caught.value.hint


@pytest.mark.parametrize("content", ["[", "- ", "{a: "])
def test_very_deep_yaml_is_refused(content: str, tmp_path: Path) -> None:
    """A hundred thousand levels of nesting are refused; the process lives on."""
    path = tmp_path / "run.lock"
    path.write_text(content * 100_000)
    program = (
        "import sys, pathlib\n"
        "from flexlock_hydra.errors import LockError\n"
        "from flexlock_hydra.record import lockfile\n"
        "try: lockfile.read_lock(pathlib.Path(sys.argv[1]))\n"
        "except LockError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout) == (0, b"refused\n")


def bomb(place: str) -> bytes:
    """A lock of a kilobyte, with a value that is gigabytes when written out."""
    levels = ["x: [&l0 [a, a, a, a, a, a, a, a, a, a]"]
    levels += [f"&l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    plain = plain_full()
    put(plain, place, "BOMB")
    return ", ".join(levels).encode() + b"]\n" + as_yaml(plain).replace(b"BOMB", b"*l11")


@pytest.mark.parametrize("place", ["run", "run/id", "run/process/pid", "warnings", "config",
                                   "data/training_data/path", "format", "future"])
def test_an_alias_bomb_does_not_hang(place: str, tmp_path: Path) -> None:
    """A kilobyte of aliases that stands for gigabytes is read or refused at once."""
    path = tmp_path / "run.lock"
    path.write_bytes(bomb(place))
    program = (
        "import resource, sys, pathlib\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))\n"
        "from flexlock_hydra.errors import LockError\n"
        "from flexlock_hydra.record import lockfile\n"
        "try: lockfile.read_lock(pathlib.Path(sys.argv[1]))\n"
        "except LockError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_or_missing_value_is_named(place: str) -> None:
    """A value of the wrong type, or a missing key, is refused by its place in the file."""
    value, message = WRONG[place]
    plain = plain_full()
    put(plain, place, value)
    with pytest.raises(LockError, match=f"^here: {message}"):
        lockfile.parse_lock(as_yaml(plain), where="here")


BAD_IDS = ["", "x", "20261122", f"{RUN_ID}0", f"../{RUN_ID}", f"{RUN_ID}\n", RUN_ID.upper()]


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_run_id_is_refused(run_id: str) -> None:
    """A run id of another form, fit to become a path or a ref, is refused."""
    plain = plain_full()
    plain["run"]["id"] = run_id
    with pytest.raises(LockError, match="here: run.id .* is no run id"):
        lockfile.parse_lock(as_yaml(plain), where="here")


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_predecessor_id_is_refused(run_id: str) -> None:
    """A predecessor under a key that is no run id is refused: the key becomes a path."""
    plain = plain_full()
    plain["prevs"] = {run_id: plain["prevs"][PREV_ID]}
    with pytest.raises(LockError, match="here: .*no run id"):
        lockfile.parse_lock(as_yaml(plain), where="here")


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_id_in_a_predecessors_list_is_refused(run_id: str) -> None:
    """A predecessor that names something other than runs as its own is refused."""
    plain = plain_full()
    plain["prevs"][PREV_ID]["prevs"] = [run_id]
    with pytest.raises(LockError, match="here: .*no run id"):
        lockfile.parse_lock(as_yaml(plain), where="here")


@pytest.mark.parametrize("oid", ["", "HEAD", "--output=x", SHA[:-1], SHA.upper(), f"{SHA}\n",
                                 "refs/heads/main"])
@pytest.mark.parametrize("place", [
    "repos/main/head", "repos/main/commit", "repos/main/tree",
    f"prevs/{PREV_ID}/repos/main/commit", f"prevs/{PREV_ID}/repos/main/tree",
])
def test_a_bad_object_id_is_refused(place: str, oid: str) -> None:
    """What is no full object id, fit to become an option of git, is refused."""
    plain = plain_full()
    put(plain, place, oid)
    with pytest.raises(LockError, match="here: .*no git object id"):
        lockfile.parse_lock(as_yaml(plain), where="here")


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/a/../b", r"a\..\..\x", "C:\\..\\x",
                                  "a\0b"])
@pytest.mark.parametrize("place", ["data/training_data/path", f"prevs/{PREV_ID}/path",
                                   f"prevs/{PREV_ID}/data/raw/path", "outputs/path"])
def test_a_path_that_climbs_is_refused(place: str, path: str) -> None:
    """``..`` or NUL in a data, predecessor or output path is refused by file and path."""
    plain = plain_full()
    put(plain, place, path)
    with pytest.raises(LockError, match="here: .*path .* leads out of its folder") as caught:
        lockfile.parse_lock(as_yaml(plain), where="here")

    assert repr(path) in str(caught.value)


@pytest.mark.parametrize("path", ["a..b", "...", "..a/b..", "/abs/olute", "C:\\data\\x", "."])
def test_an_honest_path_is_taken(path: str) -> None:
    """Two dots inside a name climb nowhere; absolute paths are kept as given."""
    assert DataEntry.parse({"path": path}).path == path


def test_the_repository_may_lie_above() -> None:
    """A job started in a subfolder records its repository as ``..``."""
    plain = plain_full()
    plain["repos"]["main"]["path"] = "../.."

    assert RunLock.parse(plain).repos["main"].path == "../.."


def test_a_missing_file_is_no_damage(tmp_path: Path) -> None:
    """A lock that is not there is RunNotFoundError, not LockError."""
    with pytest.raises(RunNotFoundError, match="no run.lock at"):
        lockfile.read_lock(tmp_path / "run.lock")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A lock path that is a folder is LockError with the path."""
    (tmp_path / "run.lock").mkdir()
    for path in (tmp_path, tmp_path / "run.lock"):
        with pytest.raises(LockError, match="run.lock cannot be read: Is a directory"):
            lockfile.read_lock(path)


# Hypothesis: nothing but LockError

Json = None | bool | int | float | str | list[Any] | dict[str, Any]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(["running", RUN_ID, SHA, MD5, "..", "/", "\0"]),
)
JSON: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3),
    max_leaves=6,
)
FUZZ = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def places(plain: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a plain value, as keys from the top."""
    children: list[tuple[Any, Any]] = []
    if isinstance(plain, dict):
        children = list(plain.items())
    if isinstance(plain, list):
        children = list(enumerate(plain))
    found = [where] if where else []
    for key, item in children:
        found += places(item, (*where, key))
    return found


def read_or_refuse(content: bytes) -> None:
    """A lock or LockError: any other exception ends the test."""
    try:
        assert isinstance(lockfile.parse_lock(content), RunLock)
    except LockError as error:
        assert str(error)


@FUZZ
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    """Bytes of any kind give LockError, never another exception."""
    read_or_refuse(content)


@FUZZ
@given(st.data())
def test_a_mutated_lock_is_read_or_refused(draw: st.DataObject) -> None:
    """A valid lock with random values put in or keys removed is read or refused."""
    plain = plain_full()
    for _ in range(draw.draw(st.integers(1, 3))):
        *above, last = draw.draw(st.sampled_from(places(plain)))
        parent: Any = plain
        for key in above:
            parent = parent[key]
        action = draw.draw(st.sampled_from(["replace", "remove", "add"]))
        if action == "replace":
            parent[last] = draw.draw(JSON)
        elif action == "remove":
            del parent[last]
        elif isinstance(parent, dict):
            parent[draw.draw(st.text("abc", max_size=3))] = draw.draw(JSON)
    read_or_refuse(as_yaml(plain))


SNIPPETS = st.sampled_from(
    [
        b"!!int ", b"!!float ", b"!!bool ", b"!!null ", b"!!str ", b"!!binary ", b"!!timestamp ",
        b"!!set ", b"!!omap ", b"!!pairs ", b"!!map ", b"!!seq ", b"!!python/name:os.system ",
        b"&a ", b"*a ", b"<<: ", b"? ", b": ", b"- ", b"[", b"]", b"{", b"}", b"'", b'"', b"|\n",
        b"---\n", b"%YAML 1.1\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\n", b"  ", b"\t", b"~",
        b"1_0", b"0x_", b"1:99", b".inf", b".nan", b"2001-99-99", b"=",
    ]
)


@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, 10_000), st.integers(0, 30), SNIPPETS), min_size=1, max_size=3
    )
)
def test_a_lock_with_other_bytes_is_read_or_refused(cuts: list[tuple[int, int, bytes]]) -> None:
    """A valid file with stretches replaced by pieces of YAML is read or refused."""
    content = lockfile.dumps(FULL)
    for start, length, snippet in cuts:
        start %= len(content)
        content = content[:start] + snippet + content[start + length:]
    read_or_refuse(content)


@FUZZ
@given(st.sampled_from(sorted(WRONG)), SNIPPETS, st.sampled_from([b"''", b"x", b"[a]", b"{a: b}"]))
def test_a_tagged_value_is_read_or_refused(place: str, tag: bytes, value: bytes) -> None:
    """A value under any of YAML's own tags is read or refused."""
    plain = plain_full()
    put(plain, place, "VALUE")
    read_or_refuse(as_yaml(plain).replace(b"VALUE", tag + value))
