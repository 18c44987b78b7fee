"""Repositories beside the main one: named ones, editable installs, and what they bring."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.ports.git.worktrees import temporary_worktree
from tests.conftest import WAIT_FOR_A_SIGNAL, Project, read_lock, with_callback
from tests.support.trees import snapshot

pytestmark = pytest.mark.usefixtures("own_home")

APP = """
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

import lib


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    (Path(HydraConfig.get().runtime.output_dir) / "said.txt").write_text(str(lib.value))


if __name__ == "__main__":
    main()
"""
CALLBACK = "hydra.callbacks.flexlock"


@pytest.fixture
def lib(project: Project, tmp_path: Path) -> Project:
    """A repository beside the project with a module below src/, committed and then edited."""
    made = Project(tmp_path / "lib", project.env)
    made.write("src/lib.py", "value = 1\n")
    made.write("pyproject.toml", "[project]\nname = 'My_Lib'\n")
    made.git("init", "-q", "-b", "main")
    made.commit()
    made.write("src/lib.py", "value = 2\n")
    project.write("app.py", APP)
    project.write("conf/config.yaml", "defaults: [_self_, override /hydra/callbacks: flexlock]\n")
    project.commit()
    return made


@pytest.fixture
def editable(lib: Project, project: Project, tmp_path: Path) -> Path:
    """A site folder with the library installed in place, as pip writes it."""
    site = tmp_path / "site-packages"
    info = site / "My_Lib-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text(
        f'{{"url": "file://{lib.root}", "dir_info": {{"editable": true}}}}'
    )
    project.env["PYTHONPATH"] = f"{site}:{lib.root / 'src'}"
    return site


@pytest.mark.hydra
def test_an_editable_install_is_recorded(
    editable: Path, lib: Project, project: Project
) -> None:
    """The repository of an editable install stands under the distribution's name."""
    project.app()
    entry = project.lock()["repos"]["my-lib"]

    assert entry["path"] == "../lib"
    assert entry["dirty"] == ["src/lib.py"]
    assert entry["import_paths"] == ["src"]
    assert lib.git("show", f"{entry['commit']}:src/lib.py") == "value = 2"
    assert project.lock()["repos"]["main"]["completeness"] == "exact"


@pytest.mark.hydra
def test_a_develop_install_is_recorded(editable: Path, lib: Project, project: Project) -> None:
    """An editable install of the old kind, with its metadata beside the code, counts as well."""
    shutil.rmtree(editable / "My_Lib-1.0.dist-info")
    lib.write("src/my_lib.egg-info/PKG-INFO", "Metadata-Version: 2.1\nVersion: 1.0\n")
    project.app()

    assert project.lock()["repos"]["my-lib"]["path"] == "../lib"


@pytest.mark.hydra
def test_an_editable_install_that_nothing_is_imported_from_stays_out(
    editable: Path, lib: Project, project: Project, origin: Path, store: Path
) -> None:
    """It stands among the packages alone: no ref, nothing pushed, its troubles refuse nothing."""
    (editable / "Torn-1.0.dist-info").mkdir()
    (editable / "Torn-1.0.dist-info/direct_url.json").write_text(
        f'{{"url": "file://{editable.parent}/torn", "dir_info": {{"editable": true}}}}'
    )
    (editable.parent / "torn").mkdir()
    (editable.parent / "torn" / ".git").write_text("gitdir: /nowhere\n")
    project.write("app.py", APP.replace("import lib\n", "").replace("lib.value", "1"))
    project.commit()
    project.app(f"{CALLBACK}.strict=code", "hydra.run.dir=outputs/a")
    lock = project.lock()

    assert set(lock["repos"]) == {"main"}
    assert lock["warnings"] == []
    assert lock["environment"]["packages"]["my-lib"] == f"1.0 (editable: {lib.root})"
    assert lib.git("for-each-ref", "refs/flexlock") == ""
    project.flexlock("push", "outputs/a", "--remote", store)
    of_lib = lib.git("rev-parse", "HEAD:src/lib.py")
    assert of_lib not in project.git("rev-list", "--objects", "--all", cwd=origin)


