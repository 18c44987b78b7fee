"""Bad input: exit 2 with what, where and what to type next; nothing lost, nothing written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Done, Project, contents, fingerprint, read_plain


@pytest.fixture
def recorded(project: Project, origin: Path) -> Project:
    """A project with one run in outputs/a."""
    project.app("hydra.run.dir=outputs/a")
    return project


def refused(done: Done, *said: str) -> None:
    """A command ended with 2, in words and with a way on, and printed no result."""
    assert done.code == 2, done.out + done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    lines = done.err.strip().splitlines()
    assert lines[-1].startswith("  "), "no hint"
    for text in said:
        assert text in done.err


def edit_lock(project: Project, **sections: Any) -> None:
    """Change the lock of outputs/a."""
    path = project.path("outputs/a/run.lock")
    plain = read_plain(path)
    for name, value in sections.items():
        plain[name] = {**plain[name], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(plain, sort_keys=False))


@pytest.mark.parametrize("command", ["show", "push", "rerun"])
@pytest.mark.parametrize("name", ["nothing", "outputs", "20990101T000000Z", "@latest"])
def test_no_such_run(project: Project, command: str, name: str) -> None:
    """A name that no run has."""
    project.path("outputs").mkdir()
    refused(project.flexlock(command, name, check=False), "no run")


@pytest.mark.parametrize("command", ["show", "push", "rerun"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("format: 1\nrun: [", "damaged"),
        ("", "no format number"),
        ("format: 2\n", "format 2 is newer"),
        ("format: 1\nrun: {}\n", "run.id is missing"),
        ("format: 1\nrun: !!python/object/apply:os.system [id]\n", "damaged"),
        ("\xff\xfe\0", "damaged"),
    ],
)
def test_damaged_lock(recorded: Project, command: str, content: str, said: str) -> None:
    """A lock that is damaged or of a newer format is named and left as it is."""
    path = recorded.write("outputs/a/run.lock", content.encode("latin-1"))
    refused(recorded.flexlock(command, "outputs/a", check=False), said, str(path))
    assert path.read_bytes() == content.encode("latin-1")


def test_one_key_for_two_paths(recorded: Project) -> None:
    """A lock that gives one key twice is refused: one of the two would be lost."""
    path = recorded.path("outputs/a/run.lock")
    text = path.read_text()
    entry = text[text.index("  table:\n    path"):text.index("\ncompleteness:") + 1]
    path.write_text(text.replace(entry, entry + entry))
    refused(recorded.flexlock("push", "outputs/a", check=False), "key table stands twice")


def test_two_keys_for_one_path(recorded: Project, store: Path) -> None:
    """Two keys for one path travel once; with two hashes the one that is wrong is named."""
    entry = read_plain(recorded.path("outputs/a/run.lock"))["data"]["table"]
    recorded.app(
        "hydra.run.dir=outputs/b",
        "+again='${snapshot:data/table.csv}'",
        "+more='${snapshot:data/table.csv,more}'",
    )
    pushed = recorded.flexlock("push", "outputs/b", "--remote", store, "--json").json
    once = recorded.flexlock("push", "outputs/a", "--remote", store, "--json").json
    assert pushed["objects"] == once["objects"]
    edit_lock(recorded, data={"other": {**entry, "hash": {"md5": "0" * 32}}})
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    refused(done, "data other: data/table.csv changed", "0" * 32, entry["hash"]["md5"])


@pytest.mark.parametrize("path", ["../../etc/passwd", "data/../../x", "..\\x"])
@pytest.mark.parametrize("command", ["show", "push", "rerun"])
def test_a_path_that_climbs(recorded: Project, command: str, path: str) -> None:
    """A lock whose data path leads out of the project is refused whole."""
    edit_lock(recorded, data={"table": {"path": path, "hash": {"md5": "0" * 32}}})
    refused(recorded.flexlock(command, "outputs/a", check=False), "leads out of its folder")


def test_an_absolute_path_in_a_lock_from_elsewhere(
    recorded: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """In a pulled project an absolute path never means a file of this machine."""
    secret = tmp_path / "secret"
    secret.write_text("mine")
    tag = recorded.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    pulled = tmp_path / "pulled"
    recorded.flexlock("pull", tag, "--from", origin, "--into", pulled, cwd=tmp_path)
    there = Project(pulled, recorded.env)
    known = {"md5": "d4b7c284882ca9e208bb65e8abd5f4c8"}  # of "mine": even when it fits
    edit_lock(there, data={"table": {"path": str(secret), "hash": known}})
    refused(there.flexlock("rerun", "outputs/a", check=False), "is missing")
    refused(there.flexlock("push", "outputs/a", check=False), "is missing")


@pytest.mark.parametrize("tag", ["flexlock/app/20990101T000000Z-00000000", "v1.0", "flexlock"])
def test_unknown_tag(recorded: Project, origin: Path, tmp_path: Path, tag: str) -> None:
    """A tag that is not there leaves no folder behind."""
    for words in (["--from", str(origin)], []):
        done = recorded.flexlock("pull", tag, "--into", tmp_path / "x", *words, check=False)
        refused(done, tag)
        assert not (tmp_path / "x").exists()


def test_pull_outside_any_repository(recorded: Project, tmp_path: Path) -> None:
    """Without a repository the tag's home must be told."""
    tag = "flexlock/app/20990101T000000Z-00000000"
    refused(recorded.flexlock("pull", tag, cwd=tmp_path, check=False), "--from URL")


