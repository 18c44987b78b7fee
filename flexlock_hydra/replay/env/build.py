"""Make an environment anew: the interpreter, the distributions, this package."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexlock_hydra.archive.runs.recorded_run import RecordedRun
from flexlock_hydra.capture.environment import packages
from flexlock_hydra.errors import EnvironmentMakerError, RerunError
from flexlock_hydra.ports.environments.maker import EnvironmentMaker, find_maker
from flexlock_hydra.ports.git.worktrees import temporary_worktree
from flexlock_hydra.replay.env.interpreter import interpreter, python_of
from flexlock_hydra.replay.env.own_wheel import Wheel
from flexlock_hydra.replay.env.requirements import Requirements, SourceInstall

Say = Callable[[str], None]

ELSEWHERE = "Make an environment yourself and name it: rerun RUN --python DIR"
_MARK = "flexlock.json"  # says, in an environment, that it is whole, and what it has
_VERSION = re.compile(r"(?P<minor>\d+\.\d+)\.\d+(?:(?:a|b|rc)\d+)?")
_LONG = 400
_MOST = 50  # distributions that cannot be had, after which no more are looked for


def whole(folder: Path) -> dict[str, Any] | None:
    """What the mark of an environment says, where that is so."""
    try:
        mark: dict[str, Any] = json.loads((folder / _MARK).read_bytes())
    except (OSError, ValueError):
        return None
    here = python_of(folder).exists() and packages.packages(mark["path"]) == mark["packages"]
    return mark if here else None


@dataclass(frozen=True)
class Build:
    """An environment that is to be made for a run.

    Args:
        folder: where it will lie.
        asked: what it must have.
        wheel: this package.
        tell: hears, in words, what takes long.
    """

    folder: Path
    run: RecordedRun
    asked: Requirements
    wheel: Wheel
    tell: Say

    def make(self) -> dict[str, Any]:
        """Make it; its mark, which goes last.

        Raises:
            RerunError: something is not to be had.
        """
        # It reads the project's own configuration there, of indexes and the like.
        maker = find_maker("uv", self.run.root if self.run.root.is_dir() else Path.cwd())
        count = len(self.asked.lines) + len(self.asked.sources)
        self.tell(f"making an environment of {count} distributions in {self.folder}")
        self._clear()
        try:
            notes = list(self._interpreter(maker))
            self._fill(maker)
            mark = {"notes": notes, **self._look()}
        except BaseException:
            self._clear()
            raise
        # Last, and whole at once: an environment that was killed half-way has none.
        new = self.folder / f"{_MARK}.new"
        new.write_text(json.dumps(mark), encoding="utf-8")
        new.replace(self.folder / _MARK)
        return mark

    def _clear(self) -> None:
        """Remove what there is; the mark first, as no half of it may pass for whole."""
        (self.folder / _MARK).unlink(missing_ok=True)
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _interpreter(self, maker: EnvironmentMaker) -> Iterator[str]:
        """An empty environment of the recorded Python, else of its nearest; what is to be said."""
        recorded = self.run.lock.environment
        name = f"{recorded.implementation} {recorded.python}"
        version = _VERSION.match(recorded.python)
        exact, nearest = (
            maker.name_python(recorded.implementation, version[part]) if version else None
            for part in (0, "minor")
        )
        if not (version and exact and nearest):
            raise RerunError(f"{name} is none that {maker.name} knows", hint=ELSEWHERE)
        ours = getattr(sys, "_base_executable", None) or sys.executable
        if recorded.implementation == platform.python_implementation():
            here = _VERSION.match(platform.python_version())
            exact = ours if recorded.python == platform.python_version() else exact
            nearest = ours if here and here["minor"] == version["minor"] else nearest
        try:
            maker.make(self.folder, exact)
            return
        except EnvironmentMakerError as error:
            refused = error
        self._clear()
        try:
            maker.make(self.folder, nearest)
        except EnvironmentMakerError:
            raise RerunError(
                f"{name} cannot be had: {refused}",
                hint=f"Install it: {maker.how_to_get(version[0])}. Or: {ELSEWHERE}",
            ) from refused
        yield f"{name} is not here and cannot be fetched: another {version['minor']} is taken"

    def _fill(self, maker: EnvironmentMaker) -> None:
        """Install what is asked for, and this package; raises RerunError."""
        python = python_of(self.folder)
        with tempfile.TemporaryDirectory(prefix="flexlock-env-") as name:
            scratch = Path(name)
            _Releases(maker, python, scratch / "requirements.txt", self.asked.indexes).install(
                self.asked.lines
            )
            maker.install(python, [self.wheel.write(scratch)])
            for number, source in enumerate(self.asked.sources):
                _install_source(maker, python, source, scratch / str(number))

    def _look(self) -> dict[str, Any]:
        """What is installed in it, once a job's imports have gone well there."""
        found = interpreter(str(python_of(self.folder)))
        path = [entry for entry in found.path if Path(entry).is_relative_to(self.folder)]
        return {
            "implementation": found.implementation,
            "python": found.version,
            "path": path,
            "packages": dict(packages.packages(path)),
        }


