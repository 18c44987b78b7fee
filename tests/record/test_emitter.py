"""What is written as YAML is read back as it was, by any loader."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flexlock_hydra.record.emitter import emit

AWKWARD = [
    *("", " ", "yes", "No", "on", "~", "null", "y", "0x10", "0o7", "1e3", "1:30", "2001-01-01"),
    *("1_0", "-", "- a", "?", ":", "a:", "a: b", "a #b", "#a", "<<", "=", "...", "---", "%TAG"),
    *("@a", "`a", "*a", "&a", "!a", "[a", "{a", "a]", "a, b", "'a'", '"a"', "\\", "|", ">"),
    *("\n", "a\n", "a\n\n", "a\nb", " a\nb", "a \n b", "#a\nb", "a\n#b", "---\na", "a\n...\nb"),
    *("a\r\nb", "a\tb\n", "\ta\nb", "\x85", "a\u2028b", "\ufeff", "\x7f", "é", "日本", "\U0001f600"),
    *("1.2.3", "1.2.3rc1+cu12", "1.2.3.4", "1.2", "1.2.", "1_0.2.3", "1.2.3_4")  ,
    *("${a.b:c,d}", "k" * 2000, "line\n" * 300),
]
TEXT = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.text("ab:# -'\"\n\t{}[],&*!|>%@`~yN0123456789._e+", max_size=12)
    | st.sampled_from(AWKWARD)
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value, type and order."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_any_value_comes_back(plain: dict[str, Any]) -> None:
    """Both of PyYAML's loaders read the very values, in the same order."""
    text = emit(plain)
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        assert same(yaml.load(text.encode(), Loader=loader), plain), text


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text_comes_back(text: str) -> None:
    """What YAML could take for something else is told apart, as key, value and item."""
    plain = {text: text, "list": [text, [text], {text: text}]}
    assert yaml.safe_load(emit(plain)) == plain


def test_it_reads_well() -> None:
    """Plain words stay plain, and lines of text stay lines."""
    plain = {
        "run": {"id": "20261122T101500Z-3f9c2a7b", "traceback": "Traceback:\n  File x\nError"},
        "path": "data/x.csv",
        "reference": "${snapshot:data/x.csv,k}",
        "list": ["a", {"b": 1, "c": []}],
        "number": 1e-05,
    }
    assert emit(plain) == (
        "run:\n"
        "  id: 20261122T101500Z-3f9c2a7b\n"
        "  traceback: |-\n"
        "    Traceback:\n"
        "      File x\n"
        "    Error\n"
        "path: data/x.csv\n"
        "reference: ${snapshot:data/x.csv,k}\n"
        "list:\n"
        "- a\n"
        "- b: 1\n"
        "  c: []\n"
        "number: 1.0e-05\n"
    )
