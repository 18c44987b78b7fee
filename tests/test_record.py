"""run.lock as a file: its form, what is refused, how it is written, the names beside it."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flexlock_hydra.capture import code, data, environment, lineage, process
from flexlock_hydra.capture.places import Places
from flexlock_hydra.capture.beside import identify
from flexlock_hydra.capture.secrets import Masker
from flexlock_hydra.errors import LockError, RunNotFoundError
from flexlock_hydra.ports.gitrepo import GitRepo
from flexlock_hydra.record import layout, lockfile
from flexlock_hydra.record.codec import Node
from flexlock_hydra.record.model import (
    CodeRef,
    CodeState,
    Command,
    DataEntry,
    Environment,
    Failure,
    Job,
    Outputs,
    Overrides,
    Predecessor,
    Process,
    Run,
    RunLock,
    Sweep,
)
from tests.conftest import Project, validator

RUN_ID = "20261122T101500Z-3f9c2a7b"
PREV_ID = "20261122T100000Z-77aa01bc"
OLDEST_ID = "20261120T080000Z-0badcafe"
SHA = "0123456789abcdef0123456789abcdef01234567"
MD5 = "8c7dd922ad47494fc02c388e12c00eac"
ENTRY = DataEntry(
    path="data/features.csv",
    hash={"md5": MD5},
    size=1048576,
    nfiles=1,
    config_key="training_data",
)
FULL = RunLock(
    run=Run(
        id=RUN_ID,
        status="failed",
        started="2026-11-22T10:15:00.123456+00:00",
        ended="2026-11-22T10:15:42.001002+00:00",
        duration=41.877546,
        process=Process(
            host="node7",
            pid=4711,
            boot_id="4d9e2b6f-0000-4000-8000-000000000000",
            start_ticks=12345,
            pid_namespace="pid:[4026531836]",
            scheduler={"slurm_job_id": "99"},
        ),
        error=Failure(type="ValueError", message="lr is -1", traceback="Traceback\n  ...\n"),
        result={"accuracy": 0.953, "classes": ["ä", None, True, 3]},
        parent=PREV_ID,
    ),
    job=Job(
        name="train",
        overrides=Overrides(task=("lr=0.1",), hydra=("hydra/callbacks=flexlock",)),
        choices={"model": "mlp", "hydra/env": None},
        config_name="train",
        config_sources=({"schema": "file", "path": "/home/ada/conf"},),
        num=3,
        sweep=Sweep(id="2026-11-22/10-15-00", dir="multirun/2026-11-22/10-15-00"),
        command=Command(
            executable="/usr/bin/python3",
            argv=("train.py", "lr=0.1"),
            cwd="/home/ada/project",
            module="pkg.train",
            file="train.py",
            task="train:main",
            import_paths=(".", "src"),
        ),
        hydra="1.3.8",
        id="99_3",
    ),
    config={"lr": 0.1, "table": "data/features.csv", "layers": [1, 2], "none": None},
    unresolved={"lr": 0.1, "table": "${snapshot:data/features.csv}"},
    repos={
        "main": CodeState(
            path=".",
            remote="https://example.org/team/project.git",
            branch="main",
            head=SHA,
            commit=SHA[::-1],
            tree=SHA,
            dirty=("new.py", "train.py"),
            completeness="partial",
            reasons=("submodule libs/x is dirty",),
            import_paths=("src",),
        )
    },
    data={"training_data": ENTRY},
    prevs={
        PREV_ID: Predecessor(
            job="preprocess",
            path="outputs/preprocess/2026-11-22/10-00-00",
            direct=True,
            via=("training_data",),
            status="completed",
            stale=("its input raw (/data/raw) has another size",),
            lock=f"sha256:{'ab' * 32}",
            repos={"main": CodeRef(commit=SHA, tree=SHA)},
            data={
                "raw": DataEntry(
                    path="/data/raw/*.csv",
                    given="~/raw/*.csv",
                    base="/data/raw",
                    executable=("run.sh",),
                    links={"a.csv": "../a.csv"},
                    empty=("none",),
                    error="/data/raw is missing",
                ),
                "url": DataEntry(path="https://example.org/x", remote={"etag": "ab", "size": "3"}),
            },
            prevs=(OLDEST_ID,),
        )
    },
    environment=Environment(
        python="3.11.7",
        implementation="CPython",
        platform="Linux-6.1-x86_64",
        libc="glibc 2.36",
        packages={"numpy": "2.3.1"},
        conda={"zlib": "1.3=h1_0 (conda-forge)"},
        lockfiles={"uv.lock": f"sha256:{'cd' * 32}"},
        cpu={"model": "EPYC", "count": 8, "affinity": 4, "quota": 1.5},
        memory={"total": 1 << 33, "limit": 1 << 32},
        gpu=({"name": "H100", "uuid": "GPU-1", "driver": "550.54"},),
        torch={"cuda": "12.4"},
        container={"engine": "podman", "image": "docker.io/a/b:1"},
        variables={"CUDA_VISIBLE_DEVICES": "0"},
    ),
    outputs=Outputs(
        path=".",
        hash={"md5": f"{MD5}.dir"},
        size=123456,
        nfiles=12,
        left_out=("app.log",),
        only=("*.pt", "app.log"),
        unhashed={"big.ckpt": 1 << 40},
        executable=("run.sh",),
        links={"last.pt": "best.pt"},
        empty=("plots",),
    ),
    warnings=("GPU not asked",),
)
MINIMAL = RunLock(
    run=Run(
        id=RUN_ID,
        status="running",
        started="2026-11-22T10:15:00+00:00",
        process=Process(host="node7", pid=4711),
    ),
    job=Job(name="train", command=Command(executable="python", argv=(), cwd="/")),
    environment=Environment(python="3.11.7", implementation="CPython", platform="Linux"),
)
BOTH = pytest.mark.parametrize("lock", [FULL, MINIMAL], ids=["full", "minimal"])


def plain_full() -> dict[str, Any]:
    """The full lock as plain data, free to be changed."""
    return copy.deepcopy(FULL.to_dict())


def as_yaml(plain: Any) -> bytes:
    """Plain data as YAML in the given order."""
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    return text.encode()


def put(plain: Any, place: str, value: Any) -> None:
    """Set, or with ``...`` remove, the value at a place such as ``run.process.pid``."""
    *above, last = place.split("/")
    for name in above:
        plain = plain[name]
    if value is ...:
        del plain[last]
    else:
        plain[last] = value


# The form


@BOTH
def test_a_lock_survives_the_plain_form(lock: RunLock) -> None:
    """parse(to_dict()) gives an equal lock, every field included."""
    assert RunLock.parse(lock.to_dict()) == lock


@BOTH
def test_a_lock_survives_the_file(lock: RunLock, tmp_path: Path) -> None:
    """What was written is read back equal."""
    path = tmp_path / "run.lock"
    lockfile.write(lock, path)

    assert lockfile.read(path) == lock


def test_the_full_lock_leaves_no_field_at_its_default() -> None:
    """The lock that these tests stand on sets every field of every type."""
    unset: dict[type, set[str]] = {}

    def walk(value: Any) -> None:
        if isinstance(value, Node):
            got = {item.name: getattr(value, item.name) for item in fields(value)}
            empty = {name for name, inner in got.items() if inner in (None, (), {})}
            unset[type(value)] = unset.get(type(value), empty) & empty
            value = got
        if isinstance(value, Mapping):
            for inner in value.values():
                walk(inner)

    walk(FULL)

    assert {name for names in unset.values() for name in names} == {"extra"}


KEYS = {
    "": "format run job config unresolved repos data prevs environment outputs warnings",
    "run": "id status started ended duration process error result parent",
    "run/process": "host pid boot_id pid_namespace start_ticks scheduler",
    "run/error": "type message traceback",
    "job": "name overrides choices config_name config_sources num sweep command hydra id",
    "job/overrides": "task hydra",
    "job/sweep": "id dir",
    "job/command": "executable argv cwd module file task import_paths",
    "repos/main": "path remote branch head commit tree dirty completeness reasons import_paths",
    "data/training_data": "path hash size nfiles config_key",
    f"prevs/{PREV_ID}": "job path direct via status stale lock repos data prevs",
    f"prevs/{PREV_ID}/repos/main": "commit tree",
    "environment": "python implementation platform libc packages conda lockfiles cpu memory gpu "
                   "torch container variables",
    "outputs": "path hash size nfiles left_out only unhashed executable links empty",
}


@pytest.mark.parametrize("place", KEYS)
def test_keys_are_written_in_the_documented_order(place: str) -> None:
    """Each mapping of the written YAML has its keys in the format's order."""
    plain = yaml.safe_load(lockfile.dumps(FULL))
    for name in filter(None, place.split("/")):
        plain = plain[name]

    assert list(plain) == KEYS[place].split()


