"""What a check of a run, a tag or a remote found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was verified; where it is ``ok`` with a reason, why it could not be.

    ``note`` says what is worth to know of a thing that is fine.
    """

    name: str
    ok: bool
    reason: str = ""
    note: str = ""
