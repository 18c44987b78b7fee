"""Full disks, a git remote that refuses, a user who goes on working: all or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.archive.test_checkout_stays import busy
from tests.conftest import Done, Project, contents, fingerprint
from tests.support.recorded import push
from tests.support.trouble import (
    Disk,
    amid,
    announcements,
    everything,
    hooked,
    require_complete,
    small_disk,
    visible_tags,
)

__all__ = ["busy"]

FULL = "No space left on device"


# Full disks


def on(disk: Disk, project: Project, *words: str | Path, check: bool = True) -> Done:
    """Run the command line as one who sees the disk."""
    inside = disk.enter(project.root)
    return project.call(
        *inside, project.python, "-m", "flexlock_hydra", *words, cwd=Path("/"), check=check
    )


def test_a_full_data_remote(chain: Project, tmp_path: Path) -> None:
    """The upload stops with what to do, and nothing is tagged; with room, the rest is sent."""
    bare, store = tmp_path / "origin.git", tmp_path / "store"
    with small_disk(store, "size=2m") as disk:
        filler = disk.fill(leave=400_000)
        done = on(disk, chain, "push", "outputs/c", check=False)
        assert done.code == 2
        assert f"cannot write to the data remote {store}: {FULL}" in done.err
        assert "Make room there, or choose another with --remote; then push again." in done.err
        assert not visible_tags(bare) and not chain.git("tag")
        assert not announcements(disk.seen(store))
        filler.unlink()
        sent = on(disk, chain, "push", "outputs/c", "--json").json
        assert 0 < sent["sent_objects"] < sent["objects"]
        assert len(require_complete(bare, disk.seen(Path("/")))) == 1


@pytest.mark.parametrize(
    "options, what",
    [("nr_inodes=20", "git"), ("nr_inodes=250", "cannot be written"), ("size=1m", "has room for")],
    ids=["for the code", "amid the data", "from the start"],
)
def test_a_full_disk_where_it_is_restored(
    chain: Project, tmp_path: Path, options: str, what: str
) -> None:
    """The pull stops with what to do; with room, the same command brings the rest."""
    place = tmp_path / "x"
    tag = push(chain, run="outputs/c")["tag"]
    chain.flexlock("pull", tag, "--into", tmp_path / "whole")
    with small_disk(place, options) as disk:
        done = on(disk, chain, "pull", tag, "--into", place, check=False)
        assert done.code == 2, done.err
        assert what in done.err and str(place) in done.err
        assert what == "has room for" or FULL in done.err
        assert done.err.count("\n  ") >= 1
        chain.call(*disk.enter(tmp_path), "mount", "-o", "remount,size=90m,nr_inodes=0", place)
        on(disk, chain, "pull", tag, "--into", place)
        assert contents(disk.seen(place)) == contents(tmp_path / "whole")
        assert not (disk.seen(place) / ".flexlock/MISSING").exists()


def test_a_full_git_remote(recorded: Project, tmp_path: Path) -> None:
    """Git's own words say where; no tag anywhere; with room, the same command finishes."""
    bare = tmp_path / "origin.git"
    with small_disk(bare, "size=1m") as disk:
        filler = disk.fill(leave=4096)
        done = on(disk, recorded, "push", "outputs/a", check=False)
        assert done.code == 2 and "git push" in done.err and "the same by hand" in done.err
        assert FULL in done.err or "unable to" in done.err
        assert not visible_tags(disk.seen(bare)) and not recorded.git("tag")
        filler.unlink()
        assert on(disk, recorded, "push", "outputs/a", "--json").json["sent_objects"] == 0
        assert len(require_complete(disk.seen(bare))) == 1


def test_a_full_disk_of_the_project(recorded: Project, tmp_path: Path) -> None:
    """No object can be added to the project's own git: nothing is sent or tagged."""
    git_dir = recorded.path(".git")
    with small_disk(git_dir, "size=4m") as disk:
        filler = disk.fill(leave=0)
        before = everything(disk.seen(git_dir))
        done = on(disk, recorded, "push", "outputs/a", check=False)
        assert done.code == 2 and FULL in done.err and f"git -C {recorded.root}" in done.err
        after = everything(disk.seen(git_dir))
        assert {name for name in {*before, *after} if before.get(name) != after.get(name)} <= {
            name for name in after if "/objects/" in name
        }
        assert not visible_tags(tmp_path / "origin.git")
        filler.unlink()
        on(disk, recorded, "push", "outputs/a")
        assert len(require_complete(tmp_path / "origin.git")) == 1


# The git remote refuses


def state(project: Project) -> tuple[dict[str, Any], str]:
    """The checkout and all refs."""
    return fingerprint(project.root), project.git("for-each-ref")


