"""How results look: JSON for programs, aligned text for people.

Every command loads this module, so that it loads what it needs where it needs it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from flexlock_hydra.archive.remotes.project import Remotes

# What programs write to colour or steer a terminal.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


def print_json(document: Any) -> None:
    """One JSON document on standard output."""
    import json

    click.echo(json.dumps(_finite(document), indent=2, ensure_ascii=False, default=str))


def _finite(value: Any) -> Any:
    """The value with numbers that JSON has no form for (nan, inf) as their names."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def rows(pairs: Iterable[tuple[str, str]], indent: int = 0) -> None:
    """Aligned ``name  value`` lines; a terminal gets long values below each other."""
    shown = [(printable(name), printable(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        text = f"{' ' * indent}{name.ljust(width)}  {value}"
        line(text, under=indent + width + 2, bold=(indent, indent + len(name)))


def line(text: str, *, under: int = 2, bold: tuple[int, int] | None = None, fg: str = "") -> None:
    """One line; what is too long for a terminal goes on below, from the column ``under``.

    Args:
        bold: the part of it that stands out.
        fg: its colour; that of the part that stands out, where there is one.
    """
    head, rest = text[:under], text[under:]
    lines = _wrapped(rest, columns() - under) if sys.stdout.isatty() else [rest]
    first = f"{head}{lines[0]}"
    if bold:
        begin, end = bold
        part = click.style(first[begin:end], bold=True, fg=fg or None)
        first = f"{first[:begin]}{part}{first[end:]}"
    for each in (first, *(f"{' ' * under}{more}" for more in lines[1:])):
        click.echo(each if bold or not fg else click.style(each, fg=fg))


def table(lines: Sequence[Sequence[str]], indent: int = 2) -> None:
    """Aligned columns. What is too long of the last is cut, of the last but one goes on below."""
    cells = [[printable(" ".join(cell.split())) for cell in line] for line in lines]
    *fixed, last, end = (max(map(len, column)) for column in zip(*cells, strict=True))
    left = max(columns() - indent - sum(fixed) - 2 * len(fixed) - 2, 20)
    end = min(end, max(left - last, left // 2))
    last = min(last, left - end)
    for *first, text, tail in cells:
        parts = _wrapped(text, last, within=True)
        row = [cell.ljust(width) for cell, width in zip(first, fixed)]
        row += [parts[0].ljust(last), brief(tail, end)]
        click.echo(f"{' ' * indent}{'  '.join(row)}".rstrip())
        for part in parts[1:]:
            click.echo(f"{' ' * (indent + sum(fixed) + 2 * len(fixed))}{part}")


def columns() -> int:
    """The width of the terminal; 80 where there is none."""
    import shutil

    return shutil.get_terminal_size().columns


def _wrapped(text: str, width: int, *, within: bool = False) -> list[str]:
    """The lines of a text; words stay whole unless they may be broken ``within``."""
    import textwrap

    lines = textwrap.wrap(text, max(width, 20), break_long_words=within, break_on_hyphens=False)
    return lines or [""]


def one_line(text: str, limit: int) -> str:
    """A message of any number of lines on one, without its colours, cut where it must be."""
    return brief(printable(" ".join(_ESCAPES.sub("", text).split())), limit)


def printable(text: str) -> str:
    """A text on one line, with what would steer a terminal as Python writes it: ``\\n``."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def warn(texts: Iterable[str]) -> None:
    """Warnings on standard error, a line each."""
    for text in texts:
        click.secho(f"warning: {printable(text)}", fg="yellow", err=True)


def remotes(remote: str | None, git_remote: str | None) -> Remotes:
    """The remotes of the repository here.

    Raises:
        GitError: there is no repository.
    """
    from flexlock_hydra.archive.remotes.project import Remotes
    from flexlock_hydra.errors import GitError
    from flexlock_hydra.ports.git.repo import GitRepo

    repo = GitRepo.find(Path.cwd())
    if repo is None:
        raise GitError("this is no git repository", hint="Go to the project: flexlock-hydra -C DIR")
    return Remotes.of(repo, remote, git_remote)


@contextmanager
def progress(title: str, *, quiet: bool, in_bytes: bool) -> Iterator[Callable[..., None]]:
    """A bar on standard error while something travels; on a terminal only.

    It is told what is done and what there is in all: files, or bytes and then files.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, files=0, all_files=0: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn, DownloadColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn,
        TransferSpeedColumn
    )

    amount: tuple[ProgressColumn, ...] = (MofNCompleteColumn(),)
    if in_bytes:
        files = TextColumn("{task.fields[files]}/{task.fields[all_files]} files")
        amount = (files, DownloadColumn(), TransferSpeedColumn())
    bar = Progress(title, BarColumn(), *amount, console=Console(stderr=True), transient=True)
    with bar:
        task = bar.add_task(title, total=None, files=0, all_files="?")
        yield lambda done, total, files=0, all_files=0: bar.update(
            task, completed=done, total=total, files=files, all_files=all_files
        )


def size(count: int) -> str:
    """Bytes in the unit that people read."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """A time in the unit that people read."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def brief(value: Any, limit: int = 60) -> str:
    """A value on one line, cut where it is longer than the limit."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
