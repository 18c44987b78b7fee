"""Code that changes after its snapshot: named, whatever a job writes besides."""

from __future__ import annotations

import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Project, read_lock

pytestmark = pytest.mark.hydra

APP = """
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

import helper

root = Path(__file__).parent


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if cfg.n == 1:
        exec(cfg.do)


if __name__ == "__main__":
    main()
"""
CONFIG = "defaults: [_self_, override /hydra/callbacks: flexlock]\nn: 1\ndo: pass\n"


@pytest.fixture
def app(project: Project) -> Project:
    """A project whose job runs a line of Python, with a module, another file and a library."""
    project.write("app.py", APP)
    project.write("helper.py", "h = 1\n")
    project.write("other.py", "o = 1\n")
    project.write("conf/config.yaml", CONFIG)
    project.write("conf/model/mlp.yaml", "a: 1\n")
    project.commit("app")
    return project


def code_of(project: Project, do: str, *more: str) -> tuple[str, list[str]]:
    """Completeness and reasons of the code of a job that ran a line."""
    project.app(f'do="{do}"', *more)
    main = project.lock()["repos"]["main"]
    return main["completeness"], main["reasons"]


EDITS = [
    ("(root / 'app.py').open('a').write('#')", "app.py changed"),
    ("(root / 'other.py').write_text('x')", "other.py changed"),
    ("(root / 'other.py').unlink()", "other.py was removed"),
    ("(root / 'other.py').rename(root / 'moved.py')", "other.py was removed"),
    ("(root / 'conf/model/mlp.yaml').write_text('b')", "conf/model/mlp.yaml changed"),
    ("(root / 'conf/model/new.yaml').write_text('b')", "conf/model/new.yaml appeared"),
    ("(root / 'other.py').chmod(0o755)", "other.py changed"),
]


@pytest.mark.parametrize(("do", "said"), EDITS)
def test_code_that_changes_while_the_job_runs_is_named(do: str, said: str, app: Project) -> None:
    """The code of a single run drifted where any file of it changed before the end."""
    assert code_of(app, do) == ("drifted", [f"{said} while the job ran"])


def test_dirty_code_that_changes_further_is_named(app: Project) -> None:
    """An edited file and an untracked one are compared with what the snapshot has of them."""
    app.write("other.py", "o = 2\n")
    app.write("new.py", "n = 1\n")
    assert code_of(app, "pass") == ("exact", [])
    assert code_of(
        app, "[(root / n).write_text('x') for n in ('other.py', 'new.py')]"
    ) == ("drifted", ["new.py changed while the job ran", "other.py changed while the job ran"])


NO_DRIFT = [
    "(root / 'results.csv').write_text('x')",
    "(root / 'generated.py').write_text('x')",
    "(root / 'outputs/x.py').write_text('x')",
    "(root / '__pycache__').mkdir(exist_ok=True) or (root / '__pycache__/x.pyc').write_text('x')",
    "(root / 'other.py').touch()",
    "(root / 'other.py').write_text((root / 'other.py').read_text())",
    "[(root / 'other.py').write_text(text) for text in ('x', 'o = 1' + chr(10))]",
]


@pytest.mark.parametrize("do", NO_DRIFT)
def test_what_a_job_writes_is_no_drift(do: str, app: Project) -> None:
    """New files, bytecode, outputs and files with their old bytes leave the code exact."""
    assert code_of(app, do) == ("exact", [])


@pytest.mark.parametrize(("name", "how", "drifts"), [
    ("tee.log", "open('a').write('more')", False),
    ("tee.log", "write_text('epoch 1, and more')", False),
    ("tee.log", "write_text('epoch 2')", True),
    ("tee.log", "chmod(0o755)", True),
    ("tee.log", "unlink() or (root / 'tee.log').symlink_to('other.py')", True),
    ("prompt.txt", "open('a').write('more')", True),
    ("results.csv", "open('a').write('more')", False),
    ("other.py", "open('a').write('#')", True),
])
def test_a_log_or_table_that_only_grows_is_no_drift(
    name: str, how: str, drifts: bool, app: Project
) -> None:
    """What ``tee`` and jobs append to, tracked or not, leaves the code exact; an edit does not."""
    app.write(name, "epoch 1")
    if name == "results.csv":
        app.commit()
    drifted = ("drifted", [f"{name} changed while the job ran"])
    assert code_of(app, f"(root / '{name}').{how}") == (drifted if drifts else ("exact", []))


