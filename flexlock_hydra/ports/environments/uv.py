"""The door to uv, which makes environments and fills them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from flexlock_hydra.errors import EnvironmentMakerError, RerunError
from flexlock_hydra.ports.git.command import redact_url

_HINT = "Install it: pip install 'flexlock-hydra[env]', or see https://docs.astral.sh/uv"
# Variables by which uv, or what it builds, would take another environment than ours.
_POINTS_ELSEWHERE = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON")
_MOST_LINES = 12  # Lines of uv's words that an error repeats
# As Python and as uv calls them.
_IMPLEMENTATIONS = {"CPython": "cpython", "PyPy": "pypy", "GraalVM": "graalpy"}


@dataclass(frozen=True)
class Uv:
    """A uv that can be started.

    Args:
        program: its path.
        cwd: where it is started: it reads the configuration of the project there.
    """

    name: ClassVar[str] = "uv"
    program: str
    cwd: Path

    @classmethod
    def find(cls, cwd: Path) -> Uv:
        """The one beside this package, else the one on the PATH.

        Raises:
            RerunError: there is none that works.
        """
        tried = list(dict.fromkeys(_candidates()))
        for program in tried:
            found = cls(program, cwd)
            with contextlib.suppress(OSError):
                if found._run("--version").returncode == 0:
                    return found
        what = f"uv at {tried[0]} does not work" if tried else "no uv, which makes environments"
        raise RerunError(what, hint=_HINT)

    def name_python(self, implementation: str, version: str) -> str | None:
        kind = _IMPLEMENTATIONS.get(implementation)
        return f"{kind}@{version}" if kind else None

    def how_to_get(self, version: str) -> str:
        return f"uv python install {version}"

    def make(self, folder: Path, python: str) -> None:
        self._do("venv", "--no-project", "--python", python, folder)

    def install(
        self, python: Path, what: Sequence[Path], *, env: Mapping[str, str] | None = None
    ) -> None:
        self._install(python, what, env)

    def install_listed(
        self, python: Path, requirements: Path, *, indexes: Sequence[str], only_try: bool = False
    ) -> None:
        options = ["--dry-run"] if only_try else []
        options += [word for index in indexes for word in ("--index", index)]
        self._install(python, [*options, "-r", requirements])

    def mentioned(self, said: str, names: Iterable[str]) -> list[str]:
        return [
            name for name in names
            if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said, re.IGNORECASE)
        ]

    def cause(self, said: str) -> str:
        said = re.sub(r",? *we can conclude that.*", "", " ".join(said.split()))
        return re.sub(r"^No solution found when resolving dependencies(?: cause:)? *", "", said)

    def _install(
        self, python: Path, words: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        # By default uv takes any version from the first index that has a distribution.
        several = () if "UV_INDEX_STRATEGY" in os.environ else (
            "--index-strategy", "unsafe-first-match"
        )
        self._do("pip", "install", "--python", python, "--no-deps", *several, *words, env=env)

    def _do(self, *words: str | Path, env: Mapping[str, str] | None = None) -> None:
        done = self._run(*words, env=env)
        if done.returncode:
            said = redact_url(_from_first_error(done.stderr))
            raise EnvironmentMakerError(said or f"exit code {done.returncode}")

    def _run(
        self, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if k not in _POINTS_ELSEWHERE}
        return subprocess.run(
            [self.program, "--no-progress", "--color", "never", *map(str, words)],
            cwd=self.cwd,
            env={**inherited, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            check=False,
        )


def _candidates() -> Iterator[str]:
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin

        yield os.fspath(find_uv_bin())
    if found := shutil.which("uv"):
        yield found


def _from_first_error(said: str) -> str:
    """From the first error on; warnings before it are left out."""
    start = re.search(r"^(?:error|  × )", said, re.MULTILINE)
    lines = [line for line in said[start.start() if start else 0:].splitlines() if line.strip()]
    more = ["..."] if len(lines) > _MOST_LINES else []
    return "\n".join([*lines[:_MOST_LINES], *more]).removeprefix("error: ")
