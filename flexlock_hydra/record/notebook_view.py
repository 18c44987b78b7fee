"""A run as a notebook shows it; nothing that a lock says becomes HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

from flexlock_hydra.record.codec import Json

_LONGEST = 300
_COLOURS = {"completed": "#1a7f37", "failed": "#cf222e", "interrupted": "#9a6700"}


def html_table(facts: Mapping[str, str], config: Json) -> str:
    """What a run is as an HTML table, a row a fact, and its config below it to be opened."""
    rows = "".join(_row(name, text) for name, text in facts.items())
    plain = html.escape(_printable(json.dumps(config, indent=2, default=str)))
    return (
        f"<table>{rows}</table>"
        f"<details><summary>config</summary><pre>{plain}</pre></details>"
    )


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
