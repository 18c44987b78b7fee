"""The table of the kinds of data remotes is whole, and the only place that knows them."""

from __future__ import annotations

import ast
from importlib.metadata import metadata
from pathlib import Path

import pytest
from dvc.config_schema import REMOTE_SCHEMAS

from flexlock_hydra.errors import RemoteError
from flexlock_hydra.ports import store
from flexlock_hydra.ports.store.connection import connect
from flexlock_hydra.ports.store.open_store import open_store
from flexlock_hydra.ports.store.remote_kinds import REMOTE_KINDS, RemoteKind, kind_of
from flexlock_hydra.ports.store.store import RemoteSpec

SECRET = ("password", "passphrase", "key", "token", "secret", "connection_string", "credential")
"""Parts of the names of settings that no tag may have."""
each_kind = pytest.mark.parametrize("kind", REMOTE_KINDS, ids=lambda kind: kind.schemes[0])


@each_kind
def test_a_kind_is_found_by_each_of_its_urls(kind: RemoteKind) -> None:
    """A kind is told by the scheme of a URL alone, in capitals too, and has it for itself."""
    for scheme in kind.schemes:
        assert kind_of(f"{scheme}://place/path") is kind_of(f"{scheme.upper()}://place") is kind
    assert kind_of(f"/{kind.schemes[0]}/path") is None


@each_kind
def test_what_a_tag_may_say_is_known_and_no_secret(kind: RemoteKind) -> None:
    """The public settings of a kind are such as DVC has for it, and none is a credential."""
    for scheme in kind.schemes:
        known = {str(key) for key in REMOTE_SCHEMAS[scheme]}
        assert {*kind.public_options} <= known
    assert not [name for name in kind.public_options for part in SECRET if part in name]
    spec = RemoteSpec(f"{kind.schemes[0]}://place", dict.fromkeys([*known, *SECRET], "x"))
    assert [*spec.public_options] == [*kind.public_options]


@each_kind
def test_what_a_kind_needs_can_be_installed(kind: RemoteKind) -> None:
    """The package of a kind is an extra of this one, which explains its login, or DVC's."""
    extras = {f"[{name}]" for name in metadata("flexlock-hydra").get_all("Provides-Extra") or ()}
    assert kind.package in extras or kind.package.startswith("dvc-")
    assert kind.credentials or kind.package not in extras
    assert kind.requirement == f"{'flexlock-hydra' * (kind.package in extras)}{kind.package}"


@each_kind
def test_every_kind_is_connected_to_or_says_what_is_missing(kind: RemoteKind) -> None:
    """A URL of any kind and its public settings are taken by DVC, where its package is there."""
    anonymous = {"allow_anonymous_login", "account_name"} & {*kind.public_options}
    for scheme in kind.schemes:
        spec = RemoteSpec(f"{scheme}://127.0.0.1:9/p", dict.fromkeys(anonymous, "true"))
        try:
            assert isinstance(connect(spec).transfer, kind.transfer)
        except ConnectionRefusedError:  # ssh asks the server at once
            assert scheme == "ssh"
        except RemoteError as error:
            assert "needs a package" in str(error)
            assert error.hint == f"pip install '{kind.requirement}'"


def test_every_kind_of_dvc_is_in_the_table() -> None:
    """What DVC can reach, beside folders, has a record."""
    schemes = [scheme for kind in REMOTE_KINDS for scheme in kind.schemes]
    assert sorted(schemes) == sorted(REMOTE_SCHEMAS.keys() - {"", "remote"})


def test_no_other_kind_is_taken() -> None:
    """A scheme that is not in the table is refused in words, with all that are in it."""
    with pytest.raises(RemoteError, match="no kind of data remote gopher://") as caught:
        open_store(RemoteSpec("gopher://place/path")).sizes(["a" * 32])
    assert all(kind.schemes[0] in (caught.value.hint or "") for kind in REMOTE_KINDS)


def test_no_module_of_the_room_needs_itself() -> None:
    """The modules of ``ports.store`` import each other in one direction, in functions too."""
    folder = Path(store.__path__[0])
    room = f"{store.__name__}."
    left = {path.stem: set(_imports(path, room)) for path in folder.glob("*.py")}
    while free := [name for name, needed in left.items() if not needed & left.keys()]:
        for name in free:
            del left[name]
    assert not left


def _imports(path: Path, room: str) -> list[str]:
    """The modules of a package that a file imports, anywhere in it."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text()))]
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    names = [f"{node.module}.{alias.name}" for node in froms for alias in node.names]
    return [name[len(room):].partition(".")[0] for name in names if name.startswith(room)]