def test_absent_values_are_left_out_but_head_is_kept() -> None:
    """A value that is not there has no key, save the required HEAD of a repository."""
    code_state = CodeState(path=".", head=None, commit=SHA, tree=SHA, completeness="exact")

    assert code_state.to_dict() == {
        "path": ".",
        "head": None,
        "commit": SHA,
        "tree": SHA,
        "dirty": [],
        "completeness": "exact",
        "reasons": [],
    }


def test_the_file_is_utf8_a_person_can_read() -> None:
    """Text outside ASCII stands in the file as itself."""
    assert "ä".encode() in lockfile.dumps(FULL)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    """Every character that UTF-8 can hold comes back from the file, in keys and values."""
    lock = RunLock.parse(FULL.to_dict() | {"config": {"value": text, text: 1}})

    assert lockfile.loads(lockfile.dumps(lock)) == lock


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "\ufeff", "ä\x85\n c"])
def test_any_text_survives_without_libyaml(text: str) -> None:
    """Where PyYAML has no C library, line breaks that only YAML knows come back too."""
    program = (
        "import sys, yaml\n"
        "del yaml.CSafeLoader, yaml.CSafeDumper\n"
        "from flexlock_hydra.record import lockfile\n"
        "lock = lockfile.loads(sys.stdin.buffer.read())\n"
        "sys.stdout.buffer.write(lockfile.dumps(lock))\n"
    )
    lock = RunLock.parse(FULL.to_dict() | {"config": {"value": text, text: 1}})
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=lockfile.dumps(lock),
        capture_output=True,
        timeout=60,
        check=True,
    )

    assert lockfile.loads(done.stdout) == lock


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.py"), "\ud800"])
def test_a_name_that_is_not_utf8_can_be_written(name: str) -> None:
    """A file name that UTF-8 cannot hold does not stop the lock from being written."""
    plain = plain_full()
    plain["repos"]["main"]["dirty"] = [name]

    again = lockfile.loads(lockfile.dumps(RunLock.parse(plain)))

    assert again.repos["main"].dirty[0].startswith(name[0].encode("utf-8", "ignore").decode())


