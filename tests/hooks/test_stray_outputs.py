"""What a job writes beside its output directory, and what it reads unrecorded, is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Project, read_lock, with_callback

pytestmark = pytest.mark.hydra

APP = """
import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


def write(path, size=1):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    exec(cfg.do)


if __name__ == "__main__":
    main()
"""
OUTSIDE = "written outside of the output directory, neither recorded nor pushed: "
HINT = "; write to the output directory"
OR_THERE = f"{HINT}, or set hydra.job.chdir=true"
NEXT = "; what git does not ignore counts as code of the next run"


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose job runs a line of Python, with ignored folders that are not empty."""
    project.write("app.py", APP)
    project.write("conf/config.yaml", with_callback("do: pass\n"))
    project.write(".gitignore", "outputs/\nmultirun/\ndata/\nweights/\n*.log\n")
    project.write("weights/first.pt", "1")
    project.write("results/readme.txt", "tracked")
    project.commit("app")
    project.write("notes.txt", "untracked")
    return project


def warnings_of(project: Project, do: str, *more: str) -> list[str]:
    """The warnings in the lock of a job that ran a line and printed nothing."""
    done = project.app(f'do="{do}"', f"hydra.run.dir=outputs/{len(project.locks())}", *more)
    assert (done.out, done.err) == ("", "")
    assert project.lock()["repos"]["main"]["completeness"] == "exact"
    warnings: list[str] = project.lock()["warnings"]
    return warnings


def test_what_a_job_wrote_beside_its_outputs_is_named(app: Project) -> None:
    """Untracked or ignored, new or written again, folders as one; show says it too."""
    do = (
        "write('last.ckpt', 2_500_000); write('samples/a.csv'); write('samples/deep/b.csv');"
        " write('weights/first.pt'); write('results/new.txt'); write('train.log')"
    )
    said = (
        f"{OUTSIDE}last.ckpt (2 MB), results/new.txt, samples/ (2 files), train.log,"
        f" weights/first.pt{OR_THERE}{NEXT}"
    )

    assert warnings_of(app, do) == [said]
    shown = " ".join(app.flexlock("show", "@latest").out.split())
    assert said in shown


def test_a_tracked_result_that_was_removed_before_the_job(app: Project) -> None:
    """As DVC does with the results of a stage: what the job wrote again is in no snapshot."""
    app.path("results/readme.txt").unlink()
    assert warnings_of(app, "write('results/readme.txt')") == [
        f"{OUTSIDE}results/readme.txt{OR_THERE}{NEXT}"
    ]


def test_what_is_recorded_or_no_result_is_not_named(app: Project) -> None:
    """The output directory, other runs, inputs, caches, what the user ignores, Python's own."""
    app.write("outputs/other/multirun.yaml", "")
    app.write("more/.hydra/config.yaml", "")
    do = (
        "[write(p) for p in ('.cache/a', 'lib/__pycache__/a.pyc', 'outputs/other/a', 'more/a',"
        " 'data/fetched/a', 'data/one', 'mine/a', 'outputs/here/a')]"
    )
    options = "hydra.callbacks.flexlock.ignore=[mine]"
    data = "+data=['${snapshot:data/fetched,folder}','${snapshot:data/one,file}']"
    app.write("data/fetched/b", "b")
    app.write("data/one", "1")
    app.app(f'do="{do}"', options, data, "hydra.run.dir=outputs/here", "hydra.output_subdir=null")

    assert [text for text in app.lock()["warnings"] if text.startswith(OUTSIDE)] == []


def test_a_job_that_runs_in_its_output_directory_is_not_told_to(app: Project) -> None:
    """With hydra.job.chdir relative paths lead to what is recorded, absolute ones may not."""
    chdir = "hydra.job.chdir=true"

    assert warnings_of(app, "write('last.ckpt')", chdir) == []
    assert app.lock()["outputs"]["nfiles"] > 3
    root = "hydra.utils.get_original_cwd()"
    assert warnings_of(app, f"write({root} + '/last.ckpt')", chdir) == [
        f"{OUTSIDE}last.ckpt{HINT}{NEXT}"
    ]


def test_large_folders_do_not_hide_what_was_written(app: Project) -> None:
    """A folder of thousands of files that did not change is not read before those that did."""
    for number in range(3000):
        app.write(f"data/{number % 2}/{number}", "")

    assert warnings_of(app, "write('a/new.pt')")[0].startswith(f"{OUTSIDE}a/new.pt;")
    assert warnings_of(app, "write('weights/new.pt')") == [f"{OUTSIDE}weights/new.pt{OR_THERE}"]