def test_target_folder_is_not_empty(
    recorded: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """Nothing is written into a folder that holds something."""
    tag = recorded.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "mine").write_text("1")
    refused(recorded.flexlock("pull", tag, "--into", tmp_path / "x", check=False), "not empty")
    refused(
        recorded.flexlock("rerun", "outputs/a", "--into", tmp_path / "x", check=False), "not empty"
    )
    assert contents(tmp_path / "x") == {"mine": "c4ca4238a0b923820dcc509a6f75849b"}


def test_unknown_git_remote(recorded: Project, store: Path) -> None:
    """The remotes that there are are named."""
    done = recorded.flexlock(
        "push", "outputs/a", "--git-remote", "upstream", "--remote", store, check=False
    )
    refused(done, "no git remote upstream", "origin")
    assert not store.exists()


def test_git_remote_out_of_reach(recorded: Project, store: Path, tmp_path: Path) -> None:
    """A git remote that cannot be reached leaves no tag and no data."""
    recorded.git("remote", "set-url", "origin", str(tmp_path / "nowhere.git"))
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    assert done.code == 2
    assert "nowhere.git" in done.err
    assert recorded.git("tag") == ""


@pytest.mark.parametrize(
    ("url", "said"), [("foo://bucket/x", "foo://"), ("s3x://bucket", "s3x")]
)
def test_unknown_kind_of_data_remote(recorded: Project, url: str, said: str) -> None:
    """The kinds that there are are named, and nothing is tagged."""
    refused(recorded.flexlock("push", "outputs/a", "--remote", url, check=False), said, "s3, ssh")
    assert recorded.git("tag") == ""


def test_kind_of_data_remote_that_is_not_installed(recorded: Project) -> None:
    """The extra to install is named."""
    done = recorded.flexlock("push", "outputs/a", "--remote", "hdfs://host/x", check=False)
    refused(done, "not installed")


def test_run_still_running(recorded: Project, store: Path) -> None:
    """A run that has not ended is not pushed."""
    lock = read_plain(recorded.path("outputs/a/run.lock"))
    ticks = int(Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19])
    process = {**lock["run"]["process"], "pid": os.getpid(), "start_ticks": ticks}
    edit_lock(recorded, run={"status": "running", "process": process})
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    refused(done, "still running")
    assert not store.exists()