PLACES = sorted(KEYS)


@pytest.mark.parametrize("place", PLACES)
def test_unknown_keys_are_kept(place: str) -> None:
    """A key of a later version is there again, with its value, after a rewrite."""
    plain = plain_full()
    put(plain, f"{place}/future".lstrip("/"), {"deep": [1, {"a": None}]})

    assert RunLock.parse(plain).to_dict() == plain


def test_null_is_as_good_as_absent() -> None:
    """An optional key that is null reads as one that is not there."""
    plain = MINIMAL.to_dict()

    assert RunLock.parse({**plain, "outputs": None, "data": None}) == MINIMAL


def test_a_whole_number_is_taken_as_seconds() -> None:
    """A duration that YAML reads as an integer is still a duration."""
    plain = plain_full()
    plain["run"]["duration"] = 42

    assert RunLock.parse(plain).run.duration == 42.0


def test_the_tag_and_the_code_of_a_lock() -> None:
    """A lock knows the tag that a push gives it and the repository it ran from."""
    assert FULL.tag == f"flexlock/train/{RUN_ID}"
    assert FULL.code == FULL.repos["main"]
    assert MINIMAL.code is None


# What is refused


@pytest.mark.parametrize("number", [2, 99])
def test_a_newer_format_is_refused_with_a_way_on(number: int) -> None:
    """A lock of a later format names both versions and the upgrade command."""
    with pytest.raises(LockError, match=rf"here: format {number} is newer .*\(1\)") as caught:
        lockfile.loads(as_yaml({"format": number, "run": "anything"}), where="here")

    assert caught.value.hint == "pip install --upgrade flexlock-hydra"


@pytest.mark.parametrize("plain", [{}, [], None, "text", {"format": None}, {"format": "1"},
                                   {"format": True}, {"format": 0}, {"format": -1}, 7])
def test_what_has_no_format_number_is_no_lock(plain: Any) -> None:
    """YAML without a usable format number is refused as no run.lock."""
    with pytest.raises(LockError, match="here: not a lock"):
        lockfile.loads(as_yaml(plain), where="here")


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
        lockfile.loads(content, where="here")

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
        "try: lockfile.read(pathlib.Path(sys.argv[1]))\n"
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
        "try: lockfile.read(pathlib.Path(sys.argv[1]))\n"
        "except LockError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, timeout=30, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


