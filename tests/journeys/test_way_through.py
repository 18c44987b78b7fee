"""The whole way: run, push, the original moved away, restored twice, run again."""

from __future__ import annotations

import os
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
    project.write("conf/config.yaml", CALLBACK + _quoted_config(path))
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


def _quoted_config(path: str) -> str:
    quoted = path.replace("'", "\\'")
    return f"table: \"${{snapshot:'{quoted}',table}}\"\nlr: 1\n"
