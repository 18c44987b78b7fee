"""The house keeps its size: a listing of it is a table of contents, a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from flexlock_hydra.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
MODULES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes())
    for package in ("flexlock_hydra", "hydra_plugins")
    for path in sorted((ROOT / package).rglob("*.py"))
}
LINES = {name: len((ROOT / name).read_text().splitlines()) for name in MODULES}
SAME_IN_EACH = {"command"}
"""What each module of the command line calls its command: it is found by that name."""


def defined(kind: type[ast.AST], *, private: bool = False) -> Iterator[tuple[str, str]]:
    """The names that modules define at their top, each with its module."""
    for module, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, kind):
                name: str = getattr(node, "name")  # noqa: B009: what mypy does not know
                if name.startswith("_") == private:
                    yield name, module


def shared(names: Iterator[tuple[str, str]], at_most: int = 1) -> dict[str, list[str]]:
    """The names that stand in more modules than they may."""
    found = defaultdict(list)
    for name, module in names:
        found[name].append(module)
    return {name: modules for name, modules in found.items() if len(modules) > at_most}


def test_folders_are_short() -> None:
    """No folder holds more than sixteen modules."""
    folders = defaultdict(list)
    for module in MODULES:
        folders[module.rpartition("/")[0]].append(module)

    assert {name for name, modules in folders.items() if len(modules) > 16} == set()


def test_modules_are_short() -> None:
    """No module is longer than 400 lines, and at most eight are longer than 300."""
    assert [name for name, lines in LINES.items() if lines > 400] == []
    assert len([name for name, lines in LINES.items() if lines > 300]) <= 8


def test_functions_are_short() -> None:
    """No function is longer than 60 lines, its docstring included."""
    long = [
        f"{module}:{node.lineno}: {node.name}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (node.end_lineno or 0) - node.lineno >= 60
    ]

    assert long == []


def test_a_class_name_means_one_thing() -> None:
    """No two modules define a public class of one name."""
    assert shared(defined(ast.ClassDef)) == {}


def test_a_function_name_means_one_thing() -> None:
    """No two modules define a public function of one name."""
    found = shared(defined(ast.FunctionDef))

    assert {name: found[name] for name in found.keys() - SAME_IN_EACH} == {}


def test_a_helper_says_what_it_does() -> None:
    """No private helper of one word stands in more than three modules."""
    found = shared(defined(ast.FunctionDef, private=True), at_most=3)

    assert {name: found[name] for name in found if "_" not in name.strip("_")} == {}


def test_a_file_name_leads_to_its_file() -> None:
    """No file name stands in the package more than twice."""
    names = ((name.rpartition("/")[2], name) for name in MODULES if "__" not in name)

    assert shared(names, at_most=2) == {}


def test_every_command_is_in_the_table() -> None:
    """A module that defines a command is one that the command line knows."""
    modules = {f"flexlock_hydra/cli/{name.replace('.', '/')}.py" for name, _ in COMMANDS.values()}

    assert {module for name, module in defined(ast.FunctionDef) if name == "command"} == modules