WRONG = {
    "run": (None, "run should be a mapping"),
    "run/id": (..., "run.id is missing"),
    "run/status": ("done", "run.status 'done' is none of running, completed, failed"),
    "run/started": (20261122, "run.started should be text"),
    "run/duration": ("long", "run.duration should be float"),
    "run/process": ([], "run.process should be a mapping"),
    "run/process/pid": ("4711", "run.process.pid should be a whole number"),
    "run/process/start_ticks": (True, "run.process.start_ticks should be a whole number"),
    "run/process/scheduler": ({"slurm": 99}, "run.process.scheduler.slurm should be text"),
    "run/error/type": (..., "run.error.type is missing"),
    "job/name": (3, "job.name should be text"),
    "job/overrides/task": ("lr=1", "job.overrides.task should be a list"),
    "job/command": (..., "job.command is missing"),
    "job/command/argv": (["a", 1], r"job.command.argv\[1\] should be text"),
    "job/choices": (["a"], "job.choices should be a mapping"),
    "repos": ([], "repos should be a mapping"),
    "repos/main": ("here", "repos.main should be a mapping"),
    "repos/main/commit": (..., "repos.main.commit is missing"),
    "repos/main/tree": (None, "repos.main.tree should be text"),
    "repos/main/dirty": ({"a": 1}, "repos.main.dirty should be a list"),
    "data/training_data/size": (1.5, "data.training_data.size should be a whole number"),
    "data/training_data/hash": ("md5", "data.training_data.hash should be a mapping"),
    "data/training_data/path": (..., "data.training_data.path is missing"),
    f"prevs/{PREV_ID}/direct": ("yes", f"prevs.{PREV_ID}.direct should be bool"),
    f"prevs/{PREV_ID}/data/raw": (7, f"prevs.{PREV_ID}.data.raw should be a mapping"),
    f"prevs/{PREV_ID}/repos/main/tree": (..., f"prevs.{PREV_ID}.repos.main.tree is missing"),
    "environment": (..., "environment is missing"),
    "environment/packages": ({"numpy": 2.3}, "environment.packages.numpy should be text"),
    "outputs/nfiles": ("12", "outputs.nfiles should be a whole number"),
    "warnings": ("one", "warnings should be a list"),
}


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_or_missing_value_is_named(place: str) -> None:
    """A value of the wrong type, or a missing key, is refused by its place in the file."""
    value, message = WRONG[place]
    plain = plain_full()
    put(plain, place, value)
    with pytest.raises(LockError, match=f"^here: {message}"):
        lockfile.loads(as_yaml(plain), where="here")


BAD_IDS = ["", "x", "20261122", f"{RUN_ID}0", f"../{RUN_ID}", f"{RUN_ID}\n", RUN_ID.upper()]


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_run_id_is_refused(run_id: str) -> None:
    """A run id of another form, fit to become a path or a ref, is refused."""
    plain = plain_full()
    plain["run"]["id"] = run_id
    with pytest.raises(LockError, match="here: run.id .* is no run id"):
        lockfile.loads(as_yaml(plain), where="here")


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_predecessor_id_is_refused(run_id: str) -> None:
    """A predecessor under a key that is no run id is refused: the key becomes a path."""
    plain = plain_full()
    plain["prevs"] = {run_id: plain["prevs"][PREV_ID]}
    with pytest.raises(LockError, match="here: .*no run id"):
        lockfile.loads(as_yaml(plain), where="here")


@pytest.mark.parametrize("run_id", BAD_IDS)
def test_a_bad_id_in_a_predecessors_list_is_refused(run_id: str) -> None:
    """A predecessor that names something other than runs as its own is refused."""
    plain = plain_full()
    plain["prevs"][PREV_ID]["prevs"] = [run_id]
    with pytest.raises(LockError, match="here: .*no run id"):
        lockfile.loads(as_yaml(plain), where="here")


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
        lockfile.loads(as_yaml(plain), where="here")


@pytest.mark.parametrize("path", ["..", "../x", "a/../../x", "/a/../b", r"a\..\..\x", "C:\\..\\x",
                                  "a\0b"])
