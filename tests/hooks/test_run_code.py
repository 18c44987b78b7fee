"""Which code is a run's own, wherever script, config and cwd lie."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project, fingerprint

pytestmark = pytest.mark.hydra


def test_ignore_option(project: Project) -> None:
    """``ignore`` keeps untracked files out of the code."""
    project.write("notes/todo.txt", "x")
    project.write("new.py", "x = 1\n")
    project.app("hydra.callbacks.flexlock.ignore=[notes]")
    assert project.lock()["repos"]["main"]["dirty"] == ["new.py"]


def test_data_that_the_config_names_is_no_code(project: Project) -> None:
    """An untracked input that git does not ignore is recorded as data alone."""
    project.write("raw/in.csv", "1")
    project.app("table='${snapshot:raw/in.csv}'")
    lock = project.lock()
    assert lock["data"]["table"]["path"] == "raw/in.csv"
    assert lock["repos"]["main"]["dirty"] == []


def test_a_config_folder_of_the_command_line_is_code(project: Project, tmp_path: Path) -> None:
    """One outside the repository is named: the code is not exact."""
    (tmp_path / "more").mkdir()
    project.app(f"--config-dir={tmp_path / 'more'}")
    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert main["reasons"] == [f"config folder {tmp_path / 'more'} is outside the repository"]


def test_the_code_is_that_of_the_script(project: Project, tmp_path: Path) -> None:
    """Started from within another repository, the script's own is recorded."""
    other = Project(tmp_path / "other", project.env)
    other.write("data/table.csv", "x")
    other.git("init", "-q")
    other.commit()
    other.call(project.python, project.path("app.py"))
    assert other.lock()["repos"]["main"]["head"] == project.git("rev-parse", "HEAD")


def test_what_git_was_told_to_overlook_is_seen_from_a_subfolder(project: Project) -> None:
    """Started below the root, an overlooked edit beside it is still part of the code."""
    project.git("update-index", "--assume-unchanged", "app.py")
    project.write("app.py", project.path("app.py").read_text() + "# edited\n")
    project.path("deep").mkdir()
    project.call(sys.executable, "../app.py", "table=../app.py", cwd=project.path("deep"))
    main = project.lock()["repos"]["main"]
    assert "# edited" in project.git("show", f"{main['commit']}:app.py")


@pytest.mark.parametrize("strict", ["code", "all"])
def test_strict_refuses_code_that_is_not_exact(project: Project, strict: str) -> None:
    """``strict=code`` names what is not recorded and runs nothing."""
    project.write("big.bin", b"0" * 2_000_000)
    options = [f"hydra.callbacks.flexlock.{o}" for o in (f"strict={strict}", "max_untracked_mb=1")]
    done = project.app(*options, check=False)
    assert done.code == 2
    assert "big.bin (2 MB)" in done.err
    assert "strict=off" in done.err
    assert project.locks() == []


def test_run_outside_any_repository(empty: Project) -> None:
    """Without git a run is recorded with the gap named."""
    empty.app()
    lock = empty.lock()
    assert lock["run"]["status"] == "completed"
    assert lock["repos"] == {}
    assert "in no git repository" in lock["warnings"][0]
    assert lock["data"]["table"]["path"] == "data/table.csv"


def test_run_before_the_first_commit(empty: Project) -> None:
    """Before any commit the working tree is recorded as a first commit."""
    empty.git("init", "-q", "-b", "main")
    empty.app()
    main = empty.lock()["repos"]["main"]
    assert main["head"] is None
    assert empty.git("ls-tree", "--name-only", main["commit"]).split() == [
        ".gitignore", "app.py", "conf"
    ]


def test_run_in_a_bare_repository(empty: Project) -> None:
    """A bare repository has no working tree; the run goes on and says so."""
    empty.git("init", "-q", "--bare", ".")
    empty.app()
    assert "in no git repository" in empty.lock()["warnings"][0]


def test_run_from_a_subfolder(project: Project) -> None:
    """Started below the root, paths are still relative to the root."""
    project.write("deep/data/b.csv", "b")
    project.call(
        sys.executable, "../app.py", "table='${snapshot:data/b.csv,table}'",
        cwd=project.path("deep"),
    )
    lock = project.lock()
    assert lock["repos"]["main"]["path"] == ".."
    assert lock["data"]["table"]["path"] == "deep/data/b.csv"


