"""The environment of a run is made again from its record, or the user is told what is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flexlock_hydra.replay.env.interpreter import python_of
from tests.conftest import Done, Project, with_callback
from tests.project.test_docs import commands, normal, write_files
from tests.support import uvs

APP = '''
from importlib.metadata import version
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    said = " ".join(f"{name} {version(name)}" for name in cfg.names)
    Path(HydraConfig.get().runtime.output_dir, "versions.txt").write_text(said)
    return said


if __name__ == "__main__":
    main()
'''


def write_job(project: Project) -> None:
    """A repository with a job that tells which version of six it has."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("names: [six]\n"))
    project.write(".gitignore", "outputs/\n")
    project.git("init", "-q")
    project.commit("versions")


@pytest.fixture
def job(tmp_path: Path, env: dict[str, str]) -> Project:
    """A project that tells which version of six it has."""
    project = Project(tmp_path / "project", {**env, **uvs.settings()})
    project.root.mkdir()
    write_job(project)
    return project


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with an older six than that of the tests."""
    return uvs.small_environment(tmp_path_factory.mktemp("small") / "env", "six==1.16.0")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, small: Path) -> Path:
    """The job, recorded in the small environment."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "home").mkdir()
    project = Project(folder / "project", {**os.environ, "HOME": str(folder / "home")})
    write_job(project)
    project.call(small, "app.py", "hydra.run.dir=outputs/a")
    return project.root


@pytest.fixture
def recorded(once: Path, job: Project) -> Project:
    """The project with its recorded job."""
    shutil.rmtree(job.root)
    shutil.copytree(once, job.root)
    return job


def again(project: Project, *words: str | Path, **env: Any) -> Done:
    """Rerun the run in the recorded environment."""
    return project.flexlock("rerun", "outputs/a", "--env", *words, check=False, **env)


def made(project: Project, **env: Any) -> dict[str, Any]:
    """What a rerun that went well says of its environment."""
    done = again(project, "--json", **env)
    assert done.code == 0, done.err
    document = done.json
    assert document["verdict"] == "identical"
    found: dict[str, Any] = document["environment"]
    return found


def change(project: Project, edit: Callable[[str], str]) -> None:
    """Edit the recorded lock."""
    lock = project.path("outputs/a/run.lock")
    before = lock.read_text()
    lock.write_text(edit(before))
    assert lock.read_text() != before


def package(folder: Path, name: str, body: str = "") -> Path:
    """The source of a distribution that no index has."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
        f"[project]\nname = '{name}'\nversion = '0.3'\n"
        f"[tool.setuptools]\npy-modules = ['{name.replace('-', '_')}']\n{body}"
    )
    (folder / f"{name.replace('-', '_')}.py").write_text("")
    return folder


def test_the_page(job: Project, tmp_path: Path) -> None:
    """Each command of the page runs, and prints what the page says."""
    shutil.rmtree(job.root)
    job.root.mkdir()
    page = "docs/environments.md"
    write_files(job, page)
    small = uvs.small_environment(tmp_path / "env", "six==1.16.0")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "flexlock-hydra").symlink_to(Path(job.python).with_name("flexlock-hydra"))
    path = os.pathsep.join(map(str, (tools, small.parent, os.environ["PATH"])))
    for command, shown in commands(page):
        if "git commit" in command:
            job.commit()
        else:
            said = job.call("bash", "-c", command, PATH=path).out
            assert normal(said.replace(job.env["HOME"], "/home/ada")) == normal(shown), command
    assert job.path("outputs/a/used.txt").read_text() == "six 1.16.0"


@pytest.mark.hydra
def test_from_distributions(recorded: Project) -> None:
    """Without a lock file, the recorded versions come from the index: the job finds them."""
    assert recorded.lock()["run"]["result"] == "six 1.16.0"
    found = made(recorded)
    assert found["same"] and found["hash"] == found["recorded"]
    assert found["differences"] == found["lock_files"] == []
    assert uvs.installed(python_of(Path(found["path"])))["six"] == "1.16.0"
    assert Path(found["path"]).is_relative_to(recorded.env["HOME"])
    tag = recorded.flexlock("push", "outputs/a", "--remote", "../store", "--json").json["tag"]
    done = recorded.flexlock("reproduce", tag, "--into", "../b", "--env", "--json").json
    assert (done["verdict"], done["environment"]) == ("identical", found)
    assert done["kept"]["environment"]["same"]


@pytest.mark.slow
def test_made_once(recorded: Project) -> None:
    """The second rerun takes what the first one made: nothing is fetched.

    Nor does the job see what a shell's PYTHONPATH leads to.

    An environment that somebody installed something else into is made anew.
    """
    done = again(recorded)
    assert "making an environment of 10 distributions in " in done.err
    nowhere = {"UV_DEFAULT_INDEX": "http://127.0.0.1:1/simple", "UV_NO_CACHE": "1"}
    shadow = recorded.root.parent / "shadow" / "six-9.9.dist-info"
    shadow.mkdir(parents=True)
    (shadow / "METADATA").write_text("Metadata-Version: 2.1\nName: six\nVersion: 9.9\n")
    first = made(recorded, **nowhere, PYTHONPATH=str(shadow.parent))
    assert f"environment: the same, in {first['path']}\n" in done.out
    uvs.install(python_of(Path(first["path"])), "six==1.17.0")
    assert made(recorded) == first


def test_two_at_once(recorded: Project) -> None:
    """Of two reruns that start together, one makes the environment; both run in it."""
    words = [recorded.python, "-m", "flexlock_hydra", "rerun", "outputs/a", "--env", "--json"]
    both = [
        subprocess.Popen(
            [*words, "--into", f"outputs/again{n}"], cwd=recorded.root, env=recorded.env,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for n in range(2)
    ]
    said = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    one, other = (json.loads(out)["environment"] for out, _ in said)
    assert one == other and one["same"]
    assert sum("making an environment" in err for _, err in said) == 1


@pytest.mark.slow
def test_a_killed_build(job: Project, small: Path, tmp_path: Path) -> None:
    """What a killed process had made of an environment is never used."""
    slow = tmp_path / "slow"
    package(job.path("lib"), "lib-of-ours")
    job.write("lib/setup.py", (
        "import os, pathlib, time\n"
        f"flag = pathlib.Path({str(slow)!r})\n"
        "for _ in range(3000):\n"
        "    if not flag.exists(): break\n"
        "    flag.write_text('here')\n"
        "    time.sleep(0.02)\n"
        "from setuptools import setup; setup()\n"
    ))
    job.commit("lib")
    uvs.install(small, "-e", job.path("lib"))
    job.call(small, "app.py", "hydra.run.dir=outputs/a", "names=[six,lib-of-ours]")
    uvs.call("pip", "uninstall", "--python", small, "lib-of-ours")
    slow.touch()
    words = [job.python, "-m", "flexlock_hydra", "rerun", "outputs/a", "--env"]
    process = subprocess.Popen(words, cwd=job.root, env=job.env, start_new_session=True)
    until = time.monotonic() + 60
    while slow.read_text() != "here":
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    slow.unlink()
    half = [p for p in Path(job.env["HOME"]).glob("**/environments/*") if p.is_dir()]
    assert uvs.installed(python_of(half[0]))["six"] == "1.16.0"
    found = made(job)
    assert found["same"] and found["path"] == str(half[0])
    assert uvs.installed(python_of(half[0]))["lib-of-ours"] == "0.3"


LOCKED = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tells-versions"
version = "0.3"
requires-python = ">=3.10"
dependencies = ["six==1.16.0"]
[project.scripts]
tell-versions = "tells.main:main"
[tool.setuptools]
packages = ["tells", "tells.conf"]
package-data = {"*" = ["*.yaml"]}
"""


