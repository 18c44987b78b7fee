"""A run's environment that cannot be made again as it was: which words say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flexlock_hydra.replay.env.lock_files import Pin, read_pins
from tests.conftest import Project
from tests.replay.test_environment_rebuilt import again, change, job, once, recorded, small
from tests.support import uvs

__all__ = ["job", "once", "recorded", "small"]


def test_what_cannot_be_had(recorded: Project) -> None:
    """Each distribution that no index has is named, with what to do; nothing is left of it."""
    change(recorded, lambda lock: lock.replace(
        "    six: 1.16.0\n", "    six: 1.16.99\n    no-such-dist-of-ours: 1.0.0\n"
    ))
    done = again(recorded)
    assert (done.code, done.out) == (2, "")
    assert "2 distributions of the run cannot be installed:\n" in done.err
    assert "  no-such-dist-of-ours: " in done.err and "  six: " in done.err
    assert "rerun RUN --python DIR" in done.err
    assert not [p for p in Path(recorded.env["HOME"]).glob("**/environments/*") if p.is_dir()]


def test_edited_elsewhere(recorded: Project) -> None:
    """An editable install of no recorded repository is left out, unless the job used it."""
    change(recorded, lambda lock: lock.replace(
        "    smmap: ", '    other: "0.1 (editable: /nowhere/other)"\n    smmap: '
    ))
    done = again(recorded)
    assert done.code == 0 and "edited in: other\n" in done.err
    assert "environment: not the same: other is missing, recorded 0.1 (editable: " in done.out
    change(recorded, lambda lock: lock.replace(
        "    six: 1.16.0\n", '    six: "1.16.0 (editable: /nowhere/six)"\n'
    ).replace(
        "    completeness: exact\n    reasons: []\n",
        "    completeness: partial\n    reasons:\n"
        "      - six was imported from /nowhere/six, in no recorded repository\n"
    ))
    done = again(recorded)
    assert done.code == 2
    assert "six: it was edited in /nowhere/six, which is in no repository of the run" in done.err


def test_a_file_that_is_gone(recorded: Project) -> None:
    """What came from a file that is not here comes from an index, and counts as different."""
    change(recorded, lambda lock: lock.replace(
        "    six: 1.16.0\n", '    six: "1.16.0 (file:///nowhere/six-1.16.0-py3-none-any.whl)"\n'
    ))
    done = again(recorded)
    assert done.code == 0 and "from files that are not here, now from an index: six" in done.err
    assert "environment: not the same: six 1.16.0, recorded 1.16.0 (file:///nowhere/" in done.out


def test_another_patch_release(recorded: Project) -> None:
    """Where the recorded Python is not to be had, its nearest is taken, and that is said."""
    ours = recorded.lock()["environment"]["python"]
    minor = ours.rpartition(".")[0]
    change(recorded, lambda lock: lock.replace(f"  python: {ours}", f"  python: {minor}.99"))
    done = again(recorded, "--json", UV_PYTHON_DOWNLOADS="never")
    assert done.code == 0, done.err
    assert f"CPython {minor}.99 is not here and cannot be fetched" in done.err
    found = done.json["environment"]
    assert not found["same"] and found["hash"] != found["recorded"]
    assert found["differences"] == [f"CPython {ours}, recorded CPython {minor}.99"]


@pytest.mark.parametrize("entry", [
    '"1.16.0\\n--index-url http://127.0.0.1:1"',
    '"1.16.0 (https://x.example/${HOME}/six.whl)"',
    '"1.16.0 (https://x.example/six.whl\\n-r /etc/passwd)"',
    '"1.16.0 (git+ext::sh -c touch% pwned)"',
])
def test_a_forged_version(recorded: Project, entry: str) -> None:
    """A record cannot give uv options, variables or programs."""
    change(recorded, lambda lock: lock.replace("    six: 1.16.0\n", f"    six: {entry}\n"))
    done = again(recorded)
    assert done.code == 2 and "  six: " in done.err
    assert "making" not in done.err


def test_without_uv(recorded: Project, tmp_path: Path) -> None:
    """Without uv, the user is told how to get it."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "uv.py").write_text("raise ImportError\n")
    git = hidden / "git"
    git.symlink_to(recorded.call("which", "git").out.strip())
    done = again(recorded, PYTHONPATH=str(hidden), PATH=str(hidden))
    assert done.code == 2 and "pip install 'flexlock-hydra[env]'" in done.err


def test_a_named_interpreter(recorded: Project, small: Path, tmp_path: Path) -> None:
    """``--python`` takes a program or an environment's folder; how it differs is said."""
    folder = small.parents[1]
    done = recorded.flexlock("rerun", "outputs/a", "--python", folder)
    assert "identical: 1 file" in done.out and not done.err
    named = recorded.flexlock("rerun", "outputs/a", "--python", recorded.python, check=False)
    assert named.code == 1 and "is not the run's environment: " in named.err
    bare = tmp_path / "bare"
    uvs.call("venv", bare)
    for given, said in ((bare, "cannot run a recorded job: "), ("nope", "no interpreter nope")):
        done = recorded.flexlock("rerun", "outputs/a", "--python", given, check=False)
        assert done.code == 2 and said in done.err
    both = again(recorded, "--python", folder)
    assert both.code == 2 and "--python and --env exclude each other" in both.err


SHA = "sha256:" + "1e61c374" * 8
TORCH = "https://download.pytorch.org/whl/cu121"
LOCK_FILES = {
    "uv.lock": (
        'version = 1\n[[package]]\nname = "torch"\nversion = "2.5.1+cu121"\n'
        f'source = {{ registry = "{TORCH}" }}\nsdist = {{ url = "x", hash = "{SHA}" }}\n'
    ),
    "poetry.lock": (
        f'[[package]]\nname = "Torch"\nversion = "2.5.1+cu121"\nfiles = [{{hash = "{SHA}"}}]\n'
        f'[package.source]\ntype = "legacy"\nurl = "{TORCH}"\nreference = "torch"\n'
    ),
    "pylock.toml": (
        f'[[packages]]\nname = "torch"\nversion = "2.5.1+cu121"\nindex = "{TORCH}"\n'
        f'[[packages.wheels]]\nhashes = {{sha256 = "{SHA[7:]}"}}\n'
    ),
    "Pipfile.lock": json.dumps({
        "_meta": {"sources": [{"url": TORCH}, {"url": "https://pypi.org/simple"}]},
        "default": {"torch": {"version": "==2.5.1+cu121", "hashes": [SHA]}},
    }),
    "requirements.txt": (
        f"--extra-index-url {TORCH}\n-i https://pypi.org/simple\n"
        f"torch==2.5.1+cu121 ; python_version > '3' \\\n    --hash={SHA}\nnumpy>=1\n"
    ),
}


@pytest.mark.parametrize("name", LOCK_FILES)
def test_lock_files(name: str) -> None:
    """Hashes and indexes are found in the lock files of every tool."""
    pins = read_pins(f"sub/{name}", LOCK_FILES[name].encode())
    pin = pins.get("torch", "2.5.1+cu121")
    assert pin is not None and pin.hashes == {SHA}
    assert {pin.index, *pins.indexes} - {None} == {TORCH}
    assert pins.others("torch", "2.4.0") == ["2.5.1+cu121"] and not pins.others("numpy", "1.0")
    assert (read_pins("uv.lock", b"\xff[") + pins).get("torch", "2.5.1+cu121") == pin
    assert isinstance(pin, Pin)
