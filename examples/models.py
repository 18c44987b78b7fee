"""Trained scikit-learn classifiers as plain JSON values, and what those predict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Model = dict[str, Any]


def export(classifier: Any, names: Sequence[str]) -> Model:
    """A fitted logistic regression or forest of two classes as JSON values."""
    exported = _forest(classifier) if hasattr(classifier, "estimators_") else _linear(classifier)
    return {"features": list(names), **exported}


def probability(model: Model, row: Sequence[float]) -> float:
    """How likely the row is of class 1."""
    if "trees" in model:
        votes = [_follow(tree, row) for tree in model["trees"]]
        return math.fsum(votes) / len(votes)
    score = math.fsum(w * x for w, x in zip(model["weights"], row, strict=True))
    return 1 / (1 + math.exp(-score - model["intercept"]))


def _linear(classifier: Any) -> Model:
    return {
        "intercept": float(classifier.intercept_[0]),
        "weights": classifier.coef_[0].tolist(),
    }


def _forest(classifier: Any) -> Model:
    return {"trees": [_branch(fitted.tree_, 0) for fitted in classifier.estimators_]}


def _branch(tree: Any, node: int) -> Model | float:
    """A node of scikit-learn's array of nodes: a question with two ways, or a leaf."""
    if tree.children_left[node] == tree.children_right[node]:
        votes = tree.value[node][0]
        return float(votes[1] / votes.sum())
    return {
        "feature": int(tree.feature[node]),
        "threshold": float(tree.threshold[node]),
        "below": _branch(tree, tree.children_left[node]),
        "above": _branch(tree, tree.children_right[node]),
    }


def _follow(branch: Model | float, row: Sequence[float]) -> float:
    while isinstance(branch, dict):
        way = "below" if row[branch["feature"]] <= branch["threshold"] else "above"
        branch = branch[way]
    return branch
