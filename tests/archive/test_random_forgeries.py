"""Tags forged at random: whatever one says, a pull ends and writes nothing elsewhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from flexlock_hydra.archive.pull.pull import Pulled
from tests.archive.test_hostile_tags import leading_out
from tests.support.attacks import attack, set_up
from tests.support.forged import METAFILES, NULL_MD5, Base, Tag
from tests.support.git_forge import EXECUTABLE, FILE, LINK
from tests.support.hostile_values import PATHS

# Forged at random

HOSTILE = [
    *PATHS.values(), "\ud800", "q", "data", "data/set", "data/set/a.txt", "app.py", "outputs/a",
    "~/x", "ab:c", "sub", ".flexlock/fsroot/x", ".flexlock/runs/x", NULL_MD5, f"{NULL_MD5}.dir",
    "-x", "--upload-pack=x", "20990101T000000Z-00000000", "a\n", "\x1b[31m", "x" * 5000,
    "../../../beside/victim", "[", "!!python/name:os.system", "%(x)s", "{}",
]
VALUES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from([None, True, False, 0, 1, -1, 2**31, 2**70, 1.5, float("nan"), [], {}, [[]]]),
    st.text(max_size=5),
)
PARTS = (
    "out", "listing", "lock", "repository", "tree", "link", "config", "object", "metafile",
    "manifest",
)
"""What can be forged, in the order in which it is: what one reads, none before it breaks."""
UNFIT = (LookupError, TypeError, AttributeError, ArithmeticError, ValueError, StopIteration)
"""What says that two changes do not go together."""
CHANGES = st.lists(
    st.tuples(st.sampled_from(PARTS), st.integers(0, 10_000), st.integers(0, 3), VALUES),
    min_size=1,
    max_size=3,
)


def spots(plain: Any) -> list[tuple[Any, Any]]:
    """Every item of every list and mapping: what holds it, and its key."""
    pairs = [*plain.items()] if isinstance(plain, dict) else [*enumerate(plain)]
    found = [(plain, key) for key, _ in pairs]
    for _, item in pairs:
        found += spots(item) if isinstance(item, (dict, list)) else []
    return found


def change(plain: Any, spot: int, how: int, value: Any) -> None:
    """One item becomes another, or another key's, or goes, or comes twice."""
    holder, key = (found := spots(plain))[spot % len(found)]
    if how == 0:
        holder[key] = value
    elif how == 1:
        del holder[key]
    elif isinstance(holder, dict):
        holder[str(value)] = holder[key] if how == 2 else value
    else:
        holder.insert(0, holder[key] if how == 2 else value)


def changed(tag: Tag, part: str, spot: int, how: int, value: Any) -> Tag:
    """A tag with one part forged; what must agree with that part does."""
    outs = tag.manifest["outs"]
    folders = [item for item in outs if item["md5"].endswith(".dir")]
    text = value if isinstance(value, str) else json.dumps(value)
    raw = text.encode("utf-8", "replace").replace(b"\0", b"").decode()[:300]
    if part == "out":
        old = outs[spot % len(outs)]
        return tag.other_out(old, {**old, ("path", "md5", "size", "nfiles")[how]: value})
    if part == "listing":
        old = folders[spot % len(folders)]
        change(entries := json.loads(tag.objects[old["md5"]]), spot, how, value)
        return tag.relisted(old, json.dumps(entries).encode(), nfiles=len(entries), size=1 << 40)
    if part == "object":
        return replace(tag, objects={**tag.objects, sorted(tag.objects)[spot % 8]: text.encode(
            "utf-8", "replace"
        )})
    if part == "repository":
        return tag.repository(text, raw if how == 3 else "other")
    if part == "tree":
        return tag.put(raw, raw, (FILE, EXECUTABLE, LINK, "100777")[how])
    if part == "link":
        return tag.link(("data", "data/set/new", "sub", raw)[how], raw)
    if part == "config":
        return tag.option(raw.replace("{", "").replace("}", ""))
    if part == "lock":
        return tag.locked(lambda lock: change(lock, spot, how, value))
    if part == "metafile":
        path = f"{METAFILES}/000{spot % len(outs)}.dvc"
        change(plain := yaml.safe_load(tag.tree[path].content), spot, how, value)
        return tag.put(path, json.dumps(plain))
    return tag.edited(lambda manifest: change(manifest, spot, how, value))


@settings(
    max_examples=100,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[*HealthCheck],
)
@given(changes=CHANGES)
def test_whatever_is_forged(
    base: Base, tmp_path: Path, own_home: None, changes: list[tuple[str, int, int, Any]]
) -> None:
    """It is pulled, or refused with an error of ours; nothing gets outside, no link leads there."""
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory(dir=tmp_path) as folder:
        scene = set_up(Path(folder), patch)
        tag = base.at(scene)
        for each_change in sorted(changes, key=lambda it: PARTS.index(it[0])):
            try:
                tag = changed(tag, *each_change)
            except UNFIT:
                reject()
        found = attack(tag.push())
        assert isinstance(found, Pulled) or found.exit_code == 2
        if (scene / "into").exists():
            own = {str(scene / "into" / path) for path in tag.tree}
            assert {*leading_out(scene / "into")} <= own
            hooks = (scene / "into/.git/hooks").iterdir()
            assert all(hook.suffix == ".sample" for hook in hooks)
