"""What stood between Python and a recorded app, started again: Python's options, a profiler."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flexlock_hydra.capture.secrets.shapes import MASK
from flexlock_hydra.replay.rerun.stage import Stage

# Of Python's options those that may change a result; -E, -I and -S would hide the recorded code
_KEPT_OPTIONS = frozenset("ObBu")
_OPTIONS_WITH_VALUE = frozenset("WX")
# They ask at the terminal, or wait for an editor: nobody is there
_DEBUGGERS = frozenset(("pdb", "bdb", "ipdb", "pudb", "web_pdb", "rpdb", "debugpy", "pydevd"))
_FIND = "import sys; from importlib.util import find_spec; sys.exit(not find_spec(sys.argv[1]))"


@dataclass(frozen=True)
class Runner:
    """The words between Python and a recorded app, as they are repeated.

    Args:
        options: Python's own.
        words: a profiler, or another program that runs the app.
        left_out: why there are no such words although the record has some.
    """

    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    left_out: str | None = None

    def start(self, python: str, program: Sequence[str]) -> list[str]:
        """The command line of an app, ``-m MODULE`` or a script, without its arguments."""
        # Of trace, which has no -m.
        named = program[1:] if self.words[-1:] == ("--module",) else program
        return [python, *self.options, *self.words, *named]


def runner_again(
    recorded: Sequence[str] | None, stage: Stage, cwd: Path, python: str, env: Mapping[str, str]
) -> Runner:
    """What to start a recorded app with, in a stage.

    A debugger is left out, and so is what is not here, or would write outside of the stage.

    Args:
        cwd: where the app is started.
        env: the environment of the job, in which a module must be found.
    """
    options, words = split_options(recorded or ())
    if not words:
        return Runner(options)
    is_module = words[0] == "-m"
    name = words[1] if is_module and len(words) > 1 else Path(words[0]).stem
    if name in _DEBUGGERS:
        return Runner(options, left_out=f"{name} is left out: nobody is there to answer it")
    head = ("-m", name) if is_module else _script(words[0], stage, cwd, python)
    if head is None or (is_module and not _is_found(name, cwd, python, env)):
        return Runner(options, left_out=f"{name} is left out: it is not installed for {python}")
    rest = [_moved(word, stage, cwd) for word in words[len(head):]]
    if None in rest:
        outside = words[len(head) + rest.index(None)]
        return Runner(options, left_out=f"{name} is left out: {outside} leads out of the rerun")
    return Runner(options, (*head, *(word for word in rest if word is not None)))


def split_options(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Python's options that count, and the program with its own words.

    The grammar: https://docs.python.org/3/using/cmdline.html.
    """
    left, kept = [*words], []
    while left and left[0].startswith("-") and left[0] not in ("-", "-m", "-c"):
        word = left.pop(0)
        if word.startswith("--"):
            del left[: word == "--check-hash-based-pycs"]
            continue
        for place, letter in enumerate(word[1:], 1):
            rest = word[place + 1:]
            if letter in "mc":
                left = [f"-{letter}", *([rest] if rest else []), *left]
                break
            if letter in _OPTIONS_WITH_VALUE:
                value = rest or (left.pop(0) if left else "")
                kept.append(f"-{letter}{value}")
                break
            if letter in _KEPT_OPTIONS:
                kept.append(f"-{letter}")
    return tuple(kept), tuple(left)


def _script(word: str, stage: Stage, cwd: Path, python: str) -> tuple[str] | None:
    """A program by its path: of the stage, or installed beside this Python; None elsewhere."""
    places: Iterator[Path] = (
        place
        for place in (_inside(word, stage, cwd), Path(python).with_name(Path(word).name))
        if place is not None
    )
    found = next((str(place) for place in places if place.is_file()), None)
    return None if found is None else (found,)


def _moved(word: str, stage: Stage, cwd: Path) -> str | None:
    """A word with its path moved into the stage; None where that leads out of it."""
    name, equals, value = word.rpartition("=")
    if MASK in value:
        return None
    if not os.path.isabs(value) and ".." not in Path(value).parts:
        return word
    place = _inside(value, stage, cwd)
    return None if place is None else f"{name}{equals}{place}"


def _inside(path: str, stage: Stage, cwd: Path) -> Path | None:
    """The place of a path in the stage; None where it is none of the project's."""
    moved = stage.moved(path) if os.path.isabs(path) else os.path.normpath(cwd / path)
    found = None if moved is None else Path(moved)
    return found if found and found.is_relative_to(stage.root) else None


def _is_found(module: str, cwd: Path, python: str, env: Mapping[str, str]) -> bool:
    if module in sys.stdlib_module_names:
        return True
    done = subprocess.run(
        [python, "-c", _FIND, module],
        cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )
    return done.returncode == 0
