"""A graph as text: a tree for a terminal, mermaid, dot, svg.

Names come from locks, and whoever wrote these may want to harm: each format has its own way
to take a name as nothing but a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import TYPE_CHECKING

from flexlock_hydra.cli.views import render

if TYPE_CHECKING:
    from flexlock_hydra.replay.explain.graph import Graph, Vertex

# Pixels: a letter's width, a line's height, between vertices, inside of them.
_LETTER, _LINE, _GAP, _PAD = 7.3, 17, 34, 10
_LONGEST = 80  # Letters of a line in a drawing


def tree(graph: Graph) -> str:
    """Lines of text; what was drawn already is named and not drawn again."""
    lines = [_line_of_text(graph.vertices[graph.root])]
    drawn = {graph.root}
    waiting = _children(graph, graph.root, "")
    while waiting:
        key, branch, indent = waiting.pop(0)
        again = key in drawn and bool(graph.below[key])
        text = f"{branch}{_line_of_text(graph.vertices[key])}"
        lines.append(f"{text}  (see above)" if again else text)
        if key not in drawn:
            drawn.add(key)
            waiting = [*_children(graph, key, indent), *waiting]
    return "".join(f"{line}\n" for line in lines)


def _children(graph: Graph, key: str, indent: str) -> list[tuple[str, str, str]]:
    """Each vertex below another, what stands before it, and before those below it."""
    below = graph.below[key]
    return [
        (each, f"{indent}└── ", f"{indent}    ")
        if number == len(below)
        else (each, f"{indent}├── ", f"{indent}│   ")
        for number, each in enumerate(below, 1)
    ]


def mermaid(graph: Graph) -> str:
    """A flowchart; it stands as it is in Markdown of GitHub and GitLab."""
    names = {key: f"n{number}" for number, key in enumerate(graph.vertices)}
    lines = ["flowchart LR"]
    for key, vertex in graph.vertices.items():
        label = "<br/>".join(_in_mermaid(line) for line in _lines_of_vertex(vertex))
        start, end = ("[(", ")]") if vertex.is_data else ("[", "]")
        lines.append(f'  {names[key]}{start}"{label}"{end}')
    lines += [f"  {names[old]} --> {names[new]}" for old, new in graph.edges()]
    return "".join(f"{line}\n" for line in lines)


def dot(graph: Graph) -> str:
    """For Graphviz."""
    names = {key: f"n{number}" for number, key in enumerate(graph.vertices)}
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    for key, vertex in graph.vertices.items():
        lines_of_it = (line.replace("\\", "\\\\") for line in _lines_of_vertex(vertex))
        label = "\\n".join(lines_of_it).replace('"', '\\"')
        shape = "cylinder" if vertex.is_data else "box"
        lines.append(f'  {names[key]} [shape={shape}, label="{label}"];')
    lines += [f"  {names[old]} -> {names[new]};" for old, new in graph.edges()]
    return "".join(f"{line}\n" for line in (*lines, "}"))


def svg(graph: Graph) -> str:
    """A picture; what stands further back is further left."""
    boxes, depths = _placed(graph), graph.depths()
    edges = [(boxes[old], boxes[new], depths[old] - depths[new]) for old, new in graph.edges()]
    furthest = max((steps for *_, steps in edges), default=1)
    width = max(x + w for x, _, w, _ in boxes.values()) + _GAP
    height = max(y + h for _, y, _, h in boxes.values()) + _GAP + (furthest - 1) * _GAP / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif" font-size="12">',
        '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>',
        *(_box(graph.vertices[key], *box) for key, box in boxes.items()),
        *(_edge(*edge) for edge in edges),
        "</svg>",
    ]
    return "".join(f"{part}\n" for part in parts)


FORMATS: dict[str, Callable[[Graph], str]] = {
    "tree": tree, "mermaid": mermaid, "dot": dot, "svg": svg
}


def _line_of_text(vertex: Vertex) -> str:
    return "  ".join(_lines_of_vertex(vertex))


def _lines_of_vertex(vertex: Vertex) -> list[str]:
    """What is said of a vertex, with nothing that steers a terminal."""
    size = [] if vertex.size is None else [render.size(vertex.size)]
    stale = ["stale"] if vertex.stale else []
    said = [vertex.name, *filter(None, vertex.details), *size, *stale]
    return [render.printable(text) for text in said]


def _in_mermaid(text: str) -> str:
    """Mermaid takes HTML in labels, and ``#`` begins its own entities."""
    known = "".join(c if c.isalnum() or c in " ._-/:,()" else f"#{ord(c)};" for c in text)
    return known or " "


def _placed(graph: Graph) -> dict[str, tuple[float, float, float, float]]:
    """Left, top, width and height of each vertex: a column for each depth."""
    columns: dict[int, list[str]] = {}
    for key, depth in graph.depths().items():
        columns.setdefault(depth, []).append(key)
    boxes = {}
    x: float = _GAP
    for depth in sorted(columns, reverse=True):
        widths = {key: _box_width(graph.vertices[key]) for key in columns[depth]}
        y: float = _GAP
        for key in columns[depth]:
            height = len(_lines_of_vertex(graph.vertices[key])) * _LINE + 2 * _PAD
            boxes[key] = (x, y, widths[key], float(height))
            y += height + _GAP
        x += max(widths.values()) + 2 * _GAP
    return boxes


def _box_width(vertex: Vertex) -> float:
    return max(len(_end_of_text(line)) for line in _lines_of_vertex(vertex)) * _LETTER + 2 * _PAD


def _end_of_text(text: str) -> str:
    return text if len(text) <= _LONGEST else f"...{text[-_LONGEST + 3:]}"


def _edge(old: tuple[float, ...], new: tuple[float, ...], steps: int) -> str:
    """An arrow from one side to the next column's, or below what lies between."""
    if steps == 1:
        x, x_end = old[0] + old[2], new[0]
        y, y_end = old[1] + old[3] / 2, new[1] + new[3] / 2
        middle = (x + x_end) / 2
        bend = f"{middle:.0f} {y:.0f} {middle:.0f} {y_end:.0f}"
    else:
        x, x_end = old[0] + old[2] / 2, new[0] + new[2] / 2
        y, y_end = old[1] + old[3], new[1] + new[3]
        depth = max(y, y_end) + steps * _GAP / 2
        bend = f"{x:.0f} {depth:.0f} {x_end:.0f} {depth:.0f}"
    return (
        f'<path d="M{x:.0f} {y:.0f}C{bend} {x_end:.0f} {y_end:.0f}" fill="none" '
        'stroke="#667" marker-end="url(#to)"/>'
    )


def _box(vertex: Vertex, x: float, y: float, width: float, height: float) -> str:
    fill = "#eef3f8" if vertex.is_data else "#fff"
    return "\n".join([
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}" rx="6" '
        f'fill="{fill}" stroke="#667"/>',
        *_words(vertex, x + _PAD, y + _PAD + 12),
    ])


def _words(vertex: Vertex, x: float, y: float) -> Iterator[str]:
    for number, line in enumerate(_lines_of_vertex(vertex)):
        weight = ' font-weight="bold"' if number == 0 else ""
        place = f'x="{x:.0f}" y="{y + number * _LINE:.0f}"'
        yield f"<text {place}{weight}>{escape(_end_of_text(line))}</text>"
