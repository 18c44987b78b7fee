"""Conditions on runs: Python's expressions without anything that runs code.

Before :mod:`simpleeval` evaluates an expression, each name with its dots and brackets becomes
a column of the run: no attribute of an object is ever looked up. Of the rest of the language
only what stands in ``_NODES`` is let through. What a run does not have makes a comparison
neither true nor false, like NULL in SQL.
"""

from __future__ import annotations

import ast
import fnmatch
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simpleeval import InvalidExpression, SimpleEval

from flexlock_hydra.archive.query import columns as named
from flexlock_hydra.archive.query.catalog import ListedRun
from flexlock_hydra.archive.query.columns import MISSING, Column, ColumnError

EXAMPLE = "config.lr > 0.05 and status == \"completed\""
_LONGEST = 2000  # characters of a condition
_CONSTANTS = {"true": True, "false": False, "null": None}
_EVALUATED = (
    *(ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare),
    *(ast.Constant, ast.Name, ast.Call, ast.List, ast.Tuple),
)
_WRONG_TYPES = (TypeError, ValueError, ArithmeticError)


@dataclass(frozen=True)
class Condition:
    """A condition that was understood."""

    text: str
    tree: ast.expr
    columns: tuple[Column, ...]
    """The columns that the condition names; the getters are in their order."""
    getters: tuple[Callable[[ListedRun], Any], ...]
    evaluator: _Evaluator

    def holds(self, run: ListedRun) -> bool:
        """Whether it is true of a run; False where the run has not what it asks for.

        Raises:
            ColumnError: it asks for too much.
        """
        self.evaluator.names = _Values(run, self.getters)
        try:
            return bool(self.evaluator.eval(self.text, self.tree))
        except InvalidExpression as error:
            raise _refused(str(error)) from error


def parse_condition(text: str) -> Condition:
    """Understand a condition.

    Raises:
        ColumnError: it is none.
    """
    if len(text) > _LONGEST:
        raise _refused(f"it is longer than {_LONGEST} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        found = _Columns()
        tree = found.visit(tree)
        _check(tree)
    except SyntaxError as error:
        place = f"at character {error.offset}" if error.offset else "at its end"
        raise _refused(f"{error.msg}, {place}") from error
    except ColumnError:
        raise
    except (ValueError, MemoryError, RecursionError) as error:
        raise _refused("it cannot be parsed") from error
    columns = tuple(found.columns)
    return Condition(text, tree, columns, tuple(map(named.getter, columns)), _Evaluator())


def _refused(reason: str) -> ColumnError:
    return ColumnError(
        f"the condition is not understood: {reason:.300}", hint=f"For example: '{EXAMPLE}'"
    )


def _check(tree: ast.expr) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, _NODES):
            raise _refused(f"it has a {type(node).__name__}")
        if isinstance(node, ast.Constant) and not isinstance(
            node.value, (str, int, float, type(None))
        ):
            raise _refused(f"{node.value!r:.40} is no text or number")
        if isinstance(node, ast.Call) and not (
            isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and not node.keywords
        ):
            raise _refused(f"only {', '.join(_FUNCTIONS)} can be called")


class _Columns(ast.NodeTransformer):
    """Puts the number of a column in place of each name with what follows it."""

    def __init__(self) -> None:
        self.columns: dict[Column, None] = {}

    def visit_Call(self, node: ast.Call) -> ast.Call:
        node.args = [self.visit(argument) for argument in node.args]
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        is_constant = node.id in _CONSTANTS
        return ast.Constant(_CONSTANTS[node.id]) if is_constant else self._column(node)

    def _column(self, node: ast.expr) -> ast.Name:
        keys: list[str | int] = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                keys.append(node.attr)
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                key = node.slice.value
                if not isinstance(key, (int, str)) or isinstance(key, bool):
                    raise _refused(f"{key!r:.40} is no key")
                keys.append(key)
            else:
                raise _refused("dots and brackets follow names alone")
            node = node.value
        column = named.check_column(node.id, keys[::-1])
        self.columns.setdefault(column)
        return ast.Name(str([*self.columns].index(column)), ast.Load())

    visit_Attribute = visit_Subscript = _column


class _Values:
    """The values of a run by the numbers of their columns."""

    def __init__(self, run: ListedRun, getters: tuple[Callable[[ListedRun], Any], ...]) -> None:
        self.run, self.getters = run, getters

    def __getitem__(self, number: str) -> Any:
        return self.getters[int(number)](self.run)


class _Evaluator(SimpleEval):  # type: ignore[misc]
    """Three-valued logic over the few kinds of nodes that are let through."""

    nodes: dict[type[ast.AST], Callable[..., Any]]

    def __init__(self) -> None:
        super().__init__(operators=_OPERATORS, functions=_FUNCTIONS, names={})
        self.nodes.update({ast.List: self._eval_list, ast.Tuple: self._eval_list})
        self.nodes = {kind: self.nodes[kind] for kind in _EVALUATED}

    def _eval_list(self, node: ast.List | ast.Tuple) -> list[Any]:
        return [self._eval(item) for item in node.elts]

    def _eval_boolop(self, node: ast.BoolOp) -> Any:
        """What decides ends it; else what a run does not have leaves it open."""
        decides = isinstance(node.op, ast.Or)
        is_open = False
        for item in node.values:
            value = self._eval(item)
            if value is MISSING:
                is_open = True
            elif bool(value) is decides:
                return decides
        return MISSING if is_open else not decides


def _known(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of what is there and of the right type; else it is not known."""

    def known(*values: Any) -> Any:
        if any(value is MISSING for value in values):
            return MISSING
        try:
            return function(*values)
        except _WRONG_TYPES:
            return MISSING

    return known


def _of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Numbers alone: texts could be multiplied, and formatted, into very long ones."""

    def of_numbers(*values: Any) -> Any:
        return function(*values) if all(isinstance(v, (int, float)) for v in values) else MISSING

    return _known(of_numbers)


def _like(found: Any, pattern: Any) -> bool:
    """Whether a text, or one of a list, has the form of a pattern with ``*`` and ``?``."""
    texts = found if isinstance(found, (list, tuple)) else [found]
    return any(fnmatch.fnmatchcase(str(text), str(pattern)) for text in texts)


_OPERATORS = {
    ast.Add: _of_numbers(operator.add),
    ast.Sub: _of_numbers(operator.sub),
    ast.Mult: _of_numbers(operator.mul),
    ast.Div: _of_numbers(operator.truediv),
    ast.FloorDiv: _of_numbers(operator.floordiv),
    ast.Mod: _of_numbers(operator.mod),
    ast.USub: _of_numbers(operator.neg),
    ast.UAdd: _of_numbers(operator.pos),
    ast.Not: _known(operator.not_),
    ast.Eq: _known(operator.eq),
    ast.NotEq: _known(operator.ne),
    ast.Lt: _known(operator.lt),
    ast.LtE: _known(operator.le),
    ast.Gt: _known(operator.gt),
    ast.GtE: _known(operator.ge),
    ast.In: _known(lambda item, box: item in box),
    ast.NotIn: _known(lambda item, box: item not in box),
    ast.Is: _known(operator.eq),
    ast.IsNot: _known(operator.ne),
}
_NODES = (*_EVALUATED, *_OPERATORS, ast.And, ast.Or, ast.Load)
_FUNCTIONS = {
    "has": lambda found: found is not MISSING,
    "like": _known(_like),
    "len": _known(len),
    "lower": _known(str.lower),
    "abs": _of_numbers(abs),
}