def test_a_sweep_names_once_what_its_jobs_wrote(app: Project) -> None:
    """Its own lock says it, its jobs' locks do not; whoever reads it later is told as well."""
    do = """do="write(f'samples/{cfg.n}.csv')\""""
    app.app("-m", do, "+n=1,2", "hydra.sweep.dir=multirun/a")
    said = f"{OUTSIDE}samples/ (2 files){OR_THERE}{NEXT}"

    assert [read_lock(path)["warnings"] for path in app.locks()] == [[], []]
    assert said in app.path("multirun/a/sweep.lock").read_text().replace("\n  ", " ")
    assert said in " ".join(app.flexlock("show", "multirun/a").out.split())


NAMED = "named in the config and not recorded, for git does not track it: "
MARKED = "hydra: {callbacks: {flexlock: {inputs: marked}}}\n"
PATHS = """
paths:
  root: ${oc.env:PROJECT_ROOT}
  data_dir: ${paths.root}/data/
  log_dir: ${paths.root}/logs/
  out: ${hydra:runtime.output_dir}
data: {folder: "${paths.data_dir}", kind: csv, mode: data, empty_dir: weights/none}
model: {first: weights/first.pt, missing: weights/last.pt}
many: [results/readme.txt, one.bin, mixed, .venv/lib, ../elsewhere]
marked: ${snapshot:more/x.csv}
around: more
"""


@pytest.fixture
def paths(app: Project) -> Project:
    """A config that names all kinds of paths: inputs, places to write to, none of these."""
    app.write("conf/config.yaml", with_callback(f"do: pass\n{PATHS}{MARKED}"))
    app.write(".gitignore", "outputs/\ndata/**\n!data/**/\nweights/\nlogs/\nmore/\n*.bin\n.venv\n")
    for name in ("data/raw/a.csv", "logs/old/a", "more/x.csv", "mixed/a.py", "mixed/b.py",
                 "mixed/c.bin", ".venv/lib/a", "../elsewhere", "one.bin"):
        app.write(name, "x")
    app.path("weights/none").mkdir()
    app.commit("paths")
    app.env["PROJECT_ROOT"] = str(app.root)
    return app


def test_ignored_paths_in_the_config_are_named(paths: Project) -> None:
    """One warning names those that may be inputs, and what it tells to write records them."""
    told = "paths.data_dir: ${snapshot:${paths.root}/data/}"
    said = (
        f"{NAMED}paths.data_dir (data), model.first (weights/first.pt), many[1] (one.bin); an input"
        f" is recorded and pushed where the config says {told}"
    )

    assert warnings_of(paths, "pass") == [said]
    assert said in " ".join(paths.flexlock("show", "@latest").out.split())
    config = paths.path("conf/config.yaml").read_text()
    paths.write("conf/config.yaml", config.replace("data_dir: ${paths.root}/data/", told[6:]))
    paths.commit("told")
    assert warnings_of(paths, "pass", "model=null", "many=null") == []
    assert paths.lock()["data"]["paths.data_dir"]["path"] == "data"
    absolute = warnings_of(paths, "pass", f"model.first={paths.root}/weights/first.pt", "many=null")
    assert absolute[0].endswith(" model.first: ${snapshot:weights/first.pt}")


def test_a_large_untracked_file_in_the_config_is_named(app: Project) -> None:
    """What is left out of the code for its size is an input that nothing records."""
    app.write("big.pt", b"x" * 2_000_000)
    flexlock = "hydra.callbacks.flexlock"
    app.app("+init=big.pt", f"{flexlock}.max_untracked_mb=1", f"{flexlock}.inputs=marked")

    assert app.lock()["warnings"] == [
        f"{NAMED}init (big.pt); an input is recorded and pushed where the config says "
        "init: ${snapshot:big.pt}"
    ]


def test_links_and_inner_repositories_are_no_trouble(app: Project, tmp_path: Path) -> None:
    """Git looks at nothing beyond a link, and refuses to say what an inner repository ignores."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.csv").write_text("x")
    app.path("linked").symlink_to(tmp_path / "disk")
    app.write(".gitignore", "outputs/\n/linked\n")
    app.write("inner/.gitignore", "x.csv\n")
    app.git("init", "-q", cwd=app.path("inner"))
    app.git("add", "-A", cwd=app.path("inner"))
    app.git("commit", "-q", "-m", "inner", cwd=app.path("inner"))
    app.write("inner/x.csv", "x")
    app.commit("links")
    marked = "hydra.callbacks.flexlock.inputs=marked"
    app.app("+table=linked/x.csv", "+other=inner/x.csv", marked)

    assert len(app.lock()["warnings"]) == 1
    assert app.lock()["warnings"][0].startswith(f"{NAMED}table (linked/x.csv); ")
