"""Which outputs of a job are recorded, and which of them are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Project

# Outputs


def outputs(project: Project, *overrides: str) -> dict[str, Any]:
    """The outputs section of a run."""
    project.app(*(f"hydra.callbacks.flexlock.{override}" for override in overrides))
    found: dict[str, Any] = project.lock()["outputs"]
    return found


@pytest.mark.hydra
def test_patterns_choose_the_outputs(project: Project) -> None:
    """With patterns, the files that fit one are hashed, by path or by name."""
    found = outputs(project, "outputs=[model.txt,'sub/*']")
    folder = project.newest().parent
    expected = hashlib.md5()
    names = ("model.txt", "sub/n.txt")
    listing = ", ".join(
        f'{{"md5": "{hashlib.md5((folder / name).read_bytes()).hexdigest()}", '
        f'"relpath": "{name}"}}' for name in names
    )
    expected.update(f"[{listing}]".encode())

    assert found["only"] == ["model.txt", "sub/*"]
    assert found["nfiles"] == 2
    assert found["hash"] == {"md5": f"{expected.hexdigest()}.dir"}


@pytest.mark.hydra
def test_large_outputs_are_kept_by_size(project: Project, store: Path) -> None:
    """Above max_output_mb a file has a size alone; a push says so, a rerun compares the size."""
    project.write("app.py", project.path("app.py").read_text().replace(
        "return {", "(out / 'big.ckpt').write_bytes(bytes(50_000))\n    return {"
    ))
    project.commit()
    found = outputs(project, "max_output_mb=0.02")
    run = project.lock()["run"]["id"]
    again = project.flexlock("rerun", run, "--json").json
    pushed = project.flexlock("push", run, "--remote", str(store), "--json").json
    (project.locks()[0].parent / "big.ckpt").write_bytes(b"")
    refused = project.flexlock("push", run, "--remote", str(store), check=False)

    assert found["unhashed"] == {"big.ckpt": 50_000}
    assert found["nfiles"] == 5
    assert again["verdict"] == "identical"
    assert "outputs that were not hashed do not travel: big.ckpt" in pushed["warnings"]
    assert "changed since the run" in refused.err


@pytest.mark.hydra
@pytest.mark.parametrize(
    ("override", "said"),
    [("outputs=3", "not true, false or a list"), ("max_output_mb=-1", "not a number"),
     ("max_output_mb=big", "not a number")],
)
def test_a_wrong_option(project: Project, override: str, said: str) -> None:
    """A wrong value is an error before the task runs."""
    done = project.app(f"hydra.callbacks.flexlock.{override}", check=False)

    assert done.code == 1
    assert said in done.err
    assert project.locks() == []


@pytest.mark.hydra
def test_no_outputs(project: Project) -> None:
    """With false nothing is hashed."""
    project.app("hydra.callbacks.flexlock.outputs=false")
    assert "outputs" not in project.lock()


@pytest.mark.hydra
def test_late_writers_are_hashed(project: Project) -> None:
    """A file that is written after the job's end, until the process ends, is in the outputs."""
    project.write("app.py", project.path("app.py").read_text().replace(
        "    if cfg.lr < 0:",
        "    import atexit\n    atexit.register(lambda: (out / 'late.txt').write_text('late'))\n"
        "    if cfg.lr < 0:",
    ))
    project.app()
    folder = project.newest().parent
    left = {"run.lock", "app.log"}

    assert project.lock()["outputs"]["nfiles"] == sum(
        path.is_file() and path.name not in left for path in folder.rglob("*")
    )