def test_without_git_installed(project: Project) -> None:
    """With no git on PATH the job runs and the gap is named."""
    project.app(PATH="/nonexistent")
    assert "git is not installed" in project.lock()["warnings"][0]


def test_the_checkout_is_untouched(project: Project) -> None:
    """A run changes no file, index, HEAD, branch or mtime outside its output folder."""
    project.write("app.py", project.path("app.py").read_text() + "# edited\n")
    project.write("new.py", "x = 1\n")
    project.git("add", "-N", "new.py")
    before = fingerprint(project.root)
    project.app()
    after = fingerprint(project.root)
    fresh = {name for name in after if name not in before}
    assert all(name.startswith("outputs/") for name in fresh)
    assert {name: after[name] for name in before} == before


def test_repo_root_name_with_spaces_and_unicode(project: Project, tmp_path: Path) -> None:
    """A project in a folder of any name works."""
    odd = tmp_path / "my prøject = 1,2"
    project.root.rename(odd)
    project.root = odd
    project.app()
    assert project.lock()["repos"]["main"]["completeness"] == "exact"


@pytest.mark.parametrize(
    "overrides",
    [
        ("hydra.run.dir=extra/one",),
        ("hydra.run.dir=outputs/a", "+d=${snapshot:extra}"),
        ("hydra.run.dir=outputs/a", "hydra.callbacks.flexlock.ignore=[extra]"),
        ("-m", "hydra.sweep.dir=extra", "hydra.sweep.subdir=one"),
    ],
)
@pytest.mark.hydra
def test_an_imported_module_that_was_left_out_is_named(
    overrides: tuple[str, ...], project: Project
) -> None:
    """An imported untracked module among outputs, inputs or ignored globs is no exact code."""
    project.write("extra/one/__init__.py", "")
    project.write("app.py", f"import extra.one\n{project.path('app.py').read_text()}")
    project.app(*overrides)

    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert main["reasons"] == ["untracked extra/one/__init__.py was imported"]


@pytest.mark.hydra
def test_an_imported_module_beside_an_older_run_is_named(project: Project) -> None:
    """A folder that became an output folder by a run hides no module from later ones."""
    project.app("hydra.run.dir=extra/one")
    project.write("extra/one/__init__.py", "")
    project.write("app.py", f"import extra.one\n{project.path('app.py').read_text()}")
    project.app("hydra.run.dir=outputs/a")

    assert project.lock()["repos"]["main"]["reasons"] == [
        "untracked extra/one/__init__.py was imported"
    ]


@pytest.mark.parametrize("option", ["--config-dir", "--config-path"])
@pytest.mark.hydra
def test_a_config_among_outputs_is_named(option: str, project: Project) -> None:
    """A config that Hydra reads out of a run's folder is in no snapshot, and named."""
    project.write(".gitignore", "data/\n")
    project.app("hydra.run.dir=outputs/a")
    words = ["--config-name", "config", "hydra.run.dir=outputs/b"]
    project.app(option, str(project.path("outputs/a/.hydra")), *words, "hydra/callbacks=flexlock")

    main = project.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert "untracked outputs/a/.hydra/config.yaml may have been read as config" in main["reasons"]


@pytest.mark.hydra
def test_a_search_path_outside_is_named(project: Project, tmp_path: Path) -> None:
    """A config folder outside of the repository is no exact code, however Hydra was told of it."""
    folder = tmp_path / "elsewhere"
    (folder / "more").mkdir(parents=True)
    (folder / "more" / "a.yaml").write_text("w: 2\n")
    project.app(f"hydra.searchpath=[file://{folder}]", "+more=a")

    assert project.lock()["repos"]["main"]["reasons"] == [
        f"config folder {folder} is outside the repository"
    ]


@pytest.mark.hydra
def test_the_file_that_output_goes_to_is_no_code(project: Project) -> None:
    """``python app.py > train.log`` in the repository leaves the code exact."""
    project.write("app.py", f"print('started', flush=True)\n{project.path('app.py').read_text()}")
    project.commit("print")
    with project.path("train.log").open("w") as log:
        subprocess.run(
            [project.python, "app.py", "hydra/callbacks=flexlock"],
            cwd=project.root, env=project.env, stdout=log, stderr=log, check=True, timeout=60,
        )

    main = project.lock()["repos"]["main"]
    assert (main["completeness"], main.get("dirty", [])) == ("exact", [])
