"""run.lock as a file: its form, and how it is written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.record import lockfile
from flexlock_hydra.record.codec import Node
from flexlock_hydra.record.model import CodeState, RunLock
from tests.support.locks import BOTH, FULL, MINIMAL, PREV_ID, RUN_ID, SHA, plain_full, put

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

    assert lockfile.read_lock(path) == lock


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
    "": "format run job config unresolved repos data unrecorded completeness "
        "prevs environment outputs warnings",
    "run": "id status started ended duration process error result parent",
    "run/process": "host pid boot_id pid_namespace start_ticks scheduler",
    "run/error": "type message traceback",
    "job": "name overrides choices config_name config_sources num sweep command hydra id volatile "
           "output_dir",
    "job/overrides": "task hydra",
    "job/sweep": "id dir",
    "job/command": "executable argv cwd module file task runner call import_paths",
    "repos/main": "path remote branch head commit tree dirty completeness reasons import_paths",
    "data/training_data": "path how hash size nfiles config_key",
    "completeness": "code data",
    f"prevs/{PREV_ID}": "job path direct via status stale lock repos data prevs",
    f"prevs/{PREV_ID}/repos/main": "commit tree",
    "environment": "python implementation platform libc packages conda lockfiles cpu memory gpu "
                   "torch container variables",
    "outputs": "path hash size nfiles left_out only unhashed earlier executable links empty",
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

    assert lockfile.parse_lock(lockfile.dumps(lock)) == lock


@pytest.mark.parametrize("text", ["\x85", "a\u2028b", "\u2029", "\ufeff", "ä\x85\n c"])
def test_any_text_survives_without_libyaml(text: str) -> None:
    """Where PyYAML has no C library, line breaks that only YAML knows come back too."""
    program = (
        "import sys, yaml\n"
        "del yaml.CSafeLoader, yaml.CSafeDumper\n"
        "from flexlock_hydra.record import lockfile\n"
        "lock = lockfile.parse_lock(sys.stdin.buffer.read())\n"
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

    assert lockfile.parse_lock(done.stdout) == lock


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.py"), "\ud800"])
def test_a_name_that_is_not_utf8_can_be_written(name: str) -> None:
    """A file name that UTF-8 cannot hold does not stop the lock from being written."""
    plain = plain_full()
    plain["repos"]["main"]["dirty"] = [name]

    again = lockfile.parse_lock(lockfile.dumps(RunLock.parse(plain)))

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
    assert lockfile.read_lock(path) == FULL


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