def refused(project: Project, *words: str) -> Done:
    """A push that leaves everything here as it was, and no announcement."""
    before = state(project)
    done = project.flexlock("push", "outputs/a", *words, check=False)
    assert done.code == 2 and "\n  " in done.err, done
    assert state(project) == before
    assert not announcements(project.root.with_name("store"))
    return done


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
@pytest.mark.parametrize("words", [[], ["--branch"]], ids=["tag", "tag and branch"])
def test_a_hook_refuses(recorded: Project, tmp_path: Path, hook: str, words: list[str]) -> None:
    """What the hook says is shown, neither tag nor branch stays; later the push finishes."""
    bare = tmp_path / "origin.git"
    script = bare / "hooks" / hook
    script.write_text("#!/bin/sh\necho Ask the admin. >&2\nexit 1\n")
    script.chmod(0o755)
    done = refused(recorded, *words)
    assert "Ask the admin." in done.err and f"git -C {recorded.root} push --atomic" in done.err
    assert not recorded.git("ls-remote", "origin")
    script.unlink()
    assert push(recorded, *words)["sent_objects"] == 0
    assert len(require_complete(bare)) == 1


def test_the_branch_alone_is_refused(recorded: Project, tmp_path: Path) -> None:
    """Both or none: the tag does not go out when its branch may not."""
    script = tmp_path / "origin.git/hooks/update"
    script.write_text('#!/bin/sh\ncase "$1" in refs/heads/*) exit 1 ;; esac\n')
    script.chmod(0o755)
    refused(recorded, "--branch")
    assert not recorded.git("ls-remote", "origin")


def test_somebody_elses_tag(recorded: Project, tmp_path: Path) -> None:
    """A tag of the run's name that somebody else made is not touched, there or here."""
    tag = push(recorded, "--dry-run")["tag"]
    recorded.git("push", "-q", "origin", "main")
    recorded.git("tag", "-a", "-m", "mine", tag, "main")
    assert f"Delete it if it is not wanted: git tag -d {tag}" in refused(recorded).err
    recorded.git("push", "-q", "origin", tag)
    recorded.git("tag", "-d", tag)
    theirs = recorded.git("ls-remote", "origin")
    done = refused(recorded)
    assert f"tag {tag} exists in {tmp_path}/origin.git with other content" in done.err
    assert f"flexlock-hydra rm {tag} --yes" in done.err
    assert recorded.git("ls-remote", "origin") == theirs
    assert not (tmp_path / "store/files").exists()


@pytest.mark.parametrize("there", [True, False], ids=["on the remote", "here"])
@pytest.mark.parametrize("kind", ["tag", "branch"])
def test_a_ref_in_the_way(recorded: Project, tmp_path: Path, kind: str, there: bool) -> None:
    """A branch or tag ``flexlock`` leaves no room for ``flexlock/...``: said before the upload."""
    recorded.git(kind, "flexlock")
    if there:
        recorded.git("push", "-q", "origin", "flexlock")
        recorded.git(*(["tag", "-d"] if kind == "tag" else ["branch", "-q", "-D"]), "flexlock")
    where = tmp_path / "origin.git" if there else recorded.root
    done = refused(recorded, "--branch")
    assert f"{kind} flexlock in {where} leaves no room for {kind}" in done.err
    assert not (tmp_path / "store").exists()
    if kind == "branch":
        push(recorded)
        assert len(require_complete(tmp_path / "origin.git")) == 1


@pytest.mark.parametrize("there", [True, False], ids=["on the remote", "here"])
def test_a_branch_of_the_name_elsewhere(recorded: Project, tmp_path: Path, there: bool) -> None:
    """A branch of the run's name at another commit is not moved: said before the upload."""
    tag = push(recorded, "--dry-run")["tag"]
    recorded.git("branch", tag, "main")
    if there:
        recorded.git("push", "-q", "origin", f"refs/heads/{tag}")
        recorded.git("branch", "-q", "-D", tag)
    done = refused(recorded, "--branch")
    assert f"branch {tag} exists in {tmp_path / 'origin.git' if there else recorded.root}" in (
        done.err
    )
    assert not (tmp_path / "store").exists()
    push(recorded)
    assert require_complete(tmp_path / "origin.git") == [tag]


# The user goes on working

KEEP = {
    "code": "echo 'raise SystemExit' > app.py && echo y > new.py && rm conf/config.yaml",
    "index": "echo z > z.py && git add -A && git rm -q --cached app.py",
    "commit": "git add -A && git -c user.name=B -c user.email=b@example.org commit -qm more",
    "checkout": "git checkout -q -f -b other HEAD && git branch -D main",
    "config": "git config user.name Eve && git config commit.gpgSign true"
    " && git config core.autocrlf true && echo '* text eol=crlf' > .gitattributes",
    "a running merge": "git add -A && git stash -q && git merge -q --no-commit --no-ff HEAD; :",
}
"""What a push does not look at."""
LOSE = {
    "data": "echo more >> data/table.csv",
    "data of the same size and time": "cp -p data/table.csv ../t"
    " && printf 'Z' | dd of=data/table.csv bs=1 conv=notrunc status=none"
    " && touch -r ../t data/table.csv",
    "data goes": "rm -r data",
    "an output": "echo more >> outputs/a/model.txt",
    "outputs go": "rm -r outputs/a/model.txt outputs/pre/model.txt",
    "a file becomes a folder": "rm data/table.csv && mkdir data/table.csv",
    "a file becomes a link": "mv data/table.csv ../t && ln -s ../../t data/table.csv"
    " && echo more >> ../t",
}
"""What it sends."""
LOCKS = {
    "a later run": "cp outputs/pre/run.lock outputs/a/run.lock",
    "another result": "echo 'format: 1' > outputs/a/run.lock",
}
"""What it has read already."""


