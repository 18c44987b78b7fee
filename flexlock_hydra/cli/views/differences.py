"""How differences look on a terminal: a line for each name, none of them left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from flexlock_hydra.cli.views import render
from flexlock_hydra.replay.explain.sections import Change, Detail, Section

WIDTH = 80
_MANY = 1000  # Files of one section above which they are counted by folder
_FOLDERS = 40  # Lines that such a count may take; folders are opened as long as it stays below
_LONG = 400  # Letters of a value above which what surrounds its first difference is shown
_AROUND = 60
_COLOURS = {"~": "yellow", "-": "red", "+": "green"}
_HASHED = frozenset({"data", "outputs"})
_FILES = frozenset({"code", "outputs"})


def show_section(name: str, found: Section) -> None:
    """A section: how much differs, and each of it."""
    click.secho(f"{name}: {_count_in_words(found)}", bold=bool(found))
    count = len(found.changed) + len(found.removed) + len(found.added)
    if name in _FILES and count > _MANY:
        for sign, text in _folders(found):
            click.secho(f"  {sign} {text}", fg=_COLOURS[sign])
    else:
        # of each name its sign, the text after it, and the lines below
        lines = _of_code if name == "code" else _of_hashes if name in _HASHED else _of_values
        for sign, first, *rest in lines(found):
            click.secho(f"  {sign} {first}", fg=_COLOURS[sign])
            for text in rest:
                click.secho(f"    {text}", fg=_COLOURS[sign])
    for move in found.moved:
        click.echo(f"  = {render.printable(f'{move.old} -> {move.new}')} (moved)")


def show_patch(text: bytes, *, on_terminal: bool) -> None:
    """A patch: its bytes as they are, or on a terminal in colours and with nothing that steers."""
    if not on_terminal:
        click.echo(text, nl=False)
        return
    for line in text.decode("utf-8", "replace").splitlines():
        shown = "\t".join(map(render.printable, line.split("\t")))
        head = line.startswith(("+++", "---", "diff ", "index "))
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        click.secho(shown, bold=head, fg=None if head else colour)


def change(old: Any, new: Any, named: str) -> list[str]:
    """A change on one line where it fits, else on three; values are whole or around it."""
    one, other = _pair(value(old), value(new))
    line = f"{named}: {one} -> {other}"
    return [line] if len(line) <= WIDTH - 4 else [f"{named}:", f"  {one}", f"  -> {other}"]


def value(held: Any) -> str:
    """A value on one line: as JSON, but a text that is nothing else in JSON as it is."""
    plain = isinstance(held, str) and held == held.strip() and not _is_json(held)
    text = held if plain else json.dumps(held, ensure_ascii=False, default=str)
    return render.printable(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return not text
    return True


def delta(found: Change) -> str:
    """``(+0.02, +2.2 %)``, of numbers."""
    if found.delta is None:
        return ""
    percent = "" if found.percent is None else f", {found.percent:+.2g} %"
    if found.percent is not None and abs(found.percent) >= 100:
        percent = f", {found.percent:+.0f} %"
    return f" ({found.delta:+.4g}{percent})"


def _of_values(found: Section) -> Iterator[tuple[str, ...]]:
    for key, each in found.changed.items():
        *lines, last = change(each.old, each.new, render.printable(key))
        yield "~", *lines, f"{last}{delta(each)}"
    for sign, values in (("-", found.removed), ("+", found.added)):
        for key, held in values.items():
            yield sign, f"{render.printable(key)}: {value(held)}"


def _of_code(found: Section) -> Iterator[tuple[str, ...]]:
    for key, each in found.changed.items():
        shown = render.printable(key)
        is_mode = isinstance(each.old, str) and len(each.old) == len("100644")
        if is_mode or key.endswith("tree") and found.notes:
            shown += f": {each.old[:12]} -> {each.new[:12]}"
        yield "~", shown
    for sign, values in (("-", found.removed), ("+", found.added)):
        yield from ((sign, render.printable(key)) for key in values)


def _of_hashes(found: Section) -> Iterator[tuple[str, ...]]:
    for sign, names in (("~", found.changed), ("-", found.removed), ("+", found.added)):
        for name in names:
            yield sign, *_hashed(name, _ids(found, name), found.details.get(name))


def _ids(found: Section, name: str) -> tuple[Any, Any]:
    if name in found.changed:
        return found.changed[name].old, found.changed[name].new
    return found.removed.get(name), found.added.get(name)


def _hashed(name: str, ids: tuple[Any, Any], detail: Detail | None) -> list[str]:
    """Size and hash, old and new; then what else tells them apart."""
    sides = (detail.old, detail.new) if detail else (None, None)
    shown = [_size_and_hash(oid, side) for oid, side in zip(ids, sides) if oid or side]
    label = render.printable(name)
    line = f"{label}: {' -> '.join(shown)}"
    lines = [line] if len(line) <= WIDTH - 4 else [f"{label}:", *(f"  {text}" for text in shown)]
    for key, what in (("path", ""), ("runs", "made by "), ("error", "")):
        known = [_joined((side or {}).get(key)) for side in sides]
        if any(known) and (key != "path" or known[0] != known[1] or not all(known)):
            lines.append(f"  {what}{' -> '.join(text for text in dict.fromkeys(known) if text)}")
    return lines


def _joined(held: Any) -> str:
    return render.printable(", ".join(held) if isinstance(held, list) else str(held or ""))


def _size_and_hash(oid: Any, side: Mapping[str, Any] | None) -> str:
    known = side or {}
    size = render.size(known["size"]) if "size" in known else ""
    many = known.get("nfiles", 1) != 1 or str(oid).endswith(".dir")
    files = render.plural(known["nfiles"], "file") if many and "nfiles" in known else ""
    if isinstance(oid, Mapping):
        oid = ", ".join(f"{key} {held}" for key, held in oid.items())
    elif oid is not None and len(str(oid)) >= 32:
        oid = str(oid)[:10]
    elif oid is None or size:  # too large to be hashed: its size is all there is
        oid = "not hashed"
    return render.printable(", ".join(text for text in (size, files, str(oid)) if text))


def _count_in_words(found: Section) -> str:
    counts = {"changed": found.changed, "removed": found.removed, "added": found.added}
    said = [f"{len(names):,} {verb}" for verb, names in counts.items() if names]
    return ", ".join(said) or "equal"


def _folders(found: Section) -> Iterator[tuple[str, str]]:
    """Very many files, counted by folder: as deep as it takes few lines."""
    named = [
        (sign, path)
        for sign, paths in (("~", found.changed), ("-", found.removed), ("+", found.added))
        for path in paths
    ]
    counted = _counted(named, 1)
    for depth in range(2, 20):
        deeper = _counted(named, depth)
        if len(deeper) > _FOLDERS:
            break
        counted = deeper
    for (sign, folder), count in counted.items():
        yield sign, f"{render.printable(folder)}: {count:,} {'file' if count == 1 else 'files'}"


def _counted(named: list[tuple[str, str]], depth: int) -> Counter[tuple[str, str]]:
    folder: Callable[[str], str] = lambda path: "/".join(path.split("/")[:-1][:depth]) + "/"
    return Counter((sign, folder(path).removeprefix("/") or "./") for sign, path in named)


def _pair(old: str, new: str) -> tuple[str, str]:
    """Two values whole; of very long ones what surrounds their first difference."""
    if max(len(old), len(new)) <= _LONG:
        return old, new
    at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    return _around(old, at), _around(new, at)


def _around(text: str, at: int) -> str:
    start, end = max(at - _AROUND, 0), at + _AROUND
    head, tail = "…" if start else "", "…" if end < len(text) else ""
    return f"{head}{text[start:end]}{tail} ({len(text):,} letters, from the {at + 1:,}th on)"