@pytest.mark.parametrize("place", ["data/training_data/path", f"prevs/{PREV_ID}/path",
                                   f"prevs/{PREV_ID}/data/raw/path", "outputs/path"])
def test_a_path_that_climbs_is_refused(place: str, path: str) -> None:
    """``..`` or NUL in a data, predecessor or output path is refused by file and path."""
    plain = plain_full()
    put(plain, place, path)
    with pytest.raises(LockError, match="here: .*path .* leads out of its folder") as caught:
        lockfile.loads(as_yaml(plain), where="here")

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
        lockfile.read(tmp_path / "run.lock")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A lock path that is a folder is LockError with the path."""
    with pytest.raises(LockError, match="cannot be read: Is a directory"):
        lockfile.read(tmp_path)


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
        assert isinstance(lockfile.loads(content), RunLock)
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


# Writing


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    """A disk that takes no more bytes leaves the old lock and no temporary file."""
    path = tmp_path / "run.lock"
    lockfile.write(MINIMAL, path)
    before = path.read_bytes()
    program = (
        "import resource, sys, pathlib\n"
        "from flexlock_hydra.record import lockfile\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: lockfile.write_bytes(path, b'x' * 5000)\n"
        "except OSError as error: print(error.errno)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, timeout=60, check=True
    )

    assert done.stdout == b"27\n"  # EFBIG
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.lock"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    """The file under the name is another one after a write: an open reader keeps the old."""
    path = tmp_path / "run.lock"
    lockfile.write(MINIMAL, path)
    with path.open("rb") as reader:
        lockfile.write(FULL, path)

        assert reader.read() == lockfile.dumps(MINIMAL)
    assert lockfile.read(path) == FULL


def test_what_replaces_a_record_is_on_the_disk_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of a lock that replaces one are synced before it takes the name."""
    steps: list[object] = []
    own_sync, own_replace = os.fsync, os.replace

    def sync(fd: int) -> None:
        steps.append(os.fstat(fd).st_size)
        own_sync(fd)

    def replace(old: Path, new: Path) -> None:
        steps.append("named")
        own_replace(old, new)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)

    lockfile.write(MINIMAL, tmp_path / "run.lock")
    lockfile.write(FULL, tmp_path / "run.lock")

    assert steps == ["named", len(lockfile.dumps(FULL)), "named"]


def test_a_write_leaves_no_other_file(tmp_path: Path) -> None:
    """After a write the folder holds the lock alone."""
    lockfile.write(FULL, tmp_path / "run.lock")

    assert os.listdir(tmp_path) == ["run.lock"]


@pytest.mark.parametrize(("umask", "mode"), [("0o022", 0o644), ("0o027", 0o640), ("0o002", 0o664)])
def test_the_mode_follows_the_umask(umask: str, mode: int, tmp_path: Path) -> None:
    """A lock gets the mode of any new file, not the temporary file's 0600."""
    path = tmp_path / "run.lock"
    program = (
        "import os, sys, pathlib\n"
        "from flexlock_hydra.record import lockfile\n"
        "os.umask(int(sys.argv[2], 8))\n"
        "lockfile.write_bytes(pathlib.Path(sys.argv[1]), b'format: 1')\n"
    )
    subprocess.run([sys.executable, "-c", program, path, umask], timeout=60, check=True)

    assert path.stat().st_mode & 0o777 == mode


# The schema


def schema() -> dict[str, Any]:
    """The shipped schema as plain data."""
    text = resources.files("flexlock_hydra.record").joinpath("schema.json").read_text()
    plain: dict[str, Any] = json.loads(text)
    return plain


def node_types(kind: type[Node], seen: dict[str, type[Node]]) -> dict[str, type[Node]]:
    """A type and every type that its fields hold, by name."""
    if kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for hint in typing.get_type_hints(kind).values():
            for inner in (hint, *get_args(hint)):
                if is_dataclass(inner):
                    node_types(typing.cast("type[Node]", inner), seen)
    return seen


TYPES = node_types(RunLock, {})
SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def described(name: str) -> dict[str, Any]:
    """The part of the schema for a type."""
    whole = schema()
    part: dict[str, Any] = whole if name == "RunLock" else whole["$defs"][name]
    return part


