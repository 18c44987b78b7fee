"""A pushed run is reproduced from its tag alone, anywhere, and the verdict is kept and shared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.archive.remotes import verdicts
from flexlock_hydra.ports.git.make_objects import commit_tree, write_blobs
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import layout
from flexlock_hydra.record.verdict import Verdict
from tests.conftest import Project, fingerprint

NUMBERS = '''
import os, time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    text = Path(cfg.table).read_text()
    (out / "out.txt").write_text(f"{text} {cfg.lr} {sorted({'a', 'b', 'c'})}")
    (out / "seen.txt").write_text("|".join({"one", "two", "three", "four", "five"}))
    (out / "time.txt").write_text(time.strftime("%Z", time.localtime(0)))
    (out / "loss.json").write_text('{"loss": %r}' % (0.5 + float(os.environ.get("NOISE", 0))))
    return {"loss": cfg.lr}


if __name__ == "__main__":
    main()
'''
CONFIG = """
defaults:
  - _self_
  - override /hydra/callbacks: flexlock
table: ${snapshot:data/table.csv,table}
lr: 0.1
"""


@pytest.fixture
def pushed(project: Project, origin: Path, store: Path) -> str:
    """The tag of a run that was pushed from the project."""
    project.write("app.py", NUMBERS)
    project.write("conf/config.yaml", CONFIG)
    project.commit("numbers")
    project.app("hydra.run.dir=outputs/a", PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    tag: str = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    return tag


@pytest.fixture
def elsewhere(tmp_path: Path, project: Project) -> Project:
    """Another machine, as far as that can be: nothing of the project, another HOME."""
    home = tmp_path / "other" / "home"
    work = tmp_path / "other" / "work"
    home.mkdir(parents=True)
    work.mkdir()
    (home / ".gitconfig").write_text("[user]\n\tname = Grace\n\temail = grace@example.org\n")
    return Project(work, {**project.env, "HOME": str(home)})


def reproduce(where: Project, tag: str, *words: str | Path, **env: Any) -> dict[str, Any]:
    """Reproduce a tag; the command's JSON."""
    done = where.flexlock("reproduce", tag, "--json", *words, cwd=None, check=False, **env)
    assert done.code in (0, 1), done.err
    document: dict[str, Any] = done.json
    assert done.code == (document["verdict"] == "differs")
    return document


NAMELESS = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
"""What goes before a command that runs as a number which no user has, as in containers."""


@pytest.mark.hydra
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or subprocess.run([*NAMELESS, "true"]).returncode != 0,
    reason="no user namespaces",
)
def test_a_user_without_a_name(project: Project, origin: Path, store: Path) -> None:
    """Who has neither a name in git nor in the system pushes and reproduces, named by number."""
    project.write("conf/config.yaml", CONFIG)
    project.commit("callback")
    project.app("hydra.run.dir=outputs/a")
    anonymous = {**project.env, "USER": "", "LOGNAME": "", "GIT_COMMITTER_NAME": ""}
    ours = [*NAMELESS, project.python, "-m", "flexlock_hydra"]
    for words in (["push", "outputs/a", "--remote", str(store)], ["reproduce"]):
        words += project.git("tag").split()
        subprocess.run([*ours, *words], cwd=project.root, env=anonymous, check=True)
    history = project.flexlock("show", project.git("tag"), "--json").json["reproduced"]
    assert [verdict["where"]["by"] for verdict in history] == ["uid 12345"]


@pytest.mark.hydra
def test_a_run_that_leaves_nothing(project: Project, origin: Path, store: Path) -> None:
    """Where an app wrote and returned nothing, no verdict looks like one on something."""
    project.write("conf/config.yaml", CONFIG)
    project.write("app.py", "import hydra\n@hydra.main('conf', 'config', None)\n"
                  "def main(cfg):\n    print(cfg)\nmain()\n")
    project.commit("prints")
    project.app("hydra.run.dir=outputs/a")
    project.flexlock("push", "outputs/a", "--remote", store)
    tag = project.git("tag")
    said = project.flexlock("reproduce", tag).out
    assert "nothing was compared: no output files, no plain result; the status is the same" in said
    assert said.endswith("verdict: identical (nothing was compared)\n")
    assert "identical (no file was compared) on " in project.flexlock("show", tag).out


