"""Private names of Hydra, OmegaConf and hydra-zen, and frames, stand behind one room."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from omegaconf import AnyNode, DictConfig, ListConfig, OmegaConf, UnionNode

from flexlock_hydra.ports.hydra_internals import config_nodes
from flexlock_hydra.ports.hydra_internals.app_start import call_in_progress

pytestmark = pytest.mark.hydra

ROOT = Path(config_nodes.__file__).parents[3]
ROOM = "flexlock_hydra/ports/hydra_internals/"
PRIVATE_MODULE = re.compile(r"(hydra|omegaconf|hydra_zen)(\.\w+)*\.(_\w+|grammar\w*)(\.|$)")
FRAMES = {
    "_getframe", "_current_frames", "currentframe", "getouterframes", "getinnerframes",
    "f_back", "f_locals", "f_globals", "f_code", "tb_frame", "__globals__",
}
LIBRARIES = (OmegaConf, JobReturn(), HydraConfig(), AnyNode(1), UnionNode(1, int | str),
             DictConfig({}), ListConfig([]))
PRIVATE = {
    name
    for each in LIBRARIES
    for name in {*dir(each), *getattr(each, "__dict__", ())}
    if name.startswith("_") and not name.startswith("__")
} | {"resolve_parse_tree"}


def offences(source: str) -> Iterator[tuple[int, str]]:
    """The lines of a module's text that use what only the room may use, and what that is."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            above = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            for name in (above + alias.name for alias in node.names):
                if PRIVATE_MODULE.match(name):
                    yield node.lineno, above.rstrip(".") or name
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            is_own = owner in ("self", "cls")
            if node.attr in FRAMES or (node.attr in PRIVATE and not is_own):
                yield node.lineno, node.attr
            elif node.attr == "__class__" and isinstance(node.ctx, ast.Store):
                yield node.lineno, node.attr


def test_only_the_room_uses_private_names() -> None:
    """A new version of Hydra is one room's work: no module elsewhere knows its insides."""
    found = [
        f"{name}:{line} uses {what}"
        for package in ("flexlock_hydra", "hydra_plugins")
        for path in sorted(ROOT.glob(f"{package}/**/*.py"))
        if not (name := path.relative_to(ROOT).as_posix()).startswith(ROOM)
        for line, what in offences(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("from hydra._internal.utils import get_args_parser", "hydra._internal.utils"),
        ("from hydra import _internal", "hydra"),
        ("import hydra_zen._launch as module", "hydra_zen._launch"),
        ("from omegaconf.grammar_parser import parse", "omegaconf.grammar_parser"),
        ("from omegaconf.base import _x", "omegaconf.base"),
        ("key = node._get_full_key(None)", "_get_full_key"),
        ("value = job_return._return_value", "_return_value"),
        ("content = config._content", "_content"),
        ("frame = sys._getframe(1)", "_getframe"),
        ("here = error.__traceback__.tb_frame", "tb_frame"),
        ("task.__globals__", "__globals__"),
        ("HydraConfig.instance().__class__ = Other", "__class__"),
    ],
)
def test_what_is_found(line: str, what: str) -> None:
    """Each kind of private use is named with its line, wherever it would come back."""
    assert list(offences(f"\n{line}\n")) == [(2, what)]


def test_a_call_in_progress() -> None:
    """The nearest call of a function is found by its module and name, from the caller upwards."""

    def outer(depth: int) -> tuple[int, int] | None:
        if depth:
            return outer(depth - 1)
        found = call_in_progress(__name__, ["outer"])
        above = found and call_in_progress(__name__, ["outer"], above=found.f_back)
        return found and above and (found.f_locals["depth"], above.f_locals["depth"])

    assert outer(2) == (0, 1)
    assert call_in_progress(__name__, ["outer"]) is None
    assert call_in_progress("elsewhere", ["test_a_call_in_progress"]) is None