@pytest.mark.hydra
def test_an_editable_install_is_recorded_where_a_job_imports_it_late(
    editable: Path, lib: Project, project: Project
) -> None:
    """Its code is that of the start; a sweep's job that does not import it lacks it."""
    late = APP.replace("import lib\n", "").replace(
        "    (Path(", "    if cfg.n == 0:\n        return\n    import lib\n"
        f"    Path('{lib.root}/src/lib.py').write_text('value = 3')\n    (Path(")
    project.write("app.py", late)
    project.write("conf/config.yaml", with_callback("n: 1\n"))
    project.commit()
    project.app("hydra.run.dir=outputs/a")
    entry = project.lock()["repos"]["my-lib"]

    assert lib.git("show", f"{entry['commit']}:src/lib.py") == "value = 2"
    assert entry["import_paths"] == ["src"]
    assert entry["commit"] in lib.git("for-each-ref", "refs/flexlock")
    assert entry["reasons"] == ["src/lib.py changed while the job ran"]
    project.app("-m", "n=0,1", "hydra.sweep.dir=outputs/b")
    repos = [set(read_lock(path)["repos"]) for path in project.locks()[1:]]
    assert repos == [{"main"}, {"main", "my-lib"}]


@pytest.mark.hydra
def test_a_rerun_of_a_project_that_is_itself_installed(project: Project, tmp_path: Path) -> None:
    """The job imports from the worktree, which lies in the checkout: that is not recorded too."""
    info = tmp_path / "site-packages" / "Mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "direct_url.json").write_text(
        f'{{"url": "file://{project.root}", "dir_info": {{"editable": true}}}}'
    )
    project.env["PYTHONPATH"] = f"{info.parent}:{project.root / 'src'}"
    project.write("src/lib.py", "value = 1\n")
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback(""))
    project.commit()
    project.app("hydra.run.dir=outputs/a")
    project.write("src/lib.py", "value = 2\n")
    again = project.flexlock("rerun", "outputs/a", "--json").json
    assert again["verdict"] == "identical"
    assert set(read_lock(Path(again["path"], "run.lock"))["repos"]) == {"main"}


@pytest.mark.hydra
def test_editable_installs_can_be_left_out(editable: Path, project: Project) -> None:
    """With editable=false they are not recorded; what was imported from one is named."""
    project.app(f"{CALLBACK}.editable=false")
    repos = project.lock()["repos"]

    assert set(repos) == {"main"}
    assert repos["main"]["completeness"] == "partial"
    assert repos["main"]["reasons"][0].startswith("lib was imported from ")


@pytest.mark.parametrize(("option", "name"), [
    ("[../lib]", "lib"), ("../lib", "lib"), ("{toolkit: ../lib/src}", "toolkit"),
])
@pytest.mark.hydra
def test_a_named_repository_is_recorded(
    option: str, name: str, lib: Project, project: Project
) -> None:
    """The option ``repos`` takes a path, a list of them or a mapping."""
    project.env["PYTHONPATH"] = str(lib.root / "src")
    project.app(f"{CALLBACK}.repos={option}")

    repos = project.lock()["repos"]
    assert set(repos) == {"main", name}
    shown = f"  {name}  ../lib  {repos[name]['commit'][:12]} on {repos[name]['branch']}, "
    assert shown in project.flexlock("show", "@latest").out


@pytest.mark.hydra
def test_a_named_folder_in_no_repository_is_named(lib: Project, project: Project) -> None:
    """What was asked for and is no repository is a warning; the job runs."""
    project.env["PYTHONPATH"] = str(lib.root / "src")
    project.app(f"{CALLBACK}.repos=[..]")

    assert project.lock()["warnings"] == [
        f"repository .. not recorded: {project.root.parent} is in no git repository"
    ]


@pytest.mark.hydra
def test_strict_refuses_a_named_folder_in_no_repository(lib: Project, project: Project) -> None:
    """Under ``strict=code`` nothing runs where code that was asked for is not recorded."""
    project.env["PYTHONPATH"] = str(lib.root / "src")
    done = project.app(f"{CALLBACK}.repos=[..]", f"{CALLBACK}.strict=code", check=False)

    assert done.code == 2
    assert f"repository .. not recorded: {project.root.parent} is in no git" in done.err
    assert project.locks() == []


