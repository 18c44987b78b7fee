"""The way through for data of all kinds and places."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint, read_lock
from tests.journeys.test_way_through import CALLBACK, quoted_config


@pytest.mark.hydra
def test_data_outside_the_repository(
    project: Project, origin: Path, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """Data from elsewhere comes back below the restored folder, and a rerun finds it."""
    outside = tmp_path / "mnt" / "big"
    outside.mkdir(parents=True)
    (outside / "t.csv").write_text("x,y\n")
    project.app(f"table='${{snapshot:{outside}/t.csv,table}}'", "hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    gone()
    (outside / "t.csv").write_text("something else")
    for name in ("ours", "plain"):
        into = tmp_path / name
        if name == "ours":
            project.flexlock("pull", tag, "--from", origin, "--into", into, cwd=tmp_path)
        else:
            project.git("clone", "-q", "--branch", tag, str(origin), str(into), cwd=tmp_path)
            project.dvc("pull", cwd=into)
        assert (into / f".flexlock/fsroot{outside}/t.csv").read_text() == "x,y\n"
        assert project.flexlock("rerun", "outputs/a", "--json", cwd=into).json["identical"] == 2


@pytest.mark.hydra
def test_outputs_outside_the_repository(
    project: Project, origin: Path, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """Runs on a scratch disk are pushed, restored, found and run again like any others."""
    scratch = tmp_path / "scratch"
    project.app(f"hydra.run.dir={scratch}/a")
    project.app("-m", "lr=1,2", f"hydra.sweep.dir={scratch}/s")
    assert "ls DIR" in project.flexlock("ls").out
    assert len(project.flexlock("ls", scratch, "--json").json) == 3
    push: list[str | Path] = ["push", "--remote", store, "--json"]
    tags = [project.flexlock(*push, scratch / name).json["tag"] for name in "as"]
    gone()
    scratch.rename(tmp_path / "away")
    reproduce: list[str | Path] = ["reproduce", "--from", origin, "--json"]
    for tag, runs in zip(tags, (1, 2)):
        into = tmp_path / f"x{runs}"
        again = project.flexlock(*reproduce, tag, "--into", into, cwd=tmp_path).json
        assert (again["verdict"], again["identical"]) == ("identical", 2 * runs)
        assert len(project.flexlock("ls", "--json", cwd=into).json) == 2 * runs
        assert "verified" in project.flexlock("verify", "--all", cwd=into).out
    assert not scratch.exists()


@pytest.mark.hydra
def test_absolute_paths_below_the_repository(
    project: Project, origin: Path, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """A config with absolute paths, written or computed, runs again in its place and elsewhere."""
    written = f"{project.root}/data/table.csv"
    computed = "${hydra:runtime.cwd}/data/table.csv"
    for name, path in (("a", written), ("b", computed)):
        project.app(f"table='${{snapshot:{path},table}}'", f"hydra.run.dir=outputs/{name}")
    tags = [
        project.flexlock("push", f"outputs/{name}", "--remote", store, "--json").json["tag"]
        for name in "ab"
    ]

    def again(*words: str, cwd: Path | None = None) -> int:
        found: int = project.flexlock(*words, "--json", cwd=cwd).json["identical"]
        return found

    assert [again("rerun", f"outputs/{name}") for name in "ab"] == [2, 2]
    root, _ = project.root, gone()
    reproduce = ["reproduce", "--from", str(origin), "--into"]
    for number, tag in enumerate(tags):
        assert again(*reproduce, str(tmp_path / f"x{number}"), tag, cwd=tmp_path) == 2
    assert again(*reproduce, str(root), tags[1], cwd=tmp_path) == 2  # as in a container


KINDS = {
    "a folder": ("folder", {"folder/a.csv": "1", "folder/deep/b.csv": "2"}, ""),
    "partly tracked": ("folder", {"folder/a.csv": "1", "folder/README.md": "read"}, "*.csv\n"),
    "tracked by git": ("folder", {"folder/a.csv": "1", "folder/b.csv": "2"}, "#"),
    "untracked, not ignored": ("folder/a.csv", {"folder/a.csv": "1"}, "late"),
    "odd names": ("fol der", {"fol der/ä 'x' \"y\" #1,2.csv": "1", "fol der/-n\nl": "2"}, "fol*"),
    "its own gitignore": ("folder", {"folder/.gitignore": "*\n", "folder/a.csv": "1"}, "#"),
    "everything ignored": ("folder", {"folder/a.csv": "1"}, "*\n!*.py\n!conf/\n!conf/*\n"),
    "metafiles ignored": ("folder", {"folder/a.csv": "1"}, "folder\n*.dvc\n.flexlock\n"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_data(
    project: Project, origin: Path, store: Path, tmp_path: Path, kind: str
) -> None:
    """However git sees the data, both restores bring back every byte of it."""
    path, files, ignore = KINDS[kind]
    project.write(".gitignore", f"outputs/\n{ignore}\n")
    if ignore != "late":
        for name, content in files.items():
            project.write(name, content)
    project.commit("data")
    for name, content in files.items():
        project.write(name, content)
    project.write("conf/config.yaml", CALLBACK + quoted_config(path))
    project.write(
        "app.py",
        project.path("app.py").read_text().replace("Path(cfg.table).read_text()", "'text'"),
    )
    project.git("add", "-f", "app.py", "conf/config.yaml")
    project.app("hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    project.flexlock("pull", tag, "--from", origin, "--into", tmp_path / "ours", cwd=tmp_path)
    project.git(
        "clone", "-q", "--branch", tag, str(origin), str(tmp_path / "plain"), cwd=tmp_path
    )
    project.dvc("pull", cwd=tmp_path / "plain")
    for restored in (tmp_path / "ours", tmp_path / "plain"):
        for name, content in files.items():
            assert (restored / name).read_text() == content
        again = project.flexlock("rerun", "@latest", "--json", cwd=restored).json
        assert again["verdict"] == "identical"


def test_linked_data_folder(
    project: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """Data behind a link that git tracks comes back as the data itself."""
    big = tmp_path / "big"
    big.mkdir()
    (big / "table.csv").write_text("1")
    project.write(".gitignore", "outputs/\n")
    project.call("rm", "-r", "data")
    os.symlink(big, project.path("data"))
    project.commit("link")
    project.app("hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    (big / "table.csv").unlink()
    project.git("clone", "-q", "--branch", tag, str(origin), str(tmp_path / "x"), cwd=tmp_path)
    project.dvc("pull", cwd=tmp_path / "x")
    assert (tmp_path / "x/data/table.csv").read_text() == "1"
    assert project.flexlock("rerun", "@latest", "--json", cwd=tmp_path / "x").json["identical"] == 2


def test_projects_own_dvc_files_do_not_disturb(
    project: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """A project that uses DVC itself, unpushed data included, restores with a plain pull."""
    project.write(".gitignore", "outputs/\n")
    project.dvc("init", "-q")
    project.dvc("add", "-q", "data/table.csv")
    project.write("other.bin", "never pushed")
    project.dvc("add", "-q", "other.bin")
    project.commit("dvc")
    project.app("hydra.run.dir=outputs/a")
    before = fingerprint(project.root)
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    assert fingerprint(project.root) == before
    project.git("clone", "-q", "--branch", tag, str(origin), str(tmp_path / "x"), cwd=tmp_path)
    project.dvc("pull", cwd=tmp_path / "x")
    assert (tmp_path / "x/data/table.csv").read_text() == "a,b\n1,2\n"


def test_versions_of_one_path(
    project: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """A predecessor's other version of a path that git has is not lost."""
    project.write(".gitignore", "outputs/\n")
    project.commit("data is code")
    project.app("hydra.run.dir=outputs/a")
    project.write("data/table.csv", "second version\n")
    project.app(
        "hydra.run.dir=outputs/b", "+before='${snapshot:outputs/a/model.txt}'"
    )
    tag = project.flexlock("push", "outputs/b", "--remote", store, "--json").json["tag"]
    first = read_lock(project.path("outputs/a/run.lock"))["repos"]["main"]["commit"]
    project.git("clone", "-q", "--branch", tag, str(origin), str(tmp_path / "x"), cwd=tmp_path)
    project.dvc("pull", cwd=tmp_path / "x")
    assert (tmp_path / "x/data/table.csv").read_text() == "second version\n"
    assert project.git("show", f"{first}:data/table.csv", cwd=tmp_path / "x") == "a,b\n1,2"
    assert (tmp_path / "x/outputs/a/model.txt").exists()
