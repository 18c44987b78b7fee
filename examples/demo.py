"""A pipeline of three runs is recorded, pushed, lost, restored twice, run again, reproduced.

Started with the Python of an environment that has flexlock-hydra, DVC and scikit-learn;
git is taken from PATH. Only temporary folders are written, and removed at the end; no
network is used. The last line counts the files that were compared byte for byte with the
originals: every file of both restored folders, and every output of the reruns.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parent.parent
JOBS = ("preprocess", "train", "evaluate")
NOT_CODE = ("examples/data/*.csv", "outputs/", "multirun/", "__pycache__/")

NEW_MODULE = '''\
"""Written during the demo, never committed."""


def balanced(features, labels):
    """As many rows of the one class as of the other."""
    size = min(labels.count(0), labels.count(1))
    kept = [[i for i, label in enumerate(labels) if label == side][:size] for side in (0, 1)]
    rows = sorted(kept[0] + kept[1])
    return [features[i] for i in rows], [labels[i] for i in rows]
'''
EDITS = {
    "from files import": "from balance import balanced\nfrom files import",
    "    classifier =": "    features, labels = balanced(features, labels)\n    classifier =",
}

NOT_RESTORED = ("*.log", "__pycache__")
"""Hydra's log is no output, bytecode no code."""
OWN_FILES = (".git", ".dvc", ".flexlock")
"""What git, DVC and flexlock-hydra keep in a restored folder beside the run itself."""
NOT_REPEATED = ("*.log", "run.lock", ".hydra")
"""What a rerun writes anew: the time and the place of a run are in it."""


class DemoError(Exception):
    """The demo cannot go on: a command failed, or a file is not as it was."""


def main() -> None:
    """Tell the story from the first run to the last comparison."""
    with tempfile.TemporaryDirectory(prefix="flexlock-demo-") as name:
        home = Path(name).resolve()
        project, lost = home / "project", home / "lost"

        make_project(project, git_remote=home / "git-remote")
        edit_without_commit(project)
        runs = run_pipeline(project)
        tag = push(project, runs["evaluate"], data_remote=home / "data-remote")
        original = lose(project, lost)

        pulled = restore_with_pull(tag, home / "git-remote", home / "pulled")
        compared = compare_restored("flexlock-hydra pull", tag, original, pulled)
        cloned = restore_with_git_and_dvc(tag, home / "git-remote", home / "cloned")
        compared |= compare_restored("git clone and dvc pull", tag, original, cloned)
        for job in reversed(JOBS):
            compared |= rerun(job, runs[job], pulled, original)
        compared |= reproduce(tag, home / "git-remote", home / "reproduced", original, runs)
    print(f"reproduced: {len(compared)} files identical")


def make_project(project: Path, git_remote: Path) -> None:
    """The example in a repository of its own, its data ignored by git."""
    left_out = shutil.ignore_patterns("__pycache__", "demo.py")
    for folder in ("conf", "examples"):
        shutil.copytree(EXAMPLE / folder, project / folder, ignore=left_out)
    (project / ".gitignore").write_text("\n".join((*NOT_CODE, "")), encoding="utf-8")
    git("init", "--quiet", "--bare", str(git_remote), cwd=project)
    git("init", "--quiet", cwd=project)
    git("remote", "add", "origin", str(git_remote), cwd=project)
    git("add", ".", cwd=project)
    git("commit", "--quiet", "--message", "The example", cwd=project)
    tell("project", "the example is in a new git repository; git ignores its data and outputs")


def edit_without_commit(project: Path) -> None:
    """Change a script, and let it import a module that git does not know."""
    (project / "examples" / "balance.py").write_text(NEW_MODULE, encoding="utf-8")
    script = project / "examples" / "train.py"
    text = script.read_text(encoding="utf-8")
    for old, new in EDITS.items():
        if text.count(old) != 1:
            raise DemoError(f"{script} has not one place with {old!r}")
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    tell("edit", "train.py is changed and imports a new module, balance.py; nothing is committed")