@pytest.mark.hydra
def test_an_installed_task_is_named(project: Project, tmp_path: Path) -> None:
    """No repository holds a task that is installed code: the code is not exact."""
    site = tmp_path / "site-packages"
    site.mkdir()
    source = APP.replace("import lib", "").replace("lib.value", "1")
    (site / "tool.py").write_text(source.replace('config_path="conf"', "config_path=None"))
    project.env["PYTHONPATH"] = str(site)
    project.call(project.python, "-m", "tool", f"--config-dir={project.path('conf')}")
    main = project.lock()["repos"]["main"]

    assert main["completeness"] == "partial"
    assert f"the task is installed code, {site / 'tool.py'}" in main["reasons"]


@pytest.mark.hydra
def test_an_installed_task_has_no_repository(project: Project, tmp_path: Path) -> None:
    """The repository around a virtual environment does not hold the code in it."""
    source = APP.replace("import lib", "").replace("lib.value", "1")
    source = source.replace('"conf"', f"'{project.path('conf')}'")
    project.write("env/site-packages/tool.py", source)
    script = tmp_path / "script.py"
    script.write_text("from tool import main\nmain()\n")
    project.env["PYTHONPATH"] = str(project.path("env/site-packages"))
    project.call(
        project.python, script, f"hydra.run.dir={project.path('outputs/a')}", cwd=tmp_path,
    )

    assert project.lock()["repos"] == {}
    assert project.lock()["warnings"][0].startswith("code not recorded: ")


@pytest.mark.hydra
def test_code_that_drifts_in_another_repository_is_named(
    editable: Path, lib: Project, project: Project
) -> None:
    """A change in a further repository is a reason of that repository's entry."""
    project.write("app.py", APP.replace(
        "    (Path(", f"    Path('{lib.root}/src/lib.py').write_text('x')\n    (Path("))
    project.commit()
    project.app()
    entry = project.lock()["repos"]["my-lib"]

    assert entry["completeness"] == "drifted"
    assert entry["reasons"] == ["src/lib.py changed while the job ran"]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.hydra
def test_a_rerun_imports_the_recorded_code(
    named: bool, editable: Path, lib: Project, project: Project, tmp_path: Path, store: Path,
    origin: Path,
) -> None:
    """Edited since, or gone from this machine: a rerun imports what the run imported."""
    option = [f"{CALLBACK}.repos=[../lib]", f"{CALLBACK}.editable=false"] if named else []
    project.app("hydra.run.dir=outputs/a", *option)
    repos = project.lock()["repos"]
    lib.write("src/lib.py", "value = 3\n")
    assert project.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"
    assert project.lock()["repos"].keys() == repos.keys()

    pushed = project.flexlock("push", "outputs/a", "--remote", store, "--json").json
    assert not [text for text in pushed["warnings"] if "travel" in text]
    for path in (lib.root, project.root):
        shutil.move(path, path.with_name(f"{path.name}-moved"))
    project.flexlock("pull", pushed["tag"], "--from", origin, "--into", tmp_path / "back",
                     cwd=tmp_path)
    back = Project(tmp_path / "back", project.env)
    assert back.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"
    again = back.lock()["repos"]
    assert {key: each["commit"] for key, each in again.items()} == {
        key: each["commit"] for key, each in repos.items()
    }


@pytest.mark.hydra
def test_a_shallow_repository_is_said_not_to_travel(
    lib: Project, project: Project, store: Path, tmp_path: Path
) -> None:
    """A further repository whose history is cut off stays here; the push says so."""
    lib.commit("second")
    shallow = Project(tmp_path / "shallow", lib.env)
    lib.git("clone", "-q", "--depth", "1", f"file://{lib.root}", str(shallow.root))
    project.env["PYTHONPATH"] = str(shallow.root / "src")
    project.app("hydra.run.dir=outputs/a", f"{CALLBACK}.repos=[../shallow]")
    warnings = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["warnings"]

    assert [text for text in warnings if text.startswith("repository shallow of ")]


