"""How a message names some of many things."""

from __future__ import annotations

from collections.abc import Sequence


def some_of(names: Sequence[object], most: int = 8, *, total: int | None = None) -> str:
    """The first names in a row and how many more there are: ``a, b and 1,203 more``.

    Args:
        total: how many there are in all, where ``names`` does not hold each of them.
    """
    count = len(names) if total is None else total
    more = f" and {count - most:,} more" if count > most else ""
    return ", ".join(map(str, names[:most])) + more


def lines_of(names: Sequence[object], most: int) -> str:
    """The first names, each on an indented line, and on the last line how many more there are."""
    lines = [*map(str, names[:most])]
    if len(names) > most:
        lines.append(f"and {len(names) - most:,} more")
    return "\n".join(f"  {line}" for line in lines)
