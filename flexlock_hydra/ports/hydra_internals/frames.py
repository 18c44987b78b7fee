"""The one look up the stack: which call of another package is in progress above this one."""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import FrameType


def call_in_progress(
    module: str, functions: Collection[str], *, above: FrameType | None = None
) -> FrameType | None:
    """The nearest call in this thread of one of a module's functions; None where there is none.

    Args:
        above: where the look begins, instead of at the caller.
    """
    frame: FrameType | None = above or sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in functions and frame.f_globals.get("__name__") == module:
            return frame
        frame = frame.f_back
    return None
