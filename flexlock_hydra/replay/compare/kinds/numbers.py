"""Arrays in memory, compared at once. NumPy is there when this is imported."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from flexlock_hydra.replay.compare.judge import Judge
from flexlock_hydra.replay.compare.tolerance import Tolerance

Array = np.ndarray[Any, np.dtype[Any]]
Index = tuple[int, ...]


def compare_pieces(
    pieces: Iterable[tuple[Array, Array]],
    shape: Sequence[int],
    judge: Judge,
    name: Callable[[Index], str],
    *,
    columns_first: bool = False,
) -> None:
    """Arrays of one shape and type, piece by piece in the order of their elements.

    Args:
        pieces: one-dimensional, old and new, of equal length each time.
        shape: of the whole.
        name: what an element is called.
        columns_first: the order of the elements is Fortran's.
    """
    start = 0
    order: Literal["C", "F"] = "F" if columns_first else "C"

    def place(at: int, field: str) -> str:
        found = np.unravel_index(start + at, tuple(shape), order=order) if shape else ()
        return name(tuple(map(int, found))) + field

    for old, new in pieces:
        _compare_piece(_Piece(old, new), place, judge)
        start += len(old)


def element(where: str) -> Callable[[Index], str]:
    """What elements of an array of this name are called: ``weights[3, 5]``."""
    return lambda at: f"{where}{list(at) if at else ''}" or "value"


@dataclass(frozen=True)
class _Piece:
    """Old and new elements, ``per`` of them for each of the array's; the field that they are."""

    old: Array
    new: Array
    per: int = 1
    field: str = ""

    def fields(self) -> Iterator[_Piece]:
        for name in self.old.dtype.names or ():
            old, new = (np.ascontiguousarray(each[name]) for each in (self.old, self.new))
            per = self.per * math.prod(old.shape[1:])
            yield _Piece(old.reshape(-1), new.reshape(-1), per, f"{self.field}.{name}")

    def as_bytes(self) -> _Piece:
        old, new = (np.frombuffer(each.tobytes(), np.uint8) for each in (self.old, self.new))
        return replace(self, old=old, new=new, per=self.per * self.old.dtype.itemsize)

    def at(self, index: int) -> tuple[Any, Any]:
        old, new = self.old[index], self.new[index]
        if self.old.dtype.kind == "f":
            return float(old), float(new)
        return (str(old), str(new)) if self.old.dtype.kind in "mM" else (old.item(), new.item())


def _compare_piece(piece: _Piece, place: Callable[[int, str], str], judge: Judge) -> None:
    """One piece; of a type with fields each for itself."""
    if piece.old.dtype.names is not None:
        for each in piece.fields():
            _compare_piece(each, place, judge)
        return
    if piece.old.dtype.kind == "V":
        piece = piece.as_bytes()
    other = ~_equal_elements(piece.old, piece.new)
    if not other.any():
        return
    shares = np.where(other, _tolerance_shares(piece.old, piece.new, judge.rules.tolerance), 0)
    wrong = np.flatnonzero(shares > 1)
    if len(wrong):
        first = int(wrong[0])
        judge.differs(place(first // piece.per, piece.field), *piece.at(first), count=len(wrong))
    close = np.flatnonzero(other & (shares <= 1))
    if len(close):
        most = int(close[np.argmax(shares[close])])
        where = place(most // piece.per, piece.field)
        judge.deviates(where, *piece.at(most), float(shares[most]))


def _equal_elements(old: Array, new: Array) -> Array:
    """Which elements are equal; what is no number or no time equals itself."""
    found: Array = old == new
    if old.dtype.kind in "fc":
        found |= np.isnan(old) & np.isnan(new)
    elif old.dtype.kind in "mM":
        found |= np.isnat(old) & np.isnat(new)
    return found


def _tolerance_shares(old: Array, new: Array, tolerance: Tolerance) -> Array:
    """How much of the tolerance each pair takes, as :meth:`Tolerance.share` says."""
    kind = old.dtype.kind
    with np.errstate(all="ignore"):
        if kind in "iu":
            # As uint64 the distance of any two whole numbers is exact, and does not overflow.
            one, other = (each.astype(np.uint64) for each in (old, new))
            distance = np.where(new > old, other - one, one - other).astype(float)
            allowed = np.full(distance.shape, tolerance.atol)
        elif kind in "fc":
            wide = np.result_type(old.dtype, np.float64)
            one, other = old.astype(wide), new.astype(wide)
            distance = np.abs(other - one)
            allowed = tolerance.atol + tolerance.rtol * np.abs(one)
            distance[~(np.isfinite(one) & np.isfinite(other))] = np.inf
            # Else an allowance that overflows would let an infinite distance pass.
            allowed[~np.isfinite(allowed)] = np.finfo(float).max
        else:
            return np.full(old.shape, np.inf)
        found: Array = np.where(distance <= allowed, distance / allowed, np.inf)
    return found
