"""The whole way: run, push, the original moved away, restored twice, run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project, contents, fingerprint, read_lock

PREPROCESS = '''
import csv
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path="conf", config_name="preprocess")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    rows = list(csv.reader(Path(cfg.raw).read_text().splitlines()))
    (out / "features.csv").write_text("\\n".join(",".join(r[::-1]) for r in rows))
    return len(rows)


if __name__ == "__main__":
    main()
'''
TRAIN = '''
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from helper import scale


@hydra.main(version_base=None, config_path="conf", config_name="train")
def main(cfg):
    out = Path(HydraConfig.get().runtime.output_dir)
    total = sum(len(line) for line in Path(cfg.features).read_text().splitlines())
    (out / "model.json").write_text(str(scale(total) * cfg.lr))
    return {"score": scale(total) * cfg.lr}


if __name__ == "__main__":
    main()
'''
CALLBACK = "defaults: [_self_, override /hydra/callbacks: flexlock]\n"


@pytest.fixture
def pipeline(project: Project, origin: Path) -> Project:
    """Two stages, an edited file and an untracked module, both stages run."""
    project.write("preprocess.py", PREPROCESS)
    project.write("train.py", TRAIN)
    project.write("helper.py", "def scale(x):\n    return x\n")
    project.write("conf/preprocess.yaml", CALLBACK + "raw: ${snapshot:data/raw.csv,raw}\n")
    project.write(
        "conf/train.yaml",
        CALLBACK + "stage: ???\nfeatures: ${snapshot:${stage}/features.csv,features}\nlr: 0.5\n",
    )
    project.write("data/raw.csv", "a,b\n1,2\n3,4\n")
    project.commit("pipeline")
    project.write("helper.py", "from extra import factor\n\ndef scale(x):\n    return x * factor\n")
    project.write("extra.py", "factor = 3\n")
    project.call(project.python, "preprocess.py", "hydra.run.dir=outputs/pre")
    project.call(
        project.python, "train.py", "stage=outputs/pre", "hydra.run.dir=outputs/train", "lr=0.25"
    )
    return project


@pytest.mark.hydra
def test_run_push_restore_rerun(
    pipeline: Project, origin: Path, store: Path, tmp_path: Path, gone: Callable[[], Path]
) -> None:
    """From the tag alone another machine gets the same code, data and results."""
    before = fingerprint(pipeline.root)
    pushed = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json
    assert fingerprint(pipeline.root) == before
    tag = pushed["tag"]
    assert tag.startswith("flexlock/train/")
    assert (store / "runs" / tag / "manifest.json").exists()
    original = gone()
    ours, plain = tmp_path / "ours", tmp_path / "plain"
    pulled = pipeline.flexlock(
        "pull", tag, "--from", origin, "--into", ours, "--json", cwd=tmp_path
    ).json
    assert pulled["missing"] == []
    pipeline.git("clone", "-q", "--branch", tag, str(origin), str(plain), cwd=tmp_path)
    pipeline.dvc("pull", cwd=plain)
    wanted = {
        name: md5
        for name, md5 in contents(original).items()
        if not name.endswith((".log", ".pyc")) and name != "data/table.csv"
    }
    for restored in (ours, plain):
        found = contents(restored)
        assert found.pop(".gitignore") != wanted.get(".gitignore")  # it hid .flexlock/data
        assert pipeline.git("show", f"{tag}^1:.gitignore", cwd=restored).split() == [
            "outputs/", "multirun/", "data/"
        ]
        assert found == {name: md5 for name, md5 in wanted.items() if name != ".gitignore"}
    for restored in (ours, plain):
        for run in ("outputs/train", "outputs/pre"):
            again = pipeline.flexlock("rerun", run, "--json", cwd=restored).json
            assert again["verdict"] == "identical"
            assert again["identical"] == 1
        new = read_lock(Path(again["path"]) / "run.lock")
        old = read_lock(original / "outputs/pre/run.lock")
        assert new["repos"]["main"]["commit"] == old["repos"]["main"]["commit"]
        assert new["run"]["parent"] == old["run"]["id"]
        assert new["data"] == old["data"]


@pytest.mark.hydra
def test_lineage_of_the_second_stage(pipeline: Project) -> None:
    """The lock of a stage names the run that its data came from, with its code and data."""
    lock = read_lock(pipeline.path("outputs/train/run.lock"))
    before = read_lock(pipeline.path("outputs/pre/run.lock"))
    assert list(lock["prevs"]) == [before["run"]["id"]]
    prev = lock["prevs"][before["run"]["id"]]
    assert (prev["job"], prev["path"], prev["direct"]) == ("preprocess", "outputs/pre", True)
    assert prev["via"] == ["features"]
    assert prev["data"] == before["data"]
    assert prev["repos"]["main"]["commit"] == before["repos"]["main"]["commit"]
    assert lock["repos"]["main"]["dirty"] == ["extra.py", "helper.py"]


def test_pushing_again_sends_nothing_and_makes_the_same_tag(
    pipeline: Project, store: Path
) -> None:
    """A second push is a check: nothing sent, the same tag object, exit 0."""
    first = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json
    tag = pipeline.git("rev-parse", f"refs/tags/{first['tag']}")
    second = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json
    assert first["sent_objects"] == first["objects"] > 0
    assert (second["sent_objects"], second["sent_bytes"]) == (0, 0)
    assert second["commit"] == first["commit"]
    assert pipeline.git("rev-parse", f"refs/tags/{first['tag']}") == tag


def test_a_lost_object_is_sent_again(pipeline: Project, store: Path) -> None:
    """A push finds what the remote has lost or holds cut short, and sends just that."""
    pipeline.flexlock("push", "outputs/train", "--remote", store)
    objects = sorted((store / "files/md5").rglob("*"), key=lambda path: path.is_file())
    lost, cut = objects[-2:]
    lost.unlink()
    cut.chmod(0o644)
    cut.write_bytes(cut.read_bytes()[:-1])
    again = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json
    assert again["sent_objects"] == 2
    assert pipeline.flexlock(
        "push", "outputs/train", "--remote", store, "--json"
    ).json["sent_objects"] == 0


def test_dry_run_writes_nothing(pipeline: Project, store: Path) -> None:
    """``--dry-run`` says what would go and leaves both remotes and the repository alone."""
    said = pipeline.flexlock("push", "outputs/train", "--remote", store, "--dry-run").out
    assert "would send" in said and "flexlock/train/" in said
    assert not store.exists()
    assert pipeline.git("tag") == ""


def test_worktree_of_the_same_repository(pipeline: Project, store: Path, tmp_path: Path) -> None:
    """``pull --worktree`` restores beside the checkout that it leaves alone."""
    tag = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json["tag"]
    before = fingerprint(pipeline.root)
    pipeline.flexlock("pull", tag, "--worktree", "--into", tmp_path / "tree")
    after = fingerprint(pipeline.root)
    assert {name: after[name] for name in before} == before
    assert (tmp_path / "tree/outputs/train/model.json").read_text() == (
        pipeline.path("outputs/train/model.json").read_text()
    )


def test_a_fresh_clone_pulls_by_tag_alone(
    pipeline: Project, origin: Path, store: Path, tmp_path: Path
) -> None:
    """In any clone of the repository ``pull TAG`` needs nothing else."""
    tag = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json["tag"]
    pipeline.git("clone", "-q", str(origin), str(tmp_path / "clone"), cwd=tmp_path)
    (tmp_path / "clone").mkdir(exist_ok=True)
    done = pipeline.flexlock("pull", tag, "--json", cwd=tmp_path / "clone").json
    assert (Path(done["path"]) / "data/raw.csv").exists()
    shown = pipeline.flexlock("show", tag, cwd=Path(done["path"]))
    assert "train" in shown.out


def test_show_reads_a_tag_that_was_not_pulled(pipeline: Project, store: Path) -> None:
    """A tag alone is enough to see what was recorded."""
    tag = pipeline.flexlock("push", "outputs/train", "--remote", store, "--json").json["tag"]
    pipeline.call("rm", "-r", "outputs")
    assert pipeline.flexlock("show", tag, "--json").json["run"]["result"] == {"score": 6.75}


@pytest.mark.hydra
def test_job_of_a_sweep(project: Project, origin: Path, store: Path, tmp_path: Path) -> None:
    """One job of a sweep is pushed and run again alone, with its number and overrides."""
    project.app("-m", "lr=0.1,0.2", "hydra.sweep.dir=multirun/s")
    tag = project.flexlock("push", "multirun/s/1", "--remote", store, "--json").json["tag"]
    project.flexlock("pull", tag, "--from", origin, "--into", tmp_path / "x", cwd=tmp_path)
    again = project.flexlock("rerun", "multirun/s/1", "--json", cwd=tmp_path / "x").json
    assert again["identical"] == 2
    job = read_lock(Path(again["path"]) / "run.lock")["job"]
    assert (job["num"], job["overrides"]["task"]) == (1, ["lr=0.2"])


@pytest.mark.hydra
@pytest.mark.parametrize("words", [["-m", "pkg.train"], ["pkg/train.py"]])
def test_started_as_a_module_or_a_file_in_a_package(
    project: Project, store: Path, words: list[str]
) -> None:
    """An app is started again the way it was."""
    project.write("pkg/__init__.py", "")
    project.write(
        "pkg/train.py",
        project.path("app.py").read_text().replace('config_path="conf"', 'config_path="../conf"'),
    )
    project.commit("package")
    project.call(project.python, *words, "lr=0.7", "hydra.run.dir=outputs/a")
    again = project.flexlock("rerun", "outputs/a", "--json").json
    assert again["identical"] == 2
    assert read_lock(Path(again["path"]) / "run.lock")["run"]["result"]["lr"] == 0.7


@pytest.mark.hydra
def test_started_from_a_subfolder_with_chdir_and_config_flags(project: Project) -> None:
    """cwd, chdir, --config-dir and --config-name are as they were."""
    project.write("sub/conf2/other.yaml", CALLBACK + "table: ${snapshot:t.csv,table}\nlr: 3\n")
    project.write("sub/t.csv", "sub data")
    source = project.path("app.py").read_text()
    project.write(
        "app.py",
        source.replace("Path(cfg.table)", "Path(hydra.utils.to_absolute_path(cfg.table))").replace(
            'config_path="conf", config_name="config"', "config_path=None"
        ),
    )
    project.call(
        project.python, "../app.py", "--config-dir", "conf2", "--config-name", "other",
        "hydra.job.chdir=true", "hydra.run.dir=../outputs/a", cwd=project.path("sub"),
    )
    again = project.flexlock("rerun", "outputs/a", "--json").json
    assert (again["verdict"], again["identical"]) == ("identical", 2)


def quoted_config(path: str) -> str:
    quoted = path.replace("'", "\\'")
    return f"table: \"${{snapshot:'{quoted}',table}}\"\nlr: 1\n"