def accepts(kind: Any, part: Any) -> bool:
    """Whether a piece of the schema says what an annotation says."""
    args, origin = get_args(kind), get_origin(kind)
    if kind is Any or Any in args and origin is not tuple and not part:
        return bool(part == {})
    if origin in (typing.Union, types.UnionType):
        return allows_null(part) and accepts(args[0], without_null(part))
    if origin is tuple:
        return bool(part["type"] == "array") and accepts(args[0], part["items"])
    if origin is not None:
        inner = part.get("additionalProperties")
        return bool(part["type"] == "object") and (inner is None or accepts(args[1], inner))
    if is_dataclass(kind):
        return bool(part == {"$ref": f"#/$defs/{typing.cast('type', kind).__name__}"})
    constant = part.get("const", next(iter(part.get("enum", [])), None))
    return type(constant) is kind or bool(part.get("type") == SIMPLE[kind])


def allows_null(part: Any) -> bool:
    """Whether a piece of the schema takes null."""
    return {"type": "null"} in part.get("anyOf", []) or "null" in part.get("type", [])


def without_null(part: Any) -> Any:
    """A piece of the schema without null."""
    if "anyOf" in part:
        return part["anyOf"][0]
    return {**part, "type": part["type"][0]}


def test_the_schema_describes_every_type_and_no_other() -> None:
    """The schema's definitions are the model's types."""
    assert set(schema()["$defs"]) | {"RunLock"} == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_lists_the_fields_in_order(name: str) -> None:
    """A type's properties in the schema are its fields, in the order they are written."""
    expected = [item.name for item in fields(TYPES[name]) if item.name != "extra"]

    assert list(described(name)["properties"]) == expected


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_requires_what_the_model_requires(name: str) -> None:
    """A type's required keys in the schema are its fields without a default."""
    required = [
        item.name
        for item in fields(TYPES[name])
        if item.default is MISSING and item.default_factory is MISSING
    ]
    always = ["format"] if name == "RunLock" else []

    assert described(name)["required"] == [*always, *required]


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_has_the_types_of_the_fields(name: str) -> None:
    """Each property of the schema has the type that its field is annotated with."""
    hints = typing.get_type_hints(TYPES[name])
    wrong = {
        key: part
        for key, part in described(name)["properties"].items()
        if not accepts(hints[key], part)
    }

    assert not wrong


def test_the_schema_is_one() -> None:
    """The schema itself is a valid one."""
    validator().check_schema(schema())


@BOTH
def test_a_written_lock_fits_the_schema(lock: RunLock) -> None:
    """What is written validates against the shipped schema."""
    validator().validate(yaml.safe_load(lockfile.dumps(lock)))


@pytest.mark.parametrize("place", [place for place, (value, _) in WRONG.items() if value != 1.5])
def test_the_schema_refuses_what_the_model_refuses(place: str) -> None:
    """A value that reading refuses does not validate either."""
    plain = plain_full()
    put(plain, place, WRONG[place][0])

    assert not validator().is_valid(plain)


def test_what_the_capture_builds_fits_the_schema(project: Project, tmp_path: Path) -> None:
    """Every part of a lock as the capture makes it validates against the schema."""
    here = Places(cwd=project.root, original_cwd=project.root, root=project.root)
    repo = GitRepo.find(project.root)
    assert repo is not None
    project.write("edited.py", "x = 1\n")
    project.write("run.sh", "").chmod(0o755)
    older = tmp_path / "project" / "outputs" / "a" / "run.lock"
    older.parent.mkdir(parents=True)
    lockfile.write(FULL, older)
    lock = RunLock.parse(
        MINIMAL.to_dict()
        | {
            "run": Run(
                id=RUN_ID,
                status="completed",
                started="2026-11-22T10:15:00+00:00",
                process=process.capture(),
            ).to_dict(),
            "repos": {"main": code.capture(repo, project.root).to_dict()},
            "data": {
                given: data.filled(entry, identify(task)).to_dict()
                for given in ("data/table.csv", "data", "data/*", "~/gone", "none://x", "run.sh")
                for entry, task in [data.describe(given, here, "key")]
            },
            "prevs": {
                key: prev.to_dict()
                for key, prev in lineage.add(
                    {}, lineage.read_found(older), "table", project.root
                ).items()
            },
            "environment": environment.capture(project.root, ["HOME"], Masker()).to_dict(),
        }
    )

    validator().validate(yaml.safe_load(lockfile.dumps(lock)))


# Names