def test_a_commit_while_the_job_runs_is_no_drift(app: Project) -> None:
    """The same files under another HEAD are the same code."""
    app.write("other.py", "o = 2\n")
    commit = "import os; os.system('git -c user.name=a -c user.email=a@b commit -qam x')"
    assert code_of(app, commit) == ("exact", [])


def test_tracked_outputs_that_a_job_writes_are_no_drift(app: Project) -> None:
    """A tracked file in an output folder is no code that drifts."""
    app.write("outputs/kept.txt", "1")
    app.git("add", "-f", "outputs/kept.txt")
    app.commit()
    assert code_of(app, "(root / 'outputs/kept.txt').write_text('2')") == ("exact", [])


SWEEP_EDITS = [
    ("(root / 'helper.py').write_text('h = 2')", "helper.py changed"),
    ("(root / 'conf/model/mlp.yaml').write_text('b')", "conf/model/mlp.yaml changed"),
    ("(root / 'conf/model/new.yaml').write_text('b')", "conf/model/new.yaml appeared"),
    ("(root / 'dirty.py').write_text('b')", "dirty.py changed"),
    ("(root / 'dirty.py').unlink()", "dirty.py was removed"),
]


@pytest.mark.parametrize(("do", "said"), SWEEP_EDITS)
def test_code_that_changes_in_a_sweep_is_named_from_then_on(
    do: str, said: str, app: Project
) -> None:
    """Jobs before the change are exact; the one it happens in, and later ones, drifted."""
    app.write("dirty.py", "d = 1\n")
    app.app("-m", "n=0,1,2", f'do="{do}"')
    states = [read_lock(path)["repos"]["main"] for path in app.locks()]
    drifted = ("drifted", [f"{said} while the job ran"])
    assert [(each["completeness"], each["reasons"]) for each in states] == [
        ("exact", []), drifted, drifted
    ]


def test_a_sweep_that_changes_nothing_is_exact(app: Project) -> None:
    """A dirty tree with a deleted file, touched files and new ones: every job is exact."""
    app.write("dirty.py", "d = 1\n")
    app.path("other.py").unlink()
    app.app("-m", "n=0,1,2", "do=\"(root / 'helper.py').touch()\"")
    assert {read_lock(path)["repos"]["main"]["completeness"] for path in app.locks()} == {"exact"}


def ignored_module(app: Project) -> str:
    app.write("local.py", "x = 1\n")
    return "ignored local.py was imported"


def ignored_config(app: Project) -> str:
    app.write("conf/local.yaml", "x: 1\n")
    return "ignored conf/local.yaml may have been read as config"


def dotenv(app: Project) -> str:
    app.write(".env", "export COLOUR='blue'\n")
    app.env["COLOUR"] = "blue"
    return "ignored .env was loaded"


@pytest.mark.parametrize("make", [ignored_module, ignored_config, dotenv])
def test_ignored_files_that_are_code_are_named(
    make: Callable[[Project], str], app: Project
) -> None:
    """An ignored module, config file or .env that the job could read: partial, by name."""
    app.write(".gitignore", "outputs/\ndata/\nlocal.*\n.env\n")
    app.write("helper.py", "try:\n    import local\nexcept ImportError:\n    pass\n")
    app.commit()
    said = make(app)
    assert code_of(app, "pass") == ("partial", [said])


@pytest.mark.parametrize(("more", "edit"), [
    ([], "pass"), (["-m"], "(root / 'app.py').open('a').write('#')"),
    ([], "import os; os.environ.update(PATH='/none')"), (["-m"], "import local"),
])
def test_code_that_cannot_be_compared_is_not_exact(
    more: list[str], edit: str, app: Project
) -> None:
    """Where git says nothing at a job's end, it is not known whether the code is exact."""
    app.write("local.py", "")
    app.path(".git/info/exclude").write_text("local.py\n")
    app.app(*more, f"do=\"{edit}; (root / '.git/HEAD').rename(root / 'HEAD')\"")
    main = app.lock()["repos"]["main"]
    assert main["completeness"] == "partial"
    assert main["reasons"][0].startswith("code not compared at the job's end: ")


