"""A run as a notebook shows it; nothing that a lock says becomes HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flexlock_hydra.record.codec import Json

if TYPE_CHECKING:
    from flexlock_hydra.record.model import RunLock

_LONGEST = 300
_COLOURS = {"completed": "#1a7f37", "failed": "#cf222e", "interrupted": "#9a6700"}


def facts(lock: RunLock) -> Iterator[tuple[str, str]]:
    """What a run is, in pairs of a name and a text."""
    run, code = lock.run, lock.code
    yield "id", run.id
    yield "job", lock.job.name
    yield "status", run.status
    yield "started", run.started
    yield "duration", "" if run.duration is None else f"{run.duration:.3f} s"
    yield "error", "" if run.error is None else f"{run.error.type}: {run.error.message}"
    yield "overrides", " ".join(lock.job.overrides.task)
    yield "result", "" if run.result is None else _text(run.result)
    yield "code", "" if code is None else f"{code.commit[:12]}, {code.completeness}"
    yield "data", ", ".join(f"{name}: {entry.path}" for name, entry in lock.data.items())
    yield "stands on", ", ".join(
        f"{prev.job} {run_id}" for run_id, prev in lock.prevs.items() if prev.direct
    )
    yield "python", f"{lock.environment.implementation} {lock.environment.python}"
    yield "warnings", "; ".join(lock.warnings)


def page(lock: RunLock) -> str:
    """A run as an HTML table, its config below it to be opened."""
    rows = "".join(_row(name, text) for name, text in facts(lock) if text)
    config = html.escape(_printable(json.dumps(lock.config, indent=2, default=str)))
    return (
        f"<table>{rows}</table>"
        f"<details><summary>config</summary><pre>{config}</pre></details>"
    )


def _row(name: str, text: str) -> str:
    colour = f";color:{_COLOURS[text]}" if name == "status" and text in _COLOURS else ""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return (
        f'<tr><th style="text-align:left">{name}</th>'
        f'<td style="text-align:left{colour}">{html.escape(_printable(short))}</td></tr>'
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _printable(text: str) -> str:
    """The text with what turns its direction, or is seen by nobody, as Python writes it."""
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else char.encode("unicode_escape").decode()
        for char in text
    )
