"""One table of shapes: what is in it is masked in locks, and stops a push, by its row alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexlock_hydra.archive.push.push import push
from flexlock_hydra.capture.secrets.leaks import find_secrets
from flexlock_hydra.archive.runs.find import find_run
from flexlock_hydra.capture.secrets import shapes
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.capture.secrets.shapes import MASK, SHAPES, SecretShape
from flexlock_hydra.errors import PushError
from tests.conftest import Project
from tests.support.secret_corpus import ALONE, ORDINARY, Planted

PRINTED = st.characters(min_codepoint=32, max_codepoint=126)
NEAR = 40
"""Characters before a match in which what it has to follow stands."""


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_every_match_has_a_literal_of_its_row(shape: SecretShape) -> None:
    """Whatever a pattern matches holds one of the row's literals, and a push finds it by that."""

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(st.from_regex(shape.regex, alphabet=PRINTED))
    def check(text: str) -> None:
        for match in shape.regex.finditer(text):
            around = text[max(0, match.start() - NEAR) : match.end()]
            assert any(literal in around for literal in shape.literals)
        if shape.stops_push and not shape.is_block and "EXAMPLE" not in text:
            assert [*find_secrets("x.py", text.encode())]

    check()


@pytest.mark.parametrize("planted", ALONE, ids=lambda planted: planted.value[:24])
def test_what_is_masked_by_its_shape_stops_a_push(planted: Planted) -> None:
    """The maskers' examples are the push's: whatever matches a row that stops one is named."""
    rows = [row for row in SHAPES if row.stops_push and row.regex.search(planted.value)]
    whole = [row for row in rows if not row.is_block or "END" in planted.value]
    said = [leak.what for leak in find_secrets("x.py", planted.value.encode())]

    assert bool(said) == bool(whole)
    assert all(any(what.startswith(row.name) for row in whole) for what in said)
    assert not any(planted.secret in what for what in said)


@pytest.mark.parametrize("name", ["x.py", "conf/x.yaml"])
@pytest.mark.parametrize(("key", "value"), ORDINARY, ids=lambda text: ascii(text[:24]))
def test_an_ordinary_value_stops_no_push(name: str, key: str, value: str) -> None:
    """What the maskers leave alone, a push lets through."""
    assert not [*find_secrets(name, f"{key}: {value}\n".encode())]


@pytest.fixture
def new_row(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A token of a kind that is only now put into the table."""
    row = SecretShape("Acme", r"acme~[0-9a-f]{8}", ("acme~",))
    monkeypatch.setattr(shapes, "SHAPES", (*SHAPES, row))
    shapes._any_shape.cache_clear()
    yield "acme~" + "0a1b2c3d"
    monkeypatch.undo()
    shapes._any_shape.cache_clear()


def test_a_new_row_is_masked_and_stops_a_push(
    recorded: Project, new_row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record in the table is all that a new kind of secret takes, for locks and for pushes."""
    recorded.write("keys.py", f"KEY = '{new_row}'\n")
    recorded.app("hydra.run.dir=outputs/s")
    for name, value in recorded.env.items():
        monkeypatch.setenv(name, value)

    assert Masker().mask({"note": [f"see {new_row}"]}) == {"note": [f"see {MASK}"]}
    with pytest.raises(PushError, match=r"keys\.py:1: Acme, acme\*\*\*$"):
        push(find_run(recorded.path("outputs/s")))