JOBS = [
    "train", "my job", "a/b/c", "..", ".", "-", "--option", "@", "@{", "a@{b", "HEAD", "a..b",
    "a...b", ".hidden", "trailing.", "trailing/", "/leading", "a//b", "x.lock", ".lock",
    "a.lock.lock", "x.lock.", "a.lock/b", "x..lock", "tilde~1", "caret^", "colon:x", "q?",
    "star*", "br[a]", "back\\slash", "tab\tx", "new\nline", "del\x7f", "nul\x01", "ü", "日本語",
    "😀", "é.lock", "job.LOCK", "__main__", "a,b=c", "'quoted'", "", " ", "x" * 200,
    "\udcff", "a.-.lock", "-.lock.lock", "refs/heads/main",
]


@pytest.mark.parametrize("job", JOBS, ids=ascii)
def test_git_accepts_the_tag_of_any_job_name(job: str) -> None:
    """The tag of a run is a ref name that git itself accepts."""
    tag = layout.tag_name(job, RUN_ID)

    subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=True)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.text(st.sampled_from("a.-/@{}~^:?*[\\ lock\tü\x00"), max_size=12))
def test_git_accepts_the_tag_of_any_text(job: str) -> None:
    """No mixture of the characters that git dislikes makes a tag that it refuses."""
    tag = layout.tag_name(job, RUN_ID)

    subprocess.run(["git", "check-ref-format", f"refs/tags/{tag}"], check=True)


@pytest.mark.parametrize("job", JOBS, ids=ascii)
@pytest.mark.parametrize("prefix", ["", "refs/tags/"])
def test_a_tag_is_parsed_again(job: str, prefix: str) -> None:
    """The tag of any job name is recognised, with its run id, short and in full."""
    tag = layout.tag_name(job, RUN_ID)

    assert layout.parse_tag(prefix + tag) == (tag.split("/")[1], RUN_ID)


@pytest.mark.parametrize("job", ["train", "my-job_2.1", "A"])
def test_a_plain_job_name_is_kept(job: str) -> None:
    """Letters, digits, ``_``, ``-`` and single dots stand in the tag as they are."""
    assert layout.tag_name(job, RUN_ID) == f"flexlock/{job}/{RUN_ID}"


@pytest.mark.parametrize("text", ["", "v1.0", f"flexlock/{RUN_ID}", f"flexlock/a/b/{RUN_ID}",
                                  "flexlock/train/latest", f"flexlock/train/{RUN_ID}0",
                                  f"other/train/{RUN_ID}", f"refs/heads/flexlock/train/{RUN_ID}"])
def test_another_tag_is_none_of_ours(text: str) -> None:
    """A tag or ref of another form is not taken for a run's."""
    assert layout.parse_tag(text) is None


@pytest.mark.parametrize(("absolute", "expected"), [
    ("/data/raw", ".flexlock/fsroot/data/raw"),
    ("/data/with space/ü", ".flexlock/fsroot/data/with space/ü"),
    ("/", ".flexlock/fsroot"),
    ("//server/share/x", ".flexlock/fsroot/server/share/x"),
    ("C:\\data\\raw", ".flexlock/fsroot/C/data/raw"),
    ("C:/data/raw", ".flexlock/fsroot/C/data/raw"),
    ("d:\\x", ".flexlock/fsroot/d/x"),
])
def test_absolute_data_comes_back_below_the_root(absolute: str, expected: str) -> None:
    """Data from outside the repository has one place below it, POSIX style."""
    assert layout.fsroot_path(absolute) == expected


@pytest.mark.parametrize(("name", "ours"), [
    ("run.lock", True),
    (layout.superseded_lock(RUN_ID), True),
    (f"run.{RUN_ID}.lock", True),
    (".run.lock.abc123", False),
    ("uv.lock", False),
    ("run.x.lock", False),
    ("run.lock.bak", False),
])
def test_locks_are_known_by_name(name: str, ours: bool) -> None:
    """Current and superseded locks are recognised, other files are not."""
    assert layout.is_lock(name) is ours


OWN: list[tuple[Callable[[str], bool], str, bool]] = [
    (layout.is_own_file, ".run.lock.abc123", True),
    (layout.is_own_file, "run.lock", True),
    (layout.is_own_file, "model.pt", False),
]


@pytest.mark.parametrize(("known", "name", "expected"), OWN)
def test_a_lock_being_written_is_our_own(
    known: Callable[[str], bool], name: str, expected: bool
) -> None:
    """A temporary file of a lock is told apart from a job's files."""
    assert known(name) is expected
