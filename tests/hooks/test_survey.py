"""A config as plain data: what OmegaConf itself would say, found faster."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import MISSING, OmegaConf

from flexlock_hydra.hooks.config.survey import survey, to_plain

pytestmark = pytest.mark.hydra


class Color(Enum):
    """A choice."""

    RED = 1


@dataclass
class Inner:
    """A typed group."""

    path: Path = Path("data/x")
    number: int = 3
    maybe: Optional[str] = None


@dataclass
class Typed:
    """Every kind of typed field."""

    inner: Inner = field(default_factory=Inner)
    union: Union[int, str] = 3
    color: Color = Color.RED
    by_name: dict[str, Inner] = field(default_factory=lambda: {"a": Inner()})
    numbers: list[int] = field(default_factory=lambda: [1, 2])
    text: str = "${inner.number}"
    number: int = "${numbers[1]}"  # type: ignore[assignment]
    missing: str = MISSING


CONFIGS: list[Any] = [
    {},
    {"a": 1, "b": [1, [2, {"c": None}]], "d": {}, "e": [], "f": {"g": 0.5, "h": True}},
    {"a": "${b}", "b": 3, "c": "x${b}y${b}", "d": ["${a}", "${.[0]}"], "e": {"f": "${..b}"}},
    {"a": {"b": {"c": 1}}, "copy": "${a}", "deep": "${copy.b.c}", "part": "${a.b}"},
    {"a": r"\${b}", "b": r"\\${c}", "c": "x", "d": "$", "e": "${c}$", "f": "a\\"},
    {"a": "\\${b}${b}", "b": "x"},
    {"a": "${oc.env:HOME}", "b": "${oc.select:nothing,7}", "c": "${oc.create:{x:1}}"},
    {"none": None, "a": "${none}", "b": "${none}x", "t": True, "c": "${t}", "d": "${t}!"},
    {"n": 1.5, "a": "${n}", "b": "v${n}", "i": 10**20, "c": "${i}-${i}"},
    {1: "a", "x": {2: "${x.y}", "y": 5}, False: "b"},
    {"l": [1, 2], "a": "${l.1}", "b": "${l[0]}", "c": "${l}"},
    {"a-b": 1, "c": "${a-b}", "d": "${oc.dict.keys:e}", "e": {"k": 1}},
    OmegaConf.structured(Typed),
]


@pytest.mark.parametrize("given_config", CONFIGS)
def test_the_same_as_omegaconf(given_config: Any) -> None:
    """Unresolved and resolved, each value is what OmegaConf.to_container gives."""
    config = OmegaConf.create(given_config)
    found = survey(config)
    assert found.unresolved == plain(OmegaConf.to_container(config, enum_to_str=True))
    resolved, failed = found.resolve()
    assert resolved == plain(OmegaConf.to_container(config, resolve=True, enum_to_str=True))
    assert failed == []


def plain(value: Any) -> Any:
    """OmegaConf's container with text for keys and paths."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["x", "${a}", "${b.c}", "p/${a}/${b.c}", "${.c}", "${no}", "???", "a$b"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4))
def test_any_config(content: dict[str, Any]) -> None:
    """Where OmegaConf can resolve all of it the result is equal, else each failure is named."""
    config = OmegaConf.create(content)
    found = survey(config)
    assert found.unresolved == OmegaConf.to_container(config)
    try:
        expected = OmegaConf.to_container(config, resolve=True)
    except Exception:
        assert found.resolve()[1]
    else:
        assert found.resolve() == (expected, [])


def test_a_failing_key_keeps_its_interpolation() -> None:
    """One that cannot be resolved is named and does not hide the others."""
    config = OmegaConf.create({"a": {"b": "${nowhere}", "c": "${d}"}, "d": 1})
    resolved, failed = survey(config).resolve()
    assert resolved == {"a": {"b": "${nowhere}", "c": 1}, "d": 1}
    assert [text.split(":")[0] for text in failed] == ["config a.b"]


def test_the_unresolved_form_is_not_touched_by_resolving() -> None:
    """The two forms share what is equal and nothing else."""
    config = OmegaConf.create({"a": {"b": ["${c}", {"d": "${c}"}]}, "c": 1})
    found = survey(config)
    found.resolve()
    assert found.unresolved == {"a": {"b": ["${c}", {"d": "${c}"}]}, "c": 1}


def test_keys_at_the_root_can_be_passed_over() -> None:
    """Hydra's own node is no part of the task's config; deeper keys of that name are."""
    config = OmegaConf.create({"hydra": {"x": "${y}"}, "a": {"hydra": 1}})
    assert survey(config, ("hydra",)).unresolved == {"a": {"hydra": 1}}
    assert survey(config, ("hydra",)).interpolations == []
    assert to_plain(None) is None