def test_ignored_config_in_the_root_is_named(app: Project) -> None:
    """Where the config folder is the root, the groups that were chosen count."""
    app.write("app.py", APP.replace('config_path="conf"', 'config_path="."'))
    app.write("config.yaml", "defaults: [_self_, model: mlp, override /hydra/callbacks: flexlock]\n"
              "n: 1\ndo: pass\n")
    app.write(".gitignore", "outputs/\ndata/\n/model/\n")
    app.write("model/mlp.yaml", "a: 1\n")
    app.commit()
    said = "ignored model/mlp.yaml may have been read as config"
    assert code_of(app, "pass") == ("partial", [said])


def test_drifted_is_more_than_partial(app: Project) -> None:
    """Code that is partial and drifts is drifted, with the reasons of both."""
    app.write("big.bin", b"x" * 2**21)
    completeness, reasons = code_of(
        app, "(root / 'other.py').write_text('x')", "hydra.callbacks.flexlock.max_untracked_mb=1"
    )
    assert completeness == "drifted"
    assert reasons == ["untracked big.bin (2 MB) left out", "other.py changed while the job ran"]


def test_code_imported_from_nowhere_is_named(app: Project, tmp_path: Path) -> None:
    """A module from a folder of sys.path that is in no recorded repository: partial."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "stray.py").write_text("x = 1\n")
    app.write("helper.py", "import stray\n")
    app.commit()
    app.env["PYTHONPATH"] = str(tmp_path / "elsewhere")
    assert code_of(app, "pass") == (
        "partial",
        [f"stray was imported from {tmp_path / 'elsewhere'}, in no recorded repository"],
    )


def test_a_program_that_was_installed_is_no_code(app: Project, tmp_path: Path) -> None:
    """An entry point in an environment's folder of programs, with multiprocessing imported."""
    venv.create(tmp_path / "venv", symlinks=True)
    app.write("conf/__init__.py", "")
    app.commit()
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "below.pth").write_text("\n".join(path for path in sys.path if path) + "\n")
    program = tmp_path / "venv" / "bin" / "train"
    program.write_text("import multiprocessing\nfrom app import main\nmain()\n")
    app.call(program.with_name("python"), program, PYTHONPATH=str(app.root))
    main = app.lock()["repos"]["main"]
    assert (main["completeness"], main["reasons"]) == ("exact", [])


@pytest.mark.parametrize(("edit", "said"), [
    ("write_text('h = 2')", "helper.py changed after the process had started, "
                            "maybe after it was imported"),
    ("stat()", None),
])
def test_a_module_that_changes_between_its_import_and_the_start_is_named(
    edit: str, said: str | None, app: Project
) -> None:
    """The snapshot may hold a newer file than the one that an app with slow imports runs."""
    source = app.path("app.py").read_text()
    app.write("app.py", source.replace(
        "\n\n\n@hydra.main", f"\nimport time\ntime.sleep(0.1)\n(root / 'helper.py').{edit}\n\n\n"
                             "@hydra.main"))
    app.commit()
    assert code_of(app, "pass") == (("partial", [said]) if said else ("exact", []))
    app.git("checkout", "helper.py")
    app.app("-m", "n=0,1")
    reasons = [read_lock(path)["repos"]["main"]["reasons"] for path in app.locks()]
    assert reasons == [[said] if said else []] * 3


def test_a_script_in_no_repository_is_named(app: Project, tmp_path: Path) -> None:
    """Where the cwd's repository is recorded, a script that lies elsewhere is none of it."""
    script = tmp_path / "solo.py"
    script.write_text("import hydra\n@hydra.main(version_base=None, config_path=None)\n"
                      "def main(cfg): pass\nmain()\n")
    app.call(app.python, script, "hydra/callbacks=flexlock")
    main = app.lock()["repos"]["main"]
    said = f"the script {script} is in no recorded repository"
    assert (main["completeness"], main["reasons"]) == ("partial", [said])