def noted(repo: Path) -> dict[str, list[dict[str, Any]]]:
    """The verdicts of a repository as git shows notes: commit -> lines."""
    shown = subprocess.run(
        ["git", "fetch", "-q", ".", f"+{layout.VERDICTS}:refs/notes/verdicts"], cwd=repo, check=True
    )
    assert shown.returncode == 0
    listed = subprocess.run(
        ["git", "notes", "--ref=verdicts", "list"], cwd=repo, check=True, capture_output=True
    ).stdout.decode().split()
    found = {}
    for commit in listed[1::2]:
        note = subprocess.run(
            ["git", "notes", "--ref=verdicts", "show", commit],
            cwd=repo,
            check=True,
            capture_output=True,
        ).stdout
        found[commit] = [json.loads(line) for line in note.splitlines()]
    return found


@pytest.mark.hydra
def test_elsewhere(pushed: str, origin: Path, elsewhere: Project, gone: Any) -> None:
    """Another path, HOME, time zone, locale, hash seed, umask and CPU count: still identical."""
    gone()
    cpu = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    words = [sys.executable, "-m", "flexlock_hydra", "reproduce", pushed, "--json"]
    other = {"TZ": "America/New_York", "LC_ALL": "C", "PYTHONHASHSEED": "99"}

    def prepare() -> None:
        os.umask(0o077)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})

    done = subprocess.run(
        [*words, "--from", str(origin)],
        cwd=elsewhere.root,
        env={**elsewhere.env, **other},
        capture_output=True,
        preexec_fn=prepare,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert (said["verdict"], said["identical"], said["tag"]) == ("identical", 4, pushed)
    assert Path(said["path"]).is_dir() and said["differ"] == said["missing"] == []
    kept = said["kept"]
    assert kept["environment"]["same"] and kept["where"]["by"] == "Grace"
    restored = elsewhere.path("-".join(layout.parse_tag(pushed) or ()))
    assert noted(restored) == {elsewhere.git("rev-parse", f"{pushed}^{{}}", cwd=restored): [kept]}


@pytest.mark.hydra
def test_close_and_differs(pushed: str, origin: Path, elsewhere: Project) -> None:
    """Noise below the tolerance is close, more differs: file, key and both values are named."""
    source = ("--from", origin)
    close = reproduce(elsewhere, pushed, *source, NOISE="1e-12")
    assert (close["verdict"], close["close"]) == ("close", ["loss.json"])
    strict = reproduce(elsewhere, pushed, *source, "--rtol", "0", "--atol", "0", NOISE="1e-12")
    assert strict["verdict"] == "differs" and strict["kept"]["tolerance"] == {"rtol": 0, "atol": 0}
    done = elsewhere.flexlock("reproduce", pushed, *source, check=False, NOISE="0.25")
    assert done.code == 1 and "loss.json" in done.out and "0.5, now 0.75" in done.out
    assert done.out.endswith("verdict: differs\n")


@pytest.mark.hydra
def test_history(pushed: str, origin: Path, elsewhere: Project, project: Project) -> None:
    """``show`` tells how often a tag was reproduced, where and with what result; so for others."""
    first = reproduce(elsewhere, pushed, "--from", origin, "--publish")
    before = fingerprint(project.root)
    second = reproduce(project, pushed, "--publish", NOISE="1", LC_ALL="C")
    assert fingerprint(project.root).keys() - before.keys() == {
        name for name in fingerprint(project.root) if name == f".git/{layout.VERDICTS}"
    }
    assert Path(second["path"]).is_relative_to(project.root.parent)
    assert not Path(second["path"]).is_relative_to(project.root)

    third = elsewhere.path("third")
    elsewhere.flexlock("pull", pushed, "--from", origin, "--into", third)
    shown = elsewhere.flexlock("show", pushed, cwd=third).out
    history = elsewhere.flexlock("show", pushed, "--json", cwd=third).json["reproduced"]
    assert sorted(history, key=str) == sorted([first["kept"], second["kept"]], key=str)
    assert "2 times: identical 1, differs 1" in shown
    assert "by Grace" in shown and "loss.json" in shown
    assert "2 times: identical 1, differs 1" in project.flexlock("show", "outputs/a").out


@pytest.mark.hydra
@pytest.mark.parametrize("home", ["~", "${oc.env:HOME}"])
def test_data_in_the_home_folder(
    home: str, project: Project, origin: Path, store: Path, elsewhere: Project
) -> None:
    """An input whose path is made of the user's home is found where that is another."""
    data = Path(project.env["HOME"], "sets", "y.txt")
    data.parent.mkdir()
    data.write_text("1,2\n")
    source = project.path("app.py").read_text()
    assert "Path(cfg.table)" in source
    project.write("app.py", source.replace("Path(cfg.table)", "Path(cfg.table).expanduser()"))
    project.app(f"table='${{snapshot:\"{home}/sets/y.txt\",table}}'", "hydra.run.dir=outputs/a")
    project.flexlock("push", "outputs/a", "--remote", store)
    shutil.rmtree(data.parent)
    said = reproduce(elsewhere, project.git("tag"), "--from", origin)
    assert (said["verdict"], said["identical"]) == ("identical", 2)


@pytest.mark.hydra
def test_a_step_before_that_differs(
    project: Project, origin: Path, store: Path, elsewhere: Project
) -> None:
    """With the whole lineage, a step that makes the verdict is shown, and the history names it."""
    project.write("app.py", NUMBERS)
    project.write("conf/config.yaml", CONFIG)
    project.commit("numbers")
    project.app("hydra.run.dir=outputs/a", "hydra.job.name=first", PYTHONHASHSEED="1", TZ="UTC")
    project.app("hydra.run.dir=outputs/b", "table='${snapshot:outputs/a/time.txt,table}'",
                PYTHONHASHSEED="1", TZ="UTC", NOISE="1")
    project.flexlock("push", "outputs/b", "--remote", store)
    tag = project.git("tag")
    done = elsewhere.flexlock(
        "reproduce", tag, "--from", origin, "--with-prevs", check=False, NOISE="1"
    )
    assert done.code == 1 and "differs: loss.json: loss: 0.5, now 1.5" in done.out
    root = elsewhere.path("-".join(layout.parse_tag(tag) or ()))
    assert "the same packages: first: loss.json" in elsewhere.flexlock("show", tag, cwd=root).out


@pytest.mark.hydra
def test_a_sweep(project: Project, origin: Path, store: Path, elsewhere: Project) -> None:
    """Of a sweep every job runs again; the verdict is that of the worst, files by job."""
    project.write("app.py", NUMBERS)
    project.write("conf/config.yaml", CONFIG)
    project.commit("numbers")
    project.app("-m", "lr=1,2", "hydra.sweep.dir=multirun/s", TZ="UTC", PYTHONHASHSEED="1")
    tag = project.flexlock("push", "multirun/s", "--remote", store, "--json").json["tag"]
    said = reproduce(elsewhere, tag, "--from", origin, NOISE="1")
    assert said["verdict"] == "differs" and said["identical"] == 6
    assert said["differ"] == ["0/loss.json", "1/loss.json"]
    assert [job["verdict"] for job in said["jobs"]] == ["differs", "differs"]
    root = elsewhere.path("-".join(layout.parse_tag(tag) or ()))
    assert "once: differs 1" in elsewhere.flexlock("show", tag, cwd=root).out
    here = project.flexlock("rerun", tag, check=False)
    assert here.code == 2 and "a sweep of 2 jobs\n  Name one of them: multirun/s/0, " in here.err
    shutil.rmtree(project.path("multirun"))
    gone = project.flexlock("rerun", tag, check=False)
    assert gone.code == 2 and "flexlock-hydra reproduce TAG; " in gone.err


@pytest.mark.hydra
def test_rerun_of_a_tag_whose_folder_is_gone(project: Project, pushed: str) -> None:
    """``rerun TAG`` needs neither the run's folder nor its data: both come by their hashes."""
    shutil.rmtree(project.path("outputs/a"))
    project.write("data/table.csv", "changed")
    done = project.flexlock("rerun", pushed)
    assert done.out.endswith("identical: 4 files\n")
    assert project.path("data/table.csv").read_text() == "changed"


@pytest.mark.hydra
def test_rerun_of_a_run_whose_outputs_are_gone(project: Project) -> None:
    """What is nowhere to be had is run again all the same, and never called identical."""
    project.app("hydra.run.dir=outputs/a")
    next(path for path in project.path("outputs/a").iterdir() if path.suffix == ".txt").unlink()
    done = project.flexlock("rerun", "outputs/a", check=False)
    assert done.code == 1 and "nothing to compare with" in done.err
    assert "differs: all outputs (the recorded ones are gone)" in done.out


def test_what_cannot_be_restored_gives_no_verdict(
    pushed: str, origin: Path, store: Path, elsewhere: Project
) -> None:
    """Where the data is gone everywhere there is an error, and nothing is kept."""
    shutil.rmtree(store / "files")
    done = elsewhere.flexlock("reproduce", pushed, "--from", origin, check=False)
    assert done.code == 2 and "missing: data/table.csv" in done.err
    restored = elsewhere.path("-".join(layout.parse_tag(pushed) or ()))
    found = GitRepo.find(restored)
    assert found is not None and verdicts.history(found, pushed) == ()


def verdict(tag: str, when: str, result: str = "identical") -> Verdict:
    """A verdict with nothing in it but the time."""
    return Verdict(tag, when, {"host": "x"}, {"python": "CPython 3.11"}, result)


def test_verdicts_of_two_histories_are_joined(project: Project, origin: Path) -> None:
    """Two who publish at once, neither knowing of the other, lose no line and repeat none."""
    project.git("tag", "flexlock/a/1")
    project.git("tag", "flexlock/b/2", project.commit("another"))
    project.git("push", "-q", "origin", "--all")
    project.git("push", "-q", "origin", "--tags")
    other = project.root.with_name("clone")
    project.git("clone", "-q", str(origin), str(other))
    mine, theirs = GitRepo.find(project.root), GitRepo.find(other)
    assert mine is not None and theirs is not None
    for repo, day in ((mine, 1), (theirs, 2)):
        verdicts.keep(repo, verdict("flexlock/a/1", f"2026-01-0{day}"))
    verdicts.keep(mine, verdict("flexlock/b/2", "2026-01-03"))
    for repo in (mine, theirs, mine, theirs):
        verdicts.send_verdicts(repo, str(origin))
    for repo in (mine, theirs):
        assert [each.when for each in verdicts.history(repo, "flexlock/a/1")] == [
            "2026-01-01", "2026-01-02"
        ]
        assert len(verdicts.history(repo, "flexlock/b/2")) == 1
    assert mine.rev_parse(layout.VERDICTS) == theirs.rev_parse(layout.VERDICTS)


def test_verdicts_kept_at_once(project: Project) -> None:
    """Processes that keep verdicts in one repository at the same time lose none."""
    project.git("tag", "flexlock/a/1")
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from flexlock_hydra.archive.remotes import verdicts\n"
        "from flexlock_hydra.ports.git.repo import GitRepo\n"
        "from flexlock_hydra.record.verdict import Verdict\n"
        "for n in range(4):\n"
        "    verdicts.keep(GitRepo.find(Path.cwd()), Verdict('flexlock/a/1',"
        " f'{sys.argv[1]}-{n}', {}, {}, 'identical'))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, str(n)], cwd=project.root, env=project.env)
        for n in range(4)
    ]
    assert [process.wait(60) for process in running] == [0] * 4
    repo = GitRepo.find(project.root)
    assert repo is not None and len(verdicts.history(repo, "flexlock/a/1")) == 16