@pytest.mark.parametrize("where", ["here", "there"])
def test_tag_taken_by_other_content(
    recorded: Project, origin: Path, store: Path, where: str
) -> None:
    """A tag of the run's name with other content is left as it is."""
    lock = read_plain(recorded.path("outputs/a/run.lock"))
    tag = f"flexlock/app/{lock['run']['id']}"
    recorded.git("tag", tag)
    if where == "there":
        recorded.git("push", "-q", "origin", f"refs/tags/{tag}")
        recorded.git("tag", "-d", tag)
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    refused(done, tag, "other content")
    assert not store.exists()


def test_not_a_git_repository(empty: Project, store: Path) -> None:
    """A run without code cannot be pushed or run again."""
    empty.app("hydra.run.dir=outputs/a")
    refused(empty.flexlock("push", "outputs/a", "--remote", store, check=False), "git init")
    refused(empty.flexlock("rerun", "outputs/a", check=False), "git init")


def test_input_changed_since_the_run(recorded: Project, store: Path) -> None:
    """An input that is another one by now is named with both hashes."""
    recorded.write("data/table.csv", "changed\n")
    for command in ("push", "rerun"):
        words = ["--remote", str(store)] if command == "push" else []
        refused(
            recorded.flexlock(command, "outputs/a", *words, check=False),
            "data table: data/table.csv changed",
            "e5ebd4c02cefbe7955977c67ada242b7",
            "ec1bebaea2c042beb68f7679ddd106a4",
        )
    assert not store.exists()
    assert recorded.git("tag") == ""


def test_input_missing(recorded: Project, store: Path) -> None:
    """An input that is gone is named with its hash."""
    recorded.path("data/table.csv").unlink()
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    refused(done, "data table: data/table.csv is missing", "e5ebd4c02cefbe7955977c67ada242b7")


def test_input_never_recorded(recorded: Project, store: Path) -> None:
    """A run whose input was missing from the start cannot be pushed."""
    recorded.app("+x='${snapshot:data/none.csv}'", "hydra.run.dir=outputs/b")
    done = recorded.flexlock("push", "outputs/b", "--remote", store, check=False)
    refused(done, "data x (data/none.csv) was not recorded")


def test_outputs_changed_since_the_run(recorded: Project, store: Path) -> None:
    """Outputs that are others by now do not pass as the run's; without them it goes."""
    recorded.write("outputs/a/model.txt", "tampered")
    done = recorded.flexlock("push", "outputs/a", "--remote", store, check=False)
    refused(done, "the outputs of", "changed", "--no-outputs")
    pushed = recorded.flexlock("push", "outputs/a", "--remote", store, "--no-outputs", "--json")
    assert pushed.json["objects"] == 1


def test_predecessors_lock_is_gone(recorded: Project, store: Path) -> None:
    """A predecessor that lost its lock is named."""
    recorded.app("+x='${snapshot:outputs/a/model.txt}'", "hydra.run.dir=outputs/b")
    recorded.path("outputs/a/run.lock").unlink()
    done = recorded.flexlock("push", "outputs/b", "--remote", store, check=False)
    refused(done, "predecessor app", "outputs/a")


def test_predecessors_lock_changed(recorded: Project, store: Path) -> None:
    """A predecessor whose lock was edited since is named."""
    recorded.app("+x='${snapshot:outputs/a/model.txt}'", "hydra.run.dir=outputs/b")
    edit_lock(recorded, job={"name": "other"})
    done = recorded.flexlock("push", "outputs/b", "--remote", store, check=False)
    refused(done, "changed since", "sha256:")


def test_data_remote_is_not_writable(recorded: Project, tmp_path: Path) -> None:
    """A data remote that cannot be written to leaves no tag."""
    (tmp_path / "file").write_text("")
    done = recorded.flexlock("push", "outputs/a", "--remote", tmp_path / "file" / "x", check=False)
    refused(done, str(tmp_path / "file/x"), "--remote")
    done = recorded.flexlock("push", "outputs/a", "--remote", "/proc/none", check=False)
    refused(done, "/proc/none")
    assert recorded.git("tag") == ""


