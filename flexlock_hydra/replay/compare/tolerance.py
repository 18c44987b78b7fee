"""How far apart two numbers may be."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flexlock_hydra.errors import FlexlockError


@dataclass(frozen=True)
class Tolerance:
    """NumPy's rule: ``|new - old| <= atol + rtol * |old|``; ``old`` is the recorded number.

    Whole numbers count things: of them ``atol`` alone is true. What is no number equals
    itself, an infinity the same infinity.

    Raises:
        FlexlockError: one of them is negative or not finite.
    """

    rtol: float = 1e-5
    atol: float = 1e-8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise FlexlockError(f"{name} is {value}, not a number from 0 on")

    def __str__(self) -> str:
        return f"rtol={self.rtol:g}, atol={self.atol:g}"

    def share(self, old: float, new: float) -> float:
        """How much of what is allowed the distance of two numbers takes: at most 1 is close.

        0: they are equal.
        """
        if old == new or (old != old and new != new):
            return 0.0
        if isinstance(old, int) and isinstance(new, int):
            return _share(abs(new - old), self.atol)
        try:
            old, new = float(old), float(new)
        except OverflowError:
            return math.inf
        if not (math.isfinite(old) and math.isfinite(new)):
            return math.inf
        return _share(abs(new - old), self.atol + self.rtol * abs(old))


EXACT = Tolerance(0, 0)


def _share(distance: float, allowed: float) -> float:
    if distance > allowed:
        return math.inf
    return distance / allowed if distance else 0.0