def test_notes_of_others(project: Project) -> None:
    """A hostile or broken note is no verdict, steers no terminal, and stays where it is."""
    project.git("tag", "flexlock/a/1")
    repo = GitRepo.find(project.root)
    assert repo is not None
    hostile = verdict("flexlock/a/1", "2026", "differs").to_dict()
    hostile["where"] = {"host": "\x1b[2J", "by": ["x"] * 3}
    lines = ["not json", "[" * 50_000, '{"verdict": "identical"}', json.dumps(hostile)]
    blob = write_blobs(repo, ["\n".join(lines).encode()])[0]
    head = project.git("rev-parse", "HEAD")
    tree = project.call("bash", "-c", f"printf '100644 blob {blob}\\t{head[2:]}\\n' | git mktree")
    spread = project.call("bash", "-c",
                          f"printf '040000 tree {tree.out.strip()}\\t{head[:2]}\\n' | git mktree")
    commit = commit_tree(repo, spread.out.strip(), [], "x", "1 +0000")
    project.git("update-ref", layout.VERDICTS, commit)
    verdicts.keep(repo, verdict("flexlock/a/1", "2025"))
    assert [each.when for each in verdicts.history(repo, "flexlock/a/1")] == ["2025", "2026"]
    note = project.git("cat-file", "blob", f"{layout.VERDICTS}:{head}")
    assert {*lines} <= {*note.splitlines()}
