"""A run as a notebook shows it; nothing that a lock says becomes HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flexlock_hydra.record.codec import Json

if TYPE_CHECKING:  # the model loads this where it is shown
    from flexlock_hydra.record.model import RunLock

_LONGEST = 300
_COLOURS = {"completed": "#1a7f37", "failed": "#cf222e", "interrupted": "#9a6700"}


def facts(lock: RunLock) -> dict[str, str]:
    """What the run is in short texts by their names, for notebooks; nothing empty."""
    run, code = lock.run, lock.code
    texts = {
        "id": run.id,
        "job": lock.job.name,
        "status": run.status,
        "started": run.started,
        "duration": "" if run.duration is None else f"{run.duration:.3f} s",
        "error": "" if run.error is None else f"{run.error.type}: {run.error.message}",
        "overrides": " ".join(lock.job.overrides.task),
        "result": "" if run.result is None else _text_or_json(run.result),
        "code": "" if code is None else f"{code.commit[:12]}, {code.completeness}",
        "data": ", ".join(f"{name}: {entry.path}" for name, entry in lock.data.items()),
        "stands on": ", ".join(
            f"{prev.job} {run_id}" for run_id, prev in lock.prevs.items() if prev.direct
        ),
        "python": f"{lock.environment.implementation} {lock.environment.python}",
        "warnings": "; ".join(lock.warnings),
    }
    return {name: text for name, text in texts.items() if text}


def html_table(facts: Mapping[str, str], config: Json) -> str:
    """What a run is as an HTML table, a row a fact, and its config below it to be opened."""
    rows = "".join(_row(name, text) for name, text in facts.items())
    plain = html.escape(_printable(json.dumps(config, indent=2, default=str)))
    return (
        f"<table>{rows}</table>"
        f"<details><summary>config</summary><pre>{plain}</pre></details>"
    )


def _text_or_json(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _row(name: str, text: str) -> str:
    colour = f";color:{_COLOURS[text]}" if name == "status" and text in _COLOURS else ""
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return (
        f'<tr><th style="text-align:left">{name}</th>'
        f'<td style="text-align:left{colour}">{html.escape(_printable(short))}</td></tr>'
    )


def _printable(text: str) -> str:
    """The text with what turns its direction, or is seen by nobody, as Python writes it."""
    return "".join(
        char
        if char.isprintable() or char == "\n"
        else char.encode("unicode_escape").decode()
        for char in text
    )
