"""What ``--env`` needs of a program that makes environments, and which there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from flexlock_hydra.errors import RerunError
from flexlock_hydra.ports.environments.uv import Uv


class EnvironmentMaker(Protocol):
    """Makes an environment of an interpreter and fills it; it is started in a folder.

    Every method that does something raises EnvironmentMakerError where something is
    not to be had, or cannot be built. ``python`` is the interpreter of an environment.
    """

    name: ClassVar[str]

    def name_python(self, implementation: str, version: str) -> str | None:
        """What ``make`` takes for an interpreter, by what Python calls it; None: not known."""

    def how_to_get(self, version: str) -> str:
        """The command that fetches an interpreter, for people."""

    def make(self, folder: Path, python: str) -> None:
        """A new environment, without a package in it, of an interpreter's path or name."""

    def install(
        self, python: Path, what: Sequence[Path], *, env: Mapping[str, str] | None = None
    ) -> None:
        """Install wheels and folders of code, not what they depend on; with some variables."""

    def install_listed(
        self, python: Path, requirements: Path, *, indexes: Sequence[str], only_try: bool = False
    ) -> None:
        """Install exactly the lines of a requirements file, not what they depend on.

        Several indexes are asked in their order for each version, as every version is named.
        """

    def mentioned(self, said: str, names: Iterable[str]) -> list[str]:
        """Those of some distributions that the words of an error speak of."""

    def cause(self, said: str) -> str:
        """The words of an error in one line, without what says nothing of the cause."""


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
