"""Files that git LFS keeps beside the repository: what is new travels, what does not is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = [pytest.mark.hydra, pytest.mark.slow]

FILTER = '''
import hashlib, pathlib, subprocess, sys
where = ["git", "rev-parse", "--path-format=absolute", "--git-common-dir"]
store = pathlib.Path(subprocess.check_output(where, text=True).strip(), "lfs", "objects")
data = sys.stdin.buffer.read()
if sys.argv[1] == "clean":
    oid = hashlib.sha256(data).hexdigest()
    store.mkdir(parents=True, exist_ok=True)
    (store / oid).write_bytes(data)
    sys.stdout.write("version https://git-lfs.github.com/spec/v1\\n")
    sys.stdout.write(f"oid sha256:{oid}\\nsize {len(data)}\\n")
elif not data.startswith(b"version https://git-lfs.github.com/"):
    sys.stdout.buffer.write(data)
else:
    sys.stdout.buffer.write((store / data.split(b":")[2].split()[0].decode()).read_bytes())
'''
POINTER = "version https://git-lfs.github.com/spec/v1\n"


def use_filter(project: Project, program: str) -> None:
    """Give every repository of the user a filter that is required, as ``git lfs install`` does."""
    for which in ("clean", "smudge"):
        project.git("config", "--global", f"filter.lfs.{which}", f"{program} {which}")
    project.git("config", "--global", "filter.lfs.required", "true")


@pytest.fixture
def large(project: Project, tmp_path: Path, origin: Path) -> Project:
    """A pushed repository with a large file; a script stands for git-lfs."""
    script = tmp_path / "lfs.py"
    script.write_text(FILTER)
    use_filter(project, f"{sys.executable} {script}")
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.write("pushed.bin", "pushed")
    project.commit("large")
    project.git("push", "-q", "origin", "main")
    assert project.git("show", "HEAD:pushed.bin").startswith(POINTER.strip())
    return project


def run_and_push(project: Project, store: Path) -> tuple[str, list[str]]:
    """Run the app and push the run; the tag, and what the push warned of LFS."""
    project.app("hydra.run.dir=outputs/a")
    done = project.flexlock("push", "outputs/a", "--remote", store, "--json")
    tag: str = done.json["tag"]
    return tag, [text for text in done.json["warnings"] if "LFS" in text]


def test_an_edit_travels(large: Project, store: Path, origin: Path, tmp_path: Path) -> None:
    """The content of a file that differs from HEAD is in the snapshot; a clone has it at once."""
    large.write("pushed.bin", "edited")
    large.write("new.bin", "new")
    tag, warned = run_and_push(large, store)
    main = large.lock()["repos"]["main"]

    assert (main["completeness"], main["dirty"]) == ("exact", ["new.bin", "pushed.bin"])
    assert large.git("show", f"{main['commit']}:pushed.bin") == "edited"
    assert warned == []
    large.git("config", "--global", "--remove-section", "filter.lfs")
    large.git("clone", "-q", "--branch", tag, str(origin), str(tmp_path / "clone"))
    assert (tmp_path / "clone/new.bin").read_text() == "new"


def test_a_rerun_has_the_content(large: Project) -> None:
    """A rerun's worktree has the edited and the committed file; none counts as written by it."""
    large.write("pushed.bin", "edited")
    large.write("app.py", large.path("app.py").read_text().replace(
        '"n": len(text)', '"n": Path("pushed.bin").read_text()'))
    large.app("hydra.run.dir=outputs/a")
    assert large.lock()["repos"]["main"]["reasons"] == []
    done = large.flexlock("rerun", "outputs/a", "--json")
    assert done.json["verdict"] == "identical" and "written" not in done.json


def test_what_was_committed_and_not_pushed_is_named(large: Project, store: Path) -> None:
    """Git LFS sends it with a branch alone: the push says what stays here."""
    large.write("late.bin", "late")
    large.commit("late")
    _, warned = run_and_push(large, store)
    assert warned == [
        "git LFS keeps late.bin on this machine alone; send it by hand: git lfs push --all REMOTE"
    ]


@pytest.mark.parametrize("program", ["none", "missing", "empty"])
def test_elsewhere_without_it(
    program: str, large: Project, store: Path, origin: Path, tmp_path: Path
) -> None:
    """No filter, one whose program is missing, one without the content: all ends, and is said."""
    tag, _ = run_and_push(large, store)
    large.git("config", "--global", "--remove-section", "filter.lfs")
    if program == "missing":
        use_filter(large, "no-such-program")
    elif program == "empty":
        use_filter(large, f"{sys.executable} {tmp_path / 'lfs.py'}")
    done = large.flexlock("reproduce", tag, "--from", origin, "--into", tmp_path / "there",
                          cwd=tmp_path)

    assert "git LFS keeps the content of pushed.bin: git lfs pull" in done.err
    assert "verdict: identical" in done.out
    assert (tmp_path / "there/pushed.bin").read_text().startswith(POINTER)


@pytest.mark.needs("git-lfs")
def test_with_git_lfs_itself(
    project: Project, store: Path, origin: Path, tmp_path: Path
) -> None:
    """The real program: an edit travels, what was pushed is fetched, what was not is named."""
    project.git("lfs", "install", "--skip-repo")
    project.git("lfs", "install", "--local")
    project.git("lfs", "track", "*.bin")
    project.write("pushed.bin", "pushed")
    project.write("edited.bin", "before")
    project.commit("large")
    project.git("push", "-q", "origin", "main")
    project.write("late.bin", "late")
    project.commit("late")
    project.write("edited.bin", "edited")
    tag, warned = run_and_push(project, store)
    assert project.lock()["repos"]["main"]["reasons"] == [] and "late.bin" in warned[0]
    done = project.flexlock("reproduce", tag, "--from", origin, "--into", tmp_path / "there",
                            cwd=tmp_path)

    assert "git LFS keeps the content of late.bin: git lfs pull" in done.err
    found = {path.name: path.read_text() for path in (tmp_path / "there").glob("*.bin")}
    assert (found["pushed.bin"], found["edited.bin"]) == ("pushed", "edited")
    assert found["late.bin"].startswith(POINTER) and "verdict: identical" in done.out