@dataclass(frozen=True)
class _Releases:
    """Installs distributions from indexes and URLs."""

    maker: EnvironmentMaker
    python: Path
    file: Path
    indexes: tuple[str, ...]

    def install(self, lines: Mapping[str, str]) -> None:
        """Install them all at once; raises RerunError, which names each that is not to be had."""
        error = self._refusal(lines)
        if error is None:
            return
        if bad := self._bad(lines, error):
            raise missing(bad) from error
        raise RerunError(f"{self.maker.name}: {error}", hint=ELSEWHERE) from error

    def _bad(self, lines: Mapping[str, str], error: EnvironmentMakerError) -> dict[str, str]:
        """All that cannot be had, of which the maker names one at a time, and why."""
        left, bad = dict(lines), dict[str, str]()
        refused: EnvironmentMakerError | None = error
        while refused and len(bad) < _MOST:
            named = self.maker.mentioned(str(refused), left)
            # Only the guilty ones of those that it speaks of are refused alone, too.
            alone = {name: self._refusal({name: left[name]}) for name in named}
            found = {name: self.maker.cause(str(why)) for name, why in alone.items() if why}
            if not found:
                break
            bad |= found
            left = {name: line for name, line in left.items() if name not in bad}
            refused = self._refusal(left, only_try=True)
        return bad

    def _refusal(
        self, lines: Mapping[str, str], *, only_try: bool = False
    ) -> EnvironmentMakerError | None:
        self.file.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
        try:
            self.maker.install_listed(
                self.python, self.file, indexes=self.indexes, only_try=only_try
            )
        except EnvironmentMakerError as error:
            return error
        return None


def _install_source(
    maker: EnvironmentMaker, python: Path, source: SourceInstall, scratch: Path
) -> None:
    """Build a distribution from its recorded code, as the version that was recorded."""
    scratch.mkdir()
    scm = re.sub(r"[-_.]+", "_", source.name).upper()
    version = {
        f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{scm}": source.version,
        "PDM_BUILD_SCM_VERSION": source.version,
    }
    with temporary_worktree(source.repo, source.commit, scratch / source.repo.root.name) as tree:
        try:
            maker.install(python, [tree.root / source.folder], env=version)
            _forget_place(python, source.name)
        except EnvironmentMakerError as error:
            why = maker.cause(str(error))
            raise missing({f"{source.name} (of the run's own code)": why}) from error


def _forget_place(python: Path, name: str) -> None:
    """Nobody shall be told of the temporary folder that a distribution was built in."""
    for note in python.parents[1].glob("**/site-packages/*.dist-info/direct_url.json"):
        project = note.parent.name.removesuffix(".dist-info").rpartition("-")[0]
        if re.sub(r"[-_.]+", "-", project).lower() == name:
            note.unlink()


def missing(why: Mapping[str, str]) -> RerunError:
    """The error that names distributions that cannot be had, with a line for each."""
    lines = [f"  {name}: {_in_one_line(reason)}" for name, reason in sorted(why.items())]
    count = f"{len(lines)} distributions" if len(lines) > 1 else "a distribution"
    return RerunError(
        "\n".join([f"{count} of the run cannot be installed:", *lines]),
        hint="An index that has them: UV_INDEX=URL, as uv takes it. Or: "
        f"{ELSEWHERE[0].lower()}{ELSEWHERE[1:]}",
    )


def _in_one_line(reason: str) -> str:
    """A reason in one line, the middle of a long one left out: what failed is first, why last."""
    said = " ".join(reason.split())
    return said if len(said) < _LONG else f"{said[:_LONG // 2]} ... {said[-_LONG // 2:]}"