def run_pipeline(project: Path) -> dict[str, str]:
    """Run the three apps; each one's output directory, relative to the project."""
    runs: dict[str, str] = {}
    runs["preprocess"] = run_app(project, "preprocess")
    result = metrics(project, runs["preprocess"])
    tell(
        "preprocess",
        f"{result['rows']} rows split into {result['train_rows']} to train on and "
        f"{result['test_rows']} to test with; run.lock written",
    )
    preprocessed = f"preprocessed={runs['preprocess']}"
    runs["train"] = run_app(project, "train", preprocessed)
    result = metrics(project, runs["train"])
    tell("train", f"model trained on {result['rows']} balanced rows; run.lock written")
    runs["evaluate"] = run_app(project, "evaluate", preprocessed, f"trained={runs['train']}")
    result = metrics(project, runs["evaluate"])
    tell("evaluate", f"{result['accuracy']:.1%} of the test rows are right; run.lock written")
    return runs


def run_app(project: Path, job: str, *overrides: str) -> str:
    """Run one app of the example; its output directory."""
    run(sys.executable, f"examples/{job}.py", *overrides, cwd=project)
    locks = list(project.glob(f"outputs/{job}/*/*/run.lock"))
    if len(locks) != 1:
        raise DemoError(f"{job}.py wrote {len(locks)} run.lock files, not one")
    return locks[0].parent.relative_to(project).as_posix()


def metrics(project: Path, folder: str) -> dict[str, float]:
    """What an app measured."""
    text = (project / folder / "metrics.json").read_text(encoding="utf-8")
    found: dict[str, float] = json.loads(text)
    return found


def push(project: Path, folder: str, data_remote: Path) -> str:
    """Push the last run, with the two that it stands on, and drill its restore; the tag's name."""
    pushed = flexlock("push", folder, "--remote", str(data_remote), "--drill", cwd=project)
    tag = str(pushed["tag"])
    tell("push", f"all three runs: tag {tag} to git, {pushed['objects']} objects to DVC")
    tell("drill", f"before the tag went out, {pushed['drilled']} files came back as recorded")
    return tag


def lose(project: Path, lost: Path) -> Path:
    """Move the original away, so that nothing can be taken from it; its new place."""
    project.rename(lost)
    tell("lose", "the original folder is moved away; from here it serves to compare with, only")
    return lost


def restore_with_pull(tag: str, git_remote: Path, target: Path) -> Path:
    """Restore with this package."""
    flexlock("pull", tag, "--from", str(git_remote), "--into", str(target), cwd=target.parent)
    return target


def restore_with_git_and_dvc(tag: str, git_remote: Path, target: Path) -> Path:
    """Restore as someone does who has git and DVC alone."""
    git("clone", "--quiet", "--branch", tag, str(git_remote), str(target), cwd=target.parent)
    site_cache = str(target.with_name("dvc-site-cache"))
    run(program("dvc"), "pull", "--quiet", cwd=target, DVC_SITE_CACHE_DIR=site_cache)
    return target


def compare_restored(how: str, tag: str, original: Path, restored: Path) -> set[Path]:
    """Require the original's code, data and outputs, byte for byte; the files compared.

    The code must also be all that the tag's first parent holds.
    """
    files = set(files_below(original, (*NOT_RESTORED, ".git")))
    restored_files = set(files_below(restored, (*NOT_RESTORED, *OWN_FILES)))
    compared = compare(original, restored, files, restored_files)

    parent = restored.with_name(f"{restored.name}-first-parent")
    git("worktree", "add", "--quiet", "--detach", str(parent), f"{tag}^1", cwd=restored)
    known = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=original)
    code = {Path(name) for name in known.split("\0") if name}
    compare(original, parent, code, set(files_below(parent, (".git",))))

    tell("restore", f"by {how}: {len(compared)} files of code, data and outputs, all identical")
    return compared