def test_no_space(recorded: Project, store: Path) -> None:
    """A full data remote leaves no tag; with room again the same push goes through."""
    recorded.write("data/table.csv", b"0" * 3_000_000)
    recorded.app("hydra.run.dir=outputs/b", "~table", "+x='${snapshot:data/table.csv}'",
                 "hydra.callbacks.flexlock.outputs=false", check=False)
    words = [sys.executable, "-m", "flexlock_hydra", "push", "outputs/b", "--remote", str(store)]
    limit = 1_000_000
    done = subprocess.run(
        words, cwd=recorded.root, env=recorded.env, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    refused(Done(done.returncode, done.stdout, done.stderr), str(store), "room")
    assert recorded.git("tag") == ""
    assert recorded.flexlock(*words[3:], "--json").json["tag"]


def test_missing_git(recorded: Project) -> None:
    """Without git the command says what to install."""
    done = recorded.flexlock("push", "outputs/a", check=False, PATH="/nonexistent")
    refused(done, "git is not installed", "Install git")


def test_git_older_than_needed(recorded: Project, tmp_path: Path) -> None:
    """An old git is refused before anything is done."""
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    old.write_text(
        '#!/bin/sh\nfor word; do [ "$word" = version ] && echo git version 2.20.1 && exit; done\n'
        f'exec {real.strip()} "$@"\n'
    )
    old.chmod(0o755)
    path = f"{old.parent}:{os.environ['PATH']}"
    refused(recorded.flexlock("push", "outputs/a", check=False, PATH=path), "2.20.1 is older")


@pytest.mark.parametrize(
    "words", [["psuh", "x"], ["push"], ["push", "outputs/a", "--nope"], ["diff", "outputs/a"]]
)
def test_usage(recorded: Project, words: list[str]) -> None:
    """A command line that makes no sense ends with 2 and says how it goes."""
    done = recorded.flexlock(*words, check=False)
    assert done.code == 2
    assert "Usage:" in done.err


def test_every_refusal_leaves_the_checkout_alone(recorded: Project, tmp_path: Path) -> None:
    """Failed commands change nothing that is the user's."""
    recorded.write("data/table.csv", "changed\n")
    before = fingerprint(recorded.root)
    for words in (
        ["push", "outputs/a", "--remote", str(tmp_path / "s")],
        ["rerun", "outputs/a"],
        ["pull", "flexlock/app/20990101T000000Z-00000000"],
        ["show", "nothing"],
    ):
        assert recorded.flexlock(*words, check=False).code == 2
    assert fingerprint(recorded.root) == before


@pytest.mark.parametrize("file", ["{evil}", "../../evil.py"])
def test_a_lock_cannot_start_a_program_elsewhere(
    recorded: Project, tmp_path: Path, file: str
) -> None:
    """A script outside of the project and the environment is not run for a lock's sake."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    command = read_plain(recorded.path("outputs/a/run.lock"))["job"]["command"]
    edit_lock(recorded, job={"command": {**command, "file": file.format(evil=evil)}})
    done = recorded.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 2
    assert not (tmp_path / "ran").exists()


def test_a_lock_cannot_steer_the_interpreter(recorded: Project, tmp_path: Path) -> None:
    """Variables that choose programs are not taken from a lock."""
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = {"x": "${oc.env:PYTHONSTARTUP}${oc.env:LD_PRELOAD}"}
    edit_lock(
        recorded,
        unresolved=config,
        environment={"variables": {"LD_PRELOAD": "/x.so", "PYTHONPATH": str(tmp_path)}},
    )
    done = recorded.flexlock("rerun", "outputs/a", check=False)
    assert "x.so" not in done.err
    assert not (tmp_path / "ran").exists()
