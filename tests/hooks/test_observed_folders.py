"""Folders and files that the config names, and that nobody is seen to read."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.hooks.test_observed_inputs import app, observed, run

__all__ = ["app"]
pytestmark = pytest.mark.hydra


@pytest.mark.parametrize("before", [(), ("old.txt",)], ids=["empty", "older"])
def test_a_folder_that_the_job_fills_is_no_input(app: Project, before: tuple[str, ...]) -> None:
    """Of a folder that the config names, what the job puts there itself is not recorded."""
    app.path("data/encoder").mkdir()
    for name in before:
        app.write(f"data/encoder/{name}", "old")
    line = (
        "import shutil, subprocess; to = cfg.folder;"
        "Path(to, \"own.pkl\").write_text(\"x\"); shutil.copy2(\"data/a.csv\", to);"
        "subprocess.run([\"touch\", to + \"/other.pkl\"])"
    )
    kept = observed(run(app, line, "folder=data/encoder"))
    kept.pop("data/a.csv")
    assert kept == ({"folder": ("data/encoder", *before)} if before else {})


def test_read_in_c_where_another_step_writes(app: Project) -> None:
    """A file that is there before the job counts, by whatever keys the config names it."""
    make = "import pyarrow as a, pyarrow.parquet as p; t = a.table({\"x\": [1]}); "
    line = "p.read_table({}); p.write_table(t, cfg.result_path)"
    app.write("data/set/own.parquet", "from the last time")
    table = str(app.path("data/set/t.parquet"))
    app.call(app.python, "-c", f"{make} p.write_table(t, {table!r})")
    own = "+result_path=data/set/own.parquet"
    apart = make + line.format("cfg.output.save + \"/\" + cfg.output.name")
    named = ("+output.save=data/set", "+output.name=t.parquet", own)
    assert observed(run(app, apart, *named)) == {"output.save": ("data/set", "t.parquet")}
    whole = make + line.format("cfg.output_path")
    assert observed(run(app, whole, "+output_path=data/set/t.parquet", own)) == {
        "output_path": ("data/set/t.parquet",)
    }


def test_a_module_that_is_no_file(app: Project) -> None:
    """A module that names a file which nobody imported, as torch.ops, leaves the code exact."""
    line = (
        "import types; made = types.ModuleType(\"made.ops\"); made.__file__ = \"_ops.py\";"
        "sys.modules[\"made.ops\"] = made"
    )
    source = app.path("app.py").read_text()
    app.write("app.py", source.replace("import hydra\n", f"{line}\nimport hydra\n", 1))
    app.commit("a module")
    assert run(app, "pass")["completeness"]["code"] == "exact"
