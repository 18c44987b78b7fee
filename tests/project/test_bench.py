"""The benchmark runs, and knows a row that is outside its limit."""

from __future__ import annotations

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
    said = project.call(sys.executable, BENCH, "--trial").out
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    works = [row.split(" | ")[0].strip("| ") for row in rows]
    assert len(works) == 32
    assert works[2] == "a further job of a sweep"
    assert page.read_bytes() == before
