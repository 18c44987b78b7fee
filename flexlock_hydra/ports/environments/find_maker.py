"""Which program makes environments, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flexlock_hydra.errors import RerunError
from flexlock_hydra.ports.environments.maker import EnvironmentMaker
from flexlock_hydra.ports.environments.uv import Uv

MAKERS: Mapping[str, Callable[[Path], EnvironmentMaker]] = {"uv": Uv.find}
"""To add one, write a class like :class:`EnvironmentMaker` and name it here."""


def find_maker(name: str, cwd: Path) -> EnvironmentMaker:
    """The maker of a name, which will be started in a folder.

    Raises:
        RerunError: there is none of the name, or it is not installed or does not work.
    """
    if name not in MAKERS:
        raise RerunError(
            f"no program {name} that makes environments", hint=f"There is: {', '.join(MAKERS)}"
        )
    return MAKERS[name](cwd)