def rerun(job: str, folder: str, restored: Path, original: Path) -> set[Path]:
    """Run a restored run again and require the same outputs; the files compared."""
    again = flexlock("rerun", folder, cwd=restored)
    target = Path(again["path"])
    files = set(files_below(original / folder, NOT_REPEATED))
    compared = compare(original / folder, target, files, set(files_below(target, NOT_REPEATED)))
    if again["verdict"] != "identical":
        raise DemoError(f"rerun of {job}: every file is identical, yet the command says {again}")
    tell("rerun", f"{job} run again in the restored folder: {len(compared)} outputs identical")
    return compared


def reproduce(
    tag: str, git_remote: Path, target: Path, original: Path, runs: dict[str, str]
) -> set[Path]:
    """Run the whole pipeline again from the tag alone; the outputs compared."""
    where = ("--from", str(git_remote), "--into", str(target))
    told = flexlock("reproduce", tag, *where, "--with-prevs", cwd=target.parent)
    if told["verdict"] != "identical":
        raise DemoError(f"reproduce {tag}: {told}")
    compared = set()
    for step, job in zip((*told["steps"], told), JOBS, strict=True):
        folder, again = original / runs[job], Path(step["path"])
        files = set(files_below(folder, NOT_REPEATED))
        compared |= compare(folder, again, files, set(files_below(again, NOT_REPEATED)))
    history = flexlock("show", tag, cwd=target)["reproduced"]
    tell(
        "reproduce",
        f"from the tag alone, all three runs again: {history[0]['verdict']}, kept in git",
    )
    return compared


def compare(original: Path, copy: Path, expected: set[Path], found: set[Path]) -> set[Path]:
    """Require the same files with the same bytes below two folders; those of the copy."""
    wrong = [f"{copy / name} is missing" for name in expected - found]
    wrong += [f"{copy / name} is not in the original" for name in found - expected]
    wrong += [
        f"{copy / name} differs from {original / name}"
        for name in expected & found
        if (copy / name).read_bytes() != (original / name).read_bytes()
    ]
    if wrong:
        raise DemoError("\n".join(sorted(wrong)))
    if not expected:
        raise DemoError(f"{original} has no file to compare with")
    return {copy / name for name in expected}


def files_below(folder: Path, left_out: Iterable[str]) -> Iterator[Path]:
    """The files below a folder, relative to it, but for those of some names."""
    patterns = tuple(left_out)
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(fnmatch(part, p) for part in name.parts for p in patterns):
            yield name


def flexlock(command: str, *arguments: str, cwd: Path) -> dict[str, Any]:
    """Run a command of flexlock-hydra; its JSON document."""
    found: dict[str, Any] = json.loads(
        run(program("flexlock-hydra"), command, *arguments, "--json", cwd=cwd)
    )
    return found


def git(*arguments: str, cwd: Path) -> str:
    """Run git as somebody; its output."""
    identity = ("-c", "user.name=Demo", "-c", "user.email=demo@example.org")
    return run("git", *identity, *arguments, cwd=cwd)


def run(*command: str, cwd: Path, **variables: str) -> str:
    """Run a command and return its output; both are shown when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise DemoError(f"{' '.join(command)}\ncannot be started: {error}") from error
    if done.returncode != 0:
        raise DemoError(
            f"{' '.join(command)}\nended with exit code {done.returncode}\n"
            f"{done.stdout}{done.stderr}"
        )
    return done.stdout


def environment() -> dict[str, str]:
    """The same for every user: settings of git, DVC and flexlock-hydra are left out."""
    settings = ("GIT_", "DVC_", "FLEXLOCK_")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(settings)
    }
    return inherited | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
    }


def program(name: str) -> str:
    """A program of the environment whose Python runs this."""
    folder = Path(sys.executable).parent
    found = shutil.which(name, path=os.pathsep.join(map(str, (folder, folder / "Scripts"))))
    if found is None:
        raise DemoError(f"no {name} in {folder}: pip install flexlock-hydra there")
    return found


def tell(step: str, text: str) -> None:
    """One line of the story, at once."""
    print(f"{step:<11} {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except DemoError as error:
        sys.exit(f"failed: {error}")
