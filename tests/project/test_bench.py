"""The benchmark runs, and knows a row that is outside its limit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Project

BENCH = Path(__file__).parents[2] / "benchmarks" / "bench.py"


@pytest.mark.slow
@pytest.mark.needs("openssl")
def test_every_row_of_a_small_trial(project: Project) -> None:
    """Each comparison runs to its end and prints its row; the page is left as it is."""
    page = BENCH.parents[1] / "docs" / "performance.md"
    before = page.read_bytes()
    words = [sys.executable, str(BENCH), "--trial"]
    said = subprocess.run(  # longer than any other call, where other tests run beside it
        words, cwd=project.root, env=project.env, capture_output=True, text=True, timeout=400
    )
    assert said.returncode == 0, said.stderr
    rows = [line for line in said.stdout.splitlines() if line.startswith("| ")]
    works = [row.split(" | ")[0].strip("| ") for row in rows]
    assert len(works) == 32
    assert works[2] == "a further job of a sweep"
    assert page.read_bytes() == before
