"""The shipped schema says what the model says."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from flexlock_hydra.capture.code.snapshot import capture_code
from flexlock_hydra.capture.data.entry import describe, filled
from flexlock_hydra.capture.data.hash_worker import identify
from flexlock_hydra.capture.data.paths import Places
from flexlock_hydra.capture.environment import process
from flexlock_hydra.capture.environment.environment import capture_environment
from flexlock_hydra.capture.lineage import predecessors
from flexlock_hydra.capture.secrets.masker import Masker
from flexlock_hydra.ports.git.repo import GitRepo
from flexlock_hydra.record import lockfile
from flexlock_hydra.record.codec import Node
from flexlock_hydra.record.model import Run, RunLock
from tests.conftest import Project, validator
from tests.support.locks import BOTH, FULL, MINIMAL, RUN_ID, WRONG, plain_full, put


def schema() -> dict[str, Any]:
    """The shipped schema as plain data."""
    text = resources.files("flexlock_hydra.record").joinpath("schema.json").read_text()
    plain: dict[str, Any] = json.loads(text)
    return plain


def node_types(kind: type[Node], seen: dict[str, type[Node]]) -> dict[str, type[Node]]:
    """A type and every type that its fields hold, by name."""
    if kind.__name__ not in seen:
        seen[kind.__name__] = kind
        for hint in typing.get_type_hints(kind).values():
            for inner in (hint, *get_args(hint), *chain(*map(get_args, get_args(hint)))):
                if is_dataclass(inner):
                    node_types(typing.cast("type[Node]", inner), seen)
    return seen


TYPES = node_types(RunLock, {})
SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def described(name: str) -> dict[str, Any]:
    """The part of the schema for a type."""
    whole = schema()
    part: dict[str, Any] = whole if name == "RunLock" else whole["$defs"][name]
    return part


def accepts(kind: Any, part: Any) -> bool:
    """Whether a piece of the schema says what an annotation says."""
    args, origin = get_args(kind), get_origin(kind)
    if kind is Any or Any in args and origin is not tuple and not part:
        return bool(part == {})
    if origin in (typing.Union, types.UnionType):
        return allows_null(part) and accepts(args[0], without_null(part))
    if origin is tuple:
        return bool(part["type"] == "array") and accepts(args[0], part["items"])
    if origin is not None:
        inner = part.get("additionalProperties")
        return bool(part["type"] == "object") and (inner is None or accepts(args[1], inner))
    if is_dataclass(kind):
        return bool(part == {"$ref": f"#/$defs/{typing.cast('type', kind).__name__}"})
    constant = part.get("const", next(iter(part.get("enum", [])), None))
    return type(constant) is kind or bool(part.get("type") == SIMPLE[kind])


def allows_null(part: Any) -> bool:
    """Whether a piece of the schema takes null."""
    return {"type": "null"} in part.get("anyOf", []) or "null" in part.get("type", [])


def without_null(part: Any) -> Any:
    """A piece of the schema without null."""
    if "anyOf" in part:
        return part["anyOf"][0]
    return {**part, "type": part["type"][0]}


def test_the_schema_describes_every_type_and_no_other() -> None:
    """The schema's definitions are the model's types."""
    assert set(schema()["$defs"]) | {"RunLock"} == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_lists_the_fields_in_order(name: str) -> None:
    """A type's properties in the schema are its fields, in the order they are written."""
    expected = [item.name for item in fields(TYPES[name]) if item.name != "extra"]

    assert list(described(name)["properties"]) == expected


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_requires_what_the_model_requires(name: str) -> None:
    """A type's required keys in the schema are its fields without a default."""
    required = [
        item.name
        for item in fields(TYPES[name])
        if item.default is MISSING and item.default_factory is MISSING
    ]
    always = ["format"] if name == "RunLock" else []

    assert described(name)["required"] == [*always, *required]


@pytest.mark.parametrize("name", TYPES)
def test_the_schema_has_the_types_of_the_fields(name: str) -> None:
    """Each property of the schema has the type that its field is annotated with."""
    hints = typing.get_type_hints(TYPES[name])
    wrong = {
        key: part
        for key, part in described(name)["properties"].items()
        if not accepts(hints[key], part)
    }

    assert not wrong


def test_the_schema_is_one() -> None:
    """The schema itself is a valid one."""
    validator().check_schema(schema())


@BOTH
def test_a_written_lock_fits_the_schema(lock: RunLock) -> None:
    """What is written validates against the shipped schema."""
    validator().validate(yaml.safe_load(lockfile.dumps(lock)))


@pytest.mark.parametrize("place", [place for place, (value, _) in WRONG.items() if value != 1.5])
def test_the_schema_refuses_what_the_model_refuses(place: str) -> None:
    """A value that reading refuses does not validate either."""
    plain = plain_full()
    put(plain, place, WRONG[place][0])

    assert not validator().is_valid(plain)


def test_what_the_capture_builds_fits_the_schema(project: Project, tmp_path: Path) -> None:
    """Every part of a lock as the capture makes it validates against the schema."""
    here = Places(cwd=project.root, original_cwd=project.root, root=project.root)
    repo = GitRepo.find(project.root)
    assert repo is not None
    project.write("edited.py", "x = 1\n")
    project.write("run.sh", "").chmod(0o755)
    older = tmp_path / "project" / "outputs" / "a" / "run.lock"
    older.parent.mkdir(parents=True)
    lockfile.write(FULL, older)
    lock = RunLock.parse(
        MINIMAL.to_dict()
        | {
            "run": Run(
                id=RUN_ID,
                status="completed",
                started="2026-11-22T10:15:00+00:00",
                process=process.this_process(),
            ).to_dict(),
            "repos": {"main": capture_code(repo, project.root).to_dict()},
            "data": {
                given: filled(entry, identify(task)).to_dict()
                for given in ("data/table.csv", "data", "data/*", "~/gone", "none://x", "run.sh")
                for entry, task in [describe(given, here, "key")]
            },
            "prevs": {
                key: prev.to_dict()
                for key, prev in predecessors.add(
                    {}, predecessors.read_found(older), "table", project.root
                ).items()
            },
            "environment": capture_environment(
                project.root, ["HOME"], Masker()
            ).to_dict(),
        }
    )

    validator().validate(yaml.safe_load(lockfile.dumps(lock)))
