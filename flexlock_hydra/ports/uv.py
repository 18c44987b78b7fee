"""The door to uv, which makes environments and fills them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.errors import FlexlockError, RerunError
from flexlock_hydra.ports.git.command import redact_url

_HINT = "Install it: pip install 'flexlock-hydra[env]', or see https://docs.astral.sh/uv"
_POINTS_ELSEWHERE = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON")
"""Variables by which uv, or what it builds, would take another environment than ours."""
_MOST_WORDS = 12
"""Lines of uv's words that an error repeats."""


class UvError(FlexlockError):
    """uv refused a command; the message is its own."""


@dataclass(frozen=True)
class Uv:
    """A uv that can be started.

    Args:
        program: its path.
        cwd: where it is started: it reads the configuration of the project there.
    """

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
            if found._works():
                return found
        what = f"uv at {tried[0]} does not work" if tried else "no uv, which makes environments"
        raise RerunError(what, hint=_HINT)

    def __call__(self, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """Run ``uv WORDS``; what it said.

        Raises:
            UvError: it ended with an exit code.
        """
        done = self._run(*words, env=env)
        if done.returncode:
            raise UvError(redact_url(_last_words(done.stderr)) or f"exit code {done.returncode}")
        return done.stderr

    def make(self, place: Path, python: str) -> None:
        """A new environment, without a package in it.

        Raises:
            UvError: the interpreter is not to be had.
        """
        self("venv", "--no-project", "--python", python, place)

    def install(
        self, python: Path, what: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        """Install exactly what is named into an environment, not what that depends on.

        Several indexes are asked in their order for each version, as every version is named.

        Raises:
            UvError: something is not to be had, or cannot be built.
        """
        several = () if "UV_INDEX_STRATEGY" in os.environ else (
            "--index-strategy", "unsafe-first-match"
        )
        self("pip", "install", "--python", python, "--no-deps", *several, *what, env=env)

    def _works(self) -> bool:
        try:
            return self._run("--version").returncode == 0
        except OSError:
            return False

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
    try:
        from uv import find_uv_bin
    except ImportError:
        pass
    else:
        try:
            yield os.fspath(find_uv_bin())
        except FileNotFoundError:
            pass
    if found := shutil.which("uv"):
        yield found


def _last_words(said: str) -> str:
    """From the first error on; warnings before it are left out."""
    start = re.search(r"^(?:error|  × )", said, re.MULTILINE)
    lines = [line for line in said[start.start() if start else 0:].splitlines() if line.strip()]
    more = ["..."] if len(lines) > _MOST_WORDS else []
    return "\n".join([*lines[:_MOST_WORDS], *more]).removeprefix("error: ")


def mentioned(said: str, names: Iterable[str]) -> list[str]:
    """The distributions that uv speaks of."""
    return [
        name for name in names
        if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", said, re.IGNORECASE)
    ]
