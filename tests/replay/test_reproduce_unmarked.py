"""Runs whose inputs nobody marked come back elsewhere, with everything of the original gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Project, add_origin, with_callback

pytestmark = pytest.mark.hydra

APP = """
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    texts = [Path(cfg.table).read_text(), Path("data/hard.csv").read_text()]
    texts += [path.read_text() for path in sorted(Path(cfg.folder).glob("*.txt"))[:2]]
    (out / "all.txt").write_text("".join(texts))
    return {"n": len(texts)}


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("place", ["inside", "absolute", "outside"])
@pytest.mark.parametrize("sweep", [False, True], ids=["run", "sweep"])
def test_everything_comes_back(
    project: Project, tmp_path: Path, place: str, sweep: bool
) -> None:
    """Data below the project, named by an absolute path, or outside of it: the same result."""
    far = tmp_path / "far"
    data = {"inside": "data", "absolute": str(project.root / "data"), "outside": str(far)}[place]
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("table: null\nfolder: null\nlr: 1\n"))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\n")
    for root in (project.path("data"), far):
        (root / "set").mkdir(parents=True, exist_ok=True)
        for name in ("a.csv", "hard.csv", "set/1.txt", "set/2.txt", "set/3.txt"):
            (root / name).write_text(f"{root.name} {name}\n")
    project.commit("app")
    origin, store = add_origin(project, tmp_path / "origin.git"), tmp_path / "store"
    given = [f"table={data}/a.csv", f"folder={data}/set"]
    if sweep:
        project.app("-m", "lr=1,2", *given, "hydra.sweep.dir=outputs/a")
    else:
        project.app(*given, "hydra.run.dir=outputs/a")
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    shutil.move(project.root, tmp_path / "gone")
    shutil.rmtree(far)
    done = project.flexlock("reproduce", tag, "--from", origin, "--into", tmp_path / "x", "--json",
                            cwd=tmp_path).json
    assert (done["verdict"], done["identical"]) == ("identical", 1 + sweep)


TWICE = """
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    texts = [Path(each, "a.csv").expanduser().read_text() for each in (cfg.train, cfg.test)]
    (out / "all.txt").write_text("".join(texts))


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("place", ["~/sets", "${oc.env:HOME}/sets", "../sets"])
def test_folders_that_are_others_elsewhere(
    project: Project, tmp_path: Path, place: str
) -> None:
    """A folder that the home or the project's place makes is found, under each key that has it."""
    project.write("app.py", TWICE)
    project.write("conf/config.yaml", with_callback(f"train: {place}\ntest: {place}\n"))
    project.write(".gitignore", "outputs/\n")
    project.commit("app")
    above = project.root.parent if place.startswith("..") else Path(project.env["HOME"])
    (above / "sets").mkdir()
    (above / "sets/a.csv").write_text("1\n")
    origin, store = add_origin(project, tmp_path / "origin.git"), tmp_path / "store"
    project.app("hydra.run.dir=outputs/a")
    assert [each["how"] for each in project.lock()["data"].values()] == ["observed"]
    tag = project.flexlock("push", "outputs/a", "--remote", store, "--json").json["tag"]
    shutil.move(project.root, tmp_path / "gone")
    shutil.rmtree(above / "sets")
    home = tmp_path / "other/home"
    home.mkdir(parents=True)
    done = project.flexlock("reproduce", tag, "--from", origin, "--into", tmp_path / "x/y/z",
                            "--json", cwd=tmp_path, HOME=str(home)).json
    assert (done["verdict"], done["identical"]) == ("identical", 1)


def test_a_project_that_a_link_leads_to(project: Project, tmp_path: Path, store: Path) -> None:
    """What the job reads by a link above the project is the project's own, named or not."""
    link = tmp_path / "link"
    link.symlink_to(project.root)
    source = APP.replace('Path("data/hard.csv")', 'Path(__file__).parent.joinpath("data/hard.csv")')
    project.write("app.py", source)
    project.write("conf/config.yaml", with_callback("table: null\nfolder: null\n"))
    project.write(".gitignore", "outputs/\ndata/\n")
    for name in ("a.csv", "hard.csv", "set/1.txt"):
        project.write(f"data/{name}", name)
    project.commit("app")
    words = [f"table={link}/data/a.csv", f"folder={link}/data/set", "hydra.run.dir=outputs/a"]
    project.call(project.python, str(link / "app.py"), *words)
    lock = project.lock()
    assert {key: each["path"] for key, each in lock["data"].items()} == {
        "table": "data/a.csv", "folder": "data/set", "data/hard.csv": "data/hard.csv",
    }
    assert "unrecorded" not in lock
    assert project.flexlock("rerun", "outputs/a", "--json").json["verdict"] == "identical"
