"""Tables as CSV and metrics as JSON, written so that equal values give equal bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LABEL = "malignant"
"""The column with the answer, 1 or 0. All others are features."""


def read_table(path: str | Path) -> list[dict[str, str]]:
    """The rows of a CSV file, each by column name."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_examples(path: str | Path) -> tuple[list[str], list[list[float]], list[int]]:
    """A preprocessed table: the features' names, their values by row, the labels."""
    rows = read_table(path)
    names = [name for name in rows[0] if name != LABEL]
    features = [[float(row[name]) for name in names] for row in rows]
    return names, features, [int(row[LABEL]) for row in rows]


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows of the same columns as a CSV file; a float has all its digits."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, value: Any) -> None:
    """A value as JSON; a float has all its digits."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8", newline="\n")
