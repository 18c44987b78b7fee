"""How messages name some of many things."""

from __future__ import annotations

import pytest

from flexlock_hydra.record.wording import lines_of, some_of


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, ""), (1, "0"), (2, "0, 1"), (3, "0, 1 and 1 more"), (1205, "0, 1 and 1,203 more")],
)
def test_names_in_a_row(count: int, said: str) -> None:
    """The first ones are named, the rest is counted; nothing is said of no rest."""
    assert some_of(range(count), 2) == said


def test_a_total_of_names_that_were_not_kept() -> None:
    """Who kept the first names alone still tells how many there were."""
    assert some_of(["a", "b"], 2, total=7) == "a, b and 5 more"
    assert some_of(["a"], 2, total=1) == "a"


def test_names_on_lines() -> None:
    """Each stands on an indented line, and what is left is counted on the last one."""
    assert lines_of(["a", "b"], 2) == "  a\n  b"
    assert lines_of(["a", "b", "c"], 2) == "  a\n  b\n  and 1 more"
