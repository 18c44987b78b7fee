"""The user's resolvers run for the record, and leave the task's process as it was."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

# Modules of random numbers, and how the state of each is read and set.
_GENERATORS = (
    ("random", "getstate", "setstate"),
    ("numpy.random", "get_state", "set_state"),
    ("torch.random", "get_rng_state", "set_rng_state"),
)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Leave random numbers and the working folder as they were.

    The user's own resolvers run where a config is resolved, and the task may count on
    being the only one that draws.
    """
    # Only generators that the app has loaded can be disturbed; torch is not imported for this.
    states = [
        (getattr(sys.modules[name], put), getattr(sys.modules[name], get)())
        for name, get, put in _GENERATORS
        if hasattr(sys.modules.get(name), put)  # it may be half imported
    ]
    cwd = os.getcwd()
    try:
        yield
    finally:
        for put_back, state in states:
            put_back(state)
        os.chdir(cwd)