# Refs


def test_many_processes_at_once_share_one_ref(rich: Project) -> None:
    """Snapshots of equal code taken at once: none fails, one commit, one ref."""
    rich.write("new.py", "x = 1\n")
    program = (
        "import pathlib\n"
        "from flexlock_hydra.capture.code import snapshot\n"
        "repo = snapshot.find_repo(pathlib.Path.cwd())\n"
        "for _ in range(5):\n"
        "    commit = snapshot.capture_code(repo, repo.root).commit\n"
        "print(commit)\n"
    )

    def once(_: int) -> str:
        return rich.call(sys.executable, "-c", program).out

    with ThreadPoolExecutor(20) as pool:
        commits = set(pool.map(once, range(40)))
    assert len(commits) == 1
    assert len(rich.git("for-each-ref", "refs/flexlock").splitlines()) == 1


def test_a_locked_ref_is_waited_for(rich: Project) -> None:
    """While another process holds the ref's lock, a snapshot waits for it."""
    rich.write("new.py", "x = 1\n")
    ref = rich.path(f".git/refs/flexlock/shadow/{snapshot(rich.root).commit}")
    ref.unlink()
    lock = ref.with_name(f"{ref.name}.lock")
    lock.touch()
    with subprocess.Popen(["sh", "-c", f"sleep 0.5; rm '{lock}'"]):
        snapshot(rich.root)

    assert ref.exists()


@pytest.mark.parametrize("how", [["pack-refs", "--all"], ["gc", "-q", "--prune=now"]])
def test_a_ref_that_git_packed_is_not_written_again(
    how: list[str], rich: Project
) -> None:
    """A ref that stands among the packed ones is known."""
    rich.write("new.py", "x = 1\n")
    commit = snapshot(rich.root).commit
    rich.git(*how)
    snapshot(rich.root)

    assert not rich.path(f".git/refs/flexlock/shadow/{commit}").exists()
    assert rich.git("rev-parse", f"refs/flexlock/shadow/{commit}") == commit


# Worktrees


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.hydra
def test_a_rerun_that_is_ended_leaves_no_worktree(number: int, project: Project) -> None:
    """Terminated, it removes its worktree; killed, the next one does, and keeps the outputs."""
    project.write("app.py", project.path("app.py").read_text().replace(
        "    text =", "    if (Path.home() / 'wait').exists():\n"
        f"        import time\n        {WAIT_FOR_A_SIGNAL}\n    text ="))
    project.commit()
    project.app("hydra.run.dir=outputs/a")
    wait = Path(project.env["HOME"]) / "wait"
    wait.touch()
    words = [sys.executable, "-m", "flexlock_hydra", "rerun", "outputs/a"]
    with subprocess.Popen(words, cwd=project.root, env=project.env, start_new_session=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (locks := list(project.path("outputs/reruns").glob("*/.flexlock-*/**/run.lock"))):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(20)
    trees = project.git("worktree", "list", "--porcelain").count("worktree ")
    if number == signal.SIGKILL:
        assert trees == 2
        wait.unlink()
        os.kill(read_lock(locks[0])["run"]["process"]["pid"], signal.SIGKILL)
        project.flexlock("rerun", "outputs/a")
        kept = sorted(path.name for path in locks[0].parents[5].iterdir())
        assert kept == ["1", "2"], "what the killed one wrote has its place"
        trees = project.git("worktree", "list", "--porcelain").count("worktree ")
    assert trees == 1


def test_a_worktree_of_the_users_is_left_alone(project: Project, tmp_path: Path) -> None:
    """Of the worktrees whose folder is gone, those that others made stay registered."""
    project.git("worktree", "add", "-q", str(tmp_path / "mine"))
    shutil.rmtree(tmp_path / "mine")
    repo = GitRepo.find(project.root)
    assert repo is not None
    with temporary_worktree(repo, "HEAD", tmp_path / "another"):
        pass

    assert str(tmp_path / "mine") in project.git("worktree", "list")