def pushed_alike(project: Project, tag: dict[str, Any], oid: str) -> None:
    """The tag is there, the very object that an undisturbed push made, and has its data."""
    bare = project.root.with_name("origin.git")
    assert require_complete(bare) == [tag["tag"]]
    assert project.git("rev-parse", f"refs/tags/{tag['tag']}", cwd=bare) == oid


@pytest.fixture
def undisturbed(recorded: Project, tmp_path: Path) -> tuple[dict[str, Any], str]:
    """What a push says, and its tag's object; it is taken back."""
    said = push(recorded)
    oid = recorded.git("rev-parse", f"refs/tags/{said['tag']}")
    for root in (recorded.root, tmp_path / "origin.git"):
        recorded.git("update-ref", "-d", f"refs/tags/{said['tag']}", cwd=root)
    shutil.rmtree(tmp_path / "store")
    return said, oid


def test_edits_that_no_push_sees(
    recorded: Project, undisturbed: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    """Code, index, HEAD and config, changed at any time: the tag holds the recorded state."""
    way = hooked(recorded)
    way.hook("before-fetch", f"cd '{recorded.root}'; {KEEP['code']}")
    way.hook("before-push", f"cd '{recorded.root}'; {KEEP['commit']}; {KEEP['config']}")
    edits = f"{KEEP['index']} && {KEEP['commit']} && {KEEP['checkout']}"
    recorded.call(*amid(recorded, edits, "push", "outputs/a"))
    pushed_alike(recorded, *undisturbed)
    assert recorded.git("rev-parse", "--abbrev-ref", "HEAD") == "other"
    assert not recorded.path("conf/config.yaml").exists()


@pytest.mark.parametrize("edit", LOSE)
def test_data_changes_amid_the_upload(recorded: Project, tmp_path: Path, edit: str) -> None:
    """A file that was hashed and is another one when it is sent: no tag, and which it was."""
    words = amid(recorded, LOSE[edit], "push", "outputs/a")
    before = recorded.git("for-each-ref")
    done = recorded.call(*words, check=False)
    assert done.code == 2, done
    assert "changed while it was pushed" in done.err or "cannot be read" in done.err
    assert any(part in done.err for part in ("data/", "outputs/"))
    assert recorded.git("for-each-ref") == before
    assert not visible_tags(tmp_path / "origin.git")
    assert not announcements(tmp_path / "store")


@pytest.mark.parametrize("edit", LOSE)
def test_data_changes_before_it_is_looked_at(
    recorded: Project, tmp_path: Path, edit: str
) -> None:
    """The run's lock was read, its data was not yet: no tag, and what to do."""
    hooked(recorded).hook("before-fetch", f"cd '{recorded.root}'; {LOSE[edit]}")
    before = recorded.git("for-each-ref")
    done = recorded.flexlock("push", "outputs/a", check=False)
    assert done.code == 2 and "\n  " in done.err, done
    assert recorded.git("for-each-ref") == before
    assert not visible_tags(tmp_path / "origin.git")


@pytest.mark.parametrize("edit", LOCKS)
def test_the_lock_changes(
    recorded: Project, undisturbed: tuple[dict[str, Any], str], edit: str
) -> None:
    """Another run takes the folder when the lock was read: the tag holds what was read."""
    hooked(recorded).hook("before-fetch", f"cd '{recorded.root}'; {LOCKS[edit]}")
    recorded.flexlock("push", "outputs/a")
    pushed_alike(recorded, *undisturbed)


def test_data_changes_when_it_was_sent(
    recorded: Project, undisturbed: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    """All is on the remote, and the tag not yet: it holds what was recorded."""
    edits = " && ".join([LOSE["data"], LOSE["outputs go"], LOCKS["a later run"]])
    hooked(recorded).hook("before-push", f"cd '{recorded.root}'; {edits}")
    recorded.flexlock("push", "outputs/a")
    pushed_alike(recorded, *undisturbed)


def test_a_dry_run_writes_nothing_at_all(busy: Project, tmp_path: Path) -> None:
    """Not a byte in the project, its git, the remotes or the user's home, but for known hashes."""
    busy.flexlock("push", "outputs/pre")
    hashes = str(tmp_path / "home/.cache/flexlock-hydra/hashes-")
    before = everything(tmp_path)
    for words in (["outputs/a"], ["outputs/a", "--drill", "--branch", "--sign"], ["multirun/s"]):
        busy.flexlock("push", *words, "--dry-run")
        after = everything(tmp_path)
        changed = {name for name in {*after, *before} if after.get(name) != before.get(name)}
        assert {name for name in changed if not name.startswith(hashes)} == set()