@pytest.mark.slow
@pytest.mark.hydra
def test_from_uv_lock(job: Project, tmp_path: Path) -> None:
    """A project with ``uv.lock`` and a console script: its files' hashes are checked."""
    job.write("pyproject.toml", LOCKED)
    job.write("tells/__init__.py", "")
    job.write("tells/main.py", APP)
    job.write("tells/conf/__init__.py", "")
    job.write("tells/conf/config.yaml", job.path("conf/config.yaml").read_text())
    uvs.call("lock", "--project", job.root)
    job.commit("locked")
    python = uvs.small_environment(tmp_path / "env", "six==1.16.0", "-e", job.root)
    script = python.with_name("tell-versions")
    job.call(script, "hydra.run.dir=outputs/a", "names=[six,tells-versions]")
    assert job.lock()["run"]["result"] == "six 1.16.0 tells-versions 0.3"
    found = made(job)
    assert found["same"] and found["lock_files"] == ["uv.lock"]

    lock = job.path("uv.lock").read_text()
    wrong = lock.replace('hash = "sha256:1e61c37477a1', 'hash = "sha256:000000000000')
    wrong = wrong.replace('hash = "sha256:8abb2f1d8689', 'hash = "sha256:000000000000')
    assert wrong != lock
    job.write("uv.lock", wrong)
    job.call(script, "hydra.run.dir=outputs/b")
    done = job.flexlock("rerun", "outputs/b", "--env", check=False)
    assert done.code == 2 and "six: " in done.err and "sha256:000000000000" in done.err


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index that has one distribution which is nowhere else."""
    folder = tmp_path / "index" / "simple" / "only-there"
    source = package(tmp_path / "only-there", "only-there")
    uvs.call("build", "--wheel", "--out-dir", folder, source)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def test_an_index_of_the_lock_file(job: Project, small: Path, index: str) -> None:
    """What only an index of the lock file has comes from there; without the file it is named."""
    job.write("uv.lock", (
        'version = 1\nrequires-python = ">=3.10"\n[[package]]\nname = "only-there"\n'
        f'version = "0.3"\nsource = {{ registry = "{index}" }}\n'
    ))
    job.commit("lock")
    uvs.install(small, "--index", index, "only-there")
    job.call(small, "app.py", "hydra.run.dir=outputs/a", "names=[six,only-there]")
    uvs.call("pip", "uninstall", "--python", small, "only-there")
    assert made(job)["same"]
    change(job, lambda lock: lock.replace("    uv.lock: sha256:", "    uv.lock: sha256:0"))
    done = again(job)
    assert done.code == 2 and "  only-there: " in done.err
    assert "uv.lock is not here as it was recorded: it is not used" in done.err


def test_from_git(job: Project, small: Path, tmp_path: Path) -> None:
    """What was installed from a repository comes from its recorded commit."""
    other = Project(package(tmp_path / "other", "kept-in-git"), job.env)
    other.git("init", "-q")
    commit = other.commit("one")
    uvs.install(small, f"kept-in-git @ git+file://{other.root}")
    job.call(small, "app.py", "hydra.run.dir=outputs/a", "names=[six,kept-in-git]")
    uvs.call("pip", "uninstall", "--python", small, "kept-in-git")
    other.write("pyproject.toml", "broken")
    other.commit("two")
    assert made(job)["same"]
    assert commit in job.lock()["environment"]["packages"]["kept-in-git"]
